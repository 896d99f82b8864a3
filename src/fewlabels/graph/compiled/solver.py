"""Conjugate gradients for the propagation system in float32: compiled, on all cores, some classes at a time.

(I - alpha W) Z = Y is solved for up to 32 classes together, which share each pass over W but not their steps. Sums are
float64, made group by group of rows and then added in the order of the groups. From 100,000 rows a step multiplies W
by a direction that is rounded to bfloat16, which halves what has to be gathered. Solution and residual move by exactly
that direction, so they stay true to each other to float32, and hardly more steps are needed. Where there are too few
to converge, the answer differs by some 1e-4 from that of exact ones.

With the two-level preconditioner the residual is also corrected group by group: one unknown for each group of rows,
solved exactly. That takes care of what plain steps are slow at, mass that must travel far, and halves their number.

`solve_blocks` never touches a vector. It tells `Passes` what to do and sees sums over groups, so the rows may be held
by this process (Vectors over one RowBlock) or shared out: blocks of whole groups, each with its own Vectors, give the
same sums, and so the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from ...errors import NumericsError
from ..solver import Solution, demand_finite, not_positive_definite
from ..threads import Range, Team, even_ranges, weighted_ranges
from ..types import StageProgress, no_stage_progress
from . import _kernels

Float = NDArray[np.float32]
Double = NDArray[np.float64]
BLOCK = 32  # classes solved together: a row of a direction is a cache line
NARROW_FROM = 100_000  # rows; below, a block of directions stays in the cache anyway
LANES = 8  # classes are padded to a multiple
EPSILON = float(np.finfo(np.float32).eps)
SMALL = 3_000_000  # multiplications of a product below which threads cost more than they bring


@dataclass(frozen=True, kw_only=True)
class RowBlock:
    """Consecutive rows of I - alpha W, whole groups of them: all rows, or those that one of several processes holds.

    w: (m, k) CSR, float32 and int32. Its columns number k rows: the own ones, which are consecutive, and those that
        their edges lead to (none but own ones where the block is the whole).
    groups: (g + 1,) int64, first row of each own group in that numbering, and the end; groups[0] is the first own row.
    size: rows of the whole system.
    shape: (m,) float32 of the two-level preconditioner, of unit length within each group; None without one.
    """

    w: sp.csr_array
    alpha: float
    groups: NDArray[np.int64]
    size: int
    shape: Float | None = None


class Passes(Protocol):
    """What conjugate gradients do to the vectors of up to 32 classes, padded to `width`, on scale 1.

    Vectors does it in this process; sums are (g, width) float64, one row for each group of rows, in order.
    """

    width: int

    def advance(self, length: Double) -> tuple[Double, Double | None]:
        """x += length * direction; residual likewise. Sums of residual^2, and of shape * residual, the coarse one."""

    def lift(self, coarse: Double) -> Float:
        """(g, width) the coarse correction for these sums of the residual."""

    def turn(self, ratio: Double, lift: Float | None) -> None:
        """direction = residual + shape * lift + ratio * direction."""

    def multiply(self) -> Double:
        """image = (I - alpha W) direction; sums of direction * image."""

    def finish(self) -> Finished:
        """What came of it. Ends the use of these vectors."""


class Finished(NamedTuple):
    """x: (m, c). squares: (c,) sums of x^2. residual: (c,) sums of (b - Ax)^2. row_residual: (m,) largest |b - Ax|."""

    x: NDArray[np.floating]
    squares: Double
    residual: Double
    row_residual: Float


Begin = Callable[[sp.csc_array, Double, NDArray[np.floating] | None], AbstractContextManager[Passes]]


class CompiledOperator:
    """I - alpha W over one graph in this process. w: (m, m) CSR, float32 and int32.

    groups: (g + 1,) int64, first row of each group of rows, and m.
    root_degree: (m,) square roots of the weighted degrees, for the two-level preconditioner; None: plain steps.
    """

    dtype = np.float32

    def __init__(
        self, w: sp.csr_array, alpha: float, groups: NDArray[np.int64], root_degree: Double | None = None
    ) -> None:
        self.size, self.inverse = int(w.shape[0]), None
        self.rows = RowBlock(w=w, alpha=alpha, groups=groups, size=self.size)
        if root_degree is not None:
            shape, self.inverse = build_preconditioner(w, alpha, groups, root_degree)
            self.rows = RowBlock(w=w, alpha=alpha, groups=groups, size=self.size, shape=shape)

    def solve(
        self,
        label_matrix: sp.csc_array,
        *,
        tol: float,
        max_steps: int,
        start: NDArray[np.floating] | None = None,
        on_progress: StageProgress = no_stage_progress,
    ) -> Solution:
        with Team() as team:

            @contextmanager
            def begin(b: sp.csc_array, scale: Double, start: NDArray[np.floating] | None) -> Iterator[Passes]:
                vectors = Vectors(self.rows, team, b, scale, start, self.inverse)
                if start is not None:
                    vectors.measure_residual()
                yield vectors

            return solve_blocks(begin, label_matrix, tol=tol, max_steps=max_steps, start=start, on_progress=on_progress)


def build_preconditioner(
    w: sp.csr_array, alpha: float, groups: NDArray[np.int64], root_degree: Double
) -> tuple[Float, Float]:
    """The second level: shape (m,) and the (g, g) inverse of shape^T (I - alpha W) shape, float32.

    Each group has one unknown, with the shape of the slowest mode: the square root of the weighted degree.
    """
    num = groups.size - 1
    group_of = np.repeat(np.arange(num, dtype=np.int32), np.diff(groups))
    shape = shape_groups(root_degree, group_of, measure_groups(root_degree, group_of, num))
    matrix = coarsen_rows(w, shape, groups, group_of)
    return shape, invert_coarse(matrix, alpha)


def measure_groups(root_degree: Double, group_of: NDArray[np.int32], num: int) -> Double:
    """(num,) Euclidean length of the root degrees of each group."""
    return np.sqrt(np.bincount(group_of, root_degree**2, num))


def shape_groups(root_degree: Double, group_of: NDArray[np.int32], length: Double) -> Float:
    """The root degrees, of unit length within each group. length: of all groups."""
    return (root_degree / np.where(length > 0, length, 1)[group_of]).astype(np.float32)


def coarsen_rows(
    w: sp.csr_array, shape: Float, groups: NDArray[np.int64], group_of: NDArray[np.int32], own: Range | None = None
) -> Double:
    """(g, g) shape^T W shape. w: (k, k). own: the groups (first, last) whose rows are there; others stay zeros."""
    num = groups.size - 1
    first_own, last_own = (0, num) if own is None else own
    matrix = np.zeros((num, num))
    with Team() as team:
        team.each(
            lambda first, last: _kernels.coarsen(
                *_arrays(w), w.shape[0], shape, groups, group_of, num, first_own + first, first_own + last, matrix
            ),
            weighted_ranges(w.indptr[groups[first_own : last_own + 1]] - w.indptr[groups[first_own]], 4 * team.size),
        )
    return matrix


def invert_coarse(matrix: Double, alpha: float) -> Float:
    """The (g, g) inverse of I - alpha times a coarse W, float32."""
    num = len(matrix)
    matrix = -alpha * matrix
    matrix[np.diag_indices(num)] += 1  # a group without edges stands alone
    try:
        factor = scipy.linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    except scipy.linalg.LinAlgError as problem:
        raise not_positive_definite() from problem
    inverse = scipy.linalg.cho_solve(factor, np.eye(num), overwrite_b=True, check_finite=False)
    return np.ascontiguousarray(inverse, np.float32)


def solve_blocks(
    begin: Begin,
    y: sp.csc_array,
    *,
    tol: float,
    max_steps: int,
    start: NDArray[np.floating] | None = None,
    on_progress: StageProgress = no_stage_progress,
) -> Solution:
    """Z with (I - alpha W) Z = Y, float32. y: (m, c) sparse. start: (m, c) first guess, zeros if None.

    begin: (b, scale, start) -> the passes over b / scale, (m, up to 32), from start / scale.
    Takes the steps of `conjugate_gradients` where there is no second level, fewer where there is one. A class counts as
    converged where its true residual is near `tol`, or as small as the rounding of Z to float32 lets it be; for a tol
    below 1e-7 the rounding is no excuse.
    Raises NumericsError (G9) for a Y or an answer that is not finite, GraphError (G11) for a W that cannot be solved.
    """
    m, c = y.shape
    x = np.empty((m, c), np.float32)
    row_residual = np.zeros(m, np.float32)
    health = Health(np.zeros(c, np.int64), np.zeros(c), np.ones(c, bool))
    for part, found in solve_parts(begin, y, health, tol=tol, max_steps=max_steps, start=start):
        np.maximum(row_residual, found.row_residual, out=row_residual)
        x[:, part] = found.x
        del found
        on_progress(part.stop / c)
    demand_finite(x, "solution")
    return Solution(x, *health, row_residual)


class Health(NamedTuple):
    """(c,) steps, relative residual and convergence of each class: filled as they are solved."""

    steps: NDArray[np.int64]
    residual: Double
    converged: NDArray[np.bool_]


def solve_parts(
    begin: Begin,
    y: sp.csc_array,
    health: Health,
    *,
    tol: float,
    max_steps: int,
    start: NDArray[np.floating] | None = None,
) -> Iterator[tuple[slice, Finished]]:
    """solve_blocks, up to 32 classes at a time: which they are, and what came of them."""
    strange = np.unique(np.repeat(np.arange(y.shape[1]), np.diff(y.indptr))[~np.isfinite(y.data)])
    if strange.size:
        raise NumericsError("G9", f"NaN or infinity in the right-hand side of classes {strange.tolist()}")
    steps, residual, converged = health
    for first in range(0, y.shape[1], BLOCK):
        part = slice(first, min(y.shape[1], first + BLOCK))
        b = y[:, part]
        scale, size = _measure(b)
        with begin(b, scale, None if start is None else start[:, part]) as passes:
            steps[part], converged[part] = _step(passes, size, tol, max_steps)
            found = passes.finish()
            del passes  # or the next ones are made beside them
        size = np.where(size > 0, size, 1)
        residual[part] = np.sqrt(found.residual) / size
        rounding = 2 * EPSILON * np.sqrt(found.squares) / size
        converged[part] &= residual[part] <= 2 * tol + (rounding if tol > EPSILON else 0)
        yield part, found
        del found


def _measure(b: sp.csc_array) -> tuple[Double, Double]:
    """(c,) the largest |b| of each class, 1 for a class of zeros, and the length of b on that scale, in float32."""
    column = np.repeat(np.arange(b.shape[1]), np.diff(b.indptr))
    largest = np.zeros(b.shape[1])
    np.maximum.at(largest, column, np.abs(b.data))
    scale = np.where(largest > 0, largest, 1)
    squares = (b.data / scale[column]).astype(np.float32).astype(np.float64) ** 2
    return scale, np.sqrt(np.bincount(column, squares, b.shape[1]))


def _step(passes: Passes, size: Double, tol: float, max_steps: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Steps that each class took, and whether it reached the tolerance. size: (c,) length of the right-hand side."""
    width, num_classes = passes.width, size.size
    limit = (tol * np.append(size, np.zeros(width - num_classes))) ** 2
    steps, last = np.zeros(width, np.int64), np.ones(width)
    squares, coarse = passes.advance(np.zeros(width))
    energy = squares.sum(axis=0)
    for step in range(max_steps):
        active = energy > limit
        if not active.any():
            break
        lift, total = None, energy
        if coarse is not None:
            lift = passes.lift(coarse)
            total = energy + np.einsum("gw,gw->w", coarse.astype(np.float32), lift, dtype=np.float64)
        passes.turn(total / last * (active & (step > 0)), lift)
        curvature = passes.multiply().sum(axis=0)
        if not (curvature[active] > 0).all():
            raise not_positive_definite()
        squares, coarse = passes.advance(np.divide(total, curvature, out=np.zeros(width), where=active))
        energy, last = squares.sum(axis=0), np.where(active, total, 1)
        steps += active
    return steps[:num_classes], (energy <= limit)[:num_classes]


class Vectors:
    """The vectors of some classes over one RowBlock, in this process. Classes are padded with zeros.

    direction: (k, width) over all rows that the block's columns number; who holds several blocks brings the rows of the
    others up to date before `multiply`. All other vectors have the block's m rows.
    """

    def __init__(
        self,
        rows: RowBlock,
        team: Team,
        b: sp.csc_array,
        scale: Double,
        start: NDArray[np.floating] | None = None,
        inverse: Float | None = None,
    ) -> None:
        """b: (m, c). scale: (c,) that it is solved at. inverse: that of the preconditioner, where `lift` is asked.

        start: (m, c) first guess. `measure_residual` is then still to be called.
        """
        self.rows, self.team, self.scale, self.inverse = rows, team, scale, inverse
        self.num_classes = b.shape[1]
        self.width = -(-b.shape[1] // LANES) * LANES
        m, k = rows.w.shape
        self.b, self.x, self.image = (np.zeros((m, self.width), np.float32) for _ in range(3))
        self.direction = np.zeros((k, self.width), np.uint16 if rows.size >= NARROW_FROM else np.float32)
        column = np.repeat(np.arange(b.shape[1]), np.diff(b.indptr))
        self.b[b.indices, column] = b.data / scale[column]
        self.residual = self.b.copy()
        parts = 1 if rows.w.nnz * self.width < SMALL else 2 * team.size
        self.ranges: list[Range] = weighted_ranges(rows.w.indptr[rows.groups - rows.groups[0]], parts)
        if start is not None:
            np.divide(start, scale, out=self.x[:, : b.shape[1]], casting="same_kind")

    def advance(self, length: Double) -> tuple[Double, Double | None]:
        step, shape = length.astype(np.float32), self.rows.shape
        dots, coarse = self._sums(), None if shape is None else self._sums()
        self.team.each(
            lambda first, last: _kernels.advance(
                self.x,
                self.residual,
                self.direction,
                self.image,
                step,
                shape,
                *self._extent,
                self.rows.groups,
                len(dots),
                first,
                last,
                dots,
                coarse,
            ),
            self.ranges,
        )
        return dots, coarse

    def lift(self, coarse: Double) -> Float:
        inverse, small = self.inverse, coarse.astype(np.float32)
        lift = np.empty_like(small)
        self.team.each(
            lambda first, last: _kernels.lift(inverse, small, len(lift), self.width, first, last, lift),
            even_ranges(len(lift), len(self.ranges)),
        )
        return lift

    def turn(self, ratio: Double, lift: Float | None) -> None:
        keep = ratio.astype(np.float32)
        self.team.each(
            lambda first, last: _kernels.turn(
                self.direction,
                self.residual,
                keep,
                self.rows.shape,
                lift,
                *self._extent,
                self.rows.groups,
                self.rows.groups.size - 1,
                first,
                last,
            ),
            self.ranges,
        )

    def multiply(self) -> Double:
        return self._product(self.direction)

    def measure_residual(self, near: Float | None = None) -> None:
        """residual = b - (I - alpha W) x. near: (k, width) x of all rows that the columns number; None: own ones."""
        self._product(self.x if near is None else near)
        np.subtract(self.b, self.image, out=self.residual)

    def finish(self, near: Float | None = None) -> Finished:
        self.measure_residual(near)
        part = slice(self.num_classes)
        residual, squares = (self.sum_squares(of).sum(axis=0)[part] for of in (self.residual, self.x))
        return Finished(self.x[:, part] * self.scale, squares, residual, self.take_row_residual())

    def take_row_residual(self) -> Float:
        """(m,) the largest |b - Ax| of each row, where it was measured. Ends the use of these vectors."""
        rows = np.abs(self.residual[:, : self.num_classes], out=self.image[:, : self.num_classes])
        rows *= self.scale.astype(np.float32)
        return np.asarray(rows.max(axis=1))

    def _product(self, vectors: NDArray[np.generic]) -> Double:
        """image = (I - alpha W) vectors, and the sums of the inner products of the two."""
        rows, dots = self.rows, self._sums()
        m, first_row, width = self._extent
        assert len(vectors) == rows.w.shape[1]  # the kernel looks at every row that a column names
        self.team.each(
            lambda first, last: _kernels.product(
                *_arrays(rows.w),
                m,
                first_row,
                rows.alpha,
                vectors,
                len(vectors),
                self.image,
                width,
                rows.groups,
                len(dots),
                first,
                last,
                dots,
            ),
            self.ranges,
        )
        return dots

    def sum_squares(self, values: Float) -> Double:
        """(g, width) sums of the squares of (m, width) values over each group."""
        cuts = (self.rows.groups - self.rows.groups[0]).tolist()
        parts = [values[first:last] for first, last in pairwise(cuts)]
        return np.array([np.einsum("nc,nc->c", part, part, dtype=np.float64) for part in parts])

    @property
    def _extent(self) -> tuple[int, int, int]:
        """Own rows, the number of the first one, and the width of the vectors."""
        return len(self.x), int(self.rows.groups[0]), self.width

    def _sums(self) -> Double:
        return np.empty((self.rows.groups.size - 1, self.width))


def _arrays(w: sp.csr_array) -> tuple[NDArray[np.int32], NDArray[np.int32], Float]:
    return w.indptr, w.indices, w.data
