"""The nearest neighbours of points by the compiled kernels: all pairs, clusters, or two stages."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..recall import Goal, draw_sample
from ..settings import CODES_FROM, EXACT_UP_TO
from ..threads import Team
from ..types import ClusteredNeighbors, Graph, StageProgress, even_groups, no_stage_progress
from .clusters import (
    FIRST_PROBES,
    can_reuse,
    make_centres,
    make_clusters,
    search_all_pairs,
    search_as_before,
    search_nearest_clusters,
)
from .coded import search_coded
from .search import Points, pack

CLUSTERS_SHARE = 0.2  # of the time of the search, that making clusters takes: for the progress bar


def search_points(
    points: Points,
    k: int,
    recall: float | Literal["exact"],
    seed: int,
    previous: Graph | None = None,
    on_progress: StageProgress = no_stage_progress,
) -> ClusteredNeighbors:
    """The k nearest others of each point, by inner product; k is below the number of points, none of them all zeros.

    recall: the share of the true neighbours to find at least, measured on a sample; "exact", and few points: all pairs
    are compared. Rows of CODES_FROM numbers and more are searched in two stages (coded.py).
    previous: graph of the same rows in the same order from the previous epoch; its clusters are reused.
    Similarities are float64 sums rounded to float32 once; equal ones are ordered by place. The same rows, seed and
    `previous` give the same answer for any number of threads.
    """
    with Team() as team:
        if points.size <= max(EXACT_UP_TO, k + 1):
            order, groups = np.arange(points.size), even_groups(points.size)
            return search_all_pairs(points, pack(points, team), order, groups, k, team, on_progress)

        def on_clusters(fraction: float) -> None:
            on_progress(CLUSTERS_SHARE * fraction)

        def on_rest(fraction: float) -> None:
            on_progress(CLUSTERS_SHARE + (1 - CLUSTERS_SHARE) * fraction)

        if recall == "exact":
            clusters = make_clusters(points, make_centres(points, seed, team), 1, team, on_clusters)
            points = points.reorder(clusters.order)
            return search_all_pairs(points, pack(points, team), clusters.order, clusters.start, k, team, on_rest)
        goal = Goal(k, recall, draw_sample(points.size, seed))
        if points.rows.shape[1] >= CODES_FROM:
            coded = search_coded(points, goal, seed, previous, team, on_progress)
            if coded is not None:
                return coded
        found = None
        if previous is not None and can_reuse(previous, points):
            found = search_as_before(points, previous, goal, team, on_progress)
        if found is None:
            clusters = make_clusters(points, make_centres(points, seed, team), FIRST_PROBES, team, on_clusters)
            found = search_nearest_clusters(points.reorder(clusters.order), clusters, goal, team, on_rest)
        return found
