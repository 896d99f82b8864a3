"""Labels for points that were not in the graph, from their neighbours that were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .neighbors import BLOCK_BYTES, top_k


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
    """The mix of the distributions of each query's n_neighbors nearest fitted rows, weighted by cosine ** gamma.

    queries: (q, d), fitted: (m, d) unit rows (graph.unit_rows). distribution: (m, c), of the fitted rows.
    This is one step of Z = alpha W Z, as a labelled point would spread it. Memory: blocks of 128 MiB.
    """
    wide = fitted.astype(np.float64)
    k = min(n_neighbors, fitted.shape[0])
    mixed = np.empty((queries.shape[0], distribution.shape[1]))
    lonely = np.zeros(queries.shape[0], bool)
    block = max(1, BLOCK_BYTES // (32 * fitted.shape[0]))
    for start in range(0, queries.shape[0], block):
        part = slice(start, start + block)
        index, similarity = top_k(queries[part].astype(np.float64) @ wide.T, k)
        weight = np.maximum(similarity, 0) ** gamma
        lonely[part] = ~weight.any(axis=1)
        weight[lonely[part], 0] = 1
        weight /= weight.sum(axis=1, keepdims=True)
        mixed[part] = np.einsum("qk,qkc->qc", weight, distribution[index])
    mixed[~queries.any(axis=1)] = distribution.mean(axis=0)
    return Induced(mixed / mixed.sum(axis=1, keepdims=True), lonely)
