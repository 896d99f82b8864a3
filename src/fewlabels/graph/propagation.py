"""Descriptors and a few labels -> labels for every row: the graph stages in a row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..errors import ConvergenceWarning, GraphError, InputWarning, UnreachedWarning, listed
from .build import Graph, Progress, connected, no_progress, searched
from .compiled import fits_kernels
from .cost import demand_countable
from .label_matrix import (
    CheckedLabels,
    checked_labels,
    checked_weight,
    sources,
    warn_of_narrow_classes,
    without_labels,
)
from .neighbors import even_groups
from .pseudo_labels import PseudoLabels, pseudo_labels
from .refinement import Refined, degree_roots, solve_refined
from .rows import comparable, densify, warn_of_rounding
from .settings import GraphSettings
from .solver import Solution, conjugate_gradients, products
from .unresolved import fill_far_nodes

STAGES = ("neighbors", "affinity", "solve", "pseudo_labels")
COARSE_FROM_GROUPS = 32  # below, plain steps are as quick


@dataclass(frozen=True)
class Propagation:
    """The result of `propagate`, with all that it came from.

    pseudo_labels: for each of the n rows. graph: of m <= n nodes.
    z: (m, c) float32 or float64, the solution with negatives clipped and far nodes filled; with refinements, their
        distributions.
    solution: of the linear system as it was solved: x, and steps, residual and convergence for each class.
    refined: what was applied beyond the paper; None for nothing.
    """

    pseudo_labels: PseudoLabels
    graph: Graph
    z: NDArray[np.floating]
    solution: Solution
    refined: Refined | None = None

    def __repr__(self) -> str:
        found, (nodes, classes) = self.pseudo_labels, self.z.shape
        reached = int(found.reached.sum())
        return f"Propagation({found.label.size} rows, {reached} reached, {nodes} nodes, {classes} classes)"


def propagate(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    on_progress: Progress = no_progress,
) -> Propagation:
    """Spread a few labels over the nearest-neighbour graph of the descriptors.

    descriptors: (n, d) real numbers, compared by cosine; a sparse matrix is made dense. labels: (n,) integers from 0
    up, -1 where unlabelled.
    class_names: one name for each class, for messages; it also says how many classes there are.
    on_progress: told each of STAGES and the share of it that is done, from 0 where it starts.

    Solves (I - alpha W) Z = Y, released code lp/db_semisuper.py:261-339; neither argument is changed.
    Raises EmbeddingError, LabelError or GraphError for input that cannot be used, each naming the rows.
    Warns (UnreachedWarning) of rows that no label reaches, (ConvergenceWarning) of classes not solved to `tol`,
    (InputWarning) of equal rows with different labels (G15), of differences that float32 does not have (E11), and of
    rows with NaN or infinity where settings.drop_bad_rows leaves them out (E1).

    >>> import numpy as np
    >>> corners = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> result = propagate(corners, np.array([0, -1, 1, -1]), GraphSettings(n_neighbors=1))
    >>> result.pseudo_labels.label
    array([0, 0, 1, 1])
    """
    settings, descriptors = settings or GraphSettings(), densify(descriptors)
    rows = comparable(descriptors, settings.metric, drop_bad_rows=settings.drop_bad_rows)
    demand_countable(len(rows.values), settings)
    checked = checked_labels(labels, len(rows.values), settings, class_names)  # before minutes of searching neighbours
    checked = without_labels(checked, rows.bad, settings, class_names)
    warn_of_narrow_classes(len(rows.values), checked.num_classes, settings)
    neighbors = searched(rows, settings, None, on_progress)
    del rows  # as large as the descriptors
    graph = connected(neighbors, settings, on_progress)
    del neighbors
    warn_of_rounding(descriptors, graph.node, settings)
    return _spread(graph, checked, settings, None, on_progress)


def spread(
    graph: Graph,
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    weight: NDArray[np.float64] | None = None,
    start: NDArray[np.floating] | None = None,
    on_progress: Progress = no_progress,
) -> Propagation:
    """Spread a few labels over a graph: the second half of `propagate`, for other labels on the same graph.

    weight: (n,) what each labelled row counts as a source, from 0 up; 1 each if None. Unlabelled rows are none.
    start: (m, c), solution.x of an earlier propagation over this graph; the solver then only has the difference to go.
    Raises LabelError as `propagate` does and for such a weight (L43), GraphError for a start of another shape (G12).
    """
    settings = settings or GraphSettings()
    checked = checked_labels(labels, graph.node.size, settings, class_names)
    if weight is not None:
        checked = replace(checked, weight=checked_weight(weight, graph.node.size))
    demand_shape(start, graph, checked)
    return _spread(graph, checked, settings, start, on_progress)


def demand_shape(start: NDArray[np.floating] | None, graph: Graph, checked: CheckedLabels) -> None:
    """Raise GraphError (G12) for a first guess that is not one row per node and one column per class."""
    expected = (graph.affinity.shape[0], checked.num_classes)
    if start is not None and start.shape != expected:
        raise GraphError("G12", f"start has shape {start.shape}, expected {expected}: one row per node of the graph")


def _spread(
    graph: Graph,
    checked: CheckedLabels,
    settings: GraphSettings,
    start: NDArray[np.floating] | None,
    on_progress: Progress,
) -> Propagation:
    on_progress("solve", 0.0)
    y = sources(checked, graph.node, graph.affinity.shape[0], settings.rules)
    warn_of_contradictions(checked.label, graph.node)

    def solved(y: sp.csc_array, start: NDArray[np.floating] | None) -> tuple[Solution, NDArray[np.floating]]:
        solution = solve(graph, y, settings, start, lambda share: on_progress("solve", share))
        return solution, fill_far_nodes(graph, solution, y, settings)

    num_rows = np.bincount(graph.node, minlength=y.shape[0])
    roots = partial(degree_roots_of, graph)
    solution, z, refined = solve_refined(solved, y, start, settings.refinement, roots, num_rows)
    on_progress("pseudo_labels", 0.0)
    result = pseudo_labels(z[graph.node], checked.label, settings.rules)
    warn_of_unreached(result, graph.component[graph.node])
    warn_of_unsolved(solution, settings)
    return Propagation(result, graph, z, solution, refined)


def degree_roots_of(graph: Graph) -> NDArray[np.float64]:
    return degree_roots(graph.affinity) if graph.layout is None else graph.layout.root_degree


Solve = Callable[..., Solution]  # (y, start=None, on_progress=...), as `solve` without graph and settings


def solve(
    graph: Graph,
    y: sp.csc_array,
    settings: GraphSettings,
    start: NDArray[np.floating] | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Solution:
    """Z with (I - alpha W) Z = Y, in the precision of W. y: (m, c) sparse. start: (m, c) first guess."""
    return prepared(graph, settings)(y, start, on_progress)


def prepared(graph: Graph, settings: GraphSettings) -> Solve:
    """`solve` for one graph and many right-hand sides: what does not depend on them is made once."""
    w = graph.affinity
    if settings.dtype(w.shape[0]) == np.float32:
        w = w.astype(np.float32, copy=False)
    limits: Any = {"tol": settings.tol, "max_steps": settings.step_limit}
    if not fits_kernels(w):

        def plain(
            y: sp.csc_array,
            start: NDArray[np.floating] | None = None,
            on_progress: Callable[[float], None] = lambda share: None,
        ) -> Solution:
            with products(w) as times_w:
                return conjugate_gradients(
                    lambda x: x - settings.alpha * times_w(x), y.toarray(), start=start, **limits
                )

        return plain
    from .compiled.solver import System, coarse_space, solve_blocks

    layout, coarse = graph.layout, None
    groups = even_groups(w.shape[0]) if layout is None else layout.groups
    # Released mode stops where plain steps from zero are after 20: it takes no other ones.
    if layout is not None and settings.mode == "paper" and groups.size > COARSE_FROM_GROUPS:
        coarse = coarse_space(w, settings.alpha, groups, layout.root_degree)
    system = System(w, settings.alpha, groups, coarse)

    def compiled(
        y: sp.csc_array,
        start: NDArray[np.floating] | None = None,
        on_progress: Callable[[float], None] = lambda share: None,
    ) -> Solution:
        return solve_blocks(system, y, start=start, on_progress=on_progress, **limits)

    return compiled


def warn_of_unreached(result: PseudoLabels, component: NDArray[np.int64]) -> None:
    missed = ~result.reached
    if not missed.any():
        return
    sizes = np.sort(np.unique(component[missed], return_counts=True)[1])[::-1]
    largest = ", ".join(str(size) for size in sizes[:5])
    warnings.warn(
        UnreachedWarning(
            f"FL-G1 no label reaches {missed.sum()} of {missed.size} rows, in {sizes.size} parts (largest: "
            f"{largest}); they have no label ({UNLABELED} in arrays) and certainty 0: label a row in each part, or "
            "raise n_neighbors"
        ),
        stacklevel=4,
    )


def warn_of_contradictions(label: NDArray[np.int64], node: NDArray[np.int64]) -> None:
    """InputWarning (G15) of rows that are one node and have different labels; both labels stay."""
    given = np.flatnonzero(label != UNLABELED)
    rows = given[np.argsort(node[given], kind="stable")]
    first, second = rows[:-1], rows[1:]
    odd = (node[first] == node[second]) & (label[first] != label[second])
    if odd.any():
        pairs = [f"{one} and {other}" for one, other in zip(first[odd], second[odd], strict=True)]
        what = f"FL-G15 equal rows with different labels, which count half each around them: {listed(pairs)}"
        warnings.warn(InputWarning(what), stacklevel=4)


def warn_of_unsolved(solution: Solution, settings: GraphSettings) -> None:
    """In released mode the cut at 20 steps is the rule, so it is no news."""
    if settings.mode == "released" or solution.converged.all():
        return
    worst = solution.residual.max()
    remedy = "raise max_steps or tol"
    if solution.num_steps.max() < settings.step_limit:
        remedy = "float32 does not go further: raise tol, or use precision='double'"
    warnings.warn(
        ConvergenceWarning(
            f"FL-G9 {(~solution.converged).sum()} of {solution.converged.size} classes stopped at "
            f"{solution.num_steps.max()} steps with a relative residual of up to {worst:.1e} (tol {settings.tol:g}): "
            + remedy
        ),
        stacklevel=4,
    )
