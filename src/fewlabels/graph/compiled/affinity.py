"""Lists of neighbours -> the normalised affinity matrix in float32, by counting sorts on all cores."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..affinity import inverse_roots, warn_of_lost_rows
from ..threads import PARTS, Team, even_ranges, weighted_ranges
from ..types import ClusteredNeighbors, StageProgress, no_stage_progress
from . import _kernels
from .search import reverse_lists

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
    index, similarity = found.index, found.similarity
    n, k = index.shape
    largest = float(similarity.max(initial=0)) if clip_negative else float(np.abs(similarity).max(initial=0))
    power = (float(gamma), largest or 1.0, int(clip_negative))
    with Team() as team:
        begin, sources, values = reverse_lists((index, similarity), team)
        lists = (index, similarity, begin, sources, values, n, k, *power)
        entries, degree = np.empty(n, np.int64), np.empty(n)
        ranges = even_ranges(n, PARTS * team.size)
        team.each(
            lambda first, last: _kernels.measure_rows(*lists, first, last, entries, degree),
            ranges,
            lambda fraction: on_progress(0.5 * fraction),
        )
        scale = inverse_roots(degree, found.order)
        _warn_of_underflow(index, similarity, entries, gamma, clip_negative)
        pointers = _cumulate(entries)
        columns, weights = np.empty(pointers[-1], np.int32), np.empty(pointers[-1], np.float32)
        team.each(
            lambda first, last: _kernels.write_rows(*lists, 0, first, last, scale, pointers, columns, weights),
            weighted_ranges(pointers, PARTS * team.size),
            lambda fraction: on_progress(0.5 + 0.5 * fraction),
        )
    return sp.csr_array((weights, columns, pointers), shape=(n, n)), np.sqrt(degree)


def _cumulate(entries: NDArray[np.int64]) -> NDArray[np.int32]:
    """CSR row pointers, (n + 1,), from the number of entries of each row."""
    total = np.concatenate([[0], np.cumsum(entries)])
    if total[-1] > LARGEST_NUMBER:
        raise MemoryError(
            f"the affinity matrix has {total[-1]:,} entries, and at most {LARGEST_NUMBER:,} can be numbered"
        )
    return total.astype(np.int32)


def _warn_of_underflow(
    index: NDArray[np.int32],
    similarity: NDArray[np.float32],
    entries: NDArray[np.int64],
    gamma: float,
    clip_negative: bool,
) -> None:
    lonely = np.flatnonzero(entries == 0)
    near = similarity[lonely]
    usable = (index[lonely] >= 0) & ((near > 0) if clip_negative else (near != 0))
    warn_of_lost_rows(int(usable.any(axis=1).sum()), gamma)
