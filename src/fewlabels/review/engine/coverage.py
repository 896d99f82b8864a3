"""Which rows to ask about before any class is known: those that stand for most of the others, and are spread out.

The rows are grouped around many centres (k-means). Of these, one after the other is taken that brings the rows nearest
to something that was asked: the sum of squared distances to the nearest taken centre falls most. (Greedy k-medoids:
facility location, Nemhauser, Wolsey and Fisher 1978; the row nearest to its centre stands for it, as the typical rows
of Hacohen, Dekel and Weinshall 2022 do.) Nothing is drawn by chance: the same rows are asked about in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE = 8192  # rows that the centres are made of
MOST_CENTRES, ROWS_PER_CENTRE = 256, 8
ROUNDS = 12  # of k-means
BLOCK = 16384
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Coverage:
    """Groups of rows. group: (n,) of each row, -1 for rows of zeros. typical: rows, group by group, the most typical
    first. start: (k + 1,) where each group begins in it. apart: (k, k) squared distances of the centres. size: (k,).
    """

    group: NDArray[np.int64]
    typical: NDArray[np.int64]
    start: NDArray[np.int64]
    apart: NDArray[np.float64]
    size: NDArray[np.int64]

    def order(self, asked: NDArray[np.int64], free: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
        """The next `count` rows to ask about, fewer where groups are used up.

        asked: rows known by now. free: (n,) bool, the rows that may come.
        """
        known = np.unique(self.group[asked])
        known = known[known >= 0]
        far = self.apart.max(initial=1.0)
        left = self.apart[known].min(axis=0) if known.size else np.full(self.size.size, far)
        taken = np.isin(np.arange(self.size.size), known)
        found: list[int] = []
        while len(found) < count and not taken.all():
            gain = np.where(taken, -1.0, (self.size * np.maximum(left - self.apart, 0)).sum(axis=1))
            best = int(gain.argmax())
            taken[best] = True
            left = np.minimum(left, self.apart[best])
            own = self.typical[self.start[best] : self.start[best + 1]]
            found += own[free[own]][:1].tolist()
        return np.array(found, np.int64)


def cover(values: Float, seed: int) -> Coverage:
    """Group the rows. values: (n, d) as graphs compare them; a row of zeros belongs nowhere."""
    usable = np.flatnonzero(values.any(axis=1))
    wanted = int(min(MOST_CENTRES, max(1, usable.size // ROWS_PER_CENTRE)))
    rng = np.random.default_rng([seed, usable.size])
    sample = values[np.sort(rng.choice(usable, min(SAMPLE, usable.size), replace=False))]
    centres = _run_kmeans(sample, wanted, rng)
    group, distance = np.full(len(values), -1), np.zeros(len(values), np.float32)
    for first in range(0, usable.size, BLOCK):
        some = usable[first : first + BLOCK]
        group[some], distance[some] = _find_nearest(values[some], centres)
    order = usable[np.lexsort((distance[usable], group[usable]))]
    size = np.bincount(group[usable], minlength=len(centres))
    wide = centres.astype(np.float64)
    own = np.einsum("kd,kd->k", wide, wide)
    apart = np.maximum(own[:, None] + own - 2 * wide @ wide.T, 0)
    return Coverage(group, order, np.concatenate([[0], np.cumsum(size)]), apart, size)


def _run_kmeans(sample: Float, wanted: int, rng: np.random.Generator) -> Float:
    """(k, d) centres of the sample: Lloyd's rounds from k-means++; a centre that loses all its rows stays."""
    centres = _start_kmeans(sample, wanted, rng)
    for _ in range(ROUNDS):
        group, _ = _find_nearest(sample, centres)
        count = np.bincount(group, minlength=len(centres))
        total = np.zeros_like(centres)
        np.add.at(total, group, sample)
        moved = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], centres).astype(np.float32)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _start_kmeans(sample: Float, wanted: int, rng: np.random.Generator) -> Float:
    """Rows of the sample, each drawn in proportion to its squared distance to those before (k-means++)."""
    own = np.einsum("nd,nd->n", sample, sample)
    place = int(rng.integers(len(sample)))
    chosen, left = [place], np.full(len(sample), np.inf)
    while len(chosen) < wanted:
        distance = own + own[place] - 2 * (sample @ sample[place])
        left = np.minimum(left, np.maximum(distance, 0))
        if left.sum() <= 0:
            break
        place = int(np.searchsorted(np.cumsum(left, dtype=np.float64), rng.random() * left.sum(dtype=np.float64)))
        place = min(place, len(sample) - 1)
        chosen.append(place)
    return sample[chosen]


def _find_nearest(rows: Float, centres: Float) -> tuple[NDArray[np.int64], Float]:
    """The nearest centre of each row, and the squared distance to it less the row's own length."""
    near = np.einsum("kd,kd->k", centres, centres) - 2 * (rows @ centres.T)
    group = near.argmin(axis=1)
    return group, near[np.arange(len(rows)), group] + np.einsum("nd,nd->n", rows, rows)
