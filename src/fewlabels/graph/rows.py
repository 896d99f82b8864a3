"""Descriptors as users have them -> float32 rows whose inner product is the similarity."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import EmbeddingError, InputWarning, StorageError, listed, warn
from .compiled import instructions
from .settings import GraphSettings, Metric
from .types import Comparable

BLOCK_BYTES = 64 * 2**20
ROUNDING = 1e-14  # of directions in float64: below, two rows are multiples of each other
MOST_LOST = 0.01  # of the rows, before differences that float32 does not have are worth a word


def comparable_rows(descriptors: NDArray[np.generic], metric: Metric = "cosine") -> NDArray[np.float32]:
    """Rows whose inner products are the similarities, as (n, d) float32; all-zero rows stay zero.

    descriptors: (n, d), any integer, boolean or float type; a memory map is read block by block.
    cosine: every row is scaled to Euclidean length 1, first by its largest absolute value, so that 1e300 does not
    overflow and 1e-300 does not vanish. inner_product: all rows are divided by the one largest absolute value.
    Raises EmbeddingError for another shape or type (E8 to E10) and for NaN or infinity (E1), naming the rows.
    """
    return make_comparable(descriptors, metric, drop_bad_rows=False).values


def densify(descriptors: Any) -> NDArray[np.generic]:
    """Descriptors that may be a SciPy sparse matrix, such as TF-IDF, or lists, as an array; others as they are.

    Raises StorageError G21 where the array does not fit into memory.
    """
    if not sp.issparse(descriptors):
        return np.asarray(descriptors) if isinstance(descriptors, list | tuple) else descriptors
    try:
        return np.asarray(descriptors.toarray())
    except MemoryError as problem:
        size = descriptors.shape[0] * descriptors.shape[1] * descriptors.dtype.itemsize
        do = "make them narrower first, such as with sklearn.decomposition.TruncatedSVD"
        what = f"sparse rows of shape {descriptors.shape} take {size / 2**30:.1f} GiB as an array"
        raise StorageError("G21", what, do=do) from problem


def make_comparable(descriptors: NDArray[np.generic], metric: Metric, *, drop_bad_rows: bool) -> Comparable:
    """comparable_rows that can go on where rows have NaN or infinity, with a warning (E1).

    Raises EmbeddingError E1 where no other row is left, too.
    """
    array = check_table(descriptors)
    largest, bad = measure_table(array)
    if bad.size:
        check_bad(bad, len(array), drop_bad_rows=drop_bad_rows)
    unit = None if metric == "cosine" else float(largest.max()) or 1.0
    return Comparable(scale_table(array, largest, bad, unit), bad)


def measure_table(array: NDArray[np.generic]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n,) the largest absolute value of each row of a checked table, and rows with NaN or infinity, which have 0."""
    if _fits_kernels(array):
        from .compiled.rows import find_largest
    else:
        find_largest = _find_largest
    largest = find_largest(array)
    bad = np.flatnonzero(~np.isfinite(largest))
    largest[bad] = 0
    return largest, bad


def scale_table(
    array: NDArray[np.generic], largest: NDArray[np.float64], bad: NDArray[np.int64], unit: float | None
) -> NDArray[np.float32]:
    """Comparable rows of a table that measure_table saw. unit: what inner products divide all rows by; None: cosine."""
    if _fits_kernels(array):
        from .compiled.rows import scale_rows
    else:
        scale_rows = _scale_rows
    scale = np.where(largest > 0, largest, 1) if unit is None else np.full(len(largest), unit)
    with np.errstate(invalid="ignore"):  # of infinity by infinity, in rows that are not used
        values = scale_rows(array, scale, unit is None)
    values[bad] = 0
    return values


def check_bad(bad: NDArray[np.int64], num_rows: int, *, drop_bad_rows: bool) -> None:
    """Warn (E1) of rows with NaN or infinity where they are to be dropped and others are left, else raise E1."""
    what = "NaN or infinity in descriptors"
    if not drop_bad_rows or bad.size == num_rows:
        do = "remove or repair these rows" + ", or set drop_bad_rows" * (not drop_bad_rows)
        raise EmbeddingError("E1", what, rows=bad.tolist(), do=do)
    warn(InputWarning(f"FL-E1 {what}: such rows take no part, and get no label; {listed(bad.tolist())}"))


def _fits_kernels(array: NDArray[np.generic]) -> bool:
    plain = array.dtype == np.float32 and array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned
    return plain and instructions() is not None


def digest_rows(rows: NDArray[np.float32]) -> str:
    """SHA-256 over the shape and every byte of comparable rows, to know them again."""
    digest = hashlib.sha256(str(rows.shape).encode())
    for part in blocks(rows):
        digest.update(np.ascontiguousarray(rows[part]).data)
    return digest.hexdigest()


def blocks(array: NDArray[np.generic]) -> Iterator[slice]:
    """Consecutive rows of (n, d) numbers, so many that a float64 copy takes about 64 MiB."""
    return _split(array.shape[0], array.shape[1])


def _split(num_rows: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (8 * width))
    for start in range(0, num_rows, step):
        yield slice(start, start + step)


def _scale_rows(rows: NDArray[Any], scale: NDArray[np.float64], unit: bool) -> NDArray[np.float32]:
    """Rows divided by their scale, and then by their length if `unit`; in float64, rounded once."""
    out = np.empty(rows.shape, np.float32)
    for part in blocks(rows):
        wide = (rows[part] / scale[part, None]).astype(np.float64, copy=False)  # from longdouble
        if unit:
            length = np.sqrt(np.einsum("nd,nd->n", wide, wide, dtype=np.float64))
            wide /= np.where(length > 0, length, 1)[:, None]
        out[part] = wide
    return out


def _find_largest(rows: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) largest absolute value of each row; not finite where one of its numbers is not."""
    largest = np.empty(rows.shape[0])
    for part in blocks(rows):
        block = rows[part]
        wide = block if block.dtype in (np.float32, np.float64) else block.astype(np.float64)
        largest[part] = np.maximum(wide.max(axis=1), -wide.min(axis=1))  # either is NaN where a number is
    return largest


def check_table(descriptors: NDArray[np.generic]) -> NDArray[np.generic]:
    array = np.asarray(descriptors)
    if array.ndim != 2:
        raise EmbeddingError("E9", f"descriptors have shape {array.shape}, expected two dimensions (rows, features)")
    if array.dtype.kind not in "fiub":
        raise EmbeddingError("E10", f"descriptors have type {array.dtype}, expected real numbers", do="convert them")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise EmbeddingError("E8", f"descriptors have shape {array.shape}, expected at least one row and one feature")
    return array


def distinct_rows(rows: NDArray[np.float32], nonzero: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each group of equal rows, ascending, and for each row the number of its group.

    More than k copies of one row would have none but each other for neighbours, and no label could get in or out.
    All-zero rows have no direction, so they are not equal to each other: each stays alone. nonzero: (n,) the others.
    """
    everyone = np.arange(rows.shape[0])
    again, first = _find_repeats(rows, nonzero)
    if not again.size:
        return everyone, everyone
    equal = _compare_pairs(rows, again, first)
    representative = everyone.copy()
    representative[again[equal]] = first[equal]
    others = np.sort(again[~equal])  # different rows of one hash, next to none: equal ones among them are all here
    keys = (rows[others] + np.float32(0)).view(np.dtype((np.void, rows.shape[1] * 4)))[:, 0]  # + 0: -0.0 equals 0.0
    _, at, group = np.unique(keys, return_index=True, return_inverse=True)
    representative[others] = others[at[group]]
    leads = representative == everyone
    return np.flatnonzero(leads), (np.cumsum(leads) - 1)[representative]


def warn_of_rounding(descriptors: NDArray[np.generic], node: NDArray[np.int64], settings: GraphSettings) -> None:
    """InputWarning (E11) where more than 1 % of float64 rows are one node with a row of another direction.

    node: (n,) the node of each row, numbered from 0 without gaps. In released mode each row is a node of its own.
    """
    array = np.asarray(descriptors)
    if array.dtype != np.float64 or not settings.rules.merge_duplicates:
        return
    first = np.unique(node, return_index=True)[1][node]
    merged = np.flatnonzero(first != np.arange(node.size))
    lost = 0
    for part in _split(merged.size, array.shape[1]):
        here, there = (_normalize_wide(array[rows[part]]) for rows in (merged, first[merged]))
        lost += int((np.abs(here - there).max(axis=1) > ROUNDING).sum())
    if lost > MOST_LOST * node.size:
        what = f"FL-E11 {lost} of {node.size} rows differ from another row by less than float32 can hold"
        warn(InputWarning(f"{what}: they count as equal to it; scale or centre the columns"))


def _normalize_wide(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1, in float64; none of them all zeros."""
    wide = rows / np.abs(rows).max(axis=1, keepdims=True)
    directions: NDArray[np.float64] = wide / np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return directions


def _find_repeats(rows: NDArray[np.float32], nonzero: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that are not the first of their hash, and for each the first one."""
    alive = np.flatnonzero(nonzero)
    hashes = hash_rows(rows)[alive]
    order = np.argsort(hashes, kind="stable")
    by_hash, hashes = alive[order], hashes[order]
    new = np.ones(alive.size, bool)
    new[1:] = hashes[1:] != hashes[:-1]
    first = by_hash[new][np.cumsum(new) - 1]
    return by_hash[~new], first[~new]


def _compare_pairs(rows: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each pair of row numbers whether the rows are equal, -0 counting as 0."""
    equal = np.empty(left.size, bool)
    for part in _split(left.size, rows.shape[1]):
        equal[part] = (rows[left[part]] == rows[right[part]]).all(axis=1)
    return equal


def hash_rows(rows: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(n,) equal for equal rows, -0 counting as 0; different ones may share one."""
    if instructions() is not None:
        from .compiled.rows import hash_rows as hash_by_kernels

        return hash_by_kernels(np.ascontiguousarray(rows))
    factors = np.random.default_rng(0).integers(0, 2**63, rows.shape[1], np.uint64) * np.uint64(2) + np.uint64(1)
    total = np.empty(rows.shape[0], np.uint64)
    for part in blocks(rows):
        bits = (rows[part] + np.float32(0)).view(np.uint32)
        total[part] = (bits * factors).sum(axis=1, dtype=np.uint64)
    return total
