"""Descriptors and a few labels -> labels for every row: the graph stages in a row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..errors import ConvergenceWarning, UnreachedWarning
from .graph import Graph, graph_of_rows
from .rows import comparable_rows
from .products import products
from .pseudo_labels import PseudoLabels, pseudo_labels
from .settings import GraphSettings
from .solver import Solution, conjugate_gradients
from .sources import CheckedLabels, checked_labels, sources

STAGES = ("neighbors", "affinity", "solve", "pseudo_labels")
NOISE = 0.01  # a row is solved where its own residual is below this share of its largest entry


@dataclass(frozen=True)
class Propagation:
    """The result of `propagate`, with all that it came from.

    pseudo_labels: for each of the n rows. graph: of m <= n nodes.
    z: (m, c) float64, the solution with negatives clipped and far nodes filled.
    solution: of the linear system as it was solved: x, and steps, residual and convergence for each class.
    """

    pseudo_labels: PseudoLabels
    graph: Graph
    z: NDArray[np.float64]
    solution: Solution


def propagate(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Propagation:
    """Spread a few labels over the nearest-neighbour graph of the descriptors.

    descriptors: (n, d) real numbers, compared by cosine. labels: (n,) integers from 0 up, -1 where unlabelled.
    class_names: one name for each class, for messages; it also says how many classes there are.
    on_stage: called with the name of each of STAGES as it starts.

    Solves (I - alpha W) Z = Y, released code lp/db_semisuper.py:261-339; neither argument is changed.
    Raises EmbeddingError, LabelError or GraphError for input that cannot be used, each naming the rows.
    Warns (UnreachedWarning) of rows that no label reaches, (ConvergenceWarning) of classes not solved to `tol`.

    >>> import numpy as np
    >>> corners = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> result = propagate(corners, np.array([0, -1, 1, -1]), GraphSettings(n_neighbors=1))
    >>> result.pseudo_labels.label
    array([0, 0, 1, 1])
    """
    settings = settings or GraphSettings()
    rows = comparable_rows(descriptors, settings.metric)
    checked = checked_labels(labels, rows.shape[0], settings, class_names)  # before minutes of searching neighbours
    return _spread(graph_of_rows(rows, settings, on_stage=on_stage), checked, settings, None, on_stage)


def spread(
    graph: Graph,
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    start: NDArray[np.float64] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Propagation:
    """Spread a few labels over a graph: the second half of `propagate`, for other labels on the same graph.

    start: (m, c), solution.x of an earlier propagation over this graph; the solver then only has the difference to go.
    """
    settings = settings or GraphSettings()
    checked = checked_labels(labels, graph.node.size, settings, class_names)
    return _spread(graph, checked, settings, start, on_stage)


def _spread(
    graph: Graph,
    checked: CheckedLabels,
    settings: GraphSettings,
    start: NDArray[np.float64] | None,
    on_stage: Callable[[str], None],
) -> Propagation:
    on_stage("solve")
    y = sources(checked, graph.node, graph.affinity.shape[0], settings.rules)
    with products(graph.affinity) as times_w:
        solution = conjugate_gradients(
            lambda x: x - settings.alpha * times_w(x), y, tol=settings.tol, max_steps=settings.step_limit, start=start
        )
    on_stage("pseudo_labels")
    z = _fill_far_nodes(graph, solution.x, y, settings)
    result = pseudo_labels(z[graph.node], checked.label, settings.rules)
    _warn_of_unreached(result, graph.component[graph.node])
    _warn_of_unsolved(solution, settings)
    return Propagation(result, graph, z, solution)


def _fill_far_nodes(
    graph: Graph, z: NDArray[np.float64], y: NDArray[np.float64], settings: GraphSettings
) -> NDArray[np.float64]:
    """Z with negatives clipped and the nodes that the solver could not resolve filled from their neighbours.

    Far from every label the exact Z is positive but smaller than the solver's error (after t steps it is exactly
    zero beyond t edges), and its rows are noise. They get, ring by ring outwards, the mix of their solved neighbours'
    distributions: one step of Z = alpha W Z each. So every node of a component with a label is reached.
    Released mode fills only rows without any mass, where the released code returns NaN.
    """
    w = graph.affinity
    labelled = np.zeros(graph.num_components, bool)
    labelled[graph.component[y.any(axis=1)]] = True
    reachable = labelled[graph.component]
    filled = np.maximum(z, 0)
    largest = filled.max(axis=1)
    far = reachable & (largest == 0)
    if settings.mode != "released":
        residual = np.abs(y - z + settings.alpha * (w @ z)).max(axis=1)
        far |= reachable & (residual > NOISE * largest)
    filled[far | ~reachable] = 0
    while far.any():
        rows = np.flatnonzero(far)
        mass = filled.sum(axis=1, keepdims=True)
        mixed = w[rows] @ np.divide(filled, mass, out=np.zeros_like(filled), where=mass > 0)
        mixed = np.maximum(mixed, 0) + y[rows]  # a labelled node is its own source
        got = mixed.any(axis=1)
        if not got.any():
            break
        filled[rows[got]] = mixed[got]
        far[rows[got]] = False
    return filled


def _warn_of_unreached(result: PseudoLabels, component: NDArray[np.int64]) -> None:
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


def _warn_of_unsolved(solution: Solution, settings: GraphSettings) -> None:
    """In released mode the cut at 20 steps is the rule, so it is no news."""
    if settings.mode == "released" or solution.converged.all():
        return
    worst = solution.residual.max()
    warnings.warn(
        ConvergenceWarning(
            f"FL-G9 {(~solution.converged).sum()} of {solution.converged.size} classes stopped at "
            f"{settings.step_limit} steps with a relative residual of up to {worst:.1e} (tol {settings.tol:g}): raise "
            "max_steps or tol"
        ),
        stacklevel=4,
    )
