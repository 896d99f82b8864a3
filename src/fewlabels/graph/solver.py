"""Conjugate gradients for many right-hand sides at once.

The columns share each product with the matrix but not their steps: a column that has reached the tolerance is frozen
and taken out, so it neither costs anything more nor divides by a vanishing residual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import GraphError, NumericsError
from .threads import Team, weighted_ranges
from .types import StageProgress, no_stage_progress

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """The answer of the solver and its health.

    x: (n, c) float64, or float32 from the compiled solver.
    num_steps: (c,) int64, steps taken by each column.
    residual: (c,) float64, |b - Ax| / |b| recomputed at the end; 0 for a column of zeros.
    converged: (c,) bool, whether the column reached the tolerance.
    row_residual: (n,) largest |b - Ax| of each row over the columns.
    """

    x: NDArray[np.floating]
    num_steps: NDArray[np.int64]
    residual: Float
    converged: NDArray[np.bool_]
    row_residual: NDArray[np.floating]


class Operator(Protocol):
    """I - alpha W of one graph: whatever holds its rows, and can solve systems of it.

    Here PlainOperator and compiled.solver.CompiledOperator; on a GPU cuda.solver.DeviceOperator.
    size: m, rows. dtype: of the solutions.
    """

    @property
    def size(self) -> int: ...

    @property
    def dtype(self) -> type[np.floating]: ...

    def solve(
        self,
        label_matrix: sp.csc_array,
        *,
        tol: float,
        max_steps: int,
        start: NDArray[np.floating] | None = None,
        on_progress: StageProgress = no_stage_progress,
    ) -> Solution:
        """Z with (I - alpha W) Z = Y for a sparse Y, (m, c). start: (m, c) first guess; zeros if None.

        on_progress: called with the share of the classes that are solved.
        Raises NumericsError (G9) for a Y or an answer that is not finite, GraphError (G11) for a W that cannot be
        solved.
        """


class PlainOperator:
    """I - alpha W in NumPy and SciPy, float64. w: (m, m) CSR."""

    dtype = np.float64

    def __init__(self, w: sp.csr_array, alpha: float) -> None:
        self.w, self.alpha, self.size = w, alpha, int(w.shape[0])

    def solve(
        self,
        label_matrix: sp.csc_array,
        *,
        tol: float,
        max_steps: int,
        start: NDArray[np.floating] | None = None,
        on_progress: StageProgress = no_stage_progress,
    ) -> Solution:
        with products(self.w) as times_w:
            return conjugate_gradients(
                lambda x: x - self.alpha * times_w(x), label_matrix.toarray(), tol=tol, max_steps=max_steps, start=start
            )


def conjugate_gradients(
    product: Callable[[Float], Float],
    b: Float,
    *,
    tol: float,
    max_steps: int,
    start: NDArray[np.floating] | None = None,
) -> Solution:
    """Solve A x = b for all columns of b, with A symmetric and positive definite, given as `product(x) = A @ x`.

    b: (n, c), finite. start: (n, c) first guess, zeros if None.
    A column stops when the norm of its residual is at most `tol` times that of b, or after `max_steps` steps.
    From zeros, a column takes the same steps as scipy.sparse.linalg.cg(A, b, rtol=tol, atol=0, maxiter=max_steps).
    Raises NumericsError for a non-finite b or answer, GraphError where A turns out not to be positive definite.
    """
    demand_finite(b, "right-hand side")
    scale = np.abs(b).max(axis=0, initial=0)
    scale[scale == 0] = 1  # columns are solved at scale 1: squares of 1e-300 would vanish
    target = b / scale
    x = np.zeros_like(target) if start is None else start / scale
    limit = tol * np.sqrt(_dots(target, target))
    residual = target.copy() if start is None else target - product(x)
    steps = np.zeros(b.shape[1], np.int64)

    active = np.flatnonzero(np.sqrt(_dots(residual, residual)) > limit)
    residual = residual[:, active]
    direction, energy = residual.copy(), _dots(residual, residual)
    for _ in range(max_steps):
        if active.size == 0:
            break
        image = product(direction)
        curvature = _dots(direction, image)
        if not (curvature > 0).all():
            raise not_positive_definite()
        step = energy / curvature
        x[:, active] += step * direction
        residual -= step * image
        new_energy = _dots(residual, residual)
        steps[active] += 1
        direction = residual + (new_energy / energy) * direction
        going = np.sqrt(new_energy) > limit[active]
        energy = new_energy
        if not going.all():
            active, energy = active[going], energy[going]
            residual, direction = residual[:, going], direction[:, going]

    demand_finite(x, "solution")
    converged = np.ones(b.shape[1], bool)
    converged[active] = False
    left = target - product(x)
    row_residual = (np.abs(left) * scale).max(axis=1, initial=0)
    return Solution(x * scale, steps, _relative_residual(left, target), converged, row_residual)


def not_positive_definite() -> GraphError:
    """The error (G11) of a system that steps of conjugate gradients cannot solve."""
    do = "the graph must be symmetric, without negative edges; released mode keeps those there are: use mode='paper'"
    return GraphError("G11", "the system is not positive definite", do=do)


def _dots(left: Float, right: Float) -> Float:
    """(c,) inner products of the columns."""
    return np.einsum("nc,nc->c", left, right)  # type: ignore[no-any-return]


def _relative_residual(residual: Float, target: Float) -> Float:
    size = np.sqrt(_dots(target, target))
    return np.sqrt(_dots(residual, residual)) / np.where(size > 0, size, 1)


def demand_finite(values: NDArray[np.floating], name: str) -> None:
    """Raise NumericsError (G9) where a number is not finite, naming the columns."""
    if not (np.isfinite(values.max(initial=0)) and np.isfinite(values.min(initial=0))):  # NaN is its own maximum
        columns = np.flatnonzero(~np.isfinite(values).all(axis=0)).tolist()
        raise NumericsError("G9", f"NaN or infinity in the {name} of classes {columns}")


COLUMNS = 16  # of one task: a row of them is two cache lines, so that gathering rows of x stays in cache
SMALL = 2_000_000  # multiplications below which one plain product is faster


@contextmanager
def products(w: sp.csr_array) -> Iterator[Callable[[Float], Float]]:
    """A function x -> w @ x for x of shape (n, c), to be used inside the `with`.

    Same bits as SciPy's product, whatever the number of threads: each entry is summed in the order of its row.
    """
    with Team() as team:
        rows = [slice(*part) for part in weighted_ranges(w.indptr, team.size)]  # about as many entries in each
        parts = [_rows_of(w, part) for part in rows]

        def product(x: Float) -> Float:
            if w.nnz * x.shape[1] < SMALL:
                return np.asarray(w @ x)
            columns = [slice(first, first + COLUMNS) for first in range(0, x.shape[1], COLUMNS)]
            blocks = [np.ascontiguousarray(x[:, block]) for block in columns]
            out = np.empty((w.shape[0], x.shape[1]))

            def work(part: int, block: int) -> None:
                out[rows[part], columns[block]] = parts[part] @ blocks[block]

            team.each(work, [(part, block) for block in range(len(blocks)) for part in range(len(parts))])
            return out

        yield product


def _rows_of(w: sp.csr_array, part: slice) -> sp.csr_array:
    """w[part] without copying its entries."""
    first, last = w.indptr[part.start], w.indptr[part.stop]
    pointers = w.indptr[part.start : part.stop + 1] - first
    return sp.csr_array((w.data[first:last], w.indices[first:last], pointers), (part.stop - part.start, w.shape[1]))
