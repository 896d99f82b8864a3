"""Codes of wide rows, what is the same on every processor: their size, and how many candidates they choose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WIDTH = 256  # numbers of a code, where rows are wider
SAMPLE = 8192  # rows that the basis is made of
ITERATIONS = 3  # of the subspace: the recall of a fourth is the same
MEASURED = 512  # rows whose codes set the scale
DEVIATIONS = 4  # that the largest code stands for
LARGEST = 127
CANDIDATES = (1.2, 1.5, 2.0, 2.5, 3.0, 4.0)  # for each neighbour asked for


def count_width(dimensions: int) -> int:
    """Numbers of the code of a row of so many numbers: whole groups of four."""
    return min(WIDTH, -(-dimensions // 4) * 4)


def draw_for_basis(size: int, seed: int) -> tuple[NDArray[np.int64], np.random.Generator]:
    """The points, ascending, of `size` that the basis is made of, and the draws that `make_basis` goes on with."""
    rng = np.random.default_rng([seed, size, 2])
    return np.sort(rng.permutation(size)[:SAMPLE]), rng


def count_candidates(k: int, num_points: int) -> int:
    """As many as are ever ranked."""
    return min(int(max(CANDIDATES) * k), num_points - 1)


def find_among(found: NDArray[np.integer], truth: NDArray[np.int64], missing: int) -> NDArray[np.int64]:
    """(q, k) where each entry of truth stands in its row of found, (q, most); `missing` where it does not."""
    most = found.shape[1]
    position = np.full(truth.shape, missing)
    for row, (wanted, numbers) in enumerate(zip(truth, found, strict=True)):
        ranks = np.argsort(numbers, kind="stable")
        at = ranks[np.minimum(np.searchsorted(numbers[ranks], wanted), most - 1)]
        position[row] = np.where(numbers[at] == wanted, at, missing)
    return position
