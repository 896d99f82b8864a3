"""Rows packed for the compiled search, and the search itself over some or all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..threads import PARTS, Team, even_ranges
from . import _kernels

PANEL = 16  # points side by side, one cache line of a feature
QUERY_BLOCK = 240  # queries searched together at least, where there are many
LEAST_QUERIES = 60  # for another thread
Found = tuple[NDArray[np.int32], NDArray[np.float32]]


@dataclass(frozen=True)
class Points:
    """Some of the rows of a table. rows: (n, d) float32. members: (m,) int64, which take part, in which order."""

    rows: NDArray[np.float32]
    members: NDArray[np.int64]

    @property
    def size(self) -> int:
        return self.members.size

    def at(self, places: NDArray[np.integer] | slice) -> NDArray[np.float32]:
        """(q, d) the rows at these places; a view where they are consecutive rows."""
        wanted = self.members[places]
        if wanted.size and (np.diff(wanted) == 1).all():
            return self.rows[wanted[0] : wanted[-1] + 1]
        return self.rows[wanted]

    def ordered(self, order: NDArray[np.int64]) -> Points:
        """The same points in another order."""
        return Points(self.rows, self.members[order])


@dataclass(frozen=True)
class Panels:
    """Points in panels of 16, [panel][feature][point], with a spare panel at the end. flat: float32."""

    flat: NDArray[np.float32]
    num_points: int
    dimensions: int


def packed(points: Points, team: Team) -> Panels:
    """The points in their order."""
    n, d = points.rows.shape
    flat = np.zeros((-(-points.size // PANEL) + 1) * PANEL * d, np.float32)
    rows = np.ascontiguousarray(points.rows)

    def work(first: int, last: int) -> None:
        _kernels.pack(rows, n, d, points.members, points.size, first, last, flat)

    team.each(work, even_ranges(points.size, team.size))
    return Panels(flat, points.size, d)


def packed_rows(rows: NDArray[np.float32], team: Team) -> Panels:
    """All rows of (n, d) in their own order."""
    return packed(Points(rows, np.arange(rows.shape[0])), team)


def search_rows(
    queries: NDArray[np.float32], panels: Panels, k: int, team: Team, own: NDArray[np.integer] | None = None
) -> Found:
    """The k nearest of the points for each of (q, d) queries: (q, k) numbers and similarities, nearest first.

    own: (q,) number of each query among the points, which is then left out.
    """
    num, d = queries.shape
    number, similarity = np.empty((num, k), np.int32), np.empty((num, k), np.float32)
    own = None if own is None else own.astype(np.int32)
    queries = np.ascontiguousarray(queries)

    def work(a: int, b: int) -> None:
        _kernels.search_rows(
            queries[a:b],
            b - a,
            d,
            panels.flat,
            panels.num_points,
            None if own is None else own[a:b],
            k,
            number[a:b],
            similarity[a:b],
        )

    parts = max(num // QUERY_BLOCK, min(team.size, num // LEAST_QUERIES))
    team.each(work, even_ranges(num, max(1, min(PARTS * team.size, parts))))
    return number, similarity
