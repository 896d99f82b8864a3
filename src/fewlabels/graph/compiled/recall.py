"""The recall that a search is to reach, and what it reached, on a sample of rows whose true neighbours are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    shares = (truth[:, :, None] == index[:, None, :]).any(axis=2).mean(axis=1)
    return Share(float(shares.mean()), float(shares.std() / shares.size**0.5))
