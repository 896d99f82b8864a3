"""Labels for points that were not in the graph, from their neighbours that were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .compiled import instructions
from .neighbors import BLOCK_BYTES, GRID, PRODUCT_UP_TO, top_k

MOST_QUERIES = 8192  # searched at once
FITTED_ROWS = 16384  # compared at once with a block of queries
Nearest = tuple[NDArray[np.int64], NDArray[np.float64]]  # (q, k) numbers and similarities


@dataclass(frozen=True)
class Induced:
    """What the graph says of q new points, over c classes.

    distribution: (q, c) float64, rows sum to 1.
    lonely: (q,) bool, points without any similarity to a row that a label reached: all-zero ones get the mean
    distribution, others that of the nearest such row.
    """

    distribution: NDArray[np.float64]
    lonely: NDArray[np.bool_]


def induce(
    queries: NDArray[np.float32],
    fitted: NDArray[np.float32],
    distribution: NDArray[np.floating],
    n_neighbors: int,
    gamma: float,
) -> Induced:
    """The mix of the distributions of each query's n_neighbors nearest fitted rows, weighted by similarity ** gamma.

    queries: (q, d), fitted: (m, d) rows (graph.comparable_rows). distribution: (m, c), of the fitted rows. The length
    of a query cancels, so a query may be scaled as one likes.
    This is one step of Z = alpha W Z, as a labelled point would spread it. Memory: blocks of 128 MiB.
    """
    k = min(n_neighbors, fitted.shape[0])
    mixed = np.empty((queries.shape[0], distribution.shape[1]))
    lonely = np.zeros(queries.shape[0], bool)
    block, nearest = _search(fitted, k * (distribution.shape[1] + 2))
    for start in range(0, queries.shape[0], block):
        part = slice(start, start + block)
        index, similarity = nearest(queries[part], k)
        weight = np.maximum(similarity, 0) ** gamma
        lonely[part] = ~weight.any(axis=1)
        alone = np.flatnonzero(lonely[part])
        weight[alone, similarity[alone].argmax(axis=1)] = 1
        weight /= weight.sum(axis=1, keepdims=True)
        mixed[part] = np.einsum("qk,qkc->qc", weight, distribution[index])
    mixed[~queries.any(axis=1)] = distribution.mean(axis=0)
    return Induced(mixed / mixed.sum(axis=1, keepdims=True), lonely)


def _search(fitted: NDArray[np.float32], answer: int) -> tuple[int, Callable[[NDArray[np.float32], int], Nearest]]:
    """How many queries to search at once, and a function (queries, k) -> the k nearest fitted rows.

    answer: numbers that the answer to a query needs.
    """
    if fitted.shape[0] <= PRODUCT_UP_TO or instructions() is None:
        block = BLOCK_BYTES // (32 * min(fitted.shape[0], FITTED_ROWS))
        return max(1, block), lambda queries, k: _nearest(queries, fitted, k)
    from .compiled.search import pack_rows, search_rows
    from .threads import Team

    with Team() as team:
        panels = pack_rows(fitted, team)

    def compiled(queries: NDArray[np.float32], k: int) -> Nearest:
        with Team() as team:
            index, similarity = search_rows(queries, panels, k, team)
        return index.astype(np.int64), similarity.astype(np.float64)

    return max(1, min(MOST_QUERIES, BLOCK_BYTES // (8 * answer))), compiled


def _nearest(queries: NDArray[np.float32], fitted: NDArray[np.float32], k: int) -> Nearest:
    """(q, k) numbers of the k nearest fitted rows, ascending, and their similarities.

    In float64, block of fitted rows by block, so that they are never copied whole. Ties go to smaller numbers.
    """
    wide = queries.astype(np.float64)
    index, similarity = np.empty((len(wide), 0), np.int64), np.empty((len(wide), 0))
    rows = max(1, min(FITTED_ROWS, BLOCK_BYTES // (8 * fitted.shape[1])))
    for first in range(0, fitted.shape[0], rows):
        near = wide @ fitted[first : first + rows].astype(np.float64).T
        number = np.broadcast_to(np.arange(first, first + near.shape[1]), near.shape)
        if index.shape[1] == k:
            near, number = _above(near, number, similarity.min(axis=1) - 1 / GRID)
        near = np.concatenate([similarity, near], axis=1)
        number = np.concatenate([index, number], axis=1)
        place = np.sort(top_k(near, min(k, near.shape[1]))[0], axis=1)  # numbers ascend in a row: so ties stay in order
        index = np.take_along_axis(number, place, axis=1)
        similarity = np.rint(np.take_along_axis(near, place, axis=1) * GRID) / GRID
    return index, similarity


def _above(
    near: NDArray[np.float64], number: NDArray[np.int64], least: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The entries of each row that are above its `least`, few as a rule, moved to the left; -inf fills the rest."""
    row, column = np.nonzero(near > least[:, None])
    count = np.bincount(row, minlength=len(near))
    place = np.arange(row.size) - np.repeat(np.cumsum(count) - count, count)
    packed, numbers = np.full((len(near), count.max()), -np.inf), np.full((len(near), count.max()), number.max())
    packed[row, place], numbers[row, place] = near[row, column], number[row, column]
    return packed, numbers


def induce_given(weights: sp.csr_array, distribution: NDArray[np.floating]) -> Induced:
    """The mix of the distributions of m fitted rows, weighted by each query's affinity to them.

    weights: (q, m) from 0 up. A lonely query has no affinity to any of them, and gets the mean distribution.
    """
    largest = weights.max(axis=1).toarray().ravel()
    lonely = largest == 0
    scaled = weights.copy()
    scaled.data /= np.repeat(np.where(lonely, 1, largest), np.diff(weights.indptr))  # so that no sum overflows
    mixed = np.asarray(scaled @ distribution)
    mixed[lonely] = distribution.mean(axis=0)
    return Induced(mixed / mixed.sum(axis=1, keepdims=True), lonely)
