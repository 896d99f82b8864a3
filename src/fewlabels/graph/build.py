"""Descriptors -> the graph that labels spread over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..errors import EmbeddingError
from .affinity import affinity, normalize
from .compiled import fits_kernels, instructions
from .neighbors import search_neighbors
from .rows import densify, digest_rows, distinct_rows, make_comparable, warn_of_rounding
from .settings import GraphSettings
from .types import (
    ClusteredNeighbors,
    Comparable,
    Graph,
    Neighbors,
    Progress,
    Search,
    StageProgress,
    no_progress,
)

ZEROS_ALWAYS_ACCEPTED = 10


def build_graph(
    descriptors: NDArray[np.generic] | sp.sparray | sp.spmatrix,
    settings: GraphSettings | None = None,
    *,
    previous: Graph | None = None,
    on_progress: Progress = no_progress,
) -> Graph:
    """Build the nearest-neighbour graph of descriptors, once for as many sets of labels as there are (`spread`).

    descriptors: (n, d) real numbers; a sparse matrix is made dense. settings: None for the paper's; those of neighbours
        and affinity count.
    previous: graph of the same rows in the same order from the previous epoch; its clusters are reused, each row
        searching those in which its neighbours were, as long as that finds enough of the true neighbours. (A few rows
        that became wholly different ones would be looked for in the wrong clusters.)
    on_progress: called as on_progress(stage, fraction) with the stages "neighbors" and "affinity", from 0 up.
    Raises EmbeddingError for descriptors that cannot be used, naming the rows; warns (E1, E7, E11, G14) as its stages
    do.
    """
    settings, descriptors = settings or GraphSettings(), densify(descriptors)
    rows = make_comparable(descriptors, settings.metric, drop_bad_rows=settings.drop_bad_rows)
    graph = assemble_graph(*find_neighbors(rows, settings, previous, on_progress), settings, on_progress)
    warn_of_rounding(descriptors, graph.node, settings)
    return replace(graph, rows_digest=digest_rows(rows.values), settings=settings)


def build_graph_of_rows(rows: NDArray[np.float32], settings: GraphSettings) -> Graph:
    """build_graph for rows that comparable_rows has checked and scaled already."""
    usable = Comparable(rows, np.empty(0, np.int64))
    return assemble_graph(*find_neighbors(usable, settings, None, no_progress), settings, no_progress)


def find_neighbors(
    rows: Comparable, settings: GraphSettings, previous: Graph | None, on_progress: Progress
) -> tuple[ClusteredNeighbors, NDArray[np.int64]]:
    """The first half of build_graph, after which the rows are not needed any more: nodes and their neighbours.

    Returns the neighbours of the nodes that are not all zeros, and (n,) int64, the node of each row. All-zero rows are
    nodes after all the others. Raises EmbeddingError (E4) for too many of them.
    """
    on_progress("neighbors", 0.0)
    values = rows.values
    nonzero: NDArray[np.bool_] = np.asarray(values.any(axis=1))
    refuse_many_zeros(np.setdiff1d(np.flatnonzero(~nonzero), rows.bad), len(values), settings)
    if settings.rules.merge_duplicates:
        first, group = distinct_rows(values, nonzero)
    else:
        first = group = np.arange(len(values))
    alive = nonzero[first]
    found = search_neighbors(
        values,
        first[alive],
        settings.n_neighbors,
        recall=settings.search_recall,
        seed=settings.seed,
        previous=previous,
        on_progress=lambda fraction: on_progress("neighbors", fraction),
    )
    node = _number_nodes(found.order, alive)[group]
    return replace(found, order=first[alive][found.order]), node


def _number_nodes(order: NDArray[np.int64], alive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The node of each distinct row: its place, and after all places the all-zero ones."""
    node = np.empty(alive.size, np.int64)
    node[np.flatnonzero(alive)[order]] = np.arange(order.size)
    node[~alive] = np.arange(order.size, alive.size)
    return node


def assemble_graph(
    found: ClusteredNeighbors, node: NDArray[np.int64], settings: GraphSettings, on_progress: Progress
) -> Graph:
    """The second half of build_graph: the normalised affinity of what find_neighbors found, and its components."""
    on_progress("affinity", 0.0)
    search = Search(
        n_neighbors=found.index.shape[1],
        recall=found.recall,
        num_probes=found.num_probes,
        num_clusters=found.groups.size - 1,
    )
    w, root_degree = _make_affinity(found, settings, lambda fraction: on_progress("affinity", fraction))
    graph = Graph(
        node=node, affinity=w, component=find_components(w), search=search, groups=found.groups, root_degree=root_degree
    )
    return add_lone_nodes(graph, int(node.max()) + 1 - w.shape[0])


def _make_affinity(
    found: ClusteredNeighbors, settings: GraphSettings, on_progress: StageProgress
) -> tuple[sp.csr_array, NDArray[np.float64]]:
    """W and the square root of each weighted degree."""
    clip, dtype = settings.rules.clip_negative, settings.dtype(found.order.size)
    if dtype == np.float32 and instructions() is not None:
        from .compiled.affinity import make_affinity

        return make_affinity(found, settings.gamma, clip_negative=clip, on_progress=on_progress)
    weights = affinity(Neighbors(found.index, found.similarity), settings.gamma, clip_negative=clip)
    w = normalize(weights, found.order)
    return w.astype(dtype), np.sqrt(weights.sum(axis=1))


def find_components(w: sp.csr_array) -> NDArray[np.int64]:
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


def add_lone_nodes(graph: Graph, count: int) -> Graph:
    """The graph with `count` nodes without edges after its own, in a group of their own. `node` stays as it is."""
    if count == 0:
        return graph
    w, groups, known = graph.affinity, graph.groups, graph.root_degree
    pointers, size = np.concatenate([w.indptr, np.repeat(w.indptr[-1:], count)]), w.shape[0] + count
    return replace(
        graph,
        affinity=sp.csr_array((w.data, w.indices, pointers), (size, size)),
        component=np.concatenate([graph.component, graph.num_components + np.arange(count)]),
        groups=None if groups is None else np.append(groups, size),
        root_degree=None if known is None else np.concatenate([known, np.zeros(count)]),
    )


def refuse_many_zeros(zero: NDArray[np.int64], num_rows: int, settings: GraphSettings) -> None:
    """Raise EmbeddingError (E4) where more rows are all zeros than settings.max_zero_share and 10 allow."""
    if zero.size > max(ZEROS_ALWAYS_ACCEPTED, settings.max_zero_share * num_rows):
        raise EmbeddingError(
            "E4",
            f"{zero.size} of {num_rows} descriptors are all zeros, and have no direction to compare",
            rows=zero.tolist(),
            do=f"remove them, or raise max_zero_share (now {settings.max_zero_share:g}) to leave them unreached",
        )
