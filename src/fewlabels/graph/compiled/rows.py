"""Rows of float32 scaled and hashed by the compiled kernels, on all cores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..threads import PARTS, Team, even_ranges
from . import _kernels


def find_largest(rows: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) the largest absolute value of each row of (n, d) float32; infinite where a number is not finite."""
    n, d = rows.shape
    largest = np.empty(n)
    with Team() as team:
        team.each(
            lambda first, last: _kernels.largest(rows, n, d, first, last, largest), even_ranges(n, PARTS * team.size)
        )
    return largest


def scale_rows(rows: NDArray[Any], scale: NDArray[np.float64], unit: bool) -> NDArray[np.float32]:
    """Rows of (n, d) float32 divided by their scale, (n,), and then by their length if `unit`; rounded once."""
    n, d = rows.shape
    out = np.empty((n, d), np.float32)
    with Team() as team:
        team.each(
            lambda first, last: _kernels.scale_rows(rows, n, d, scale, unit, first, last, out),
            even_ranges(n, PARTS * team.size),
        )
    return out


def hash_rows(rows: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(n,) a hash of each row of (n, d), the same for 0 and -0."""
    n, d = rows.shape
    hashes = np.empty(n, np.uint64)
    with Team() as team:
        team.each(
            lambda first, last: _kernels.hash_rows(rows, n, d, first, last, hashes), even_ranges(n, PARTS * team.size)
        )
    return hashes
