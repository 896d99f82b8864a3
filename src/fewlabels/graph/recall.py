"""The recall that a search is to reach, and what it reached, on a sample of rows whose true neighbours are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLE = 400  # rows whose true neighbours are found, to choose how much is looked at and to state the recall
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


def draw_sample(size: int, seed: int) -> NDArray[np.int64]:
    """Up to SAMPLE of `size` points, ascending, on which recall is measured."""
    return np.sort(np.random.default_rng([seed, size, 1]).permutation(size)[:SAMPLE])


def count_enough(rank: NDArray[np.int64], recall: float, mutual: float = 0.0) -> int:
    """The fewest, from the first on, of what `rank` numbers from which this recall is to be expected, less its error.

    rank: (q, k) the number of that, such as a candidate or a probe, with which each true neighbour is found. mutual:
    share of the missed neighbours that the search finds otherwise, where it finds as many by rank.
    """
    q, k = rank.shape
    most = int(rank.max()) + 1
    counts = np.bincount((rank + most * np.arange(q)[:, None]).ravel(), minlength=q * most).reshape(q, most)
    share = np.cumsum(counts, axis=1) / k  # of each query's neighbours, from the first one up
    mean = share.mean(axis=0)
    expected = mean + (1 - mean) * mutual * mean - share.std(axis=0) / q**0.5
    return int((expected < recall).sum()) + 1


def choose_num_probes(rank: NDArray[np.int64], recall: float, done: int) -> int:
    """The fewest probes from which this recall is to be expected, less its error; a fifth more than `done` at least.

    A neighbour is found where its cluster is probed, or where it finds the row from its own side and `symmetrize`
    offers it.
    """
    return max(count_enough(rank, recall, MUTUAL), done + max(1, done // 5))


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
