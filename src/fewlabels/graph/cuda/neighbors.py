"""Comparable rows on a device -> the nearest neighbours of every row, in the order of neighbors.py.

Wide rows are searched in two stages (coded.py) where not all neighbours are asked for. Else a float32 product finds
somewhat more candidates than asked for; these are multiplied again in float64 and put into order. A row whose k-th
neighbour does not stand clear of all that was not fetched is searched in float64 throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..codes import WIDTH
from ..neighbors import GRID, count_neighbors
from ..recall import Goal, draw_sample
from ..settings import EXACT_UP_TO
from ..types import MISSING
from .candidates import GROUP, find_candidates
from .coded import search_coded
from .rows import block_bytes

SPARE = 8  # neighbours fetched beyond k, to see whether the k-th is tied
EPS = 2.0**-23


@dataclass(frozen=True)
class Found:
    """types.Neighbors on a device. index: (n, k) int64, -1 where there is none. similarity: (n, k) float32."""

    index: Tensor
    similarity: Tensor
    recall: float


def search(rows: Tensor, n_neighbors: int, *, recall: float | Literal["exact"] = "exact", seed: int = 0) -> Found:
    """neighbors.nearest_neighbors on the device.

    rows: (n, d) float32. Memory: blocks of 1 GiB (on the CPU 128 MiB) beside the input and the result.
    """
    alive = rows.any(1).nonzero()[:, 0]
    n = alive.numel()
    k = count_neighbors(n_neighbors, n)
    if n == rows.shape[0] and k > 0:
        return _search_nonzero(rows, k, recall, seed)
    index = torch.full((rows.shape[0], k), MISSING, device=rows.device)
    similarity = torch.zeros((rows.shape[0], k), dtype=torch.float32, device=rows.device)
    if k == 0:
        return Found(index, similarity, 1.0)
    found = _search_nonzero(rows[alive], k, recall, seed)
    index[alive], similarity[alive] = alive[found.index], found.similarity
    return Found(index, similarity, found.recall)


def _search_nonzero(rows: Tensor, k: int, recall: float | Literal["exact"], seed: int) -> Found:
    """In two stages where rows are many and wider than a code, unless all neighbours are asked for; else exactly."""
    n, d = rows.shape
    if recall != "exact" and d > WIDTH and n > max(EXACT_UP_TO, k + 1):
        found = search_coded(rows, Goal(k, recall, draw_sample(n, seed)), seed)
        if found is not None:
            return Found(*found)
    return Found(*_search(rows, k), 1.0)


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
        ids, top = find_candidates(near, fetched)
        del near
        values = _multiply_exactly(rows[part], rows, ids)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, :k]
        index[part], values = ids.gather(1, order), values.gather(1, order)
        similarity[part] = values
        if fetched < n - 1:
            settled[part] = values[:, -1] > top.amin(1).double() + error[part]
    unsettled = (~settled).nonzero()[:, 0]
    if unsettled.numel():
        index[unsettled], similarity[unsettled] = _search_by_product(rows, unsettled, k)
    return index, similarity


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
