"""Comparable rows on a device -> the nearest neighbours of every row, exactly, in the order of neighbors.py.

A float32 product finds somewhat more candidates than asked for; these are multiplied again in float64 and put into
order. A row whose k-th neighbour does not stand clear of all that was not fetched is searched in float64 throughout.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..neighbors import GRID, count_neighbors
from ..types import MISSING
from .rows import block_bytes

SPARE = 8  # neighbours fetched beyond k, to see whether the k-th is tied
GROUP = 32  # columns of which only the largest entry is looked at first
EPS = 2.0**-23


def search(rows: Tensor, n_neighbors: int) -> tuple[Tensor, Tensor]:
    """neighbors.nearest_neighbors on the device: index (n, k) int64, -1 where there is none, and similarity, float32.

    rows: (n, d) float32. Memory: blocks of 1 GiB (on the CPU 128 MiB) beside the input and the result.
    """
    alive = rows.any(1).nonzero()[:, 0]
    n = alive.numel()
    k = count_neighbors(n_neighbors, n)
    if n == rows.shape[0] and k > 0:
        return _search(rows, k)
    index = torch.full((rows.shape[0], k), MISSING, device=rows.device)
    similarity = torch.zeros((rows.shape[0], k), dtype=torch.float32, device=rows.device)
    if k > 0:
        found, near = _search(rows[alive], k)
        index[alive], similarity[alive] = alive[found], near
    return index, similarity


def _search(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    n, d = rows.shape
    fetched = min(n - 1, k + SPARE)
    padded = torch.nn.functional.pad(rows, (0, 0, 0, -n % GROUP))
    length = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    error = d * EPS * length * length.max() + 1 / GRID  # twice what a float32 product may be off by, and the rounding
    index = torch.empty((n, k), dtype=torch.int64, device=rows.device)
    similarity = torch.empty((n, k), dtype=torch.float32, device=rows.device)
    settled = torch.ones(n, dtype=torch.bool, device=rows.device)
    step = max(1, block_bytes(rows.device) // (8 * n + 16 * fetched * (d + GROUP)))
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        near = rows[part] @ padded.T
        near[:, n:] = -math.inf
        near.diagonal(start).fill_(-math.inf)  # self, by number
        ids, least = _find_candidates(near, fetched)
        del near
        values = _multiply_exactly(rows[part], rows, ids)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, :k]
        index[part], values = ids.gather(1, order), values.gather(1, order)
        similarity[part] = values
        if fetched < n - 1:
            settled[part] = values[:, -1] > least + error[part]
    unsettled = (~settled).nonzero()[:, 0]
    if unsettled.numel():
        index[unsettled], similarity[unsettled] = _search_by_product(rows, unsettled, k)
    return index, similarity


def _find_candidates(near: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Columns of the `count` largest entries of each row of near, (q, n), ascending, and the smallest of these entries.

    They lie in the `count` groups of columns with the largest maxima, so that long rows are read once, by a maximum.
    n is a multiple of GROUP; group g has the columns g, g + n / GROUP, g + 2 n / GROUP, ...
    """
    q, n = near.shape
    groups = n // GROUP
    if 2 * (groups + GROUP * count) > n:
        top = near.topk(count, dim=1, sorted=False)
        return top.indices.sort(1).values, top.values.amin(1).double()
    best = near.view(q, GROUP, groups).amax(1).topk(count, dim=1, sorted=False).indices
    within = torch.arange(0, n, groups, device=near.device)
    columns = (best[:, :, None] + within).view(q, -1)
    top = near.gather(1, columns).topk(count, dim=1, sorted=False)
    return columns.gather(1, top.indices).sort(1).values, top.values.amin(1).double()


def _multiply_exactly(queries: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
    """(q, f) float64 inner products of queries (q, d) with rows[ids], on the grid of neighbors.py."""
    others = rows[ids].double()
    return torch.round(torch.bmm(others, queries.double()[:, :, None])[:, :, 0] * GRID) / GRID


def _search_by_product(rows: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Neighbours of rows[queries] by float64 products with all rows: the definition of the order."""
    wide = rows.double()
    step = max(1, block_bytes(rows.device) // (40 * rows.shape[0]))
    index, similarity = [], []
    for part in torch.split(queries, step):
        near = torch.round(wide[part] @ wide.T * GRID)
        near[torch.arange(part.numel(), device=rows.device), part] = -math.inf
        least = near.topk(k, dim=1).values[:, -1:]  # the k-th largest
        above, tied = near > least, near == least
        wanted = k - above.sum(1, keepdim=True)
        chosen = above | (tied & (tied.cumsum(1) <= wanted))  # of the tied, the smaller numbers
        ids = chosen.nonzero()[:, 1].view(-1, k)  # ascending, so a stable sort keeps ties by number
        values, order = near.gather(1, ids).sort(dim=1, descending=True, stable=True)
        index.append(ids.gather(1, order))
        similarity.append((values / GRID).float())
    return torch.cat(index), torch.cat(similarity)
