"""How a training is run, whatever is trained."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConfigError
from ..training.execution import Speed
from .guards import OnCollapse


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, whatever is run.

    device: "cpu", "cuda" or "cuda:1". speed: training/execution.py. save_every: seconds between checkpoints.
    resume: take up the run in the folder, if there is one; begin it otherwise. allow_inexact: also where versions,
        threads, processes or the device changed, so that the last bits will not be the same.
    quiet: say nothing on the way. go_on: the words that take the run up again; empty: this command with --resume.
    on_collapse: what to do where two guards that need no labels say that training collapsed (guards.py): "warn", or
        "stop": save, then NumericsError (P23). tensorboard: write event files to <folder>/tensorboard as well.
    """

    device: str = "cpu"
    speed: Speed = "deterministic"
    save_every: float = 60.0
    resume: bool = False
    allow_inexact: bool = False
    quiet: bool = False
    go_on: tuple[str, ...] = ()
    on_collapse: OnCollapse = "warn"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.on_collapse not in ("warn", "stop"):
            raise ConfigError("C67", f"on_collapse is {self.on_collapse!r}, expected warn or stop")
