"""Labels over one graph, solved again from the last solution after each change."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...conventions import UNLABELED
from ...graph import Graph, GraphSettings, Propagation, PropagationSystem, Solution
from ...graph.class_names import fade
from ...graph.label_matrix import CheckedLabels
from ...graph.settings import Refinement
from ...graph.system import INVERSE_COLUMNS, LEAST_ARRIVING

ROUGH_TOL = 1e-2  # of what only orders the queue
MOST_STEPS = 1000
WHOLE_EVERY = 64  # changes, after which all classes are solved again: it takes no step where none is needed
LEAST_ROOT = 1e-3  # of the mean root of the degree, that a label is divided by
Float = NDArray[np.floating]


class Spreading:
    """Labels on one graph. `change` takes all labels; only the classes that differ from the last ones are solved.

    Each is solved from its last solution to the tolerance of a fresh one, whose residual counts from the right-hand
    side as it is now: errors do not add up, however many changes there are. Released mode is solved to the end, as a
    stop after 20 steps would depend on where the solver starts. With a refinement all classes are solved, as they may
    need several solutions.

    balance: the label of a class with n labels counts n ** -balance; 0 as in the paper, 1 as in released mode.
    by_degree: each label is divided by the root of its node's degree, so that dense regions count no more than others.
    sources: (n, k) what the names of the first k classes give to each row, where they have descriptors; added to what
    labels bring, less of it the more labels a class has (`fade`).

    label: (n,) the labels now. x: (m, c) solution of the system. mass: (m,) what arrives at each node from all labels,
    unresolved nodes filled, before any refinement.
    """

    def __init__(
        self,
        graph: Graph,
        settings: GraphSettings,
        num_classes: int,
        *,
        balance: float = 0.0,
        by_degree: bool = False,
        sources: sp.csc_array | None = None,
    ) -> None:
        self.graph, self.num_classes = graph, num_classes
        self._balance = 1.0 if settings.rules.divide_by_class_size else balance
        self._row_weight = _weigh_by_degree(graph) if by_degree and graph.root_degree is not None else None
        self.settings = replace(settings, allow_empty_classes=True, max_steps=max(settings.step_limit, MOST_STEPS))
        self.system = PropagationSystem(graph, self.settings)
        num_nodes = graph.affinity.shape[0]
        self.label = np.full(graph.node.size, UNLABELED)
        self.x: Float = np.zeros((num_nodes, num_classes), self.settings.dtype(num_nodes))
        self.mass: Float = np.zeros(num_nodes, self.x.dtype)
        self._left: Float = np.zeros(num_nodes, self.x.dtype)  # largest residual of each node
        self._rough: Float | None = None
        self._own: dict[int, float] = {}
        self._since_whole = 0
        self._names = None if sources is None else _Names(self.system, sources, self.x.dtype)

    def change(self, label: NDArray[np.int64], known: Sequence[int] = ()) -> Propagation:
        """label: (n,) class numbers, -1 for none. known: rows whose own mass is found along the way, at no cost."""
        touched = self._find_touched(label)
        before, self.label = self.label, label.copy()
        labels = CheckedLabels(label, self.num_classes, self._weigh(label))
        if self.settings.refinement != Refinement() and (label != UNLABELED).any():
            found, filled = self.system.spread_by(self.system.solve, labels, self.x)
            self.x = found.solution.x
        else:
            if self._balance:
                self._rescale(before, touched)
            self._since_whole += 1
            if self._since_whole >= WHOLE_EVERY:
                touched, self._since_whole, self._left = np.arange(self.num_classes), 0, np.zeros_like(self._left)
            missing = [row for row in known if row not in self._own][:INVERSE_COLUMNS]
            found, filled = self.system.spread_by(
                lambda label_matrix, start: self._solve_columns(label_matrix, touched, missing),
                labels,
                sources=None if self._names is None else self._names.pour(self._count(label)),
            )
        self.mass = np.asarray(filled.sum(axis=1))
        return found

    def grow(self, num_classes: int) -> None:
        """Have as many classes, the new ones without a label: solutions of the others stay."""
        more = num_classes - self.num_classes
        if more > 0:
            self.x = np.concatenate([self.x, np.zeros((self.x.shape[0], more), self.x.dtype)], axis=1)
            self.num_classes = num_classes

    def stand_for(self, stands_for: Sequence[int]) -> None:
        """Let each class's name speak for the class that stands for it by now; -1 for one that is gone."""
        if self._names is not None:
            self._names.stands_for = stands_for

    def imagine(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) the labels that `change` would lead to; nothing is changed."""
        other = copy(self)
        other.x = self.x.copy()
        other._own = dict(self._own)
        return np.asarray(other.change(label).pseudo_labels.label)

    def solve_roughly(self, target: Float) -> Float:
        """(m,) (I - alpha W)^-1 target, (m,), to two digits; from the last such answer."""
        if not target.any():  # nothing is in doubt; the solver would go for an exact zero
            return np.zeros_like(target)
        start = None if self._rough is None else self._rough[:, None]
        target = np.asarray(target, np.float64)[:, None]
        self._rough = self.system.solve(sp.csc_array(target), start, tol=ROUGH_TOL).x[:, 0]
        return np.asarray(np.maximum(self._rough, 0))

    def reach(self, row: int) -> NDArray[np.float64]:
        """(n,) what a label of weight 1 at a row brings to each row, to two digits."""
        found = self.system.solve(self.system.unit_columns(np.array([row])), tol=ROUGH_TOL).x[:, 0]
        return np.asarray(np.maximum(found, 0)[self.graph.node], np.float64)

    def find_own(self, rows: Sequence[int]) -> Float:
        """What a label of weight 1 at each row brings to itself. The graph does not change: kept once found."""
        missing = [row for row in dict.fromkeys(rows) if row not in self._own]
        for start in range(0, len(missing), INVERSE_COLUMNS):
            some = missing[start : start + INVERSE_COLUMNS]
            self._keep(some, self.system.solve(self.system.unit_columns(np.array(some))).x)
        return np.array([self._own[row] for row in rows], np.float64)

    def leave_own_out(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(r, c) what the labels of all other rows bring to labelled `rows`; refinements left out."""
        own, classes = self.find_own(rows.tolist()), self.label[rows]
        masses = self.x[self.graph.node[rows]].astype(np.float64)
        at = (np.arange(rows.size), classes)
        own = own if self._row_weight is None else own * self._row_weight[rows]
        counts = self._count(self.label)
        count = counts[classes]
        others = np.maximum(count - 1, 1)
        masses[at] = (masses[at] - own * count**-self._balance) * (count / others) ** self._balance
        if self._names is not None:
            named = self._names.bring(counts)[self.graph.node[rows]].astype(np.float64)
            named[at] *= fade(count - 1) / fade(count)
            masses += named
        return np.asarray(np.where(masses > LEAST_ARRIVING, masses, 0))

    @property
    def weight(self) -> NDArray[np.float64] | None:
        """(n,) what the label of each row counts by now; None where the settings say it."""
        return self._weigh(self.label)

    def _weigh(self, label: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """(n,) what the label of each row counts; None where each counts 1."""
        if self.settings.rules.divide_by_class_size or (not self._balance and self._row_weight is None):
            return None  # the label matrix is divided by the rules themselves
        count = np.bincount(label[label != UNLABELED], minlength=self.num_classes)
        weight = np.where(label != UNLABELED, np.maximum(count, 1.0)[label] ** -self._balance, 1.0)
        return weight if self._row_weight is None else weight * self._row_weight

    def _find_touched(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """The classes that gain or lose a label."""
        rows = np.flatnonzero(self.label != label)
        classes = np.unique(np.concatenate([self.label[rows], label[rows]]))
        return np.asarray(classes[classes != UNLABELED])

    def _rescale(self, before: NDArray[np.int64], touched: NDArray[np.int64]) -> None:
        """Bring the last solution to the new number of labels of its class."""
        old = np.bincount(before[before != UNLABELED], minlength=self.num_classes)
        new = np.bincount(self.label[self.label != UNLABELED], minlength=self.num_classes)
        ratio = (old[touched] / np.maximum(new[touched], 1)) ** self._balance
        self.x[:, touched] *= ratio.astype(self.x.dtype)

    def _solve_columns(self, y: sp.csc_array, touched: NDArray[np.int64], known: list[int]) -> Solution:
        """The solution of all classes. Touched ones are solved, and the own mass of `known` rows beside them."""
        if touched.size:
            # A class without a label left is zero: no solver gets there from elsewhere by a relative residual.
            last = self.x[:, touched] * (np.diff(y.indptr)[touched] > 0)
            start = np.concatenate([last, np.zeros((self.x.shape[0], len(known)), self.x.dtype)], axis=1)
            units = self.system.unit_columns(np.array(known, np.int64))
            both = sp.csc_array(sp.hstack([y[:, touched], units])) if known else y[:, touched]
            solution = self.system.solve(both, start)
            self._keep(known, solution.x[:, touched.size :])
            x = self.x.copy()  # whoever has the last one keeps it as it was
            x[:, touched] = solution.x[:, : touched.size]
            self.x = x
            self._left = np.maximum(self._left, solution.row_residual)
        if self._names is None:
            x, left = self.x, self._left
        else:
            x, left = self.x + self._names.bring(self._count(self.label)), np.maximum(self._left, self._names.left)
        return Solution(x, np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), left)

    def _count(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """(c,) rows with the label of each class."""
        return np.bincount(label[label != UNLABELED], minlength=self.num_classes)

    def _keep(self, rows: list[int], columns: Float) -> None:
        for column, row in enumerate(rows):
            self._own[row] = float(columns[self.graph.node[row], column])


class _Names:
    """What the names of the first k classes bring to each node, less of it the more labels a class has.

    stands_for: of each class the one that stands for it by now, -1 for one that is gone. left: (m,) largest residual.
    """

    def __init__(self, system: PropagationSystem, sources: sp.csc_array, dtype: np.dtype) -> None:
        node = system.graph.node
        to_node = sp.csr_array(
            (np.ones(node.size), (node, np.arange(node.size))), (system.graph.affinity.shape[0], node.size)
        )
        self._sources = sp.csc_array(to_node @ sources)
        solution = system.solve(self._sources)
        self._brought: Float = np.maximum(solution.x, 0).astype(dtype)
        self.left: Float = solution.row_residual
        self.stands_for: Sequence[int] = range(self._brought.shape[1])

    def pour(self, count: NDArray[np.int64]) -> sp.csc_array:
        """(m, c) the sources beside `count` labels of each class."""
        return sp.csc_array(self._sources @ self._fade(count))

    def bring(self, count: NDArray[np.int64]) -> Float:
        """(m, c) what arrives of them."""
        return np.asarray(self._brought @ self._fade(count).astype(self._brought.dtype))

    def _fade(self, count: NDArray[np.int64]) -> sp.csr_array:
        """(k, c) from names to the classes that stand for theirs."""
        named = np.array([*self.stands_for][: self._brought.shape[1]], np.int64)
        name = np.flatnonzero(named >= 0)
        return sp.csr_array((fade(count[named[name]]), (name, named[name])), (named.size, count.size))


def _weigh_by_degree(graph: Graph) -> NDArray[np.float64]:
    """(n,) one over the root of each row's degree, as a share of the usual one."""
    assert graph.root_degree is not None
    root = graph.root_degree[graph.node].astype(np.float64)
    usual = float(root.mean()) or 1.0
    return np.asarray(usual / np.maximum(root, LEAST_ROOT * usual))
