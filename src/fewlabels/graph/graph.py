"""Descriptors -> the graph that labels spread over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..errors import EmbeddingError
from .affinity import affinity, normalize
from .neighbors import nearest_neighbors
from .rows import comparable_rows
from .settings import GraphSettings

ZEROS_ALWAYS_ACCEPTED = 10


@dataclass(frozen=True)
class Graph:
    """The nearest-neighbour graph of n rows, with m <= n nodes.

    node: (n,) int64, the node of each row. Rows with equal descriptors share one (not in released mode).
    affinity: (m, m) CSR, symmetric, normalised; the paper's W.
    component: (m,) int64, number of the connected component.
    """

    node: NDArray[np.int64]
    affinity: sp.csr_array
    component: NDArray[np.int64]

    @property
    def num_components(self) -> int:
        return int(self.component.max()) + 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """(m,) number of edges of each node."""
        degree: NDArray[np.int64] = np.diff(self.affinity.indptr).astype(np.int64)
        return degree


def build_graph(
    descriptors: NDArray[np.generic],
    settings: GraphSettings | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Graph:
    """The normalised affinity of each row's nearest neighbours by cosine, from (n, d) real numbers.

    on_stage: called with "neighbors" and "affinity" as they start.
    Raises EmbeddingError for descriptors that cannot be used, naming the rows; warns (E7, G14) as its stages do.
    """
    settings = settings or GraphSettings()
    return graph_of_rows(comparable_rows(descriptors, settings.metric), settings, on_stage=on_stage)


def graph_of_rows(
    units: NDArray[np.float32], settings: GraphSettings, *, on_stage: Callable[[str], None] = lambda stage: None
) -> Graph:
    """build_graph for rows that comparable_rows has checked and scaled already."""
    _refuse_many_zeros(units, settings)
    on_stage("neighbors")
    first, node = _distinct(units) if settings.rules.merge_duplicates else _everyone(units)
    neighbors = nearest_neighbors(units[first], settings.n_neighbors)
    on_stage("affinity")
    w = normalize(affinity(neighbors, settings.gamma, clip_negative=settings.rules.clip_negative))
    component = connected_components(w, directed=False)[1].astype(np.int64)
    return Graph(node, w, component)


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
