"""Lists of neighbours -> the normalised affinity matrix in float32, by counting sorts on all cores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..affinity import inverse_roots, warn_of_lost_rows
from ..threads import PARTS, Team, even_ranges, weighted_ranges
from ..types import ClusteredNeighbors, StageProgress, no_stage_progress
from . import _kernels
from .search import Lists, Reverse, reverse_lists

LARGEST_NUMBER = 2**31 - 1  # of entries: SciPy and the kernels count them in 32 bits


def make_affinity(
    found: ClusteredNeighbors,
    gamma: float,
    *,
    clip_negative: bool,
    on_progress: StageProgress = no_stage_progress,
) -> tuple[sp.csr_array, NDArray[np.float64]]:
    """The normalised affinity over the places of `found`, and the square root of each degree.

    D^-1/2 (A + A^T) D^-1/2: what `affinity` and `normalize` give, rounded to float32.

    Powers, sums and degrees are float64, and only the normalised entries are rounded. Memory beside the result: as much
    as the lists of neighbours. Raises GraphError (G4) and warns (G14) as those two do.
    """
    lists = found.index, found.similarity
    power = Power(gamma, measure_largest(found.similarity, clip_negative), clip_negative)
    with Team() as team:
        rows = Rows(lists, reverse_lists(lists, team), power)
        entries, degree = measure_rows(rows, team, lambda fraction: on_progress(0.5 * fraction))
        scale = inverse_roots(degree, found.order)
        warn_of_lost_rows(count_lost_rows(rows, entries), gamma)
        w = write_rows(rows, entries, scale, team, on_progress=lambda fraction: on_progress(0.5 + 0.5 * fraction))
    return w, np.sqrt(degree)


Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Given = tuple[Ints, Floats, NDArray[np.int64], Ints, Floats, int, int, float, float, int]


class Power(NamedTuple):
    """How a similarity becomes a weight: (similarity / largest) ^ gamma, negative ones as 0 if clip."""

    gamma: float
    largest: float
    clip: bool


class Rows(NamedTuple):
    """Rows of the affinity matrix to be: their lists, and who lists them."""

    lists: Lists
    reverse: Reverse
    power: Power

    @property
    def given(self) -> Given:
        """As the kernels take them."""
        gamma, largest, clip = self.power
        n, k = self.lists[0].shape
        return (*self.lists, *self.reverse, n, k, float(gamma), largest or 1.0, int(clip))


def measure_largest(similarity: NDArray[np.float32], clip_negative: bool) -> float:
    """The largest similarity that becomes a weight; 0 where there is none."""
    return float(similarity.max(initial=0)) if clip_negative else float(np.abs(similarity).max(initial=0))


def measure_rows(
    rows: Rows, team: Team, on_progress: StageProgress = no_stage_progress
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) entries, and the sum of them, of each row of A + A^T."""
    n = len(rows.lists[0])
    entries, degree, given = np.empty(n, np.int64), np.empty(n), rows.given
    team.each(
        lambda first, last: _kernels.measure_rows(*given, first, last, entries, degree),
        even_ranges(n, PARTS * team.size),
        on_progress,
    )
    return entries, degree


def write_rows(
    rows: Rows,
    entries: NDArray[np.int64],
    scale: NDArray[np.float64],
    team: Team,
    *,
    base: int = 0,
    on_progress: StageProgress = no_stage_progress,
) -> sp.csr_array:
    """The rows, numbered from `base` on, of D^-1/2 (A + A^T) D^-1/2: (n, k) float32.

    entries: of each, as measured. scale: (k,) one by the roots of the degrees of all rows that are columns here.
    """
    pointers, given = _cumulate(entries), rows.given
    columns, weights = np.empty(pointers[-1], np.int32), np.empty(pointers[-1], np.float32)
    team.each(
        lambda first, last: _kernels.write_rows(*given, base, first, last, scale, pointers, columns, weights),
        weighted_ranges(pointers, PARTS * team.size),
        on_progress,
    )
    return sp.csr_array((weights, columns, pointers), shape=(entries.size, scale.size))


def _cumulate(entries: NDArray[np.int64]) -> NDArray[np.int32]:
    """CSR row pointers, (n + 1,), from the number of entries of each row."""
    total = np.concatenate([[0], np.cumsum(entries)])
    if total[-1] > LARGEST_NUMBER:
        raise MemoryError(
            f"the affinity matrix has {total[-1]:,} entries, and at most {LARGEST_NUMBER:,} can be numbered"
        )
    return total.astype(np.int32)


def count_lost_rows(rows: Rows, entries: NDArray[np.int64]) -> int:
    """Rows that have neighbours and no entries, since a power of their similarities is zero."""
    index, similarity = rows.lists
    lonely = np.flatnonzero(entries == 0)
    near = similarity[lonely]
    usable = (index[lonely] >= 0) & ((near > 0) if rows.power.clip else (near != 0))
    return int(usable.any(axis=1).sum())
