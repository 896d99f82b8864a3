"""Descriptors as users have them -> comparable rows on a device, and which of them are equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import ConfigError, EmbeddingError, StorageError
from ..rows import comparable_rows as comparable_on_host
from ..rows import distinct_rows
from ..settings import Metric

HASH_FACTORS = 0  # seed of the odd factors that rows are hashed with: any do, equal hashes are compared


def choose_device(device: str | torch.device | None, *values: object) -> torch.device:
    """The device asked for; where none is, that of the first tensor among the values, else the first GPU.

    Raises ConfigError (C7) for a device that this machine does not have, or that lacks float64.
    """
    if device is None:
        device = next((value.device for value in values if isinstance(value, Tensor)), "cuda")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is not None and (chosen.type == "cpu" or (chosen.type == "cuda" and (chosen.index or 0) < count)):
        return chosen
    here = ["cpu", *(f"cuda:{i}" for i in range(count))]
    raise ConfigError("C7", f"device {str(device)!r} is not on this machine", do=f"it has: {', '.join(here)}")


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Inside, products of float32 are those of float32: no TF32, no bfloat16, no autocast; and no autograd.

    Those of float16 are summed in float32, no less.
    The switches are the process's: they are put back at the end, and other threads see them until then.
    Raises StorageError (G21) where the device runs out of memory.
    """
    cuda, cpu = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    switches: tuple[tuple[Any, str, object], ...] = (
        (cuda, "fp32_precision", "ieee"),
        (cpu, "fp32_precision", "ieee"),
        (cuda, "allow_fp16_reduced_precision_reduction", False),
    )
    before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, value in switches:
            setattr(owner, name, value)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            yield
    except torch.OutOfMemoryError as error:
        raise StorageError(
            "G21", f"out of memory on {device}", do="use fewer rows or classes, or the CPU (fewlabels.propagate)"
        ) from error
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def block_bytes(device: torch.device) -> int:
    """What one block of a stage may take beside its input and its result."""
    return 2**30 if device.type == "cuda" else 2**27


def blocks(rows: Tensor, bytes_per_entry: int) -> Iterator[slice]:
    """Consecutive rows of (n, d), as many as fit into block_bytes at so many bytes for each entry."""
    step = max(1, block_bytes(rows.device) // (bytes_per_entry * rows.shape[1]))
    for start in range(0, rows.shape[0], step):
        yield slice(start, min(start + step, rows.shape[0]))


def comparable_rows(descriptors: NDArray[np.generic] | Tensor, metric: Metric, device: torch.device) -> Tensor:
    """rows.comparable_rows on the device: (n, d) float32, from an array, or from a tensor without leaving the device.

    Raises EmbeddingError as rows.comparable_rows does (E1, E8 to E10).
    """
    if not isinstance(descriptors, Tensor):
        return torch.from_numpy(comparable_on_host(descriptors, metric)).to(device)
    table = _check_tensor(descriptors).to(device)
    rows = torch.empty(table.shape, dtype=torch.float32, device=device)
    largest = torch.cat([table[part].double().abs().amax(1) for part in blocks(table, 16)])
    bad = (~largest.isfinite()).nonzero()[:, 0]
    if bad.numel():
        raise EmbeddingError(
            "E1", "NaN or infinity in descriptors", rows=bad.tolist(), do="remove or repair these rows"
        )
    scale = largest if metric == "cosine" else largest.max().expand_as(largest)
    scale = torch.where(scale > 0, scale, 1)
    for part in blocks(table, 24):
        wide = table[part].double() / scale[part, None]
        if metric == "cosine":
            length = sum_rows(wide * wide).sqrt()
            wide /= torch.where(length > 0, length, 1)[:, None]
        rows[part] = wide
    return rows


def sum_rows(numbers: Tensor) -> Tensor:
    """(q,) sums of the rows of (q, d), which is used up, by halves: equal rows of different blocks have equal sums.

    The order in which `sum` adds may depend on the shape of the block.
    """
    width = numbers.shape[1]
    while width > 1:
        half = (width + 1) // 2
        numbers[:, : width - half] += numbers[:, half:width]
        width = half
    return numbers[:, 0]


def _check_tensor(descriptors: Tensor) -> Tensor:
    shape = tuple(descriptors.shape)
    if len(shape) != 2:
        raise EmbeddingError("E9", f"descriptors have shape {shape}, expected two dimensions (rows, features)")
    if descriptors.is_complex() or descriptors.layout != torch.strided:
        raise EmbeddingError(
            "E10",
            f"descriptors have type {descriptors.dtype} and layout {descriptors.layout}, expected dense real numbers",
            do="convert them",
        )
    if 0 in shape:
        raise EmbeddingError("E8", f"descriptors have shape {shape}, expected at least one row and one feature")
    return descriptors.detach()


def find_distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The first row of each group of equal rows, ascending, and for each row the number of its group.

    rows: (n, d) float32. As in graph.build_graph, an all-zero row equals none. Rows are sorted by a hash and each is
    compared with the first of its hash; should one differ, the CPU's way takes over.
    """
    everyone = torch.arange(rows.shape[0], device=rows.device)
    hashes = _hash_rows(rows)
    ordered, order = hashes.sort(stable=True)  # stable: the first of equal hashes has the smallest row number
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[1:] = ordered[1:] != ordered[:-1]
    first = torch.empty_like(order)
    first[order] = order[new][new.cumsum(0) - 1]
    first = torch.where(rows.any(1), first, everyone)
    copies = (first != everyone).nonzero()[:, 0]
    for part in blocks(rows, 16):
        some = copies[part]
        if not torch.equal(rows[some], rows[first[some]]):
            first_on_host, number_on_host = distinct_rows(rows.cpu().numpy(), rows.any(1).cpu().numpy())
            return torch.from_numpy(first_on_host).to(rows.device), torch.from_numpy(number_on_host).to(rows.device)
    leaders = (first == everyone).nonzero()[:, 0]
    number = torch.empty_like(everyone)
    number[leaders] = torch.arange(leaders.numel(), device=rows.device)
    return leaders, number[first]


def _hash_rows(rows: Tensor) -> Tensor:
    """(n,) int64, equal for equal rows. Whole numbers: the order in which they are added does not matter."""
    odd = np.random.default_rng(HASH_FACTORS).integers(-(2**62), 2**62, rows.shape[1]) * 2 + 1
    factors = torch.from_numpy(odd).to(rows.device)
    hashes = torch.empty(rows.shape[0], dtype=torch.int64, device=rows.device)
    for part in blocks(rows, 40):
        mixed = (rows[part] + 0.0).view(torch.int32) * factors  # + 0: -0.0 equals 0.0; wraps around at 2^64
        hashes[part] = (mixed ^ (mixed >> 29)).sum(1)
    return hashes
