"""Descriptors -> the graph that labels spread over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..errors import EmbeddingError
from .affinity import affinity, normalize
from .compiled import fits_kernels, instructions
from .neighbors import LastGraph, Neighbors, PlacedNeighbors, placed_neighbors
from .rows import Comparable, comparable, distinct_rows, warn_of_rounding
from .settings import GraphSettings

ZEROS_ALWAYS_ACCEPTED = 10
Progress = Callable[[str, float], None]  # the stage that is running, and the share of it that is done


def no_progress(stage: str, share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Search:
    """How the neighbours were found.

    n_neighbors: of each node, fewer than asked for where there are too few nodes. recall: share of the true neighbours
    among them; 1 where all pairs were compared, else as seen on a sample of rows. num_probes: cells looked into for
    each row on the average, 0 where all pairs were compared. num_cells: how many there are.
    """

    n_neighbors: int
    recall: float
    num_probes: int
    num_cells: int


@dataclass(frozen=True)
class Layout:
    """Nodes that are close stand in the same group of consecutive nodes: what the fast solver makes use of.

    groups: (g + 1,) int64, first node of each. root_degree: (m,) float64, square root of each node's weighted degree.
    """

    groups: NDArray[np.int64]
    root_degree: NDArray[np.float64]


@dataclass(frozen=True)
class Graph:
    """The nearest-neighbour graph of n rows, with m <= n nodes.

    node: (n,) int64, the node of each row. Rows with equal descriptors share one (not in released mode). Nodes are not
    in the order of rows: similar ones stand together.
    affinity: (m, m) CSR, symmetric, normalised; the paper's W. float32 and int32, or float64 for precision "double".
    component: (m,) int64, number of the connected component.
    search, layout: None for a graph that was not made here.
    root_degree: (m,) float64, square root of each node's weighted degree, of a graph that was handed in before it was
        normalised; that of others is in their layout.
    """

    node: NDArray[np.int64]
    affinity: sp.csr_array
    component: NDArray[np.int64]
    search: Search | None = None
    layout: Layout | None = None
    root_degree: NDArray[np.float64] | None = None

    @property
    def num_components(self) -> int:
        return int(self.component.max(initial=-1)) + 1

    @property
    def degree(self) -> NDArray[np.int64]:
        """(m,) number of edges of each node."""
        degree: NDArray[np.int64] = np.diff(self.affinity.indptr).astype(np.int64)
        return degree


def build_graph(
    descriptors: NDArray[np.generic],
    settings: GraphSettings | None = None,
    *,
    last: Graph | None = None,
    on_progress: Progress = no_progress,
) -> Graph:
    """The normalised affinity of each row's nearest neighbours, from (n, d) real numbers.

    last: the graph of descriptors much like these, as in the epochs of a training: where the rows are the
        same ones in the same order and most neighbours stay, its cells are used again, those of a row's neighbours. (A
        few rows that became wholly different ones would be looked for in the wrong cells.)
    on_progress: told "neighbors" and "affinity" and the share of each that is done, from 0 where it starts.
    Raises EmbeddingError for descriptors that cannot be used, naming the rows; warns (E1, E7, E11, G14) as its stages
    do.
    """
    settings = settings or GraphSettings()
    rows = comparable(descriptors, settings.metric, drop_bad_rows=settings.drop_bad_rows)
    graph = connected(searched(rows, settings, last, on_progress), settings, on_progress)
    warn_of_rounding(descriptors, graph.node, settings)
    return graph


def graph_of_rows(
    rows: NDArray[np.float32],
    settings: GraphSettings,
    *,
    last: Graph | None = None,
    on_progress: Progress = no_progress,
) -> Graph:
    """build_graph for rows that comparable_rows has checked and scaled already."""
    usable = Comparable(rows, np.empty(0, np.int64))
    return connected(searched(usable, settings, last, on_progress), settings, on_progress)


@dataclass(frozen=True)
class Searched:
    """Neighbours of the distinct rows that are not zero. node: (n,) of each row. num_nodes: with the all-zero ones."""

    neighbors: PlacedNeighbors
    node: NDArray[np.int64]
    num_nodes: int


def searched(usable: Comparable, settings: GraphSettings, last: Graph | None, on_progress: Progress) -> Searched:
    """The first half of build_graph, after which the rows are not needed any more."""
    on_progress("neighbors", 0.0)
    rows = usable.values
    nonzero: NDArray[np.bool_] = np.asarray(rows.any(axis=1))
    refuse_many_zeros(np.setdiff1d(np.flatnonzero(~nonzero), usable.bad), rows.shape[0], settings)
    first, group = distinct_rows(rows, nonzero) if settings.rules.merge_duplicates else _everyone(rows)
    alive = nonzero[first]
    found = placed_neighbors(
        rows,
        first[alive],
        settings.n_neighbors,
        recall=settings.search_recall,
        seed=settings.seed,
        last=LastGraph(last.node, last.layout.groups, last.affinity) if last is not None and last.layout else None,
        on_progress=lambda share: on_progress("neighbors", share),
    )
    node = _nodes(found.order, alive)[group]
    return Searched(replace(found, order=first[alive][found.order]), node, first.size)


def connected(searched: Searched, settings: GraphSettings, on_progress: Progress) -> Graph:
    """The second half of build_graph."""
    on_progress("affinity", 0.0)
    found, num_nodes = searched.neighbors, searched.num_nodes
    search = Search(found.index.shape[1], found.recall, found.num_probes, found.groups.size - 1)
    w, root_degree = _affinity(found, settings, lambda share: on_progress("affinity", share))
    layout = Layout(found.groups, root_degree)
    graph = Graph(searched.node, w, components_of(w), search, layout)
    return with_lone_nodes(graph, num_nodes - w.shape[0])


def with_lone_nodes(graph: Graph, count: int) -> Graph:
    """The graph with `count` nodes without edges after its own, in a group of their own. `node` stays as it is."""
    if count == 0:
        return graph
    w, layout, size = graph.affinity, graph.layout, graph.affinity.shape[0] + count
    pointers = np.concatenate([w.indptr, np.repeat(w.indptr[-1:], count)])
    if layout is not None:
        root_degree = np.concatenate([layout.root_degree, np.zeros(count)])
        layout = replace(layout, groups=np.append(layout.groups, size), root_degree=root_degree)
    known = graph.root_degree
    return replace(
        graph,
        affinity=sp.csr_array((w.data, w.indices, pointers), (size, size)),
        component=np.concatenate([graph.component, graph.num_components + np.arange(count)]),
        layout=layout,
        root_degree=None if known is None else np.concatenate([known, np.zeros(count)]),
    )


def _nodes(order: NDArray[np.int64], alive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The node of each distinct row: its place, and after all places the all-zero ones."""
    place = np.empty(alive.size, np.int64)
    place[np.flatnonzero(alive)[order]] = np.arange(order.size)
    place[~alive] = np.arange(order.size, alive.size)
    return place


def _affinity(
    found: PlacedNeighbors, settings: GraphSettings, on_progress: Callable[[float], None]
) -> tuple[sp.csr_array, NDArray[np.float64]]:
    """W and the square root of each weighted degree."""
    clip, dtype = settings.rules.clip_negative, settings.dtype(found.order.size)
    if dtype == np.float32 and instructions() is not None:
        from .compiled.affinity import fast_affinity

        return fast_affinity(found, settings.gamma, clip_negative=clip, on_progress=on_progress)
    weights = affinity(Neighbors(found.index, found.similarity), settings.gamma, clip_negative=clip)
    w = normalize(weights, found.order)
    return w.astype(dtype), np.sqrt(weights.sum(axis=1))


def components_of(w: sp.csr_array) -> NDArray[np.int64]:
    """(m,) int64, the number of each row's connected component."""
    if w.shape[0] == 0:
        component = np.empty(0, np.int64)
    elif fits_kernels(w):
        from .compiled._kernels import components

        least = np.empty(w.shape[0], np.int32)
        components(w.indptr, w.indices, w.shape[0], least)
        component = np.unique(least, return_inverse=True)[1].astype(np.int64)
    else:
        component = connected_components(w, directed=False)[1].astype(np.int64)
    return component


def _everyone(rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    everyone = np.arange(rows.shape[0])
    return everyone, everyone


def refuse_many_zeros(zero: NDArray[np.int64], num_rows: int, settings: GraphSettings) -> None:
    if zero.size > max(ZEROS_ALWAYS_ACCEPTED, settings.max_zero_share * num_rows):
        raise EmbeddingError(
            "E4",
            f"{zero.size} of {num_rows} descriptors are all zeros, and have no direction to compare",
            rows=zero.tolist(),
            do=f"remove them, or raise max_zero_share (now {settings.max_zero_share:g}) to leave them unreached",
        )
