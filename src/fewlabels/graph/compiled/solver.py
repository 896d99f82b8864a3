"""Conjugate gradients for the propagation system in float32: compiled, on all cores, some classes at a time.

(I - alpha W) Z = Y is solved for up to 32 classes together, which share each pass over W but not their steps. Sums are
float64. From 100,000 rows a step multiplies W by a direction that is rounded to bfloat16, which halves what has to be
gathered. Solution and residual move by exactly that direction, so they stay true to each other to float32, and hardly
more steps are needed. Where there are too few to converge, the answer differs by some 1e-4 from that of exact ones.

With a coarse space the residual is also corrected group by group: one unknown for each group of rows, solved exactly.
That takes care of what plain steps are slow at, mass that must travel far, and halves their number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from ...errors import NumericsError
from ..solver import Solution, demand_finite, not_positive_definite
from ..threads import Range, Team, even_ranges, weighted_ranges
from . import _kernels

Float = NDArray[np.float32]
Double = NDArray[np.float64]
BLOCK = 32  # classes solved together: a row of a direction is a cache line
NARROW_FROM = 100_000  # rows; below, a block of directions stays in the cache anyway
LANES = 8  # classes are padded to a multiple
EPSILON = float(np.finfo(np.float32).eps)
SMALL = 300_000  # multiplications of a product below which threads cost more than they bring


@dataclass(frozen=True)
class Coarse:
    """One unknown for each of g groups of rows. shape: (m,) float32, unit length within each group.

    inverse: (g, g) float32, of shape^T (I - alpha W) shape.
    """

    shape: Float
    inverse: Float


@dataclass(frozen=True)
class System:
    """I - alpha W. w: (m, m) CSR, float32 and int32. groups: (g + 1,) int64, first row of each group of rows."""

    w: sp.csr_array
    alpha: float
    groups: NDArray[np.int64]
    coarse: Coarse | None = None


def coarse_space(w: sp.csr_array, alpha: float, groups: NDArray[np.int64], root_degree: Double) -> Coarse:
    """The coarse space of groups, each with the shape of the slowest mode: the square root of the weighted degree."""
    num = groups.size - 1
    group_of = np.repeat(np.arange(num, dtype=np.int32), np.diff(groups))
    length = np.sqrt(np.bincount(group_of, root_degree**2, num))
    shape = (root_degree / np.where(length > 0, length, 1)[group_of]).astype(np.float32)
    matrix = np.zeros((num, num))
    with Team() as team:
        team.each(
            lambda first, last: _kernels.coarsen(
                *_arrays(w), w.shape[0], shape, groups, group_of, num, first, last, matrix
            ),
            weighted_ranges(w.indptr[groups], 4 * team.size),
        )
    matrix = -alpha * matrix
    matrix[np.diag_indices(num)] += 1  # a group without edges stands alone
    try:
        factor = scipy.linalg.cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    except scipy.linalg.LinAlgError as problem:
        raise not_positive_definite() from problem
    inverse = scipy.linalg.cho_solve(factor, np.eye(num), overwrite_b=True, check_finite=False)
    return Coarse(shape, np.ascontiguousarray(inverse, np.float32))


def solve_blocks(
    system: System,
    y: sp.csc_array,
    *,
    tol: float,
    max_steps: int,
    start: NDArray[np.floating] | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Solution:
    """Z with (I - alpha W) Z = Y, float32. y: (m, c) sparse. start: (m, c) first guess, zeros if None.

    Takes the steps of `conjugate_gradients` where there is no coarse space, fewer where there is one. A class counts as
    converged where its true residual is near `tol`, or as small as the rounding of Z to float32 lets it be; for a tol
    below 1e-7 the rounding is no excuse.
    Raises NumericsError (G9) for a Y or an answer that is not finite, GraphError (G11) for a W that cannot be solved.
    """
    strange = np.unique(np.repeat(np.arange(y.shape[1]), np.diff(y.indptr))[~np.isfinite(y.data)])
    if strange.size:
        raise NumericsError("G9", f"NaN or infinity in the right-hand side of classes {strange.tolist()}")
    m, c = y.shape
    x = np.empty((m, c), np.float32)
    steps, residual, converged = np.zeros(c, np.int64), np.zeros(c), np.ones(c, bool)
    row_residual = np.zeros(m, np.float32)
    with Team() as team:
        for first in range(0, c, BLOCK):
            part = slice(first, min(c, first + BLOCK))
            block = _Block(system, team, y[:, part], None if start is None else start[:, part])
            steps[part], converged[part] = block.run(tol, max_steps)
            residual[part], rows = block.health()
            converged[part] &= residual[part] <= 2 * tol + (block.rounding() if tol > EPSILON else 0)
            np.maximum(row_residual, rows, out=row_residual)
            x[:, part] = block.x[:, : block.num_classes] * block.scale
            on_progress(part.stop / c)
            del block  # or the next one is made beside it
    demand_finite(x, "solution")
    return Solution(x, steps, residual, converged, row_residual)


class _Block:
    """The vectors of some classes, and the passes over them. Classes are solved at scale 1 and padded with zeros."""

    def __init__(self, system: System, team: Team, b: sp.csc_array, start: NDArray[np.floating] | None) -> None:
        self.system, self.team, self.num_classes = system, team, b.shape[1]
        column = np.repeat(np.arange(b.shape[1]), np.diff(b.indptr))
        largest = np.zeros(b.shape[1])
        np.maximum.at(largest, column, np.abs(b.data))
        self.scale = np.where(largest > 0, largest, 1)
        self.width = -(-b.shape[1] // LANES) * LANES
        self.b, self.x, self.image = (self._zeros() for _ in range(3))
        self.direction = np.zeros(self.b.shape, np.uint16 if len(self.b) >= NARROW_FROM else np.float32)
        self.b[b.indices, column] = b.data / self.scale[column]
        self.size = np.sqrt(_squares(self.b))
        self.residual = self.b.copy()
        parts = 1 if system.w.nnz * self.width < SMALL else 2 * team.size
        self.ranges: list[Range] = weighted_ranges(system.w.indptr[system.groups], parts)
        if start is not None:
            np.divide(start, self.scale, out=self.x[:, : b.shape[1]], casting="same_kind")
            self.residual -= self._applied(self.x)

    def _zeros(self) -> Float:
        return np.zeros((self.system.w.shape[0], self.width), np.float32)

    def run(self, tol: float, max_steps: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Steps that each class took, and whether it reached the tolerance."""
        limit = (tol * self.size) ** 2
        steps = np.zeros(self.width, np.int64)
        energy, coarse = self._advance(np.zeros(self.width))
        last = np.ones(self.width)
        for step in range(max_steps):
            active = energy > limit
            if not active.any():
                break
            lift, gain = self._lift(coarse)
            total = energy + gain
            self._turn(total / last * (active & (step > 0)), lift)
            curvature = self._product(self.direction)
            if not (curvature[active] > 0).all():
                raise not_positive_definite()
            length = np.divide(total, curvature, out=np.zeros(self.width), where=active)
            energy, coarse = self._advance(length)
            last = np.where(active, total, 1)
            steps += active
        return steps[: self.num_classes], (energy <= limit)[: self.num_classes]

    def health(self) -> tuple[Double, Float]:
        """(c,) relative residual of each class as it is, and (m,) the largest of each row. Ends the block's use."""
        np.subtract(self.b, self._applied(self.x), out=self.residual)
        relative = np.sqrt(_squares(self.residual)) / np.where(self.size > 0, self.size, 1)
        rows = np.abs(self.residual[:, : self.num_classes], out=self.image[:, : self.num_classes])
        rows *= self.scale.astype(np.float32)
        return relative[: self.num_classes], rows.max(axis=1)

    def rounding(self) -> Double:
        """(c,) the relative residual that the rounding of the answer to float32 alone can leave."""
        left = 2 * EPSILON * np.sqrt(_squares(self.x)) / np.where(self.size > 0, self.size, 1)
        return np.asarray(left[: self.num_classes])

    def _applied(self, x: Float) -> Float:
        self._product(x)
        return self.image

    def _product(self, vectors: NDArray[np.generic]) -> Double:
        """image = (I - alpha W) vectors; returns the inner products of the two, class by class."""
        system, dots = self.system, self._sums()
        self.team.each(
            lambda first, last: _kernels.product(
                *_arrays(system.w),
                system.w.shape[0],
                system.alpha,
                vectors,
                self.image,
                self.width,
                system.groups,
                len(dots),
                first,
                last,
                dots,
            ),
            self.ranges,
        )
        return np.asarray(dots.sum(axis=0))

    def _advance(self, length: Double) -> tuple[Double, Double | None]:
        """Take a step of this length for each class; the squared residuals, and the residual in the coarse space."""
        step, shape = length.astype(np.float32), self._shape
        dots, coarse = self._sums(), None if shape is None else self._sums()
        self.team.each(
            lambda first, last: _kernels.advance(
                self.x,
                self.residual,
                self.direction,
                self.image,
                step,
                shape,
                len(self.x),
                self.width,
                self.system.groups,
                len(dots),
                first,
                last,
                dots,
                coarse,
            ),
            self.ranges,
        )
        return np.asarray(dots.sum(axis=0)), coarse

    def _lift(self, coarse: Double | None) -> tuple[Float | None, Double]:
        """The coarse correction, and what it adds to the inner product of residual and preconditioned residual."""
        if self.system.coarse is None or coarse is None:
            return None, np.zeros(self.width)
        inverse, small = self.system.coarse.inverse, coarse.astype(np.float32)
        lift = np.empty_like(small)
        self.team.each(
            lambda first, last: _kernels.lift(inverse, small, len(lift), self.width, first, last, lift),
            even_ranges(len(lift), len(self.ranges)),
        )
        return lift, np.einsum("gw,gw->w", small, lift, dtype=np.float64)

    def _turn(self, ratio: Double, lift: Float | None) -> None:
        """direction = preconditioned residual + ratio * direction."""
        keep, shape = ratio.astype(np.float32), self._shape
        self.team.each(
            lambda first, last: _kernels.turn(
                self.direction,
                self.residual,
                keep,
                shape,
                lift,
                len(self.x),
                self.width,
                self.system.groups,
                self.system.groups.size - 1,
                first,
                last,
            ),
            self.ranges,
        )

    @property
    def _shape(self) -> Float | None:
        return None if self.system.coarse is None else self.system.coarse.shape

    def _sums(self) -> Double:
        return np.empty((self.system.groups.size - 1, self.width))


def _arrays(w: sp.csr_array) -> tuple[NDArray[np.int32], NDArray[np.int32], Float]:
    return w.indptr, w.indices, w.data


def _squares(values: Float) -> Double:
    return np.einsum("nc,nc->c", values, values, dtype=np.float64)  # type: ignore[no-any-return]
