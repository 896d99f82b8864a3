"""Comparable rows on a device -> the graph that labels spread over, on the device."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..affinity import negative_degree, warn_of_lost_rows
from ..build import refuse_many_zeros
from ..settings import GraphSettings
from ..types import MISSING, Graph, Progress, Search, no_progress
from .neighbors import search
from .rows import find_distinct

DTYPES: dict[type, torch.dtype] = {np.float32: torch.float32, np.float64: torch.float64}
FAINTEST = 1e-30  # of an edge in float32: products with smaller ones would vanish, and cut off what is connected


@dataclass(frozen=True)
class DeviceGraph:
    """graph.Graph as tensors. node: (n,) int64. affinity: (m, m) sparse CSR. component: (m,) int64.

    search: as there.
    """

    node: Tensor
    affinity: Tensor
    component: Tensor
    search: Search | None

    def to_host(self) -> Graph:
        w = self.affinity
        parts = (w.values().cpu().numpy(), w.col_indices().cpu().numpy(), w.crow_indices().cpu().numpy())
        return Graph(
            node=self.node.cpu().numpy(),
            affinity=sp.csr_array(parts, shape=tuple(w.shape)),
            component=self.component.cpu().numpy(),
            search=self.search,
        )


def to_device(graph: Graph, device: torch.device, dtype: torch.dtype) -> DeviceGraph:
    """A copy of the graph on the device."""
    w = graph.affinity
    row_ends, columns = torch.tensor(w.indptr, device=device), torch.tensor(w.indices, device=device)
    affinity = _csr(row_ends, columns, torch.tensor(w.data, dtype=dtype, device=device))
    node, component = (torch.tensor(part, device=device) for part in (graph.node, graph.component))
    return DeviceGraph(node, affinity, component, graph.search)


def graph_of_rows(rows: Tensor, settings: GraphSettings, *, on_progress: Progress = no_progress) -> DeviceGraph:
    """graph.build_graph on the device of the rows. rows: (n, d) float32 from rows.comparable_rows."""
    zero = (~rows.any(1)).nonzero()[:, 0].cpu().numpy()
    refuse_many_zeros(zero, rows.shape[0], settings)
    on_progress("neighbors", 0.0)
    if settings.rules.merge_duplicates:
        first, node = find_distinct(rows)
        if first.numel() < rows.shape[0]:
            rows = rows[first]
    else:
        node = torch.arange(rows.shape[0], device=rows.device)
    found = search(rows, settings.n_neighbors, recall=settings.search_recall, seed=settings.seed)
    on_progress("affinity", 0.0)
    clip = settings.rules.clip_negative
    row, column, weight = affinity(found.index, found.similarity, settings.gamma, clip_negative=clip)
    w = normalize(row, column, weight, rows.shape[0], DTYPES[settings.dtype(rows.shape[0])])
    how = Search(n_neighbors=found.index.shape[1], recall=found.recall, num_probes=0, num_clusters=0)
    return DeviceGraph(node, w, find_components(row, column, rows.shape[0]), how)


def affinity(index: Tensor, similarity: Tensor, gamma: float, *, clip_negative: bool) -> tuple[Tensor, Tensor, Tensor]:
    """affinity.affinity on the device: row, column (int64) and weight (float64) of the entries of W, row by row.

    index, similarity: (n, k). Memory: about 60 bytes for each of 2 n k entries while they are sorted.
    """
    n = index.shape[0]
    weight = similarity.double()
    if clip_negative:
        weight = weight.clamp(min=0)
    kept = (index != MISSING) & (weight != 0)
    row, column, weight = kept.nonzero()[:, 0], index[kept], weight[kept]
    if weight.numel():
        weight = (weight / weight.abs().max()) ** gamma
    had_edges = torch.zeros(n, dtype=torch.bool, device=index.device)
    had_edges[row] = True
    place, order = torch.cat([row * n + column, column * n + row]).sort()
    weight = weight.repeat(2)[order]
    again = place[1:] == place[:-1]  # a mutual pair of neighbours, twice at most
    weight[:-1] += torch.where(again, weight[1:], 0)
    kept = weight != 0
    kept[1:] &= ~again
    place, weight = place[kept], weight[kept]
    row = torch.div(place, n, rounding_mode="floor")
    had_edges[row] = False
    warn_of_lost_rows(int(had_edges.sum()), gamma)
    return row, place - row * n, weight


def normalize(row: Tensor, column: Tensor, weight: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """affinity.normalize on the device: (n, n) sparse CSR of the dtype, with int32 indices where these suffice.

    row, column: (e,) int64, row by row. weight: (e,) float64. Raises GraphError (G4) where a degree is negative.
    """
    small = torch.int32 if max(n, weight.numel()) < 2**31 else torch.int64
    row_ends = torch.zeros(n + 1, dtype=small, device=row.device)
    row_ends[1:] = torch.bincount(row, minlength=n).cumsum(0)
    columns = column.to(small)
    degree = (_csr(row_ends, columns, weight) @ torch.ones((n, 1), dtype=torch.float64, device=row.device))[:, 0]
    if (degree < 0).any():
        raise negative_degree((degree < 0).nonzero()[:, 0].tolist())
    scale = torch.where(degree > 0, 1 / degree.sqrt(), 0)
    # row by row then column by column: the product of two large factors could overflow, an edge times one cannot
    scaled = weight * scale[row] * scale[column]
    if dtype == torch.float32:
        scaled = torch.where((scaled > 0) & (scaled < FAINTEST), FAINTEST, scaled)
    return _csr(row_ends, columns, scaled.to(dtype))


def find_components(row: Tensor, column: Tensor, n: int) -> Tensor:
    """(n,) int64 number of the connected component of each node, in the order of their first nodes.

    row, column: (e,) int64, the edges, each in both directions. Each node takes the smallest number that it or a
    neighbour knows of, and so does the node it had it from, until nothing changes.
    """
    known = torch.arange(n, device=row.device)
    while True:
        least = known.scatter_reduce(0, row, known[column], "amin")
        least = least.scatter_reduce(0, known, least, "amin")
        least = least[least]
        if torch.equal(least, known):
            number: Tensor = torch.unique(known, return_inverse=True)[1]
            return number
        known = least


def _csr(row_ends: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    """A square sparse tensor, without torch's notice that these are in beta."""
    n = row_ends.numel() - 1
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse ", UserWarning)
        return torch.sparse_csr_tensor(row_ends, columns, values, (n, n), check_invariants=False)
