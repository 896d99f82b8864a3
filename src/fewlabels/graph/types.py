"""The values that the stages of a propagation hand to each other, and how they report progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .settings import GraphSettings

MISSING = -1  # in a list of neighbours: no neighbour
GROUP = 512  # nodes of a group where there are no clusters
Progress = Callable[[str, float], None]  # called as on_progress(stage, fraction)
StageProgress = Callable[[float], None]  # within one stage, called as on_progress(fraction)


def no_progress(stage: str, fraction: float) -> None:
    """Tell nobody."""


def no_stage_progress(fraction: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Comparable:
    """Rows whose inner products are their similarities.

    values: (n, d) float32 as of `comparable_rows`. bad: rows with NaN or infinity, ascending; all zeros in values.
    """

    values: NDArray[np.float32]
    bad: NDArray[np.int64]


@dataclass(frozen=True)
class Neighbors:
    """The k nearest other rows of each of n rows.

    index: (n, k) int32, nearest first; -1 throughout for an all-zero row, which has no direction and no neighbours.
    similarity: (n, k) float32, the inner product; 0 where index is -1.
    recall: share of the true neighbours among them: 1 if all pairs were compared, else as measured on a sample of rows.
    """

    index: NDArray[np.int32]
    similarity: NDArray[np.float32]
    recall: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ClusteredNeighbors:
    """The k nearest others of each of n rows, in the order of the solver: rows sorted by cluster.

    A row's number in that order is its place.
    order: (n,) int64, the row at each place. groups: (g + 1,) int64, first place of each cluster, or of every 512 rows
        where all pairs were compared without clusters.
    index: (n, k) int32, the places of the nearest others of each place, nearest first. similarity: (n, k) float32.
    recall: as in Neighbors. num_probes: clusters searched for each row, on the average; 0 if all pairs were compared.
    """

    order: NDArray[np.int64]
    groups: NDArray[np.int64]
    index: NDArray[np.int32]
    similarity: NDArray[np.float32]
    recall: float
    num_probes: int = 0


@dataclass(frozen=True, kw_only=True)
class Search:
    """How the neighbours were found: an inverted file (IVF) of clusters, of which each row probes a few.

    n_neighbors: of each node, fewer than asked for where there are too few nodes. recall: share of the true neighbours
    among them; 1 where all pairs were compared, else as measured on a sample of rows. num_probes: clusters searched for
    each row on the average, 0 where all pairs were compared. num_clusters: how many there are.
    """

    n_neighbors: int
    recall: float
    num_probes: int
    num_clusters: int


def even_groups(num_nodes: int) -> NDArray[np.int64]:
    """The first of each 512 consecutive nodes, and the number of nodes: groups where there are no clusters."""
    return np.append(np.arange(0, num_nodes, GROUP), num_nodes)


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The nearest-neighbour graph of n rows, with m <= n nodes.

    node: (n,) int64, the node of each row. Rows with equal descriptors share one (not in released mode). Nodes are not
    in the order of rows: similar ones stand together.
    affinity: (m, m) CSR, symmetric, normalised; the paper's W. float32 and int32, or float64 for precision "double".
    component: (m,) int64, number of the connected component.
    search: None for a graph that was handed in.
    groups: (g + 1,) int64, first node of each group of close, consecutive nodes, which the two-level preconditioner
        uses, and m; None for a graph that was handed in.
    root_degree: (m,) float64, square root of each node's weighted degree; None where W came normalised.
    rows_digest: of the comparable rows it was built of; settings: that it was built with. None for another graph.
    """

    node: NDArray[np.int64]
    affinity: sp.csr_array
    component: NDArray[np.int64]
    search: Search | None = None
    groups: NDArray[np.int64] | None = None
    root_degree: NDArray[np.float64] | None = None
    rows_digest: str | None = None
    settings: GraphSettings | None = None

    @property
    def num_components(self) -> int:
        return int(self.component.max(initial=-1)) + 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """(m,) number of edges of each node."""
        degree: NDArray[np.int64] = np.diff(self.affinity.indptr).astype(np.int64)
        return degree
