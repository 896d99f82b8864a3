"""The recall that a search is to reach, and what it reached, on a sample of rows whose true neighbours are known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..threads import Team
from .search import Panels, search_exactly

TRUTH_BLOCK = 8192  # points that are compared with the sample at a time
MUTUAL = 0.3  # share of the missed neighbours that the other side knows of; 0.2 to 0.8 on data seen


class Goal(NamedTuple):
    """The k nearest, the recall to reach at least, and (q,) places of points on which it is measured."""

    k: int
    recall: float
    sample: NDArray[np.int64]


class Share(NamedTuple):
    """A share as measured on a sample of rows, and its standard error."""

    mean: float
    error: float


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


def draw_sample(size: int, seed: int, most: int) -> NDArray[np.int64]:
    """Up to `most` of `size` points, ascending, on which recall is measured."""
    return np.sort(np.random.default_rng([seed, size, 1]).permutation(size)[:most])


def choose_num_probes(rank: NDArray[np.int64], recall: float, done: int) -> int:
    """The fewest probes from which this recall is to be expected, less its error; a fifth more than `done` at least.

    A neighbour is found where its cluster is probed, or where it finds the row from its own side and `symmetrize`
    offers it.
    """
    q, k = rank.shape
    most = int(rank.max()) + 1
    counts = np.bincount((rank + most * np.arange(q)[:, None]).ravel(), minlength=q * most).reshape(q, most)
    share = np.cumsum(counts, axis=1) / k  # of each query's neighbours, found by probes alone, from one probe up
    mean = share.mean(axis=0)
    expected = mean + (1 - mean) * MUTUAL * mean - share.std(axis=0) / q**0.5
    enough = int((expected < recall).sum()) + 1
    return max(enough, done + max(1, done // 5))


def measure_recall(index: NDArray[np.int32], truth: NDArray[np.integer]) -> Share:
    """Share of the entries of truth, (q, k), that are in the same row of index, (q, any), and its standard error."""
    return summarize(found_shares(index, truth))


def found_shares(index: NDArray[np.int32], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """(q,) the share of each row of truth that is in the same row of index."""
    shares: NDArray[np.float64] = (truth[:, :, None] == index[:, None, :]).any(axis=2).mean(axis=1)
    return shares


def summarize(shares: NDArray[np.float64]) -> Share:
    """Their mean, and its standard error."""
    return Share(float(shares.mean()), float(shares.std() / shares.size**0.5))
