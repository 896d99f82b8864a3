"""How a run is computed; what it computes is said in settings.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import torch

from .distributed import ALONE, Group

Speed = Literal["deterministic", "fast"]


@dataclass(frozen=True)
class Execution:
    """device: that holds images and network. group: the processes that share the work.

    speed: "deterministic" computes in float32 with algorithms that give the same bits again on the same machine;
        "fast" runs the network in bfloat16 (statistics, loss, averages and graph stay in float32), takes any algorithm,
        and starts each solution of the graph from the last one, where the rules allow that.
    captured: on a GPU, record a whole step once and replay it (CUDA graph); elsewhere nothing changes.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    speed: Speed = "deterministic"
    captured: bool = True
    group: Group = ALONE

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    def autocast(self) -> torch.autocast:
        """The context that a forward pass runs in."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.speed == "fast")

    @contextmanager
    def algorithms(self) -> Iterator[None]:
        """Let torch choose its algorithms as `speed` says; everything is as it was afterwards.

        torch's global generators are left alone: inside, every step seeds them by its counter.
        """
        before = torch.are_deterministic_algorithms_enabled()
        precision = torch.get_float32_matmul_precision()
        benchmark = torch.backends.cudnn.benchmark
        if self.speed == "deterministic":
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it first starts
        try:
            torch.use_deterministic_algorithms(self.speed == "deterministic")
            torch.backends.cudnn.benchmark = self.speed == "fast"
            torch.set_float32_matmul_precision("high" if self.speed == "fast" else "highest")
            with torch.random.fork_rng(devices=[self.device] if self.on_gpu else []):
                yield
        finally:
            torch.use_deterministic_algorithms(before)
            torch.backends.cudnn.benchmark = benchmark
            torch.set_float32_matmul_precision(precision)
