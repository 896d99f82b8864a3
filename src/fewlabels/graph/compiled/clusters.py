"""Cells: groups of rows that lie close together, so that neighbours are looked for in a few of them only.

Spherical k-means on a sample; every row then belongs to the nearest centre, and probes that and the next nearest
cells. Cells stand in an order in which similar ones are near each other, and rows in the order of their cells: what is
used together lies together in memory, in the search and in the solver after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..neighbors import LastGraph
from ..threads import PARTS, Team, even_ranges
from . import _kernels
from .panels import Points, packed_rows, search_rows

CELLS_PER_ROOT = 1.4  # cells for each square root of a row; from 1 to 2 all are about as quick, by the data
ROWS_PER_CELL = 40  # of the sample that centres are found on
ITERATIONS = 6
BLOCK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Cells:
    """order: (n,) int64, the row at each place. start: (m + 1,) int64, first place of each cell.

    probes: (n, p) int32, the nearest cells of the row at each place, its own first. centre: (m, d) float32, unit rows.
    """

    order: NDArray[np.int64]
    start: NDArray[np.int64]
    probes: NDArray[np.int32]
    centre: NDArray[np.float32]

    @property
    def home(self) -> NDArray[np.int32]:
        """(n,) the cell of each place."""
        return cell_of_places(self.start)


def cell_of_places(start: NDArray[np.int64]) -> NDArray[np.int32]:
    """(n,) the cell of each place. start: (m + 1,) first place of each cell."""
    return np.repeat(np.arange(start.size - 1, dtype=np.int32), np.diff(start))


def num_cells(num_points: int) -> int:
    """How many cells so many points are sorted into."""
    return max(1, int(CELLS_PER_ROOT * num_points**0.5))


def make_centres(points: Points, seed: int, team: Team) -> NDArray[np.float32]:
    """(m, d) centres of cells for points that are not all zeros, in a chain. The same seed gives the same ones."""
    return chained(_centres(points, num_cells(points.size), seed, team))


def make_cells(
    points: Points, centre: NDArray[np.float32], num_probes: int, team: Team, on_progress: Callable[[float], None]
) -> Cells:
    """The points in the cells of these centres."""
    probes = nearest_cells(points, centre, num_probes, team, on_progress)
    home = probes[:, 0]
    order = np.argsort(home, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=len(centre)))])
    return Cells(order, start, probes[order], centre)


def nearest_cells(
    points: Points,
    centre: NDArray[np.float32],
    num_probes: int,
    team: Team,
    on_progress: Callable[[float], None] = lambda share: None,
) -> NDArray[np.int32]:
    """(n, p) int32, the cells whose centres are nearest to each point, nearest first."""
    panels = packed_rows(centre, team)
    probes = np.empty((points.size, min(num_probes, len(centre))), np.int32)
    step = max(4096, BLOCK_BYTES // (4 * centre.shape[1]))
    for at in range(0, points.size, step):
        part = slice(at, at + step)
        probes[part] = search_rows(points.at(part), panels, probes.shape[1], team)[0]
        on_progress(min(1.0, part.stop / points.size))
    return probes


def _centres(points: Points, wanted: int, seed: int, team: Team) -> NDArray[np.float32]:
    """(m, d) centres of spherical k-means on a sample; m is `wanted`, or fewer where some came out empty."""
    rng = np.random.default_rng([seed, points.size])
    chosen = np.sort(rng.choice(points.size, min(points.size, ROWS_PER_CELL * wanted), replace=False))
    sample = points.at(chosen)
    sample = sample / np.abs(sample).max(axis=1, keepdims=True)  # squares of 1e-25 would vanish
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)  # directions make the cells, for inner products too
    centre: NDArray[np.float32] = sample[rng.choice(len(sample), wanted, replace=False)]
    for _ in range(ITERATIONS):
        nearest = search_rows(sample, packed_rows(centre, team), 1, team)[0][:, 0]
        assigned = sp.csr_array((np.ones(len(sample), np.float32), (nearest, np.arange(len(sample)))))
        centre = assigned @ sample
        length = np.linalg.norm(centre, axis=1)
        centre = np.ascontiguousarray(centre[length > 0] / length[length > 0, None], np.float32)
    return centre


def chained(centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centres ordered so that each is followed by the nearest one not yet taken."""
    near = centre @ centre.T
    left = np.ones(len(centre), bool)
    order = np.empty(len(centre), np.int64)
    at = 0
    for place in range(len(centre)):
        order[place] = at
        left[at] = False
        at = int(np.where(left, near[at], -np.inf).argmax())
    return centre[order]


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
