"""How a run is computed: device, speed, processes, memory. What it computes stands in settings.py."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from torch.utils import deterministic

from .distributed import ALONE, Group

Speed = Literal["deterministic", "fast"]


@cache
def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it. Emulated, a step takes ten times as long (docs/log.md)."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # not all versions have it
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@dataclass(frozen=True)
class Execution:
    """Where and how a run computes. device: that holds images and network. group: the processes that share the work.

    speed: "deterministic" computes in float32 with algorithms that give the same bits again on the same machine;
        "fast" runs the network in bfloat16 (statistics, loss, averages and graph stay in float32) where the device
        multiplies in it, takes any algorithm, and starts each solution of the graph from the last one, where the rules
        allow that.
    captured: on a GPU, record a whole step once and replay it (CUDA graph); elsewhere nothing changes.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    speed: Speed = "deterministic"
    captured: bool = True
    group: Group = ALONE

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor lies on the device. "cuda" is the current GPU, and a tensor there says "cuda:0"."""
        there = tensor.device
        return there.type == self.device.type and self.device.index in (None, there.index)

    @property
    def precision(self) -> torch.dtype:
        """dtype that the network computes in."""
        return torch.bfloat16 if self.speed == "fast" and multiplies_bfloat16(self.device) else torch.float32

    def autocast(self) -> torch.autocast:
        """The context that a forward pass runs in.

        On a GPU without the cache of weights in bfloat16: a recorded step must not find one from before the recording.
        """
        low = self.precision is torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=low, cache_enabled=not self.on_gpu)

    @contextmanager
    def algorithms(self) -> Iterator[None]:
        """Let torch choose its algorithms as `speed` says; everything is as it was afterwards.

        torch's global generators are left alone: inside, every step seeds them by its counter.
        """
        before = torch.are_deterministic_algorithms_enabled()
        precision = torch.get_float32_matmul_precision()
        benchmark = torch.backends.cudnn.benchmark
        filled = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
        if self.speed == "deterministic":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it first starts
        try:
            torch.use_deterministic_algorithms(self.speed == "deterministic")
            # Filling new tensors with NaN is for finding reads of what was never written; it costs a tenth of a step.
            deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = self.speed == "fast"
            torch.set_float32_matmul_precision("high" if self.speed == "fast" else "highest")
            # Streams are made on the current device: cuda:1 would otherwise be recorded by a stream of cuda:0.
            here = torch.cuda.device(self.device) if self.on_gpu else nullcontext()
            with here, torch.random.fork_rng(devices=[self.device] if self.on_gpu else []):
                yield
        finally:
            torch.use_deterministic_algorithms(before)
            deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
            torch.backends.cudnn.benchmark = benchmark
            torch.set_float32_matmul_precision(precision)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST = 32 << 20  # bytes; glibc takes no more. Larger blocks come from the system each time.
KEPT = 1 << 30  # bytes


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of what it frees, for good; whether that was done.

    Every step takes the same large tensors and frees them. Given back to the system, they come as fresh pages, which
    the system has to clear: about a twentieth of a step on a CPU. Nothing is done without glibc, or where the
    environment says how memory is to be handled.
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        tune = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    # The second alone would have every block of 128 KiB taken from the system.
    return bool(tune(M_MMAP_THRESHOLD, LARGEST)) and bool(tune(M_TRIM_THRESHOLD, KEPT))
