"""One process or many: the same code. The only module that speaks to torch.distributed.

Every process holds all images and the whole network, and takes its share of each batch; gradients and the running
statistics of batch norm are averaged, so all have the same weights after every step. torchrun starts the processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..errors import RunError
from .watch import Stopped

TIMEOUT = 600.0  # seconds to wait for the others: longer than a propagation, which the first does alone
Found = TypeVar("Found")


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
        with _answers():
            dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def gathered(self, part: torch.Tensor) -> torch.Tensor:
        """The parts of all processes, (m_0, d), (m_1, d), ... one after the other."""
        if self.size == 1:
            return part
        lengths = [torch.zeros(1, dtype=torch.int64, device=part.device) for _ in range(self.size)]
        with _answers():
            dist.all_gather(lengths, torch.tensor([part.shape[0]], device=part.device))
        longest = max(int(length) for length in lengths)
        padded = part.new_zeros((longest, *part.shape[1:]))
        padded[: part.shape[0]] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _answers():
            dist.all_gather(parts, padded)
        return torch.cat([one[: int(length)] for one, length in zip(parts, lengths, strict=True)])

    def from_leader(self, tensor: torch.Tensor) -> torch.Tensor:
        """The leader's values; the others hand in a tensor of the same shape and type, which is overwritten."""
        if self.size > 1:
            with _answers():
                dist.broadcast(tensor, src=0)
        return tensor

    def text_from_leader(self, text: str, device: torch.device | str) -> str:
        """The leader's text; the others may hand in any."""
        data = text.encode() if self.leads else b""
        room = torch.zeros(self.largest(len(data), device), dtype=torch.uint8, device=device)
        if self.leads:
            room.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        return bytes(self.from_leader(room).cpu().numpy()).decode()

    def by_leader(self, work: Callable[[], Found], device: torch.device | str) -> Found | None:
        """What `work` gives in the first process; None in the others, which wait. If it fails, nobody waits in vain.

        Raises its error in the first process and RunError (X13) in the others; Stopped in all.
        """
        found, problem = None, None
        if self.leads:
            try:
                found = work()
            except Exception as caught:  # noqa: BLE001  raised again below, once the others know
                problem = caught
        state = self.largest(0 if problem is None else 1 + isinstance(problem, Stopped), device)
        if problem is not None:
            raise problem
        if state:
            raise Stopped if state > 1 else RunError("X13", "the first process failed", do="see its message")
        return found

    def largest(self, number: int, device: torch.device | str) -> int:
        """The largest of the numbers that the processes hand in."""
        if self.size == 1:
            return number
        found = torch.tensor([number], device=device)
        with _answers():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)


ALONE = Group()


def processes() -> int:
    """How many torchrun has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if _by_torchrun() else 1


def _by_torchrun() -> bool:
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def _answers() -> Iterator[None]:
    """Turn what torch raises where another process is gone or silent into one line: RunError (X13)."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(
            "X13", f"another process is gone or silent ({reason})", do="see its message; --resume goes on"
        ) from error


def _place_of_this_attempt(timeout: timedelta) -> dict[str, Any]:
    """Where the processes find each other, for init_process_group; nothing where torch's own way is right.

    torchrun's store outlives processes that it starts again (--max-restarts), and torch 2.13 reads in it where those of
    the attempt before were listening, and waits for them. On one machine all know the number of the attempt.
    """
    told = os.environ
    if told.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or told.get("GROUP_WORLD_SIZE") != "1":
        return {}
    host, port, attempt = told["MASTER_ADDR"], int(told["MASTER_PORT"]), told["TORCHELASTIC_RESTART_COUNT"]
    store = dist.TCPStore(host, port, is_master=False, timeout=timeout)  # type: ignore[attr-defined]
    place = dist.PrefixStore(f"attempt {attempt}", store)  # type: ignore[attr-defined]
    return {"store": place, "rank": int(told["RANK"]), "world_size": int(told["WORLD_SIZE"])}


@contextmanager
def joined(device: str, timeout_seconds: float | None = None) -> Iterator[tuple[Group, str]]:
    """(group, device of this process), as torchrun's environment says; alone where there is none.

    Processes talk by NCCL on GPUs, each on the GPU of its local rank, and by gloo on CPUs.
    timeout_seconds: how long to wait for a silent process, TIMEOUT if None. Then, and at once where a process has
        ended, the others raise RunError (X13).
    """
    if not _by_torchrun():
        yield ALONE, device
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    waiting = timedelta(seconds=TIMEOUT if timeout_seconds is None else timeout_seconds)
    with _answers():
        place = _place_of_this_attempt(waiting)
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=waiting, **place)
    try:
        yield Group(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
