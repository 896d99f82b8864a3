"""Conjugate gradients on a device: the operator of a PropagationSystem whose W is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import NumericsError
from ..solver import Solution, not_positive_definite
from ..types import StageProgress, no_stage_progress
from .rows import block_bytes

WORKING = 8  # blocks of (m, c) that the solver holds at a time
SHARE = 4  # of block_bytes that it may take: fewer classes at a time means reading W more often


@dataclass(frozen=True)
class DeviceSolution:
    """solver.Solution as tensors. x: (m, c). num_steps: (c,) int64. residual: (c,) float64. converged: (c,) bool.

    row_residual: (m,), as x.
    """

    x: Tensor
    num_steps: Tensor
    residual: Tensor
    converged: Tensor
    row_residual: Tensor


class DeviceOperator:
    """I - alpha W on a device. w: (m, m) sparse CSR tensor, symmetric."""

    def __init__(self, w: Tensor, alpha: float) -> None:
        self.w, self.alpha, self.size = w, alpha, int(w.shape[0])
        self.dtype: type[np.floating] = np.float64 if w.dtype == torch.float64 else np.float32

    def solve(
        self,
        label_matrix: sp.csc_array,
        *,
        tol: float,
        max_steps: int,
        start: NDArray[np.floating] | None = None,
        on_progress: StageProgress = no_stage_progress,
    ) -> Solution:
        """As solver.Operator says; some classes at a time where all would take too much memory.

        Raises NumericsError (G9) for a start or an answer that is not finite, GraphError (G11) where the system is not
        positive definite.
        """
        m, c = label_matrix.shape
        found = Solution(
            np.empty((m, c), self.dtype), np.zeros(c, np.int64), np.zeros(c), np.ones(c, bool), np.zeros(m, self.dtype)
        )
        for part in class_blocks(m, c, self.w):
            guess = None if start is None else self._there(start[:, part])
            if guess is not None:
                _demand_finite(guess, "first guess", part.start)
            b = self._there(label_matrix[:, part].toarray())
            one = conjugate_gradients(self.multiply, b, tol=tol, max_steps=max_steps, start=guess)
            _demand_finite(one.x, "solution", part.start)
            found.x[:, part] = one.x.cpu().numpy()
            found.num_steps[part], found.residual[part] = one.num_steps.cpu(), one.residual.cpu()
            found.converged[part] = one.converged.cpu()
            np.maximum(found.row_residual, one.row_residual.cpu().numpy(), out=found.row_residual)
            on_progress(part.stop / c)
        return found

    def multiply(self, x: Tensor) -> Tensor:
        """(I - alpha W) x for x of (m, c)."""
        return torch.addmm(x, self.w, x, alpha=-self.alpha)

    def _there(self, values: NDArray[np.floating]) -> Tensor:
        return torch.tensor(values, dtype=self.w.dtype, device=self.w.device)


def class_blocks(num_nodes: int, num_classes: int, w: Tensor) -> Iterator[slice]:
    """Consecutive columns of (num_nodes, num_classes) like W, as many as the solver can hold at a time."""
    step = max(1, SHARE * block_bytes(w.device) // (WORKING * w.element_size() * num_nodes))
    for start in range(0, num_classes, step):
        yield slice(start, min(start + step, num_classes))


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, *, tol: float, max_steps: int, start: Tensor | None = None
) -> DeviceSolution:
    """solver.conjugate_gradients on the device: the same steps, with inner products added up in float64.

    Columns that have reached the tolerance are frozen and taken out. The host waits for the device once a step.
    """
    scale = b.abs().amax(0)
    scale = torch.where(scale > 0, scale, 1)  # columns are solved at scale 1: squares of small ones would vanish
    target = b / scale
    x = torch.zeros_like(target) if start is None else start / scale
    residual = target.clone() if start is None else target - product(x)
    limit = tol * _dots(target, target).sqrt()
    steps = torch.zeros(b.shape[1], dtype=torch.int64, device=b.device)

    energy = _dots(residual, residual)
    active = (energy.sqrt() > limit).nonzero()[:, 0]
    energy, residual, part = energy[active], residual.index_select(1, active), x.index_select(1, active)
    direction = residual.clone()
    for _ in range(max_steps):
        if active.numel() == 0:
            break
        image = product(direction)
        curvature = _dots(direction, image)
        step = (energy / curvature).to(b.dtype)
        part.addcmul_(direction, step)
        residual.addcmul_(image, step, value=-1)
        new_energy = _dots(residual, residual)
        steps[active] += 1
        direction.mul_((new_energy / energy).to(b.dtype)).add_(residual)
        energy = new_energy
        going = energy.sqrt() > limit[active]
        positive, all_going = torch.stack([(curvature > 0).all(), going.all()]).tolist()
        if not positive:
            raise not_positive_definite()
        if not all_going:
            x[:, active] = part
            left = going.nonzero()[:, 0]
            active, energy = active[left], energy[left]
            residual, direction, part = (block.index_select(1, left) for block in (residual, direction, part))
    x[:, active] = part
    converged = torch.ones(b.shape[1], dtype=torch.bool, device=b.device)
    converged[active] = False
    left = target - product(x)
    residuals = _relative_residual(left, target), (left.abs() * scale).amax(1)
    return DeviceSolution(x * scale, steps, residuals[0], converged, residuals[1])


def _dots(left: Tensor, right: Tensor) -> Tensor:
    """(c,) float64 inner products of the columns."""
    return (left * right).sum(0, dtype=torch.float64)


def _relative_residual(residual: Tensor, target: Tensor) -> Tensor:
    size = _dots(target, target).sqrt()
    return _dots(residual, residual).sqrt() / torch.where(size > 0, size, 1)


def _demand_finite(values: Tensor, name: str, first: int) -> None:
    bad = ~values.isfinite().all(0)
    if bad.any():
        columns = (bad.nonzero()[:, 0] + first).tolist()
        raise NumericsError("G9", f"NaN or infinity in the {name} of classes {columns}")
