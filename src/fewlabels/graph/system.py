"""The propagation system (I - alpha W) Z = Y of one graph: prepared once, solved for as many labels as there are.

Everything that labels go through on a graph stands here once: label matrix, solver, unresolved nodes, refinement,
pseudo-labels. `propagate`, `spread`, the GPU, explanations, leave-one-out and the review all ask a PropagationSystem.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..errors import ConvergenceWarning, GraphError, InputWarning, UnreachedWarning, listed, warn
from ..notebook import count_text, html_table
from .compiled import fits_kernels
from .label_matrix import CheckedLabels, build_label_matrix, check_labels, check_weight
from .pseudo_labels import PseudoLabels, pseudo_labels
from .refinement import Refined, estimate_root_degree, refine
from .settings import GraphSettings
from .solver import Operator, PlainOperator, Solution
from .types import Graph, Progress, StageProgress, even_groups, no_progress, no_stage_progress

Float = NDArray[np.float64]
TWO_LEVELS_FROM = 32  # groups; below, plain steps are as quick
INVERSE_TOL = 1e-7  # of rows of the inverse: what is compared is small beside a row's own mass
INVERSE_COLUMNS = 32  # of them solved together: what the compiled solver takes at a time
INVERSE_STEPS = 5000
LEAST_ARRIVING = 1e-5  # of a label of weight 1; less may be the error of the solver, or the rounding of a difference
EXACT_TOL, EXACT_COLUMNS = 1e-12, 4  # in float64; each column takes eight arrays of one number for each node
NOTHING = 1e-8  # less is nothing, even so
UNRESOLVED = 0.01  # share of a node's largest entry that its residual may have; above, the solver did not resolve it


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """The result of `propagate`, with all that it came from.

    pseudo_labels: for each of the n rows. graph: of m <= n nodes.
    z: (m, c) float32 or float64, the solution with negatives clipped and unresolved nodes filled; with refinements,
        their distributions.
    solution: of the linear system as it was solved: x, and steps, residual and convergence for each class.
    refined: what was applied beyond the paper; None for nothing.
    labeled: (n,) bool, rows whose label was given; None where it is not known any more.
    class_names: of the c classes, where they were named.
    """

    pseudo_labels: PseudoLabels
    graph: Graph
    z: NDArray[np.floating]
    solution: Solution
    refined: Refined | None = None
    labeled: NDArray[np.bool_] | None = None
    class_names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        found, (nodes, classes) = self.pseudo_labels, self.z.shape
        reached = int(found.reached.sum())
        return f"Propagation({found.label.size} rows, {reached} reached, {nodes} nodes, {classes} classes)"

    def _repr_html_(self) -> str:
        labels = list_label_facts(self.pseudo_labels, self.labeled, self.class_names)
        return html_table("Propagation", [*labels, *_solver_facts(self)])


def name_classes(propagation: Propagation, class_names: Sequence[str] | None) -> Propagation:
    """The propagation with the names of its classes, where there are any."""
    return propagation if class_names is None else replace(propagation, class_names=tuple(map(str, class_names)))


def list_label_facts(
    found: PseudoLabels, labeled: NDArray[np.bool_] | None, class_names: Sequence[str] | None
) -> list[tuple[str, object]]:
    """What a notebook shows of the labels. labeled: (n,), rows whose label was given; None where that is not known."""
    counts = np.bincount(found.label[found.reached], minlength=found.distribution.shape[1]).tolist()
    names = class_names or range(len(counts))
    missed = int((~found.reached).sum())
    asked = found.reached if labeled is None else found.reached & ~labeled
    certainty = found.certainty[asked]
    shares: list[float] = np.quantile(certainty, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist() if asked.any() else []
    return [
        ("rows", f"{found.label.size:,}" + ("" if labeled is None else f", {labeled.sum():,} of them labelled")),
        ("reached", f"{found.label.size - missed:,}" + (f"; {missed:,} rows have no label" if missed else "")),
        ("classes", count_text(names, counts)),
        ("certainty at 5, 25, 50, 75, 95 %", ", ".join(f"{share:.2f}" for share in shares)),
    ]


def _solver_facts(propagation: Propagation) -> list[tuple[str, object]]:
    """What a notebook shows of the graph and the solver."""
    graph, solution = propagation.graph, propagation.solution
    size, search = f"{graph.affinity.shape[0]:,} nodes, {graph.affinity.nnz // 2:,} edges", graph.search
    unsolved = int((~solution.converged).sum())
    return [
        ("graph", f"{size}, connected in {graph.num_components:,} part{'s' * (graph.num_components != 1)}"),
        ("neighbours", search and f"{search.n_neighbors} of each node, {100 * search.recall:.1f} % of the true ones"),
        ("solver", f"{solution.num_steps.max()} steps at most, relative residual up to {solution.residual.max():.1e}"),
        ("not solved", f"{unsolved} of {solution.converged.size} classes" if unsolved else None),
    ]


class PropagationSystem:
    """(I - alpha W) Z = Y over one graph. What does not depend on the labels is prepared when it is first needed.

    graph: its rows are what labels are for. settings: alpha, tol, max_steps, mode, precision and refinement count.
    operator: I - alpha W, where something else than this process holds its rows; None: made of graph.affinity.
    """

    def __init__(
        self, graph: Graph, settings: GraphSettings | None = None, *, operator: Operator | None = None
    ) -> None:
        self.graph, self.settings = graph, settings or GraphSettings()
        if operator is not None:
            self.operator = operator

    @cached_property
    def operator(self) -> Operator:
        """Compiled in float32, with the two-level preconditioner where there are groups enough; else plain."""
        w, groups, settings = self.graph.affinity, self.graph.groups, self.settings
        if settings.dtype(w.shape[0]) == np.float32:
            w = w.astype(np.float32, copy=False)
        if not fits_kernels(w):
            return PlainOperator(w, settings.alpha)
        from .compiled.solver import CompiledOperator

        if groups is None:
            return CompiledOperator(w, settings.alpha, even_groups(w.shape[0]))
        # Released mode stops where plain steps from zero are after 20: it takes no other ones.
        two_levels = settings.mode == "paper" and groups.size > TWO_LEVELS_FROM
        return CompiledOperator(w, settings.alpha, groups, self.graph.root_degree if two_levels else None)

    @cached_property
    def exact(self) -> Operator:
        """The same in float64 whatever the precision: its solutions go as far down as float64 does."""
        return PlainOperator(self.graph.affinity.astype(np.float64, copy=False), self.settings.alpha)

    @cached_property
    def root_degree(self) -> Float:
        """(m,) square roots of the weighted degrees; estimated, up to a factor, where the graph does not hold them."""
        known = self.graph.root_degree
        return estimate_root_degree(self.graph.affinity, self.settings.alpha) if known is None else known

    def solve(
        self,
        label_matrix: sp.csc_array,
        start: NDArray[np.floating] | None = None,
        *,
        tol: float | None = None,
        max_steps: int | None = None,
        on_progress: StageProgress = no_stage_progress,
    ) -> Solution:
        """Z with (I - alpha W) Z = Y, in the precision of the settings. label_matrix: Y, (m, c) sparse.

        start: (m, c) first guess; the solver then only has the difference to go. tol, max_steps: those of the settings
        if None. on_progress: called with the share of the classes that are solved.
        """
        return self.operator.solve(
            label_matrix,
            tol=self.settings.tol if tol is None else tol,
            max_steps=self.settings.step_limit if max_steps is None else max_steps,
            start=start,
            on_progress=on_progress,
        )

    def spread(
        self,
        labels: NDArray[np.integer],
        *,
        class_names: Sequence[str] | None = None,
        weight: NDArray[np.float64] | None = None,
        start: NDArray[np.floating] | None = None,
        on_progress: Progress = no_progress,
    ) -> Propagation:
        """Labels for every row from the few that are given. Takes what fewlabels.graph.spread takes."""
        checked = check_labels(labels, self.graph.node.size, self.settings, class_names)
        if weight is not None:
            checked = replace(checked, weight=check_weight(weight, self.graph.node.size))
        return name_classes(self.spread_checked(checked, start, on_progress), class_names)

    def spread_checked(
        self,
        labels: CheckedLabels,
        start: NDArray[np.floating] | None = None,
        on_progress: Progress = no_progress,
    ) -> Propagation:
        """`spread` for labels that check_labels has seen. Warns of G1, G9 and G15 as `propagate` does."""
        expected = (self.graph.affinity.shape[0], labels.num_classes)
        if start is not None and start.shape != expected:
            what = f"start has shape {start.shape}, expected {expected}: one row per node of the graph"
            raise GraphError("G12", what)
        on_progress("solve", 0.0)
        warn_of_contradictions(labels.label, self.graph.node)

        def solve(label_matrix: sp.csc_array, start: NDArray[np.floating] | None) -> Solution:
            return self.solve(label_matrix, start, on_progress=lambda share: on_progress("solve", share))

        found, _ = self.spread_by(solve, labels, start, on_progress)
        warn_of_unreached(found.pseudo_labels, self.graph.component[self.graph.node])
        warn_of_unsolved(found.solution, self.settings)
        return found

    def spread_by(
        self,
        solve: Callable[[sp.csc_array, NDArray[np.floating] | None], Solution],
        labels: CheckedLabels,
        start: NDArray[np.floating] | None = None,
        on_progress: Progress = no_progress,
        sources: sp.csc_array | None = None,
    ) -> tuple[Propagation, NDArray[np.floating]]:
        """Label matrix -> solution -> unresolved nodes filled -> refinement -> pseudo-labels, and Z before refinement.

        solve: (label matrix, start) -> Solution, as `solve` or from what is known already; with a refinement it may be
        called several times. sources: (m, c) what solutions of `solve` come from besides the labels, if from more.
        """
        graph, settings = self.graph, self.settings
        y = build_label_matrix(labels, graph.node, graph.affinity.shape[0], settings.rules)

        def solve_and_fill(
            y: sp.csc_array, start: NDArray[np.floating] | None
        ) -> tuple[Solution, NDArray[np.floating]]:
            solution = solve(y, start)
            return solution, self.fill_unresolved(solution, y if sources is None else sp.csc_array(y + sources))

        num_rows = np.bincount(graph.node, minlength=y.shape[0])
        answer = refine(
            solve_and_fill, y, start, settings.refinement, lambda: self.root_degree, num_rows, labels.name_class
        )
        on_progress("pseudo_labels", 0.0)
        result = pseudo_labels(answer.z[graph.node], labels.label, settings.rules)
        labeled = labels.label != UNLABELED
        found = Propagation(
            pseudo_labels=result,
            graph=graph,
            z=answer.z,
            solution=answer.solution,
            refined=answer.refined,
            labeled=labeled,
        )
        return found, answer.filled

    def fill_unresolved(self, solution: Solution, label_matrix: sp.csc_array) -> NDArray[np.floating]:
        """Z, (m, c), with negatives clipped and the nodes that the solver did not resolve filled from their neighbours.

        Far from every label the exact Z is positive but smaller than the solver's error (after t steps it is exactly
        zero beyond t edges), and its rows are noise. They get, ring by ring outwards, the mix of their solved
        neighbours' distributions: one step of Z = alpha W Z each. So every node of a component with a label is reached.
        Released mode fills only rows without any mass, where the released code returns NaN.
        """
        w, component = self.graph.affinity, self.graph.component
        labelled = np.zeros(self.graph.num_components, bool)
        labelled[component[label_matrix.indices]] = True
        reachable = labelled[component]
        filled = np.maximum(solution.x, 0)
        unresolved = reachable & find_unresolved(filled, solution.row_residual, self.settings)
        filled[unresolved | ~reachable] = 0
        fill_rings(w, filled, unresolved, sp.csr_array(label_matrix).astype(filled.dtype))
        return np.asarray(filled)

    def unit_columns(self, rows: NDArray[np.int64]) -> sp.csc_array:
        """(m, r) label matrix: a label of weight 1 at each of `rows`, in a column of its own."""
        at = (self.graph.node[rows], np.arange(rows.size))
        return sp.csc_array(sp.coo_array((np.ones(rows.size), at), (self.graph.affinity.shape[0], rows.size)))

    def inverse_rows(self, rows: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[Float]:
        """Rows of (I - alpha W)^-1: for each of `rows`, what a label of weight 1 at each of `ends` brings to it.

        rows, ends: row numbers of the data. Yields (ends,) float64 for one row after the other.
        The matrix is symmetric, so row i of the inverse is the solution for a label of weight 1 at i alone. It is
        solved to the end also in released mode, which itself stops early: to 1e-7, in the precision of the settings.
        Where less than 1e-5 arrives from every other end that is connected, that may be noise, and the row is solved
        again in float64 to 1e-12. What is below 1e-8 even then is 0. So each entry is right to about 1e-7, and the
        largest one to 1 % of itself in the worst case.
        """
        nodes, tol = self.graph.node[ends], min(self.settings.tol, INVERSE_TOL)
        for first in range(0, rows.size, INVERSE_COLUMNS):
            asked = rows[first : first + INVERSE_COLUMNS]
            solution = self.solve(self.unit_columns(asked), tol=tol, max_steps=INVERSE_STEPS)
            mass = solution.x[nodes].astype(np.float64)
            others = np.where(ends[:, None] == asked, 0, mass).max(axis=0, initial=0)
            faint = np.flatnonzero((others < LEAST_ARRIVING) & self._connected(asked, ends))
            for start in range(0, faint.size, EXACT_COLUMNS):
                some = faint[start : start + EXACT_COLUMNS]
                unit = self.unit_columns(asked[some])
                mass[:, some] = self.exact.solve(unit, tol=EXACT_TOL, max_steps=INVERSE_STEPS).x[nodes]
            yield from np.where(np.abs(mass) > NOTHING, mass, 0).T

    def _connected(self, rows: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each of the rows is connected with one of the ends that is another row."""
        component = self.graph.component[self.graph.node]
        num_ends = np.bincount(component[ends], minlength=self.graph.num_components)
        return np.asarray(num_ends[component[rows]] > np.isin(rows, ends))


def find_unresolved(
    filled: NDArray[np.floating], row_residual: NDArray[np.floating], settings: GraphSettings
) -> NDArray[np.bool_]:
    """(m,) whether the solver did not resolve a node. filled: (m, c) its answer, negatives clipped."""
    largest = filled.max(axis=1)
    unresolved: NDArray[np.bool_] = largest == 0
    if settings.mode != "released":
        unresolved |= row_residual > UNRESOLVED * largest
    return unresolved


def fill_rings(
    w: sp.csr_array, filled: NDArray[np.floating], unresolved: NDArray[np.bool_], label_matrix: sp.csr_array
) -> None:
    """Fill the rows of the unresolved nodes from their neighbours, ring by ring outwards. In place.

    w: (m, m), of which only the rows of unresolved nodes are looked at.
    """
    rows, place = np.flatnonzero(unresolved), np.empty(w.shape[0], np.int32)
    while rows.size:
        mixed = _mix(w[rows], filled, place)
        own = label_matrix[rows].tocoo()  # a labelled node has what its own label brings
        mixed[own.row, own.col] += own.data
        got = rows[mixed.any(axis=1)]
        filled[rows] = mixed
        unresolved[got] = False
        rows = np.unique(w[got].indices)  # nothing else can have changed: the others' neighbours are as they were
        rows = rows[unresolved[rows]]


def _mix(w: sp.csr_array, filled: NDArray[np.floating], place: NDArray[np.int32]) -> NDArray[np.floating]:
    """w times the rows of `filled` scaled to sum 1, negatives clipped, in the type of `filled`.

    w: (rows, m). place: (m,) room to work in, so that a ring costs what it holds, not what the graph does.
    """
    near = np.unique(w.indices)
    place[near] = np.arange(near.size)
    shares = filled[near]
    mass = shares.sum(axis=1, keepdims=True)
    mass[mass == 0] = 1
    shares /= mass
    weights = w.data.astype(filled.dtype, copy=False)
    mixed = sp.csr_array((weights, place[w.indices], w.indptr), (w.shape[0], near.size)) @ shares
    return np.asarray(np.maximum(mixed, 0, out=mixed))


def warn_of_unreached(result: PseudoLabels, component: NDArray[np.int64]) -> None:
    """UnreachedWarning (G1) of rows that no label reaches. component: (n,) of each row."""
    missed = ~result.reached
    if not missed.any():
        return
    warn_of_missed(np.unique(component[missed], return_counts=True)[1], missed.size)


def warn_of_missed(sizes: NDArray[np.int64], num_rows: int) -> None:
    """UnreachedWarning (G1). sizes: rows that no label reaches, of each connected part."""
    if not sizes.size:
        return
    sizes = np.sort(sizes)[::-1]
    largest = ", ".join(str(size) for size in sizes[:5])
    warn(
        UnreachedWarning(
            f"FL-G1 no label reaches {sizes.sum()} of {num_rows} rows, in {sizes.size} parts (largest: "
            f"{largest}); they have no label ({UNLABELED} in arrays) and certainty 0: label a row in each part, or "
            "raise n_neighbors"
        )
    )


def warn_of_contradictions(label: NDArray[np.int64], node: NDArray[np.int64]) -> None:
    """InputWarning (G15) of rows that are one node and have different labels; both labels stay."""
    labelled = np.flatnonzero(label != UNLABELED)
    rows = labelled[np.argsort(node[labelled], kind="stable")]
    first, second = rows[:-1], rows[1:]
    odd = (node[first] == node[second]) & (label[first] != label[second])
    if odd.any():
        pairs = [f"{one} and {other}" for one, other in zip(first[odd], second[odd], strict=True)]
        what = f"FL-G15 equal rows with different labels, which count half each around them: {listed(pairs)}"
        warn(InputWarning(what))


def warn_of_unsolved(solution: Solution, settings: GraphSettings) -> None:
    """ConvergenceWarning (G9) of classes not solved to `tol`; not in released mode, where the cut is the rule."""
    if settings.mode == "released" or solution.converged.all():
        return
    worst = solution.residual.max()
    remedy = "raise max_steps or tol"
    if solution.num_steps.max() < settings.step_limit:
        remedy = "float32 does not go further: raise tol, or use precision='double'"
    warn(
        ConvergenceWarning(
            f"FL-G9 {(~solution.converged).sum()} of {solution.converged.size} classes stopped at "
            f"{solution.num_steps.max()} steps with a relative residual of up to {worst:.1e} (tol {settings.tol:g}): "
            + remedy
        )
    )
