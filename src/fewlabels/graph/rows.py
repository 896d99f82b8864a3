"""Descriptors as users have them -> float32 rows whose inner product is the similarity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import EmbeddingError
from .settings import Metric

BLOCK_BYTES = 64 * 2**20


def comparable_rows(descriptors: NDArray[np.generic], metric: Metric = "cosine") -> NDArray[np.float32]:
    """Rows whose inner products are the similarities, as (n, d) float32; all-zero rows stay zero.

    descriptors: (n, d), any integer, boolean or float type; a memory map is read block by block.
    cosine: every row is scaled to Euclidean length 1, first by its largest absolute value, so that 1e300 does not
    overflow and 1e-300 does not vanish. inner_product: all rows are divided by the one largest absolute value.
    Raises EmbeddingError for another shape or type (E8 to E10) and for NaN or infinity (E1), naming the rows.
    """
    array = _checked_table(descriptors)
    rows = np.empty(array.shape, np.float32)
    largest = _largest(array)
    bad = np.flatnonzero(~np.isfinite(largest))
    if bad.size:
        raise EmbeddingError(
            "E1", "NaN or infinity in descriptors", rows=bad.tolist(), do="remove or repair these rows"
        )
    scale = np.where(largest > 0, largest, 1) if metric == "cosine" else np.full(len(largest), largest.max() or 1)
    for part in blocks(array):
        wide = array[part] / scale[part, None]
        if metric == "cosine":
            length = np.sqrt(np.einsum("nd,nd->n", wide, wide, dtype=np.float64))
            wide /= np.where(length > 0, length, 1)[:, None]
        rows[part] = wide
    return rows


def unit_rows(descriptors: NDArray[np.generic]) -> NDArray[np.float32]:
    """comparable_rows by cosine: rows of Euclidean length 1, (n, d) float32; all-zero rows stay zero."""
    return comparable_rows(descriptors, "cosine")


def blocks(array: NDArray[np.generic]) -> Iterator[slice]:
    """Consecutive rows of (n, d) numbers, so many that a float64 copy takes about 64 MiB."""
    step = max(1, BLOCK_BYTES // (8 * array.shape[1]))
    for start in range(0, array.shape[0], step):
        yield slice(start, start + step)


def _largest(array: NDArray[np.generic]) -> NDArray[np.float64]:
    """(n,) largest absolute value of each row; not finite where one of its numbers is not."""
    largest = np.empty(array.shape[0])
    for part in blocks(array):
        block = array[part]
        wide = block if block.dtype in (np.float32, np.float64) else block.astype(np.float64)
        largest[part] = np.maximum(wide.max(axis=1), -wide.min(axis=1))  # either is NaN where a number is
    return largest


def _checked_table(descriptors: NDArray[np.generic]) -> NDArray[np.generic]:
    array = np.asarray(descriptors)
    if array.ndim != 2:
        raise EmbeddingError("E9", f"descriptors have shape {array.shape}, expected two dimensions (rows, features)")
    if array.dtype.kind not in "fiub":
        raise EmbeddingError("E10", f"descriptors have type {array.dtype}, expected real numbers", do="convert them")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise EmbeddingError("E8", f"descriptors have shape {array.shape}, expected at least one row and one feature")
    return array
