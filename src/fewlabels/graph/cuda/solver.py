"""Conjugate gradients and the filling of far nodes, on a device. See cuda.py; the rules are those of solver.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...conventions import UNLABELED
from ...errors import NumericsError
from ..label_matrix import CheckedLabels
from ..settings import GraphSettings
from ..solver import Solution, not_positive_definite
from ..unresolved import NOISE
from .graph import DeviceGraph
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

    def on_host(self) -> Solution:
        parts = (self.x, self.num_steps, self.residual, self.converged, self.row_residual)
        return Solution(*(part.cpu().numpy() for part in parts))


def sources(labels: CheckedLabels, graph: DeviceGraph, settings: GraphSettings) -> Tensor:
    """sources.sources on the device: Y, (m, c), of the type of the affinity."""
    w = graph.affinity
    rows = np.flatnonzero(labels.label != UNLABELED)
    node = graph.node[torch.from_numpy(rows).to(w.device)]
    label = torch.from_numpy(labels.label[rows]).to(w.device)
    y = torch.zeros((w.shape[0], labels.num_classes), dtype=w.dtype, device=w.device)
    y.index_put_((node, label), torch.ones((), dtype=w.dtype, device=w.device), accumulate=True)
    if settings.rules.divide_by_class_size:
        y /= y.sum(0).clamp(min=1)
    return y


def solve(w: Tensor, y: Tensor, settings: GraphSettings, start: NDArray[np.floating] | None) -> DeviceSolution:
    """Solve (I - alpha W) X = Y, some classes at a time where all would take too much memory.

    w: (m, m) sparse CSR, symmetric. y: (m, c), finite. start: (m, c) first guess, zeros if None.
    Raises NumericsError (G9) for a start or an answer that is not finite, GraphError (G11) where the system is not
    positive definite.
    """

    def product(x: Tensor) -> Tensor:
        return torch.addmm(x, w, x, alpha=-settings.alpha)

    parts = []
    for part in class_blocks(y):
        guess = None
        if start is not None:
            guess = torch.tensor(start[:, part], dtype=y.dtype, device=y.device)
            _demand_finite(guess, "first guess", part.start)
        found = conjugate_gradients(product, y[:, part], tol=settings.tol, max_steps=settings.step_limit, start=guess)
        _demand_finite(found.x, "solution", part.start)
        parts.append(found)
    if len(parts) == 1:
        return parts[0]
    return DeviceSolution(
        torch.cat([found.x for found in parts], dim=1),
        torch.cat([found.num_steps for found in parts]),
        torch.cat([found.residual for found in parts]),
        torch.cat([found.converged for found in parts]),
        torch.stack([found.row_residual for found in parts]).amax(0),
    )


def class_blocks(y: Tensor) -> Iterator[slice]:
    """Consecutive columns of y, (m, c), as many as the solver can hold at a time."""
    step = max(1, SHARE * block_bytes(y.device) // (WORKING * y.element_size() * y.shape[0]))
    for start in range(0, y.shape[1], step):
        yield slice(start, min(start + step, y.shape[1]))


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


def fill_far_nodes(graph: DeviceGraph, solution: DeviceSolution, y: Tensor, settings: GraphSettings) -> Tensor:
    """far.fill_far_nodes on the device: X with negatives clipped, unresolved nodes filled ring by ring outwards."""
    w, component = graph.affinity, graph.component
    labelled = torch.zeros(int(component.max()) + 1, dtype=torch.bool, device=w.device)
    labelled[component[y.any(1)]] = True
    reachable = labelled[component]
    filled = solution.x.clamp(min=0)
    largest = filled.amax(1)
    far = reachable & (largest == 0)
    if settings.mode != "released":
        far |= reachable & (solution.row_residual > NOISE * largest)
    filled[far | ~reachable] = 0
    rows = far.nonzero()[:, 0]
    while rows.numel():
        mass = filled.sum(1, keepdim=True)
        mixed = _rows_of(w, rows) @ (filled / torch.where(mass > 0, mass, 1))
        mixed = mixed.clamp(min=0) + y[rows]  # a labelled node is its own source
        got = mixed.any(1)
        if not got.any():
            break
        filled[rows[got]] = mixed[got]
        rows = rows[~got]
    return filled


def _rows_of(w: Tensor, rows: Tensor) -> Tensor:
    """w[rows] of a sparse CSR tensor, which torch does not index."""
    ends = w.crow_indices()
    first, count = ends[rows], (ends[1:] - ends[:-1])[rows]
    row_ends = torch.zeros(rows.numel() + 1, dtype=ends.dtype, device=w.device)
    row_ends[1:] = count.cumsum(0)
    entries = torch.arange(int(row_ends[-1]), device=w.device)
    entries = entries + torch.repeat_interleave(first - row_ends[:-1], count)
    columns, values = w.col_indices()[entries], w.values()[entries]
    size = (rows.numel(), w.shape[1])
    return torch.sparse_csr_tensor(row_ends, columns, values, size, check_invariants=False)
