"""One process or many: the same code. The only module that speaks to torch.distributed.

Every process holds all images and the whole network, and takes its share of each batch; gradients and the running
statistics of batch norm are averaged, so all have the same weights after every step. torchrun starts the processes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..errors import ConfigError, RunError
from .identity import find_differences, list_differences, to_plain
from .interrupt import Stopped

TIMEOUT = 600.0  # seconds to wait for the others: longer than a propagation, which the first does alone
MAY_DIFFER = ("platform", "processor")  # versions of a machine: sums are averaged, and all get the same result
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
        """Which of the `count` rows of a batch this process takes: every size-th."""
        return slice(self.rank, count, self.size)

    def span(self, count: int) -> range:
        """Which of `count` items this process computes: neighbouring ones, so that gather() keeps their order."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each float32 tensor by its mean over the processes, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _as_run_error():
            dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def gather(self, part: torch.Tensor) -> torch.Tensor:
        """The parts (m_0, d), (m_1, d), ... of all processes, one after the other; the same in all."""
        if self.size == 1:
            return part
        lengths = [torch.zeros(1, dtype=torch.int64, device=part.device) for _ in range(self.size)]
        with _as_run_error():
            dist.all_gather(lengths, torch.tensor([part.shape[0]], device=part.device))
        longest = max(int(length) for length in lengths)
        padded = part.new_zeros((longest, *part.shape[1:]))
        padded[: part.shape[0]] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _as_run_error():
            dist.all_gather(parts, padded)
        return torch.cat([one[: int(length)] for one, length in zip(parts, lengths, strict=True)])

    def broadcast(self, tensor: torch.Tensor) -> torch.Tensor:
        """The leader's values; the others hand in a tensor of the same shape and type, which is overwritten."""
        if self.size > 1:
            with _as_run_error():
                dist.broadcast(tensor, src=0)
        return tensor

    def broadcast_text(self, text: str, device: torch.device | str) -> str:
        """The leader's text; the others may hand in any."""
        data = text.encode() if self.leads else b""
        room = torch.zeros(self.reduce_max(len(data), device), dtype=torch.uint8, device=device)
        if self.leads:
            room.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        return bytes(self.broadcast(room).cpu().numpy()).decode()

    def run_in_leader(self, work: Callable[[], Found], device: torch.device | str) -> Found | None:
        """Call `work` in the first process alone and return its result; the others wait and return None.

        Raises its error in the first process and RunError (X13) in the others; Stopped in all.
        """
        found, problem = None, None
        if self.leads:
            try:
                found = work()
            except Exception as caught:  # noqa: BLE001  raised again below, once the others know
                problem = caught
        state = self.reduce_max(0 if problem is None else 1 + isinstance(problem, Stopped), device)
        if problem is not None:
            raise problem
        if state:
            raise Stopped if state > 1 else RunError("X13", "the first process failed", do="see its message")
        return found

    def reduce_max(self, number: int, device: torch.device | str) -> int:
        """The largest of the numbers that the processes hand in."""
        if self.size == 1:
            return number
        found = torch.tensor([number], device=device)
        with _as_run_error():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)


ALONE = Group()


def count_processes() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if _by_torchrun() else 1


def _by_torchrun() -> bool:
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def _as_run_error() -> Iterator[None]:
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


def _rendezvous_of_attempt(timeout: timedelta) -> dict[str, Any]:
    """Where the processes find each other, for init_process_group; nothing where torch's own way is right.

    torchrun's store outlives processes that it starts again (--max-restarts), and torch 2.13 reads in it where those of
    the attempt before were listening, and waits for them. On one machine all know the number of the attempt.
    """
    told = os.environ
    if told.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or told.get("GROUP_WORLD_SIZE") != "1":
        return {}
    host, port, attempt = told["MASTER_ADDR"], int(told["MASTER_PORT"]), told["TORCHELASTIC_RESTART_COUNT"]
    store = dist.TCPStore(host, port, is_master=False, timeout=timeout)  # type: ignore[attr-defined]
    own = dist.PrefixStore(f"attempt {attempt}", store)  # type: ignore[attr-defined]
    return {"store": own, "rank": int(told["RANK"]), "world_size": int(told["WORLD_SIZE"])}


@contextmanager
def join_processes(device: str, timeout_seconds: float | None = None) -> Iterator[tuple[Group, str]]:
    """Join the processes that torchrun has started: yields (group, device of this process); a group of one without it.

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
    with _as_run_error():
        rendezvous = _rendezvous_of_attempt(waiting)
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=waiting, **rendezvous)
    try:
        yield Group(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()


def demand_same_in_all(group: Group, identity: dict[str, Any], device: torch.device | str) -> None:
    """Refuse a run whose processes, which may be on several machines, do not have the same settings, data and versions.

    Otherwise each would train on what it has, and the averaged weights would be of no data set at all.
    identity: of the run (identity.py). Raises ConfigError (X6) in a process that differs from the first one, RunError
    (X13) in the others.
    """
    if group.size == 1:
        return
    mine = to_plain({name: identity[name] for name in ("settings", "data", "versions")})
    for name in MAY_DIFFER:
        mine["versions"].pop(name, None)
    first = json.loads(group.broadcast_text(json.dumps(mine), device))
    found = find_differences(first, mine)
    if group.reduce_max(len(found), device) == 0:
        return
    if not found:
        do = "see its message; all need the same files and the same versions"
        raise RunError("X13", "another process of this run has other settings, data or versions", do=do)
    what = f"process {group.rank} has not what the first one has: {list_differences(found)}"
    raise ConfigError("X6", what, do="give every machine the same files, and install the same versions")
