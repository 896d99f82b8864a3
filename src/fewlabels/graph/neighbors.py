"""Descriptors -> the nearest neighbours of every row, exactly.

Order is defined: larger similarity first, equal similarities by smaller row number, where similarity is the inner
product of unit rows in float64, rounded to a multiple of 2^-40 so that rounding errors cannot order what is equal. A
row is never its own neighbour; it is dropped by its number, not by its place in the list (with duplicates it need not
be first).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ..errors import InputWarning

MISSING = -1
FAISS_FROM_ROWS = 4096  # below, one matrix product is faster than importing faiss
GRID = 2.0**40
BLOCK_BYTES = 128 * 2**20
SPARE = 8  # neighbours fetched beyond k, to see whether the k-th is tied


@dataclass(frozen=True)
class Neighbors:
    """The k nearest other rows of each of n rows.

    index: (n, k) int64, nearest first; -1 throughout for an all-zero row, which has no direction and no neighbours.
    similarity: (n, k) float32, cosine in [-1, 1]; 0 where index is -1.
    """

    index: NDArray[np.int64]
    similarity: NDArray[np.float32]


def nearest_neighbors(units: NDArray[np.float32], n_neighbors: int) -> Neighbors:
    """The n_neighbors nearest rows of each row of `units`, (n, d) float32 from `unit_rows`.

    With fewer than n_neighbors other rows, all of them are taken and InputWarning says so (E7).
    Memory: blocks of 128 MiB beside the input and the result.
    Time: 2 n^2 d operations. faiss is used from 4,096 rows up where it is installed, NumPy else; both give the same.
    """
    alive = np.flatnonzero(units.any(axis=1))
    k = min(n_neighbors, max(alive.size - 1, 0))
    if k < n_neighbors:
        warnings.warn(
            InputWarning(
                f"FL-E7 n_neighbors is {n_neighbors}, and a row has only {k} others (without all-zero and repeated "
                "ones): it gets them all"
            ),
            stacklevel=2,
        )
    index = np.full((units.shape[0], k), MISSING, np.int64)
    similarity = np.zeros((units.shape[0], k), np.float32)
    if k > 0:
        rows = units if alive.size == units.shape[0] else units[alive]
        found, near = _search(rows, k)
        index[alive], similarity[alive] = alive[found], near
    return Neighbors(index, similarity)


def _search(rows: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(n, k) indices and similarities, by the faster of two exact ways."""
    everyone = np.arange(rows.shape[0])
    faiss = _faiss() if rows.shape[0] >= FAISS_FROM_ROWS else None
    if faiss is None:
        return _by_product(rows, everyone, k)
    index, similarity, unsettled = _by_faiss(faiss, rows, k)
    index[unsettled], similarity[unsettled] = _by_product(rows, unsettled, k)
    return index, similarity


def _faiss() -> ModuleType | None:
    try:
        import faiss
    except Exception:  # noqa: BLE001  a broken install raises other things than ImportError; NumPy does the same job
        return None
    module: ModuleType = faiss
    return module


def _by_product(
    rows: NDArray[np.float32], queries: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Neighbours of rows[queries] by float64 matrix products: the definition of the order, and its reference."""
    n = rows.shape[0]
    wide = rows.astype(np.float64)
    index = np.empty((queries.size, k), np.int64)
    similarity = np.empty((queries.size, k), np.float32)
    block = max(1, BLOCK_BYTES // (32 * n))  # a float64 product, its partition and masks
    for start in range(0, queries.size, block):
        part = queries[start : start + block]
        near = wide[part] @ wide.T
        near[np.arange(part.size), part] = -np.inf  # self, by number
        index[start : start + block], similarity[start : start + block] = top_k(near, k)
    return index, similarity


def top_k(near: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns of the k largest entries of each row of `near`, (q, n), and their values, in the order defined above."""
    q, n = near.shape
    near = np.rint(near * GRID)
    least = np.partition(near, n - k, axis=1)[:, n - k, None]  # the k-th largest
    above, tied = near > least, near == least
    wanted = k - above.sum(axis=1, keepdims=True)
    chosen = above | (tied & (np.cumsum(tied, axis=1) <= wanted))  # of the tied, the smaller numbers
    ids = np.nonzero(chosen)[1].reshape(q, k)  # ascending, so a stable sort keeps ties by number
    values = np.take_along_axis(near, ids, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(values, order, axis=1) / GRID


def _by_faiss(
    faiss: ModuleType, rows: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Neighbours by faiss, and the rows whose k nearest its float32 arithmetic cannot settle.

    faiss promises no order among equal distances. Entries closer to each other than float32 errors are multiplied
    again in float64. A row is not settled where such a crowd goes on from its k-th entry to the last one fetched.
    """
    n, d = rows.shape
    index = np.empty((n, k), np.int64)
    similarity = np.empty((n, k), np.float32)
    open_ended = np.zeros(n, bool)
    error = 4 * np.sqrt(d) * np.finfo(np.float32).eps
    fetched = min(n, k + 1 + SPARE)
    flat = faiss.IndexFlatIP(d)
    flat.add(rows)
    block = max(1, BLOCK_BYTES // (48 * fetched))
    for start in range(0, n, block):
        stop = min(n, start + block)
        near, ids = flat.search(rows[start:stop], fetched)
        is_self = ids == np.arange(start, stop)[:, None]
        is_self[~is_self.any(axis=1), -1] = True  # self lies beyond a crowd of duplicates: drop the last instead
        near, ids = near[~is_self].reshape(-1, fetched - 1), ids[~is_self].reshape(-1, fetched - 1)
        close = -np.diff(near, axis=1) < error
        if fetched < n:
            open_ended[start:stop] = close[:, k - 1 :].all(axis=1)
        _settle(rows, np.arange(start, stop), near, ids, close)
        index[start:stop], similarity[start:stop] = ids[:, :k], near[:, :k]
    return index, similarity, np.flatnonzero(open_ended)


def _settle(
    rows: NDArray[np.float32],
    queries: NDArray[np.int64],
    near: NDArray[np.float32],
    ids: NDArray[np.int64],
    close: NDArray[np.bool_],
) -> None:
    """Put the entries of near and ids, (q, f), into the order of this module, in place.

    close: (q, f - 1), whether an entry and the next are closer than float32 errors; all others are in order already.
    """
    doubtful = np.flatnonzero(close.any(axis=1))
    if doubtful.size == 0:
        return
    member = np.zeros((doubtful.size, near.shape[1]), bool)
    member[:, :-1] |= close[doubtful]
    member[:, 1:] |= close[doubtful]
    values, numbers = near[doubtful].astype(np.float64), ids[doubtful]
    at, column = np.nonzero(member)
    step = max(1, BLOCK_BYTES // (24 * rows.shape[1]))
    for first in range(0, at.size, step):
        row, place = at[first : first + step], column[first : first + step]
        left, right = rows[queries[doubtful[row]]].astype(np.float64), rows[numbers[row, place]].astype(np.float64)
        values[row, place] = np.rint(np.einsum("ed,ed->e", left, right) * GRID) / GRID
    by_number = np.argsort(numbers, axis=1)
    values = np.take_along_axis(values, by_number, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    near[doubtful] = np.take_along_axis(values, order, axis=1)
    ids[doubtful] = np.take_along_axis(np.take_along_axis(numbers, by_number, axis=1), order, axis=1)
