"""Precomputed graphs: a Graph, checked, from edge weights or from lists of neighbours that somebody else made."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from ..errors import GraphError, InputWarning, warn
from .affinity import affinity, inverse_roots, normalize
from .build import find_components
from .rows import blocks
from .settings import GraphSettings
from .types import MISSING, Graph, Neighbors

TOLERANCE = 1e-6  # of the normalised matrix: how far it may be from symmetric, and its eigenvalues above 1
MOST_EDGES = 2**31 - 1  # SciPy finds components with 32-bit numbers
POWER_STEPS = 10


def graph_from_affinity(weights: Any, *, normalized: bool = False, repair: bool = False) -> Graph:
    """The graph of n rows with these edge weights. Each row is a node of its own; the argument is not changed.

    weights: (n, n) sparse array or matrix of any format, or a dense array; finite numbers from 0 up, symmetric.
    Entries that occur twice are summed and zeros dropped; self loops are removed, with an InputWarning (G12).
    Symmetric means that W_ij and W_ji differ by at most 1e-6 of sqrt(d_i d_j), d the sums of the rows; the graph gets
    their mean. repair=True takes the mean of any two, with an InputWarning (G11), and drops self loops without one, as
    every kernel matrix has them.
    normalized=True: `weights` is D^-1/2 W D^-1/2 already and taken as it is; centred sources then have to estimate D,
    and say so where they cannot (G22). Ten steps of power iteration refuse one that has an eigenvalue clearly above 1
    (G12); what they miss, the solver refuses (G11).
    Raises GraphError for weights that are negative or not symmetric (G11, naming the worst pair), not finite, not
    square, no numbers, or too many (G12).
    """
    w = _make_symmetric(_drop_loops(_check(weights), repair), normalized, repair)
    if normalized:
        _refuse_large_eigenvalue(w)
        return Graph(node=np.arange(w.shape[0]), affinity=w, component=find_components(w))
    w.data /= w.data.max(initial=np.finfo(np.float64).tiny)  # a common factor cancels, and a sum may overflow
    w.eliminate_zeros()
    return _assemble(w)


def graph_from_neighbors(index: ArrayLike, similarity: ArrayLike, settings: GraphSettings | None = None) -> Graph:
    """The graph of n rows whose neighbours another search has found. Each row is a node of its own.

    index: (n, k) integers, the row numbers of each row's neighbours in any order; -1 pads. A row's own number is
    dropped wherever it stands. similarity: (n, k) real numbers, larger is nearer; anything where index is -1.
    settings: gamma and mode count; n_neighbors does not, all k are taken.
    Raises GraphError (G12), naming the rows, for shapes that differ, other types, numbers outside of -1 .. n - 1, NaN
    or infinity, and a neighbour that a row has twice.
    """
    settings = settings or GraphSettings()
    neighbors = _check_neighbors(np.asarray(index), np.asarray(similarity))
    return _assemble(affinity(neighbors, settings.gamma, clip_negative=settings.rules.clip_negative))


def _assemble(weights: sp.csr_array) -> Graph:
    w = normalize(weights)
    return Graph(
        node=np.arange(w.shape[0]), affinity=w, component=find_components(w), root_degree=np.sqrt(weights.sum(axis=1))
    )


def edge_weights(weights: Any) -> sp.csr_array:
    """A float64 copy in CSR, (q, n), of finite numbers from 0 up. Raises GraphError (G11, G12) for anything else."""
    given = weights if sp.issparse(weights) else np.asarray(weights)
    if given.ndim != 2 or given.dtype.kind not in "fiub":
        what = f"an affinity of shape {given.shape} and type {given.dtype}, expected two dimensions of real numbers"
        raise GraphError("G12", what)
    try:
        rows = sp.csr_array(given)
        w = sp.csr_array((rows.data.astype(np.float64), rows.indices.copy(), rows.indptr.copy()), rows.shape)
        w.check_format(full_check=True)  # a row number outside of the matrix would crash compiled code
    except ValueError as problem:
        raise GraphError("G12", f"a sparse matrix that is not valid ({problem})") from problem
    _refuse_bad_numbers(w)
    return w


def _check(weights: Any) -> sp.csr_array:
    """edge_weights of a square, with sorted indices, no duplicates and no zeros, and 32-bit indices."""
    w = edge_weights(weights)
    if w.shape[0] != w.shape[1] or w.shape[0] == 0:
        raise GraphError("G12", f"an affinity of shape {w.shape}, expected (n, n): one row and one column for each row")
    w.sum_duplicates()
    w.eliminate_zeros()
    if w.nnz > MOST_EDGES:
        raise GraphError("G12", f"{w.nnz:,} edges, at most {MOST_EDGES:,} are possible", do="keep fewer neighbours")
    return sp.csr_array((w.data, w.indices.astype(np.int32), w.indptr.astype(np.int32)), w.shape)


def _refuse_bad_numbers(w: sp.csr_array) -> None:
    bad = ~np.isfinite(w.data)
    if bad.any():
        raise GraphError("G12", "NaN or infinity in the affinity", rows=_rows_of(w, bad))
    bad = w.data < 0
    if bad.any():
        do = "raise them to 0, or let graph_from_neighbors clip them"
        raise GraphError("G11", "Negative values in data passed as affinity", rows=_rows_of(w, bad), do=do)


def _rows_of(w: sp.csr_array, entries: NDArray[np.bool_]) -> list[int]:
    found: list[int] = np.unique(np.searchsorted(w.indptr, np.flatnonzero(entries), side="right") - 1).tolist()
    return found


def _drop_loops(w: sp.csr_array, repair: bool) -> sp.csr_array:
    loops = w.diagonal() != 0
    if not loops.any():
        return w
    if not repair:
        what = f"FL-G12 {loops.sum()} rows have an edge to themselves, which carries no label anywhere: removed"
        warn(InputWarning(what))
    own = np.repeat(np.arange(w.shape[0], dtype=np.int32), np.diff(w.indptr)) == w.indices
    w.data[own] = 0
    w.eliminate_zeros()
    return w


def _make_symmetric(w: sp.csr_array, normalized: bool, repair: bool) -> sp.csr_array:
    """The mean of W and its transpose; W itself where they are equal."""
    turned = w.T.tocsr()
    if np.array_equal(w.indptr, turned.indptr) and np.array_equal(w.indices, turned.indices):
        gap = sp.csr_array((np.abs(w.data - turned.data), w.indices, w.indptr), w.shape)
    else:
        gap = abs(w - turned)
    if gap.nnz == 0 or not gap.data.any():
        return w
    row = np.repeat(np.arange(w.shape[0], dtype=np.int32), np.diff(gap.indptr))
    share = gap.data if normalized else _share_of_degrees(gap.data, row, gap.indices, w)
    at = int(share.argmax())
    if share[at] > TOLERANCE:
        i, j = int(row[at]), int(gap.indices[at])
        what = f"the affinity is not symmetric: W[{i}, {j}] is {w[i, j]:g}, W[{j}, {i}] is {w[j, i]:g}"
        if not repair:
            raise GraphError("G11", what, do="hand in (W + W.T) / 2")
        warn(InputWarning(f"FL-G11 {what}; (W + W.T) / 2 is taken"))
    return (w * 0.5 + turned * 0.5).tocsr()


def _share_of_degrees(
    gap: NDArray[np.float64], row: NDArray[np.int32], column: NDArray[np.int32], w: sp.csr_array
) -> NDArray[np.float64]:
    """Each entry of the gap as a share of sqrt(d_i d_j): what it is after normalisation."""
    largest = w.data.max()
    scale = inverse_roots(np.add(w.sum(axis=1) / largest, w.sum(axis=0) / largest) / 2)
    share: NDArray[np.float64] = gap / largest * scale[row] * scale[column]
    return share


def _refuse_large_eigenvalue(w: sp.csr_array) -> None:
    """Rayleigh's quotient never exceeds the largest eigenvalue, so a quotient above 1 is a proof."""
    x = np.ones(w.shape[0])
    for _ in range(POWER_STEPS):
        image = w @ x
        largest = float(x @ image) / float(x @ x)
        if largest > 1 + TOLERANCE:
            what = f"an affinity said to be normalised has an eigenvalue of at least {largest:.6g}, expected at most 1"
            raise GraphError("G12", what, do="hand it in as it is without normalized=True")
        x = image + x
        x /= x.max()


def _check_neighbors(index: NDArray[np.generic], similarity: NDArray[np.generic]) -> Neighbors:
    if index.ndim != 2 or index.shape != similarity.shape or 0 in index.shape:
        what = f"neighbours of shape {index.shape} and similarities of shape {similarity.shape}, expected (n, k) twice"
        raise GraphError("G12", what)
    if index.dtype.kind not in "iu" or similarity.dtype.kind not in "fiub":
        what = f"neighbours of type {index.dtype} and similarities of type {similarity.dtype}, expected integers and"
        raise GraphError("G12", f"{what} real numbers")
    n, found = index.shape[0], index.astype(np.int64)
    outside = (found < MISSING) | (found >= n)
    if outside.any():
        do = f"row numbers go from 0 to {n - 1}, and -1 pads"
        raise GraphError("G12", "a neighbour that is no row", rows=_rows(outside), do=do)
    found[found == np.arange(n)[:, None]] = MISSING
    known = found != MISSING
    with np.errstate(over="ignore"):  # a number that float32 cannot hold is infinite, and refused
        near = np.where(known, similarity, 0).astype(np.float32)
    if not np.isfinite(near).all():
        raise GraphError("G12", "NaN or infinity among the similarities", rows=_rows(~np.isfinite(near)))
    twice = np.zeros(n, bool)
    for part in blocks(found):
        ordered = np.sort(found[part], axis=1)
        twice[part] = ((np.diff(ordered, axis=1) == 0) & (ordered[:, 1:] != MISSING)).any(axis=1)
    if twice.any():
        do = "keep the one with the larger similarity"
        raise GraphError("G12", "a neighbour named twice", rows=np.flatnonzero(twice).tolist(), do=do)
    return Neighbors(found.astype(np.int32), near)


def _rows(bad: NDArray[np.bool_]) -> list[int]:
    rows: list[int] = np.flatnonzero(bad.any(axis=1)).tolist()
    return rows
