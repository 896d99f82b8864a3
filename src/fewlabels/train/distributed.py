"""One process or many: the same code. The only module that speaks to torch.distributed.

Every process holds all images and the whole network, and takes its share of each batch; gradients and the running
statistics of batch norm are averaged, so all have the same weights after every step. torchrun starts the processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Group:
    """rank: number of this process. size: how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that propagates labels and writes files."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` places of a batch are this process's: every size-th."""
        return slice(self.rank, count, self.size)

    def run(self, count: int) -> range:
        """Which of `count` places in a row are this process's: a run of them, so that all runs in order are all."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each float32 tensor by its mean over the processes, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def gathered(self, part: torch.Tensor) -> torch.Tensor:
        """The parts of all processes, (m_0, d), (m_1, d), ... one after the other."""
        if self.size == 1:
            return part
        lengths = [torch.zeros(1, dtype=torch.int64, device=part.device) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([part.shape[0]], device=part.device))
        longest = max(int(length) for length in lengths)
        padded = part.new_zeros((longest, *part.shape[1:]))
        padded[: part.shape[0]] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.cat([one[: int(length)] for one, length in zip(parts, lengths, strict=True)])

    def from_leader(self, tensor: torch.Tensor) -> torch.Tensor:
        """The leader's values; the others hand in a tensor of the same shape and type, which is overwritten."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)
        return tensor

    def largest(self, number: int, device: torch.device) -> int:
        """The largest of the numbers that the processes hand in."""
        if self.size == 1:
            return number
        found = torch.tensor([number], device=device)
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)


ALONE = Group()


@contextmanager
def joined(device: str, timeout_seconds: float = 600) -> Iterator[tuple[Group, str]]:
    """(group, device of this process), as torchrun's environment says; alone where there is none.

    Processes talk by NCCL on GPUs, each on the GPU of its local rank, and by gloo on CPUs.
    timeout_seconds: how long to wait for a process that is gone; torch then raises an error in all the others.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield ALONE, device
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=timedelta(seconds=timeout_seconds))
    try:
        yield Group(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
