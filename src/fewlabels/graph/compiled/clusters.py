"""Clustered search (an inverted file, IVF): neighbours are looked for in a few clusters of similar rows only.

Spherical k-means on a sample; every row then belongs to the nearest centre, and probes that and the next nearest
clusters. Clusters stand in an order in which similar ones are near each other, and rows in the order of their clusters:
what is used together lies together in memory, in the search and in the solver after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..recall import Goal, Share, choose_num_probes, measure_recall
from ..settings import EXACT_UP_TO
from ..threads import PARTS, Range, Team, even_ranges, weighted_ranges
from ..types import MISSING, ClusteredNeighbors, Graph, StageProgress, no_stage_progress
from . import _kernels
from .recall import TRUTH_BLOCK, find_true
from .search import (
    SPARE,
    Lists,
    Panels,
    Points,
    pack,
    pack_rows,
    search_exactly,
    search_rows,
    split_panels,
    symmetrize,
)

FIRST_PROBES = 24  # clusters ranked for every row to begin with
CLUSTERS_PER_ROOT = 1.4  # clusters for each square root of a row; from 1 to 2 all are about as quick, by the data
ROWS_PER_CLUSTER = 40  # of the sample that centres are found on
ITERATIONS = 6
BLOCK_BYTES = 64 * 2**20
NO_CLUSTER = -1
MOST_PROBES = 24  # for one row, where the clusters of a previous graph are reused
SPREAD = 0.15  # of the rows, whose neighbours are in the most clusters
FURTHER = 4  # clusters that are added for them


def search_all_pairs(
    points: Points,
    panels: Panels,
    order: NDArray[np.int64],
    groups: NDArray[np.int64],
    k: int,
    team: Team,
    on_progress: StageProgress,
) -> ClusteredNeighbors:
    """Compare all pairs of the points, which lie in panels in the same order."""
    index, similarity = _make_lists(points.size, k)
    for first, last in even_ranges(points.size, max(1, points.size // EXACT_UP_TO)):
        own = np.arange(first, last)
        index[first:last], similarity[first:last] = search_exactly(points.at(own), panels, k, team, own)
        on_progress(last / points.size)
    return ClusteredNeighbors(order=order, groups=groups, index=index, similarity=similarity, recall=1.0)


def search_nearest_clusters(
    points: Points, clusters: Clusters, goal: Goal, team: Team, on_progress: StageProgress
) -> ClusteredNeighbors:
    """Probe the clusters that are nearest to each point until the recall is reached. points: in the clusters' order."""
    panels = pack(points, team)
    queries = points.at(goal.sample)
    truth = find_true(queries, goal, split_panels(panels, TRUTH_BLOCK), team)
    rank = rank_clusters(clusters.centre, queries, clusters.home[truth], team)
    lists = _make_lists(points.size, goal.k)
    probes, done, reached = clusters.probes, 0, Share(0, 0)
    while reached.mean - reached.error < goal.recall:
        enough = choose_num_probes(rank, goal.recall, done)
        if enough > len(clusters.centre) // 2:  # they say little about these rows: comparing all pairs costs no more
            del lists
            return search_all_pairs(points, panels, clusters.order, clusters.start, goal.k, team, on_progress)
        if enough > probes.shape[1]:
            probes = nearest_clusters(points, clusters.centre, enough, team)
        some, held = probes[:, done:enough], Held(panels, clusters.start)
        search_probes(held, some, lists, team, more=done > 0, on_progress=on_progress)
        symmetrize(lists, team)
        done, reached = enough, measure_recall(lists[0][goal.sample], truth)
    return ClusteredNeighbors(
        order=clusters.order,
        groups=clusters.start,
        index=lists[0],
        similarity=lists[1],
        recall=reached.mean,
        num_probes=done,
    )


def _make_lists(num_points: int, k: int) -> Lists:
    return np.empty((num_points, k), np.int32), np.empty((num_points, k), np.float32)


def rank_clusters(
    centre: NDArray[np.float32], queries: NDArray[np.float32], home: NDArray[np.int32], team: Team
) -> NDArray[np.int64]:
    """(q, k) how many centres are nearer to each query than that of the cluster, home, of each true neighbour."""
    ranked = search_rows(queries, pack_rows(centre, team), len(centre), team)[0]
    rank_of = np.empty(ranked.shape, np.int64)
    query = np.arange(len(ranked))[:, None]
    rank_of[query, ranked] = np.arange(ranked.shape[1])
    ranks: NDArray[np.int64] = rank_of[query, home]
    return ranks


class Held(NamedTuple):
    """Points in panels, by cluster. start: (m + 1,) int64, the first point of each cluster.

    at: (m,) int64, where each cluster begins in the panels, -1 for one that is not there, and members: (n,) int64, the
    row of each point, -1 likewise; None where the panels hold all clusters, in order.
    """

    panels: Panels
    start: NDArray[np.int64]
    at: NDArray[np.int64] | None = None
    members: NDArray[np.int64] | None = None


def search_probes(
    held: Held,
    probes: NDArray[np.int32],
    lists: Lists,
    team: Team,
    *,
    homes: Range | None = None,
    more: bool = False,
    on_progress: StageProgress = no_stage_progress,
) -> None:
    """Fill the lists with the nearest of the points held in the probed clusters.

    homes: the clusters (first, last) whose points are searched for; None: all. probes and lists have a row for each of
    these points. more: the lists hold some already, which stay among them.
    """
    panels, start = held.panels, held.start
    first_home, last_home = (0, start.size - 1) if homes is None else homes
    base = int(start[first_home])
    probes = np.ascontiguousarray(probes)
    points, (index, similarity) = panels.points, lists
    rows = np.ascontiguousarray(points.rows)

    def work(first: int, last: int) -> None:
        _kernels.search_clusters(
            panels.flat,
            start,
            held.at,
            start.size - 1,
            panels.dimensions,
            rows,
            len(rows),
            points.members if held.members is None else held.members,
            panels.slack,
            base,
            probes,
            probes.shape[1],
            index.shape[1],
            index.shape[1] + SPARE,
            more,
            first_home + first,
            first_home + last,
            index,
            similarity,
        )

    team.each(work, weighted_ranges(start[first_home : last_home + 1] - base, PARTS * team.size), on_progress)


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """n points in m clusters.

    order: (n,) int64, the point at each place. start: (m + 1,) int64, first place of each cluster.
    probes: (n, p) int32, the nearest clusters of the point at each place, its own first.
    centre: (m, d) float32, of length 1.
    """

    order: NDArray[np.int64]
    start: NDArray[np.int64]
    probes: NDArray[np.int32]
    centre: NDArray[np.float32]

    @property
    def home(self) -> NDArray[np.int32]:
        """(n,) the cluster of each place."""
        return cluster_of_places(self.start)


def cluster_of_places(start: NDArray[np.int64]) -> NDArray[np.int32]:
    """(n,) the cluster of each place. start: (m + 1,) first place of each cluster."""
    return np.repeat(np.arange(start.size - 1, dtype=np.int32), np.diff(start))


def make_centres(points: Points, seed: int, team: Team) -> NDArray[np.float32]:
    """(m, d) centres of clusters of points that are not all zeros, similar ones next to each other.

    Deterministic for a seed.
    """
    chosen, rng = draw_for_centres(points.size, seed)
    return find_centres(points.at(chosen), points.size, rng, team)


def draw_for_centres(size: int, seed: int) -> tuple[NDArray[np.int64], np.random.Generator]:
    """The points, ascending, of `size` that centres are found on, and the draws that `find_centres` goes on with."""
    rng = np.random.default_rng([seed, size])
    return np.sort(rng.choice(size, min(size, ROWS_PER_CLUSTER * count_clusters(size)), replace=False)), rng


def count_clusters(size: int) -> int:
    """Of so many points."""
    return max(1, int(CLUSTERS_PER_ROOT * size**0.5))


def find_centres(sample: NDArray[np.float32], size: int, rng: np.random.Generator, team: Team) -> NDArray[np.float32]:
    """make_centres of `size` points, from the sample of them that was drawn."""
    return chain_centres(_run_kmeans(sample, count_clusters(size), rng, team))


def make_clusters(
    points: Points, centre: NDArray[np.float32], num_probes: int, team: Team, on_progress: StageProgress
) -> Clusters:
    """Assign each point to the cluster of its nearest centre."""
    probes = nearest_clusters(points, centre, num_probes, team, on_progress)
    home = probes[:, 0]
    order = np.argsort(home, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=len(centre)))])
    return Clusters(order=order, start=start, probes=probes[order], centre=centre)


def nearest_clusters(
    points: Points,
    centre: NDArray[np.float32],
    num_probes: int,
    team: Team,
    on_progress: StageProgress = no_stage_progress,
) -> NDArray[np.int32]:
    """(n, p) int32, the clusters whose centres are nearest to each point, nearest first."""
    panels = pack_rows(centre, team)
    probes = np.empty((points.size, min(num_probes, len(centre))), np.int32)
    step = max(4096, BLOCK_BYTES // (4 * centre.shape[1]))
    for at in range(0, points.size, step):
        part = slice(at, at + step)
        probes[part] = search_rows(points.at(part), panels, probes.shape[1], team)[0]
        on_progress(min(1.0, part.stop / points.size))
    return probes


def _run_kmeans(sample: NDArray[np.float32], wanted: int, rng: np.random.Generator, team: Team) -> NDArray[np.float32]:
    """(m, d) centres of spherical k-means; m is `wanted`, or fewer where some came out empty."""
    sample = sample / np.abs(sample).max(axis=1, keepdims=True)  # squares of 1e-25 would vanish
    sample /= np.linalg.norm(sample, axis=1, keepdims=True)  # directions make the clusters, for inner products too
    centre: NDArray[np.float32] = sample[rng.choice(len(sample), wanted, replace=False)]
    for _ in range(ITERATIONS):
        nearest = search_rows(sample, pack_rows(centre, team), 1, team)[0][:, 0]
        assigned = sp.csr_array((np.ones(len(sample), np.float32), (nearest, np.arange(len(sample)))))
        centre = assigned @ sample
        length = np.linalg.norm(centre, axis=1)
        centre = np.ascontiguousarray(centre[length > 0] / length[length > 0, None], np.float32)
    return centre


def chain_centres(centre: NDArray[np.float32]) -> NDArray[np.float32]:
    """Order the centres, (m, d), so that each is followed by the nearest one not yet taken."""
    near = centre @ centre.T
    left = np.ones(len(centre), bool)
    order = np.empty(len(centre), np.int64)
    at = 0
    for place in range(len(centre)):
        order[place] = at
        left[at] = False
        at = int(np.where(left, near[at], -np.inf).argmax())
    return centre[order]


def can_reuse(previous: Graph, points: Points) -> bool:
    """Whether the graph is of as many rows, has clusters that the kernels can read, and every point had neighbours."""
    edges = previous.affinity
    readable = previous.node.size == len(points.rows) and edges.indices.dtype == edges.indptr.dtype == np.int32
    if previous.groups is None or not readable:
        return False
    return bool(np.diff(edges.indptr)[previous.node[points.members]].all())


def search_as_before(
    points: Points, previous: Graph, goal: Goal, team: Team, on_progress: StageProgress
) -> ClusteredNeighbors | None:
    """Probe the clusters of the previous graph that each point's neighbours are in; None where that is not enough."""
    order, start = reuse_clusters(previous, points)
    points = points.reorder(order)
    panels = pack(points, team)
    truth = find_true(points.at(goal.sample), goal, split_panels(panels, TRUTH_BLOCK), team)
    home = cluster_of_places(start)
    probes = reuse_probes(previous, points, home, team)
    reachable = measure_recall(probes[goal.sample], home[truth])
    if reachable.mean - reachable.error < goal.recall:
        return None
    lists = _make_lists(points.size, goal.k)
    search_probes(Held(panels, start), probes, lists, team, on_progress=on_progress)
    if (lists[0][:, -1] == MISSING).any():
        return None
    return ClusteredNeighbors(
        order=order,
        groups=start,
        index=lists[0],
        similarity=lists[1],
        recall=reachable.mean,
        num_probes=round((probes != NO_CLUSTER).sum() / points.size),
    )


def reuse_clusters(previous: Graph, points: Points) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points in the order and the clusters of the previous graph's nodes.

    Returns (n,) places in `points`, and (g + 1,) the first of each cluster.
    """
    assert previous.groups is not None  # as can_reuse has seen
    node = previous.node[points.members]
    order = np.argsort(node, kind="stable")
    return order, np.searchsorted(node[order], previous.groups)


def reuse_probes(
    previous: Graph, points: Points, home: NDArray[np.int32], team: Team, most: int = MOST_PROBES
) -> NDArray[np.int32]:
    """(n, most) int32: the cluster of each point, those of the neighbours that it had, and NO_CLUSTER.

    Points whose neighbours are in more clusters than those of most others have more of the missing ones: they get some
    clusters of their neighbours' neighbours too. points: in the order of the clusters. home: (n,) the cluster of each.
    """
    edges, num_clusters = previous.affinity, int(home[-1]) + 1
    node = previous.node[points.members].astype(np.int32)
    cluster = np.full(edges.shape[0], NO_CLUSTER, np.int32)
    cluster[node] = home
    probes = np.empty((points.size, most), np.int32)
    given = (edges.indptr, edges.indices, edges.shape[0], node, points.size, cluster, num_clusters)

    def fill(spread: int) -> None:
        def work(first: int, last: int) -> None:
            _kernels.probe_previous(*given, spread, FURTHER, first, last, most, probes)

        team.each(work, even_ranges(points.size, PARTS * team.size))

    fill(0)
    fill(max(2, int(np.quantile((probes != NO_CLUSTER).sum(axis=1), 1 - SPREAD))))
    return probes
