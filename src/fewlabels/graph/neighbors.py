"""Descriptors -> the nearest neighbours of every row.

Order is defined: larger similarity first, equal ones by smaller place. A row is never its own neighbour; it is dropped
by its number, not by its place in the list (with duplicates it need not be first). Up to 2,048 rows similarities are
compared in float64, rounded to a multiple of 2^-40 so that rounding errors cannot order what is equal; beyond, in
float64 rounded to float32, where the similarity of a pair has the same bits whichever of the two asks, on every
instruction set of the kernels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import InputWarning, warn
from .compiled import instructions
from .settings import DOUBLE_UP_TO
from .types import MISSING, ClusteredNeighbors, Graph, Neighbors, StageProgress, even_groups, no_stage_progress

PRODUCT_UP_TO = DOUBLE_UP_TO  # rows compared by a float64 product
MOST_PRODUCTS = 2**30  # of two numbers, beyond which the kernels take less time for so few rows too
GRID = 2.0**40
BLOCK_BYTES = 16 * 2**20  # blocks stay in the cache, and their memory is used again


def nearest_neighbors(
    rows: NDArray[np.float32],
    n_neighbors: int,
    *,
    recall: float | Literal["exact"] = "exact",
    seed: int = 0,
) -> Neighbors:
    """The n_neighbors nearest rows of each row of (n, d) float32 from `comparable_rows`, by inner product.

    recall: "exact", or the share of the true neighbours to find at least, as seen on a sample (`seed`).
    With fewer than n_neighbors other rows, all of them are taken and InputWarning says so (E7).
    """
    alive = np.flatnonzero(rows.any(axis=1))
    found = search_neighbors(rows, alive, n_neighbors, recall=recall, seed=seed)
    k = found.index.shape[1]
    index = np.full((rows.shape[0], k), MISSING, np.int32)
    similarity = np.zeros((rows.shape[0], k), np.float32)
    index[alive[found.order]] = alive[found.order].astype(np.int32)[found.index]
    similarity[alive[found.order]] = found.similarity
    return Neighbors(index, similarity, found.recall)


def search_neighbors(
    rows: NDArray[np.float32],
    members: NDArray[np.int64],
    n_neighbors: int,
    *,
    recall: float | Literal["exact"],
    seed: int,
    previous: Graph | None = None,
    on_progress: StageProgress = no_stage_progress,
) -> ClusteredNeighbors:
    """The n_neighbors nearest of each of rows[members], by a float64 product, all pairs in float32, or clusters.

    rows: (n, d) float32 from `comparable_rows`. members: ascending numbers of rows, none of them all zeros; `order` of
    the answer has places in members. recall, seed: as in nearest_neighbors. previous: as in build_graph.
    Time: 2 n^2 d operations where all pairs are compared, which is so below 8,192 rows, for "exact", and without the
    compiled kernels. Memory beside the result: a copy of the rows and blocks of 16 MiB.
    """
    k = count_neighbors(n_neighbors, members.size)
    few = members.size <= max(PRODUCT_UP_TO, k + 1) and members.size**2 * rows.shape[1] <= MOST_PRODUCTS
    if few or instructions() is None:
        return _multiply_all(rows, members, k, on_progress)
    from .compiled.nearest import search_points
    from .compiled.search import Points

    return search_points(Points(rows, members), k, recall, seed, previous, on_progress)


def count_neighbors(n_neighbors: int, num_rows: int) -> int:
    """How many neighbours each of so many rows gets. InputWarning (E7) where that is fewer than n_neighbors."""
    k = min(n_neighbors, max(num_rows - 1, 0))
    if k < n_neighbors:
        what = f"FL-E7 n_neighbors is {n_neighbors}, and a row has only {k} others (without all-zero and repeated "
        warn(InputWarning(what + "ones): it gets them all"))
    return k


def _multiply_all(
    rows: NDArray[np.float32], members: NDArray[np.int64], k: int, on_progress: StageProgress
) -> ClusteredNeighbors:
    """search_neighbors by float64 matrix products: the definition of the order, and its reference."""
    n = members.size
    wide = rows[members].astype(np.float64)
    index, similarity = np.zeros((n, k), np.int32), np.zeros((n, k), np.float32)
    block = max(1, BLOCK_BYTES // (32 * max(n, 1)))  # a float64 product, its partition and masks
    for start in range(0, n if k else 0, block):
        part = np.arange(start, min(n, start + block))
        near = wide[part] @ wide.T
        near[np.arange(part.size), part] = -np.inf  # self, by number
        index[part], similarity[part] = top_k(near, k)
        on_progress(min(1.0, (start + block) / n))
    return ClusteredNeighbors(order=np.arange(n), groups=even_groups(n), index=index, similarity=similarity, recall=1.0)


def top_k(near: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns of the k largest entries of each row of `near`, (q, n), and their values, in the order defined above."""
    q, n = near.shape
    near = near * GRID
    np.rint(near, out=near)
    least = np.partition(near, n - k, axis=1)[:, n - k, None]  # the k-th largest
    chosen = near >= least
    crowded = np.flatnonzero(chosen.sum(axis=1) > k)  # more are as large as the k-th than are wanted
    above, tied = near[crowded] > least[crowded], near[crowded] == least[crowded]
    wanted = k - above.sum(axis=1, keepdims=True)
    chosen[crowded] = above | (tied & (np.cumsum(tied, axis=1) <= wanted))  # of the tied, the smaller numbers
    ids = np.flatnonzero(chosen).reshape(q, k)  # ascending, so a stable sort keeps ties by number
    ids -= n * np.arange(q)[:, None]
    values = np.take_along_axis(near, ids, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1), np.take_along_axis(values, order, axis=1) / GRID
