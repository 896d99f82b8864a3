"""Stages from partitions of rows to the nearest neighbours of each: places in the order of all partitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..graph.compiled.clusters import NO_CLUSTER, Held, nearest_clusters, search_probes
from ..graph.compiled.coded import Plan
from ..graph.compiled.recall import TRUTH_BLOCK, find_true_in, join_true
from ..graph.compiled.search import Lists, Panels, Points, merge_offers, pack, reverse_lists
from ..graph.recall import Goal, found_shares
from ..graph.threads import Range, Team
from ..graph.types import MISSING
from . import coded
from .edges import take_offers, write_offers
from .layout import Layout, fill_places, read_layout, read_places
from .store import Store


class Probing(NamedTuple):
    """The probes from `done` to `enough` of every row, k neighbours wanted. round: 0 begins the lists.

    longest: Euclidean length of the longest row of all. most_rows: that are held at a time.
    candidates: chosen by codes; 0: all by their rows.
    """

    k: int
    done: int
    enough: int
    round: int
    longest: float
    most_rows: int
    candidates: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether the lists of the round before stay; codes begin again with more probes and candidates."""
        return self.round > 0 and not self.candidates


def find_truth(store: Store, p: int, k: int) -> int:
    """The nearest to the sample's rows of the points of some blocks, those that begin in this partition."""
    layout = read_layout(store)
    goal = Goal(k, 1.0, store.get("sample"))
    queries = store.get("queries")
    begin, end = layout.range(p)
    found = [(np.empty((goal.sample.size, 0), np.int64), np.empty((goal.sample.size, 0), np.float32))]
    with Team() as team:
        for first in range(-(-begin // TRUTH_BLOCK) * TRUTH_BLOCK, end, TRUTH_BLOCK):
            rows = read_places(store, layout, "rows", first, min(first + TRUTH_BLOCK, layout.size))
            panels = pack(Points(rows, np.arange(len(rows))), team)
            found = [join_true(goal, [*found, find_true_in(queries, goal, first, panels, team)])]
    store.put(f"truth-number-{p}", found[0][0])
    store.put(f"truth-similarity-{p}", found[0][1])
    return len(found[0][0])


def join_truth(store: Store, layout: Layout, k: int) -> np.ndarray:
    """(q, k) the true neighbours of the sample, of what each partition has found."""
    goal = Goal(k, 1.0, store.get("sample"))
    parts = range(layout.num_partitions)
    return join_true(goal, [(store.get(f"truth-number-{p}"), store.get(f"truth-similarity-{p}")) for p in parts])[0]


def search(store: Store, p: int, probing: Probing) -> int:
    """The nearest rows of each row of a partition in the clusters that it probes, as many at a time as fit.

    Writes the lists, and what they offer to rows of each partition. Returns how many rows were read.
    """
    layout = read_layout(store)
    first, last = layout.range(p)
    held_rows = 0
    with Team() as team:
        probes = _find_probes(store, layout, p, probing, team)
        lists = _begin_lists(store, p, last - first, probing)
        if probing.candidates:
            for homes, held in _plan_batches(layout, p, probes, probing):
                held_rows += _search_batch(store, layout, (homes, held), (probes, lists), probing, team)
        else:
            held_rows = _search_in_waves(store, layout, p, (probes, lists), probing, team)
        write_lists(store, f"near{probing.round}", p, lists)
        for q in range(layout.num_partitions):
            offers = reverse_lists(lists, team, missing=True, base=first, targets=layout.range(q))
            write_offers(store, f"offers{probing.round}", p, q, offers)
    return held_rows


def _find_probes(store: Store, layout: Layout, p: int, probing: Probing, team: Team) -> np.ndarray:
    """(m, enough - done) the clusters that each row of the partition probes now."""
    first, last = layout.range(p)
    if probing.candidates:
        return coded.find_probes(store, p, probing.enough, team)
    centre = store.get("centre")
    probes = np.empty((last - first, min(probing.enough, len(centre)) - probing.done), np.int32)
    for at in range(0, last - first, probing.most_rows):
        rows = store.get(f"rows-{p}", at, min(at + probing.most_rows, last - first))
        found = nearest_clusters(Points(rows, np.arange(len(rows))), centre, probing.enough, team)
        probes[at : at + len(rows)] = found[:, probing.done :]
    return probes


def _begin_lists(store: Store, p: int, size: int, probing: Probing) -> Lists:
    if probing.goes_on:
        return read_lists(store, f"lists{probing.round - 1}", p)
    return np.full((size, probing.k), MISSING, np.int32), np.zeros((size, probing.k), np.float32)


def read_lists(store: Store, name: str, p: int) -> Lists:
    return store.get(f"{name}-number-{p}"), store.get(f"{name}-similarity-{p}")


def write_lists(store: Store, name: str, p: int, lists: Lists) -> None:
    store.put(f"{name}-number-{p}", lists[0])
    store.put(f"{name}-similarity-{p}", lists[1])


def _search_in_waves(
    store: Store, layout: Layout, p: int, given: tuple[np.ndarray, Lists], probing: Probing, team: Team
) -> int:
    """Search for all rows of a partition in its own clusters, then in some others at a time. How many rows were read.

    A list keeps the best by exact similarities, so waves change none, unless more than eight rows are as similar as the
    last of a list to within a rounding of float32.
    """
    probes, lists = given
    own = np.arange(*layout.clusters(p))
    wanted = np.zeros(layout.start.size - 1, bool)
    wanted[probes.ravel()] = True
    wanted[own] = False
    mine = _read_clusters(store, layout, own)
    room = max(probing.most_rows - len(mine), probing.most_rows // 4)
    read, more, is_first = len(mine), probing.goes_on, True
    for wave in _cut_waves(np.flatnonzero(wanted), np.diff(layout.start), room):
        held = np.concatenate([own, wave])
        rows = np.empty((len(mine) + int(np.diff(layout.start)[wave].sum()), mine.shape[1]), np.float32)
        rows[: len(mine)] = mine
        _read_clusters(store, layout, wave, rows[len(mine) :])
        points = Points(rows, np.arange(len(rows)))
        panels = Panels(pack(points, team).flat, points, probing.longest)
        now = np.zeros(layout.start.size - 1, bool)
        now[wave] = True
        now[own] = is_first
        some = np.where(now[probes], probes, NO_CLUSTER)
        search_probes(_hold(layout, held, panels), some, lists, team, homes=layout.clusters(p), more=more)
        read, more, is_first = read + len(rows) - len(mine), True, False
    return read


def _cut_waves(clusters: np.ndarray, sizes: np.ndarray, most_rows: int) -> list[np.ndarray]:
    """Clusters in runs of about so many rows; one empty run where there are none."""
    wave = (np.cumsum(sizes[clusters]) - sizes[clusters]) // max(1, most_rows)
    return [clusters[wave == number] for number in np.unique(wave)] or [clusters]


def _hold(layout: Layout, held: np.ndarray, panels: Panels) -> Held:
    """The panels as those of some of all clusters, whose points have their places for numbers."""
    sizes = np.diff(layout.start)
    begin = np.concatenate([[0], np.cumsum(sizes[held])])[:-1]
    at = np.full(sizes.size, NO_CLUSTER, np.int64)
    at[held] = begin
    members = np.full(layout.size, NO_CLUSTER, np.int64)
    places = np.repeat(layout.start[held] - begin, sizes[held]) + np.arange(panels.points.size)
    members[places] = np.arange(panels.points.size)
    return Held(panels, layout.start, at, members)


def _plan_batches(layout: Layout, p: int, probes: np.ndarray, probing: Probing) -> Iterator[tuple[Range, np.ndarray]]:
    """Home clusters that are searched for together, and all clusters that they need, of about so many rows.

    Each home cluster sees all that it probes at once: codes choose the best of all of it.
    """
    sizes, place = np.diff(layout.start), layout.range(p)[0]
    needed, begun = np.zeros(sizes.size, bool), layout.clusters(p)[0]
    for home in range(*layout.clusters(p)):
        own = np.zeros(sizes.size, bool)
        own[home] = True
        own[probes[layout.start[home] - place : layout.start[home + 1] - place].ravel()] = True
        if begun < home and sizes[needed | own].sum() > probing.most_rows:
            yield (begun, home), np.flatnonzero(needed)
            needed, begun = np.zeros(sizes.size, bool), home
        needed |= own
    yield (begun, layout.clusters(p)[1]), np.flatnonzero(needed)


def _search_batch(
    store: Store,
    layout: Layout,
    batch: tuple[Range, np.ndarray],
    given: tuple[np.ndarray, Lists],
    probing: Probing,
    team: Team,
) -> int:
    """Search by codes for the rows of some home clusters among those of the clusters held. How many rows these have.

    Points are numbered within the clusters that are held; in their order, so equal similarities keep theirs.
    """
    (homes, held), (probes, (index, similarity)) = batch, given
    start = np.concatenate([[0], np.cumsum(np.diff(layout.start)[held])])
    shift = layout.start[held] - start[:-1]  # from a number here to a place
    rows = _read_clusters(store, layout, held)
    begin = int(layout.start[layout.cuts[np.searchsorted(layout.cuts, homes[0], "right") - 1]])
    own = slice(int(layout.start[homes[0]]) - begin, int(layout.start[homes[1]]) - begin)
    here = int(np.searchsorted(held, homes[0]))
    found = coded.search_held(
        store,
        Points(rows, np.arange(len(rows))),
        start,
        np.searchsorted(held, probes[own]).astype(np.int32),
        (here, here + homes[1] - homes[0]),
        Plan(probes=probing.enough, candidates=probing.candidates),
        team,
    )
    there = found[0] != MISSING
    found[0][there] += shift[np.searchsorted(start, found[0][there], "right") - 1].astype(np.int32)
    index[own], similarity[own] = found
    return len(rows)


def _read_clusters(store: Store, layout: Layout, held: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
    """The rows of some clusters, ascending, read run by run, into `target` where it is given."""
    if target is None:
        width = store.get("rows-0", 0, 0).shape[1]
        target = np.empty((int(np.diff(layout.start)[held].sum()), width), np.float32)
    at = 0
    for run in np.split(held, np.flatnonzero(np.diff(held) != 1) + 1) if held.size else []:
        first, last = int(layout.start[run[0]]), int(layout.start[run[-1] + 1])
        fill_places(store, layout, "rows", first, target[at : at + last - first])
        at += last - first
    return target


def exchange(store: Store, p: int, probing: Probing) -> dict[str, object]:
    """Take what other rows have found for the rows of this partition.

    Returns the largest similarity, and of each of the sample's rows here the share of its true neighbours.
    """
    layout = read_layout(store)
    first, last = layout.range(p)
    lists = read_lists(store, f"near{probing.round}", p)
    with Team() as team:
        offers = take_offers(store, f"offers{probing.round}", layout.num_partitions, p, last - first)
        merge_offers(lists, offers, team, first)
    write_lists(store, f"lists{probing.round}", p, lists)
    sample = store.get("sample")
    here = (sample >= first) & (sample < last)
    shares = found_shares(lists[0][sample[here] - first], store.get("truth")[here])
    largest = float(lists[1].max(initial=0)), float(np.abs(lists[1]).max(initial=0))
    missing = int((lists[0][:, -1] == MISSING).sum())
    return {"largest": largest, "shares": shares.tolist(), "missing": missing}
