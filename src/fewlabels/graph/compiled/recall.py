"""The true neighbours of the sample of rows on which the recall of a search is measured."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..recall import Goal
from ..threads import Team
from .search import Panels, search_exactly

TRUTH_BLOCK = 8192  # points that are compared with the sample at a time


def find_true(
    queries: NDArray[np.float32], goal: Goal, blocks: Iterable[tuple[int, Panels]], team: Team
) -> NDArray[np.int64]:
    """(q, k) the true neighbours of the sample by exact similarities, of equal ones those with smaller numbers.

    queries: (q, d) the rows of the sample. blocks: the number of the first point of each block, and the points.
    """
    best = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for first, panels in blocks:
        best = join_true(goal, [best, find_true_in(queries, goal, first, panels, team)])
    return best[0]


def find_true_in(
    queries: NDArray[np.float32], goal: Goal, first: int, panels: Panels, team: Team
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(q, up to k + 1) the nearest of one block of points, whose first has the number `first`, and similarities."""
    count = min(goal.k + 1, panels.points.size)  # one of them may be the row itself
    number, similarity = search_exactly(queries, panels, count, team)
    return number.astype(np.int64) + first, similarity


def join_true(
    goal: Goal, found: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best of what was found in several blocks, in the order of the blocks; the rows themselves left out."""
    numbers, similarities = zip(*found, strict=True)
    index, similarity = np.concatenate(numbers, axis=1), np.concatenate(similarities, axis=1)
    similarity[index == goal.sample[:, None]] = -np.inf
    best = np.argsort(-similarity, axis=1, kind="stable")[:, : goal.k]
    return np.take_along_axis(index, best, axis=1), np.take_along_axis(similarity, best, axis=1)
