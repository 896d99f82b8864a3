"""Estimates the share of pseudo-labels that are right, from the answers themselves.

Most answers are of doubtful rows, so their share of right labels says nothing of all rows. A random sample does: every
row without a given label has a place in a random order that is fixed before the first answer (SLOT: every fifth row of
the queue is the next one of it). The rows at the head of that order that have an answer are a random sample without
replacement, whatever else was answered. For each the graph is asked, as it is now, what it would say without this row's
own answer. The interval is Wilson's.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # of the normal distribution, for 95 %
SLOT = 5
FEWEST_SAMPLED = 10  # answers of the sample; with fewer nothing is said of all rows
MIXED = 1000  # places of the queue; nobody gets further before the next solution


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The share of right pseudo-labels.

    num: sampled rows answered so far. right: those whose label was right. percent, low, high: None while num is 0; low
    and high are the ends of the 95 % interval (Wilson).
    """

    num: int
    right: int
    percent: float | None
    low: float | None
    high: float | None

    @property
    def is_told(self) -> bool:
        """Whether enough sampled rows have an answer for it to be told."""
        return self.percent is not None and self.num >= FEWEST_SAMPLED

    @property
    def until(self) -> int:
        """About how many answers are missing until it can be told."""
        return 0 if self.is_told else SLOT * max(1, FEWEST_SAMPLED - self.num)

    def to_json(self) -> dict[str, Any]:
        """For run.json and results.json: the share and its interval only where they may be told."""
        return asdict(self) | ({} if self.is_told else dict.fromkeys(("percent", "low", "high")))


def estimate_share(right: NDArray[np.bool_]) -> Estimate:
    """Estimate the share of right labels. right: (num,) whether the label of each sampled row was right."""
    num, count = right.size, int(right.sum())
    if num == 0:
        return Estimate(num=0, right=0, percent=None, low=None, high=None)
    low, high = wilson_interval(count, num)
    return Estimate(num=num, right=count, percent=100 * count / num, low=100 * low, high=100 * high)


def wilson_interval(count: int, num: int) -> tuple[float, float]:
    """Wilson's 95 % interval for a share of which `count` of `num` were seen."""
    share, z2 = count / num, Z * Z
    middle = (share + z2 / (2 * num)) / (1 + z2 / num)
    half = Z / (1 + z2 / num) * math.sqrt(share * (1 - share) / num + z2 / (4 * num * num))
    return max(0.0, middle - half), min(1.0, middle + half)


def draw_order(given: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Shuffle the rows without a given label: the order in which they are sampled."""
    free = np.flatnonzero(given < 0)
    return np.random.default_rng([seed, free.size]).permutation(free)


def find_sample(order: NDArray[np.int64], answered: NDArray[np.bool_], skipped: Collection[int]) -> NDArray[np.int64]:
    """The answered rows at the head of the order, which are a random sample. skipped: rows that do not end the head."""
    open_rows = ~answered[order]
    if skipped:
        open_rows &= ~np.isin(order, np.fromiter(skipped, np.int64, len(skipped)))
    head = order[: int(open_rows.argmax()) if open_rows.any() else order.size]
    return np.asarray(head[answered[head]])


def interleave(queue: NDArray[np.int64], sample: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give every SLOT-th of the first places of the queue to the next row of `sample` that did not come before.

    sample: rows of the queue, in their random order. Each row comes once.
    """
    taken: dict[int, None] = {}  # in order
    by_worth, by_chance = iter(queue.tolist()), iter(sample.tolist())
    for slot in range(1, min(queue.size, MIXED) + 1):
        rows = by_chance if slot % SLOT == 0 else by_worth
        row = next((row for row in rows if row not in taken), None)
        if row is None:
            break
        taken[row] = None
    head = np.fromiter(taken, np.int64, len(taken))
    return np.concatenate([head, queue[~np.isin(queue, head)]])
