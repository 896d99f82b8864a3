"""Search in two stages, for wide rows: codes choose candidates in the nearest clusters, exact similarities rank them.

How many clusters are probed and how many candidates ranked is chosen on a sample of rows whose true neighbours are
known, and the recall of the whole is measured on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..codes import CANDIDATES, DEVIATIONS, LARGEST, count_candidates, find_among
from ..recall import Goal, choose_num_probes, measure_recall
from ..threads import PARTS, Range, Team, weighted_ranges
from ..types import MISSING, ClusteredNeighbors, Graph, StageProgress, no_stage_progress
from . import _kernels
from .clusters import (
    ITERATIONS,
    NO_CLUSTER,
    can_reuse,
    chain_centres,
    cluster_of_places,
    count_clusters,
    draw_for_centres,
    reuse_clusters,
    reuse_probes,
)
from .codes import CodePoints, Codes, as_points, encode, fit_basis, pack_codes, search_codes
from .recall import TRUTH_BLOCK, find_true
from .search import Lists, Panels, Points, pack, symmetrize

TRIES = 3  # with more probes and candidates each time
MOST_REUSED = 50  # clusters of a previous graph that a row probes: wide rows have their neighbours in many

# What a plan costs, in the time of one product of two numbers of codes (about 6 ps on a core with VNNI)
COST_OF_COMPARISON = 100  # beside the products: of keeping the best
COST_OF_NUMBER = 40  # of a number of a candidate's row, which comes from memory, in an exact similarity


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many clusters each row probes, and how many candidates are ranked."""

    probes: int
    candidates: int

    def widen(self, num_clusters: int) -> Plan:
        """More of both."""
        return Plan(probes=min(num_clusters, self.probes + 1 + self.probes // 3), candidates=self.candidates * 4 // 3)


class Shape(NamedTuple):
    """Of points and clusters. width: of codes. dimensions: of rows."""

    num_points: int
    num_clusters: int
    width: int
    dimensions: int


@dataclass(frozen=True, kw_only=True)
class CodedClusters:
    """Points in the order of their clusters, and their codes as queries and as points. start: (m + 1,) int64."""

    points: Points
    order: NDArray[np.int64]
    start: NDArray[np.int64]
    codes: Codes
    targets: CodePoints

    @property
    def shape(self) -> Shape:
        return Shape(self.order.size, self.start.size - 1, self.targets.width, int(self.points.rows.shape[1]))

    @property
    def home(self) -> NDArray[np.int32]:
        """(n,) the cluster of each place."""
        return cluster_of_places(self.start)


def search_coded(
    points: Points, goal: Goal, seed: int, previous: Graph | None, team: Team, on_progress: StageProgress
) -> ClusteredNeighbors | None:
    """The goal's neighbours of each point, or None where codes tell too little of these rows to reach its recall.

    previous: graph of the same rows in the same order from the previous epoch; its clusters are reused if they do.
    """
    truth = find_true(points.at(goal.sample), goal, _pack_blocks(points, team), team)
    basis = fit_basis(points, seed, team)
    codes = encode(points, basis, team)

    def arrange(order: NDArray[np.int64], start: NDArray[np.int64]) -> tuple[CodedClusters, Goal, NDArray[np.int64]]:
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        own = codes.reorder(order)
        targets = as_points(own, basis, team)
        held = CodedClusters(points=points.reorder(order), order=order, start=start, codes=own, targets=targets)
        return held, goal._replace(sample=place[goal.sample]), place[truth]

    if previous is not None and can_reuse(previous, points):
        found = _search_as_before(*arrange(*reuse_clusters(previous, points)), previous, team, on_progress)
        if found is not None:
            return found
    centres = make_centres(codes.queries, seed, team)
    order, start = assign(codes.queries, centres, team)
    return _search_nearest_clusters(*arrange(order, start), centres, team, on_progress)


def _search_nearest_clusters(
    clusters: CodedClusters,
    goal: Goal,
    truth: NDArray[np.int64],
    centres: CodePoints,
    team: Team,
    on_progress: StageProgress,
) -> ClusteredNeighbors | None:
    """Probe the clusters nearest to each point, with more candidates each time, until the recall is reached."""
    rank = rank_truth(clusters.codes.queries[goal.sample], centres, clusters.home[truth], team)
    plan = choose_plan(rank, find_positions(clusters, goal, truth, team), goal, clusters.shape)
    for _ in range(TRIES if plan is not None else 0):
        assert plan is not None  # as the line before has seen
        probes = search_codes(clusters.codes.queries, centres, plan.probes, team)
        found = _search(clusters, probes, plan, goal, team, on_progress)
        reached = measure_recall(found[0][goal.sample], truth).mean
        if reached >= goal.recall and not (found[0][:, -1] == MISSING).any():
            return _describe(clusters, found, reached, plan.probes)
        plan = plan.widen(centres.num_points)
    return None


def _search_as_before(
    clusters: CodedClusters,
    goal: Goal,
    truth: NDArray[np.int64],
    previous: Graph,
    team: Team,
    on_progress: StageProgress,
) -> ClusteredNeighbors | None:
    """Probe the clusters of the previous graph that each point's neighbours are in; None where that is not enough."""
    probes = reuse_probes(previous, clusters.points, clusters.home, team, MOST_REUSED)
    probed = (clusters.home[truth][:, :, None] == probes[goal.sample][:, None, :]).any(axis=2)
    many = clusters.start.size
    rank = np.where(probed, 0, many)
    plan = choose_plan(rank, find_positions(clusters, goal, truth, team), goal, clusters.shape)
    if plan is None or plan.probes > 1:
        return None
    found = _search(clusters, probes, plan, goal, team, on_progress)
    reached = measure_recall(found[0][goal.sample], truth).mean
    if reached < goal.recall or (found[0][:, -1] == MISSING).any():
        return None
    return _describe(clusters, found, reached, round((probes != NO_CLUSTER).sum() / len(probes)))


def _describe(clusters: CodedClusters, found: Lists, recall: float, num_probes: int) -> ClusteredNeighbors:
    return ClusteredNeighbors(
        order=clusters.order,
        groups=clusters.start,
        index=found[0],
        similarity=found[1],
        recall=recall,
        num_probes=num_probes,
    )


def _pack_blocks(points: Points, team: Team) -> Iterator[tuple[int, Panels]]:
    """Block by block: all points in panels at once would take as much memory as the rows."""
    for first in range(0, points.size, TRUTH_BLOCK):
        yield first, pack(Points(points.rows, points.members[first : first + TRUTH_BLOCK]), team)


def make_centres(queries: NDArray[np.int8], seed: int, team: Team) -> CodePoints:
    """Centres of clusters of codes by spherical k-means on a sample, similar ones next to each other."""
    chosen, rng = draw_for_centres(len(queries), seed)
    return find_centres(queries[chosen], len(queries), rng, team)


def find_centres(sample: NDArray[np.int8], size: int, rng: np.random.Generator, team: Team) -> CodePoints:
    """make_centres of `size` points, from the sample of them that was drawn."""
    wanted = count_clusters(size)
    wide = sample.astype(np.float64)
    centre = wide[rng.choice(len(sample), wanted, replace=False)]
    for _ in range(ITERATIONS):
        nearest = search_codes(sample, _round_centres(centre, team), 1, team)[:, 0]
        assigned = sp.csr_array((np.ones(len(sample)), (nearest, np.arange(len(sample)))))
        centre = assigned @ wide  # whole numbers: their sums are exact
        centre = centre[centre.any(axis=1)] if centre.any() else wide[:1]
    length = np.sqrt(np.square(centre).sum(axis=1, keepdims=True))
    return _round_centres(chain_centres((centre / np.maximum(length, 1)).astype(np.float32)), team)


def _round_centres(centre: NDArray[np.floating], team: Team) -> CodePoints:
    """The directions of (m, width) centres as codes of one scale."""
    length = np.sqrt(np.square(centre).sum(axis=1, keepdims=True))
    scale = LARGEST / DEVIATIONS * centre.shape[1] ** 0.5
    codes = np.clip(np.rint(centre / np.where(length > 0, length, 1) * scale), -LARGEST, LARGEST)
    return pack_codes(codes.astype(np.int8), np.zeros(len(codes)), team)


def assign(queries: NDArray[np.int8], centres: CodePoints, team: Team) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The points in the order of their nearest centres, and (m + 1,) the first place of each cluster."""
    home = search_codes(queries, centres, 1, team)[:, 0]
    start = np.concatenate([[0], np.cumsum(np.bincount(home, minlength=centres.num_points))])
    return np.argsort(home, kind="stable"), start


def rank_truth(
    queries: NDArray[np.int8], centres: CodePoints, home: NDArray[np.int32], team: Team
) -> NDArray[np.int64]:
    """(q, k) how many clusters are nearer to each query than the cluster, home, of each of its true neighbours."""
    ranked = search_codes(queries, centres, centres.num_points, team)
    rank_of = np.empty(ranked.shape, np.int64)
    query = np.arange(len(ranked))[:, None]
    rank_of[query, ranked] = np.arange(ranked.shape[1])
    ranks: NDArray[np.int64] = rank_of[query, home]
    return ranks


def find_positions(clusters: CodedClusters, goal: Goal, truth: NDArray[np.int64], team: Team) -> NDArray[np.int64]:
    """(q, k) how many points are better than each true neighbour by their codes; n where as many as are ever ranked."""
    n = clusters.order.size
    most = count_candidates(goal.k, n)
    found = search_codes(clusters.codes.queries[goal.sample], clusters.targets, most, team, goal.sample)
    return find_among(found, truth, n)


def choose_plan(rank: NDArray[np.int64], position: NDArray[np.int64], goal: Goal, shape: Shape) -> Plan | None:
    """The cheapest plan that is expected to reach the recall; None where no number of candidates does."""
    n, num_clusters = shape.num_points, shape.num_clusters
    comparison, row = shape.width + COST_OF_COMPARISON, shape.dimensions * COST_OF_NUMBER
    plans = []
    for times in CANDIDATES:
        count = min(int(times * goal.k), n - 1)
        probes = choose_num_probes(np.where(position < count, rank, num_clusters), goal.recall, 0)
        if probes <= num_clusters:  # in more than half of them, in all: that costs little more, and finds all
            probes = probes if probes <= num_clusters // 2 else num_clusters
            plans.append((n * probes / num_clusters * comparison + count * row, probes, count))
    if not plans:
        return None
    _, probes, candidates = min(plans)
    return Plan(probes=probes, candidates=candidates)


def _search(
    clusters: CodedClusters,
    probes: NDArray[np.int32],
    plan: Plan,
    goal: Goal,
    team: Team,
    on_progress: StageProgress,
) -> Lists:
    """The nearest points in the probed clusters, and those that have each point in their own lists."""
    held = HeldCodes(clusters.points, clusters.start, clusters.codes.queries, clusters.targets)
    found = search_coded_probes(held, probes, plan, goal.k, team, on_progress=on_progress)
    symmetrize(found, team)
    return found


class HeldCodes(NamedTuple):
    """Points in the order of their clusters, and their codes, as queries and as points. start: (m + 1,) int64."""

    points: Points
    start: NDArray[np.int64]
    queries: NDArray[np.int8]
    targets: CodePoints


def search_coded_probes(
    held: HeldCodes,
    probes: NDArray[np.int32],
    plan: Plan,
    k: int,
    team: Team,
    *,
    homes: Range | None = None,
    on_progress: StageProgress = no_stage_progress,
) -> Lists:
    """The nearest of the points held in the probed clusters, for those of the clusters homes (first, last); None: all.

    probes: a row for each of these points.
    """
    points, start, queries, targets = held
    first_home, last_home = (0, start.size - 1) if homes is None else homes
    base = int(start[first_home])
    rows, probes = np.ascontiguousarray(points.rows), np.ascontiguousarray(probes)
    own = queries[base : int(start[last_home])]
    found = np.empty((len(probes), k), np.int32), np.empty((len(probes), k), np.float32)

    def work(first: int, last: int) -> None:
        _kernels.search_coded_clusters(
            targets.panels,
            targets.bias,
            own,
            targets.width,
            start,
            start.size - 1,
            rows,
            len(rows),
            rows.shape[1],
            points.members,
            base,
            probes,
            probes.shape[1],
            k,
            plan.candidates,
            False,  # nothing is in the lists yet
            first_home + first,
            first_home + last,
            found[0],
            found[1],
        )

    team.each(work, weighted_ranges(start[first_home : last_home + 1] - base, PARTS * team.size), on_progress)
    return found
