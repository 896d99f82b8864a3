"""What the last graph of the same rows tells a search: they move a little, and most neighbours stay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .neighbors import LastGraph
from .panels import Points
from .threads import PARTS, Team, even_ranges

MOST_PROBES = 24  # cells for one row
SPREAD = 0.15  # of the rows, whose neighbours are in the most cells
FURTHER = 4  # cells that are added for them
NO_CELL = -1


def is_of(last: LastGraph, points: Points) -> bool:
    """Whether the last graph is of as many rows, the kernels can read it, and every point had neighbours in it."""
    edges = last.edges
    readable = last.node.size == len(points.rows) and edges.indices.dtype == edges.indptr.dtype == np.int32
    return bool(readable and np.diff(edges.indptr)[last.node[points.members]].all())


def places_of_last(last: LastGraph, points: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points in the order and the cells of the last graph's nodes: (n,) places in `points`, (g + 1,) firsts."""
    node = last.node[points.members]
    order = np.argsort(node, kind="stable")
    return order, np.searchsorted(node[order], last.groups)


def probes_of_last(last: LastGraph, points: Points, home: NDArray[np.int32], team: Team) -> NDArray[np.int32]:
    """(n, p) int32: the cell of each point, those of the neighbours that it had, and NO_CELL.

    Points whose neighbours are in more cells than those of most others have more of the missing ones: they get some
    cells of their neighbours' neighbours too. points: in the order of the cells. home: (n,) the cell of each.
    """
    node, num_nodes = last.node[points.members].astype(np.int32), last.edges.shape[0]
    cell = np.full(num_nodes, NO_CELL, np.int32)
    cell[node] = home
    probes = np.empty((points.size, MOST_PROBES), np.int32)
    edges, num_cells = (last.edges.indptr, last.edges.indices, num_nodes), last.groups.size - 1

    def fill(spread: int) -> None:
        def work(first: int, end: int) -> None:
            _kernels.probe_before(
                *edges, node, points.size, cell, num_cells, spread, FURTHER, first, end, MOST_PROBES, probes
            )

        team.each(work, even_ranges(points.size, PARTS * team.size))

    fill(0)
    fill(max(2, int(np.quantile((probes != NO_CELL).sum(axis=1), 1 - SPREAD))))
    return probes
