"""The nearest neighbours of all rows at once, compiled: all of them, or a stated share of them by way of cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..neighbors import EXACT_UP_TO, MISSING, LastGraph, PlacedNeighbors, even_groups
from ..threads import PARTS, Team, even_ranges, weighted_ranges
from . import _kernels
from .clusters import (
    NO_CELL,
    Cells,
    cell_of_places,
    is_of,
    make_cells,
    make_centres,
    nearest_cells,
    places_of_last,
    probes_of_last,
)
from .panels import Panels, Points, packed, packed_rows, search_rows

SAMPLE = 400  # rows whose true neighbours are found, to choose the number of probes and to state the recall
FIRST_PROBES = 24  # cells ranked for every row to begin with
CELLS_SHARE = 0.2  # of the time of the search, that making cells takes: for the progress bar
MUTUAL = 0.3  # share of the missed neighbours that the other side knows of; 0.2 to 0.8 on data seen
Number = NDArray[np.int32]
Lists = tuple[Number, NDArray[np.float32]]  # (n, k) places and similarities, nearest first


def all_neighbors(
    points: Points,
    k: int,
    recall: float | Literal["exact"],
    seed: int,
    last: LastGraph | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> PlacedNeighbors:
    """The k nearest others of each point, by inner product; k is below the number of points, none of them all zeros.

    Similarities are float32 sums over the features in order; equal ones are ordered by place. The same rows, seed and
    `last` give the same answer for any number of threads.
    """
    with Team() as team:
        if points.size <= max(EXACT_UP_TO, k + 1):
            order, groups = np.arange(points.size), even_groups(points.size)
            return _all_pairs(points, packed(points, team), order, groups, k, team, on_progress)

        def of_cells(share: float) -> None:
            on_progress(CELLS_SHARE * share)

        def rest(share: float) -> None:
            on_progress(CELLS_SHARE + (1 - CELLS_SHARE) * share)

        if recall == "exact":
            cells = make_cells(points, make_centres(points, seed, team), 1, team, of_cells)
            ordered = points.ordered(cells.order)
            return _all_pairs(ordered, packed(ordered, team), cells.order, cells.start, k, team, rest)
        sample = np.random.default_rng([seed, points.size, 1]).permutation(points.size)
        wanted = Wanted(k, recall, np.sort(sample[:SAMPLE]))
        found = None
        if last is not None and is_of(last, points):
            found = _from_last(points, last, wanted, team, on_progress)
        if found is None:
            cells = make_cells(points, make_centres(points, seed, team), FIRST_PROBES, team, of_cells)
            found = _by_cells(points.ordered(cells.order), cells, wanted, team, rest)
        return found


class Wanted(NamedTuple):
    """The k nearest, the recall to reach at least, and (q,) places of points on which it is looked at."""

    k: int
    recall: float
    sample: NDArray[np.int64]


def _all_pairs(
    points: Points,
    panels: Panels,
    order: NDArray[np.int64],
    groups: NDArray[np.int64],
    k: int,
    team: Team,
    on_progress: Callable[[float], None],
) -> PlacedNeighbors:
    """All pairs of the points, which lie in panels in the same order."""
    index, similarity = np.empty((points.size, k), np.int32), np.empty((points.size, k), np.float32)
    for first, last in even_ranges(points.size, max(1, points.size // EXACT_UP_TO)):
        own = np.arange(first, last)
        index[first:last], similarity[first:last] = search_rows(points.at(own), panels, k, team, own)
        on_progress(last / points.size)
    return PlacedNeighbors(order, groups, index, similarity, 1.0)


def _from_last(
    points: Points, last: LastGraph, wanted: Wanted, team: Team, on_progress: Callable[[float], None]
) -> PlacedNeighbors | None:
    """Look into the cells of the last graph that each point's neighbours are in; None where that is not enough."""
    order, start = places_of_last(last, points)
    points = points.ordered(order)
    panels = packed(points, team)
    truth = _nearest(points, panels, wanted, team)
    home = cell_of_places(start)
    probes = probes_of_last(last, points, home, team)
    held = share_found(probes[wanted.sample], home[truth])
    if held.mean - held.error < wanted.recall:
        return None
    lists = np.empty((points.size, wanted.k), np.int32), np.empty((points.size, wanted.k), np.float32)
    _search_cells(panels, start, probes, lists, False, team, on_progress)
    if (lists[0][:, -1] == MISSING).any():
        return None
    return PlacedNeighbors(order, start, *lists, held.mean, round((probes != NO_CELL).sum() / points.size))


def _by_cells(
    points: Points, cells: Cells, wanted: Wanted, team: Team, on_progress: Callable[[float], None]
) -> PlacedNeighbors:
    """Look into the cells that are nearest to each point. points: in the order of the cells."""
    panels = packed(points, team)
    truth = _nearest(points, panels, wanted, team)
    rank = _ranks(cells, points.at(wanted.sample), truth, team)
    lists = np.empty((points.size, wanted.k), np.int32), np.empty((points.size, wanted.k), np.float32)
    probes, done, seen = cells.probes, 0, Share(0, 0)
    while seen.mean - seen.error < wanted.recall:
        enough = _probes_for(rank, wanted.recall, done)
        if enough > len(cells.centre) // 2:  # cells say little about these rows: comparing all pairs costs no more
            del lists
            return _all_pairs(points, panels, cells.order, cells.start, wanted.k, team, on_progress)
        if enough > probes.shape[1]:
            probes = nearest_cells(points, cells.centre, enough, team)
        _search_cells(panels, cells.start, probes[:, done:enough], lists, done > 0, team, on_progress)
        exchange(lists, team)
        done, seen = enough, share_found(lists[0][wanted.sample], truth)
    return PlacedNeighbors(cells.order, cells.start, *lists, seen.mean, done)


def _nearest(points: Points, panels: Panels, wanted: Wanted, team: Team) -> Number:
    """(q, k) places of the true neighbours of the sample."""
    return search_rows(points.at(wanted.sample), panels, wanted.k, team, wanted.sample)[0]


def _ranks(cells: Cells, queries: NDArray[np.float32], truth: Number, team: Team) -> NDArray[np.int64]:
    """(q, k) how many cells are nearer to each query than the cell of each of its true neighbours."""
    ranked = search_rows(queries, packed_rows(cells.centre, team), len(cells.centre), team)[0]
    rank_of = np.empty(ranked.shape, np.int64)
    query = np.arange(len(ranked))[:, None]
    rank_of[query, ranked] = np.arange(ranked.shape[1])
    ranks: NDArray[np.int64] = rank_of[query, cells.home[truth]]
    return ranks


def _probes_for(rank: NDArray[np.int64], recall: float, done: int) -> int:
    """The fewest probes from which this recall is to be expected, less its error; a fifth more than `done` at least.

    A neighbour is found where its cell is probed, or where it finds the row from its own side and tells.
    """
    q, k = rank.shape
    most = int(rank.max()) + 1
    counts = np.bincount((rank + most * np.arange(q)[:, None]).ravel(), minlength=q * most).reshape(q, most)
    share = np.cumsum(counts, axis=1) / k  # of each query's neighbours, found by probes alone, from one probe up
    mean = share.mean(axis=0)
    expected = mean + (1 - mean) * MUTUAL * mean - share.std(axis=0) / q**0.5
    enough = int((expected < recall).sum()) + 1
    return max(enough, done + max(1, done // 5))


def _search_cells(
    panels: Panels,
    start: NDArray[np.int64],
    probes: Number,
    lists: Lists,
    more: bool,
    team: Team,
    on_progress: Callable[[float], None],
) -> None:
    """Fill the lists with the nearest points in the probed cells; `more`: beside those that they hold already."""
    probes = np.ascontiguousarray(probes)
    index, similarity = lists

    def work(first: int, last: int) -> None:
        _kernels.search_cells(
            panels.flat,
            start,
            start.size - 1,
            panels.dimensions,
            probes,
            probes.shape[1],
            index.shape[1],
            more,
            first,
            last,
            index,
            similarity,
        )

    team.each(work, weighted_ranges(start, PARTS * team.size), on_progress)


def exchange(lists: Lists, team: Team) -> None:
    """Tell each row of those that have it among their nearest, and that it would take but did not find. In place.

    Similarity has no direction: what one side of a pair has computed, the other need not.
    """
    index, similarity = lists
    n, k = index.shape
    begin, sources, values = backward(lists, team, missing=True)

    def work(first: int, last: int) -> None:
        _kernels.merge_lists(begin, sources, values, n, k, first, last, index, similarity)

    team.each(work, even_ranges(n, PARTS * team.size))


def backward(
    lists: Lists, team: Team, *, missing: bool = False
) -> tuple[NDArray[np.int64], Number, NDArray[np.float32]]:
    """For each row the rows that have it in their lists, ascending: where they begin, (n + 1), who, and how similar.

    missing: only those that the row would take and does not have.
    """
    index, similarity = lists
    n, k = index.shape
    ranges = even_ranges(n, team.size)  # each thread reads all lists and writes what belongs to its rows
    count = np.zeros(n, np.int32)
    team.each(lambda first, last: _kernels.count_backward(index, similarity, missing, n, k, first, last, count), ranges)
    begin = np.concatenate([[0], np.cumsum(count, dtype=np.int64)])
    sources, values = np.empty(begin[-1], np.int32), np.empty(begin[-1], np.float32)
    place = begin[:-1].copy()

    def fill(first: int, last: int) -> None:
        _kernels.fill_backward(index, similarity, missing, n, k, first, last, place, begin[-1], sources, values)

    team.each(fill, ranges)
    return begin, sources, values


class Share(NamedTuple):
    """A share as seen on a sample of rows, and its standard error."""

    mean: float
    error: float


def share_found(index: Number, truth: Number) -> Share:
    """Share of the entries of truth, (q, k), that are in the same row of index, (q, k)."""
    shares = (truth[:, :, None] == index[:, None, :]).any(axis=2).mean(axis=1)
    return Share(float(shares.mean()), float(shares.std() / shares.size**0.5))
