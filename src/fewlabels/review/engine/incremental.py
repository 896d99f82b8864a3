"""Labels over one graph, solved again from the last solution after each change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...conventions import UNLABELED
from ...graph import Graph, GraphSettings, PseudoLabels, Solution, pseudo_labels
from ...graph.influence import unit_columns
from ...graph.label_matrix import CheckedLabels, sources
from ...graph.propagation import degree_roots_of, prepared
from ...graph.refinement import solve_refined
from ...graph.settings import Refinement
from ...graph.unresolved import fill_far_nodes

ROUGH_TOL = 1e-2  # of what only orders the queue
MOST_STEPS = 1000
WHOLE_EVERY = 64  # changes, after which all classes are solved again: it takes no step where none is needed
UNIT_COLUMNS = 32
NOISE = 1e-5  # less, after taking away a mass of about 1, may be rounding
Float = NDArray[np.floating]


@dataclass(frozen=True)
class Spread:
    """What the graph says. labels: of the n rows. z: (m, c) as in Propagation. x: (m, c) solution of the system."""

    labels: PseudoLabels
    z: Float
    x: Float


class Spreading:
    """Labels on one graph. `change` hands in all labels; only the classes that differ from the last ones are solved.

    Each is solved from its last solution to the tolerance of a fresh one, whose residual counts from the right-hand
    side as it is now: errors do not add up, however many changes there are. Released mode is solved to the end, as a
    stop after 20 steps would depend on where the solver starts.
    """

    def __init__(self, graph: Graph, settings: GraphSettings, num_classes: int) -> None:
        self.graph, self.num_classes = graph, num_classes
        self.settings = replace(settings, allow_empty_classes=True, max_steps=max(settings.step_limit, MOST_STEPS))
        self._solve = prepared(graph, self.settings)
        self._solve_roughly = prepared(graph, replace(self.settings, tol=ROUGH_TOL))
        num_nodes = graph.affinity.shape[0]
        self.label = np.full(graph.node.size, UNLABELED)
        self.x: Float = np.zeros((num_nodes, num_classes), self.settings.dtype(num_nodes))
        self._left: Float = np.zeros(num_nodes, self.x.dtype)  # largest residual of each node
        self._arriving: Float | None = None
        self._own: dict[int, float] = {}
        self._since_whole = 0

    def change(self, label: NDArray[np.int64], known: Sequence[int] = ()) -> Spread:
        """label: (n,) class numbers, -1 for none. known: rows whose `own` is found along the way, at no cost."""
        touched = self._touched(label)
        before, self.label = self.label, label.copy()
        y = sources(CheckedLabels(label, self.num_classes), self.graph.node, self.x.shape[0], self.settings.rules)
        if self.settings.refinement != Refinement() and (label != UNLABELED).any():
            return self._refined(y)
        if self.settings.rules.divide_by_class_size:
            self._rescale(before, touched)
        self._since_whole += 1
        if self._since_whole >= WHOLE_EVERY:
            touched, self._since_whole, self._left = np.arange(self.num_classes), 0, np.zeros_like(self._left)
        self._solve_columns(y, touched, [row for row in known if row not in self._own])
        whole = Solution(self.x, np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool), self._left)
        z = fill_far_nodes(self.graph, whole, y, self.settings)
        return Spread(pseudo_labels(z[self.graph.node], label, self.settings.rules), z, self.x)

    def arriving(self, target: Float) -> Float:
        """(m,) (I - alpha W)^-1 target, (m,), to two digits; from the last such answer."""
        start = None if self._arriving is None else self._arriving[:, None]
        solution = self._solve_roughly(sp.csc_array(np.asarray(target, np.float64)[:, None]), start)
        self._arriving = solution.x[:, 0]
        return np.asarray(np.maximum(self._arriving, 0))

    def from_row(self, row: int) -> Float:
        """(m,) what a label of weight 1 at this row brings to each node, and each node to it."""
        return np.asarray(np.maximum(self._solve(self._units([row])).x[:, 0], 0))

    def own(self, rows: Sequence[int]) -> Float:
        """What a label of weight 1 at each row brings to itself. The graph does not change: kept once found."""
        missing = [row for row in dict.fromkeys(rows) if row not in self._own]
        for start in range(0, len(missing), UNIT_COLUMNS):
            self._keep(
                missing[start : start + UNIT_COLUMNS], self._solve(self._units(missing[start:][:UNIT_COLUMNS])).x
            )
        return np.array([self._own[row] for row in rows], np.float64)

    def without_own(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(r, c) what the labels of all other rows bring to labelled `rows`; refinements left out."""
        own, classes = self.own(rows.tolist()), self.label[rows]
        masses = self.x[self.graph.node[rows]].astype(np.float64)
        at = (np.arange(rows.size), classes)
        if self.settings.rules.divide_by_class_size:
            count = np.bincount(self.label[self.label != UNLABELED], minlength=self.num_classes)[classes]
            masses[at] = (masses[at] * count - own) / np.maximum(count - 1, 1)
        else:
            masses[at] -= own
        return np.asarray(np.where(masses > NOISE, masses, 0))

    def _touched(self, label: NDArray[np.int64]) -> NDArray[np.int64]:
        """The classes that gain or lose a label."""
        rows = np.flatnonzero(self.label != label)
        classes = np.unique(np.concatenate([self.label[rows], label[rows]]))
        return np.asarray(classes[classes != UNLABELED])

    def _rescale(self, before: NDArray[np.int64], touched: NDArray[np.int64]) -> None:
        """Bring the last solution to the new number of labels of its class."""
        old = np.bincount(before[before != UNLABELED], minlength=self.num_classes)
        new = np.bincount(self.label[self.label != UNLABELED], minlength=self.num_classes)
        ratio = old[touched] / np.maximum(new[touched], 1)
        self.x[:, touched] *= ratio.astype(self.x.dtype)

    def _solve_columns(self, y: sp.csc_array, touched: NDArray[np.int64], known: list[int]) -> None:
        if not touched.size:
            return
        known = known[:UNIT_COLUMNS]
        start = np.concatenate([self.x[:, touched], np.zeros((self.x.shape[0], len(known)), self.x.dtype)], axis=1)
        both = sp.csc_array(sp.hstack([y[:, touched], self._units(known)])) if known else y[:, touched]
        solution = self._solve(both, start)
        self._keep(known, solution.x[:, touched.size :])
        x = self.x.copy()  # whoever has the last one keeps it as it was
        x[:, touched] = solution.x[:, : touched.size]
        self.x = x
        self._left = np.maximum(self._left, solution.row_residual)

    def _keep(self, rows: list[int], columns: Float) -> None:
        for column, row in enumerate(rows):
            self._own[row] = float(columns[self.graph.node[row], column])

    def _refined(self, y: sp.csc_array) -> Spread:
        """All classes, with what the settings have beyond the paper; slower, as they may need several solutions."""

        def solved(y: sp.csc_array, start: Float | None) -> tuple[Solution, Float]:
            solution = self._solve(y, start)
            return solution, fill_far_nodes(self.graph, solution, y, self.settings)

        num_rows = np.bincount(self.graph.node, minlength=self.x.shape[0])
        roots = partial(degree_roots_of, self.graph)
        solution, z, _ = solve_refined(solved, y, self.x, self.settings.refinement, roots, num_rows)
        self.x = solution.x
        return Spread(pseudo_labels(z[self.graph.node], self.label, self.settings.rules), z, self.x)

    def _units(self, rows: Sequence[int]) -> sp.csc_array:
        return unit_columns(self.graph, np.asarray(rows, np.int64))
