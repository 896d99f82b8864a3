"""Descriptors and a few labels -> labels for every row: the graph stages in a row."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..conventions import UNLABELED
from ..errors import ConvergenceWarning, EmbeddingError, UnreachedWarning
from .affinity import affinity, normalize
from .neighbors import Neighbors, nearest_neighbors, unit_rows
from .pseudo_labels import PseudoLabels, pseudo_labels
from .settings import GraphSettings
from .solver import Solution, conjugate_gradients
from .sources import checked_labels, sources

STAGES = ("neighbors", "affinity", "solve", "pseudo_labels")
ZEROS_ALWAYS_ACCEPTED = 10
NOISE = 0.01  # a row is solved where its own residual is below this share of its largest entry


@dataclass(frozen=True)
class Propagation:
    """The result of `propagate`, with all that it came from.

    pseudo_labels: for each of the n rows.
    node: (n,) int64, the graph node of each row. Rows with equal descriptors share one (not in released mode).
    neighbors, affinity, z, component: of the m <= n nodes. affinity: (m, m) CSR, normalised. z: (m, c) solution.
    component: (m,) int64, number of the connected component.
    solution: steps, residual and convergence for each class.
    """

    pseudo_labels: PseudoLabels
    node: NDArray[np.int64]
    neighbors: Neighbors
    affinity: sp.csr_array
    z: NDArray[np.float64]
    component: NDArray[np.int64]
    solution: Solution

    @property
    def num_components(self) -> int:
        return int(self.component.max()) + 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """(m,) number of edges of each node."""
        degree: NDArray[np.int64] = np.diff(self.affinity.indptr).astype(np.int64)
        return degree


def propagate(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    on_stage: Callable[[str], None] | None = None,
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
    started = on_stage or (lambda stage: None)
    array = np.asarray(descriptors)
    units = unit_rows(array)
    checked = checked_labels(labels, units.shape[0], settings, class_names)
    _refuse_many_zeros(units, settings)

    started("neighbors")
    first, node = _distinct(units) if settings.rules.merge_duplicates else _everyone(units)
    neighbors = nearest_neighbors(units[first], settings.n_neighbors)
    started("affinity")
    weights = affinity(neighbors, settings.gamma, clip_negative=settings.rules.clip_negative)
    w = normalize(weights)
    started("solve")
    y = sources(checked, node, first.size, settings.rules)
    solution = conjugate_gradients(
        lambda x: x - settings.alpha * (w @ x), y, tol=settings.tol, max_steps=settings.step_limit
    )
    started("pseudo_labels")
    component = connected_components(w, directed=False)[1].astype(np.int64)
    z = _fill_far_nodes(w, solution.x, y, component, settings)
    result = pseudo_labels(z[node], checked.label, settings.rules)
    _warn_of_unreached(result, component[node])
    _warn_of_unsolved(solution, settings)
    return Propagation(result, node, neighbors, w, z, component, solution)


def _everyone(units: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    everyone = np.arange(units.shape[0])
    return everyone, everyone


def _distinct(units: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each group of equal rows, ascending, and for each row the number of its group.

    More than k copies of one row would have none but each other for neighbours, and no label could get in or out.
    All-zero rows have no direction, so they are not equal to each other: each stays alone.
    """
    zero = ~units.any(axis=1)
    keys = (units + np.float32(0)).view(np.dtype((np.void, units.shape[1] * 4)))[:, 0]  # + 0: -0.0 equals 0.0
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    representative = np.where(zero, np.arange(units.shape[0]), first[group])
    leaders, node = np.unique(representative, return_inverse=True)
    return leaders, node


def _refuse_many_zeros(units: NDArray[np.float32], settings: GraphSettings) -> None:
    zero = np.flatnonzero(~units.any(axis=1))
    if zero.size > max(ZEROS_ALWAYS_ACCEPTED, settings.max_zero_share * units.shape[0]):
        raise EmbeddingError(
            "E4",
            f"{zero.size} of {units.shape[0]} descriptors are all zeros, and have no direction to compare",
            rows=zero.tolist(),
            do=f"remove them, or raise max_zero_share (now {settings.max_zero_share:g}) to leave them unreached",
        )


def _fill_far_nodes(
    w: sp.csr_array,
    z: NDArray[np.float64],
    y: NDArray[np.float64],
    component: NDArray[np.int64],
    settings: GraphSettings,
) -> NDArray[np.float64]:
    """Z with negatives clipped and the nodes that the solver could not resolve filled from their neighbours.

    Far from every label the exact Z is positive but smaller than the solver's error (after t steps it is exactly
    zero beyond t edges), and its rows are noise. They get, ring by ring outwards, the mix of their solved neighbours'
    distributions: one step of Z = alpha W Z each. So every node of a component with a label is reached.
    Released mode fills only rows without any mass, where the released code returns NaN.
    """
    labelled = np.zeros(component.max() + 1, bool)
    labelled[component[y.any(axis=1)]] = True
    reachable = labelled[component]
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
            f"FL-G1 no label reaches {missed.sum()} of {missed.size} rows, in {sizes.size} components (largest: "
            f"{largest}); they have label {UNLABELED} and certainty 0: label a row in each, or raise n_neighbors"
        ),
        stacklevel=3,
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
        stacklevel=3,
    )
