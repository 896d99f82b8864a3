"""Neighbours -> the symmetric, normalised affinity matrix W."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import GraphError, InputWarning, warn
from .types import MISSING, Neighbors


def affinity(neighbors: Neighbors, gamma: float, *, clip_negative: bool = True) -> sp.csr_array:
    """W = A + A^T with A_ij = max(0, similarity of i and j)^gamma: (n, n) float64, symmetric, zero diagonal.

    A mutual pair of neighbours is counted twice, as in the paper and in the released code (lp/db_semisuper.py:293).
    clip_negative=False keeps negative similarities with their sign, as the released code does; gamma must be whole.
    Weights are relative to the largest one: a common factor cancels in `normalize`, and large powers do not underflow
    all at once. Where a row loses all its edges to underflow none the less, InputWarning says so (G14).
    """
    n, k = neighbors.index.shape
    rows = np.repeat(np.arange(n), k)
    columns, weight = neighbors.index.ravel(), neighbors.similarity.ravel().astype(np.float64)
    if clip_negative:
        weight = np.maximum(weight, 0)
    kept = (columns != MISSING) & (weight != 0)
    rows, columns, weight = rows[kept], columns[kept], weight[kept]
    powered = (weight / np.abs(weight).max(initial=np.finfo(np.float64).tiny)) ** gamma
    half = sp.csr_array((powered, (rows, columns)), shape=(n, n))
    whole = (half + half.T).tocsr()
    whole.eliminate_zeros()
    warn_of_lost_rows(np.setdiff1d(rows, np.flatnonzero(np.diff(whole.indptr))).size, gamma)
    return whole


def warn_of_lost_rows(num_lost: int, gamma: float) -> None:
    """InputWarning G14 where rows have neighbours and no edges."""
    if num_lost:
        what = f"FL-G14 {num_lost} rows have neighbours, but similarity to the power of {gamma:g} is zero: they are"
        warn(InputWarning(f"{what} cut off; use a smaller gamma"))


def normalize(weights: sp.csr_array, names: NDArray[np.int64] | None = None) -> sp.csr_array:
    """D^-1/2 W D^-1/2, whose eigenvalues lie in [-1, 1] where W is non-negative.

    weights: (n, n) symmetric, zero diagonal. names: (n,) numbers of the rows for messages; None: their own.
    A row without edges stays zero: nothing flows to or from it.
    Raises GraphError (G4) where a degree is negative, which only negative edges can cause.
    """
    scale = inverse_roots(weights.sum(axis=1), names)
    result = weights.copy()
    # row by row then column by column: the product of two large factors could overflow, an edge times one cannot
    result.data *= np.repeat(scale, np.diff(weights.indptr))
    result.data *= scale[weights.indices]
    return result


def inverse_roots(degree: NDArray[np.float64], names: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """(n,) 1 / sqrt(degree), 0 where it is 0. Raises GraphError (G4) where one is negative, with its name or number."""
    if (degree < 0).any():
        raise negative_degree(np.sort(np.flatnonzero(degree < 0) if names is None else names[degree < 0]).tolist())
    root = np.sqrt(degree)
    inverse: NDArray[np.float64] = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
    return inverse


def negative_degree(rows: list[int]) -> GraphError:
    """The error (G4) of rows whose edges sum to less than nothing."""
    what = "negative degree: negative similarities outweigh the positive ones"
    do = "released mode keeps negative similarities, as the authors' code does; use mode='paper'"
    return GraphError("G4", what, rows=rows, do=do)
