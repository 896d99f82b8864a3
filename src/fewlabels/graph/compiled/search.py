"""Flat search: the nearest of packed points for every query; and lists of neighbours seen from the other side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..threads import PARTS, Range, Team, even_ranges
from . import _kernels

PANEL = 16  # points side by side, one cache line of a feature
QUERY_BLOCK = 240  # queries searched together at least, where there are many
LEAST_QUERIES = 60  # for another thread
SPARE = 8  # candidates beyond k that are ranked exactly, since sums in float32 confuse near-ties
MANY_TIMES = 8  # so many candidates where the k-th does not stand clear of those that were not among the first
ROUNDING = 2.0**-24  # of a float32 addition
Lists = tuple[NDArray[np.int32], NDArray[np.float32]]  # (n, k) numbers and similarities, nearest first
# begin, (n + 1,); the rows that list row i, ascending, with their similarities, at begin[i] to begin[i + 1]
Reverse = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


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

    def reorder(self, order: NDArray[np.int64]) -> Points:
        """The same points in another order."""
        return Points(self.rows, self.members[order])


@dataclass(frozen=True)
class Panels:
    """Points in panels of 16, [panel][feature][point], with a spare panel at the end.

    flat: float32. points: which they are. longest: Euclidean length of the longest of them.
    """

    flat: NDArray[np.float32]
    points: Points
    longest: float

    @property
    def dimensions(self) -> int:
        return int(self.points.rows.shape[1])

    @property
    def slack(self) -> float:
        """How far a sum in float32 over the features can be from the similarity of two of the points."""
        return self.dimensions * ROUNDING * self.longest**2


def pack(points: Points, team: Team) -> Panels:
    """Copy the points into panels, in their order."""
    n, d = points.rows.shape
    flat = np.zeros((-(-points.size // PANEL) + 1) * PANEL * d, np.float32)
    rows = np.ascontiguousarray(points.rows)
    lengths: list[float] = []

    def work(first: int, last: int) -> None:
        _kernels.pack(rows, n, d, points.members, points.size, 0, first, last, flat)
        lengths.append(measure_longest(points.at(slice(first, last))))

    team.each(work, even_ranges(points.size, PARTS * team.size))
    return Panels(flat, points, max(lengths))


def split_panels(panels: Panels, size: int) -> Iterator[tuple[int, Panels]]:
    """The same points in blocks of `size`, a multiple of 16, and the number of the first of each. Nothing is copied."""
    for first in range(0, panels.points.size, size):
        part = Points(panels.points.rows, panels.points.members[first : first + size])
        stop = first + (-(-part.size // PANEL) + 1) * PANEL
        flat = panels.flat[first * panels.dimensions : stop * panels.dimensions]
        yield first, Panels(flat, part, measure_longest(part.at(slice(None))))


def measure_longest(rows: NDArray[np.float32]) -> float:
    """The largest Euclidean length of (n, d) rows, in float32 and rounded up."""
    return 1.001 * math.sqrt(np.einsum("nd,nd->n", rows, rows).max())


def pack_rows(rows: NDArray[np.float32], team: Team) -> Panels:
    """Copy all rows of (n, d) into panels, in their own order."""
    return pack(Points(rows, np.arange(rows.shape[0])), team)


def search_rows(
    queries: NDArray[np.float32], panels: Panels, k: int, team: Team, own: NDArray[np.integer] | None = None
) -> Lists:
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
            panels.points.size,
            None if own is None else own[a:b],
            k,
            number[a:b],
            similarity[a:b],
        )

    parts = max(num // QUERY_BLOCK, min(team.size, num // LEAST_QUERIES))
    team.each(work, even_ranges(num, max(1, min(PARTS * team.size, parts))))
    return number, similarity


def search_exactly(
    queries: NDArray[np.float32], panels: Panels, k: int, team: Team, own: NDArray[np.integer] | None = None
) -> Lists:
    """search_rows by exact similarities: a float64 sum, rounded once.

    Candidates come from sums in float32. Where more than MANY_TIMES as many as asked for lie within the rounding of
    such a sum, such as thousands of near-copies, which of them are candidates is up to it.
    """
    points = panels.points
    most = points.size - (own is not None)
    count = min(k + SPARE, most)
    number, least = search_rows(queries, panels, count, team, own)
    index, similarity = rank_rows(queries, points, number, k, team)
    if count < most:
        slack = panels.slack / panels.longest * measure_longest(queries)
        unsettled = np.flatnonzero(similarity[:, -1] <= least[:, -1] + slack)
        if unsettled.size:
            queries, own = queries[unsettled], None if own is None else own[unsettled]
            number = search_rows(queries, panels, min(MANY_TIMES * count, most), team, own)[0]
            index[unsettled], similarity[unsettled] = rank_rows(queries, points, number, k, team)
    return index, similarity


def rank_rows(queries: NDArray[np.float32], points: Points, candidates: NDArray[np.int32], k: int, team: Team) -> Lists:
    """The k best of each query's candidates, (q, m) numbers of points, by exact similarities."""
    num, d = queries.shape
    number, similarity = np.empty((num, k), np.int32), np.empty((num, k), np.float32)
    queries, rows = np.ascontiguousarray(queries), np.ascontiguousarray(points.rows)
    members = points.members

    def work(a: int, b: int) -> None:
        _kernels.rank_rows(
            queries[a:b],
            b - a,
            d,
            rows,
            len(rows),
            members,
            members.size,
            candidates[a:b],
            candidates.shape[1],
            k,
            number[a:b],
            similarity[a:b],
        )

    team.each(work, even_ranges(num, max(1, min(PARTS * team.size, num // LEAST_QUERIES))))
    return number, similarity


def symmetrize(lists: Lists, team: Team) -> None:
    """Symmetrise the lists: if i lists j, offer i to j; j keeps it if it is among its k best. In place.

    Similarity has no direction: what one side of a pair has computed, the other need not.
    """
    merge_offers(lists, reverse_lists(lists, team, missing=True), team)


def merge_offers(lists: Lists, offers: Reverse, team: Team, base: int = 0) -> None:
    """Keep in each list the best k of its own entries and of those offered to it. In place.

    base: the number of the row of the first list.
    """
    index, similarity = lists
    n, k = index.shape

    def work(first: int, last: int) -> None:
        _kernels.merge_lists(*offers, base, n, k, first, last, index, similarity)

    team.each(work, even_ranges(n, PARTS * team.size))


def reverse_lists(
    lists: Lists, team: Team, *, missing: bool = False, base: int = 0, targets: Range | None = None
) -> Reverse:
    """The reverse neighbours of each row: which rows list it, by a counting sort.

    base: the number of the row of the first list, where the lists are those of a part of all rows. targets: the rows
    (first, last) whose reverse neighbours are asked for; None: those of the lists.
    missing: only those that the row would take among its own k best and does not have; of a row whose list is not here,
    all.
    """
    index, similarity = lists
    n, k = index.shape
    first_target, last_target = (base, base + n) if targets is None else targets
    size = last_target - first_target
    # each thread reads all lists and writes what belongs to its rows
    ranges = [(first_target + first, first_target + last) for first, last in even_ranges(size, team.size)]
    count = np.zeros(size, np.int32)
    given = (index, similarity, missing, base, n, k, first_target)
    team.each(lambda first, last: _kernels.count_reverse(*given, first, last, count), ranges)
    begin = np.concatenate([[0], np.cumsum(count, dtype=np.int64)])
    sources, values = np.empty(begin[-1], np.int32), np.empty(begin[-1], np.float32)
    fill_at = begin[:-1].copy()

    def fill(first: int, last: int) -> None:
        _kernels.fill_reverse(*given, first, last, fill_at, begin[-1], sources, values)

    team.each(fill, ranges)
    return begin, sources, values
