"""The callbacks of the training loop: what its caller is told, and how it asks for a checkpoint or for the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from torch import nn

from .checkpoint import Snapshot
from .settings import Phase
from .targets import Targets


class Request(IntEnum):
    """What the caller wants to happen after a step; of several processes the largest counts."""

    CONTINUE = 0
    SAVE = 1
    STOP = 2  # save, then raise Stopped


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """What one epoch did.

    number: of the epoch in its phase, from 0. loss: mean over its steps. learning_rate: of its last step.
    consistency: weight of the consistency loss, 0 without a teacher. seconds: the whole epoch, propagation included,
    since the run was started or resumed. facts: what `on_targets` returned.
    network, teacher: to look at, not to change; teacher is None where it is no network of its own.
    """

    phase: Phase
    phase_index: int
    number: int
    steps: int
    loss: float
    learning_rate: float
    consistency: float
    seconds: float
    facts: dict[str, Any]
    network: nn.Module
    teacher: nn.Module | None


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Functions that the loop calls; each does nothing unless it is given.

    on_targets: with an epoch's targets as soon as they are made. What it returns, as JSON holds it, is kept with them,
        in checkpoints too, and comes back in the report of the epoch.
    on_progress: as on_progress(stage, fraction), during a propagation.
    on_steps: after each step, with the number of images that it trained on.
    on_epoch: after each epoch, with its report.
    request: after each step on a CPU, after 50 on a GPU: whether to save or to stop.
    save: with a snapshot, when `request` asked for it.
    In a group of processes on_targets and save are called in the first alone, the others in all.
    """

    on_targets: Callable[[Targets], dict[str, Any]] = lambda targets: {}
    on_progress: Callable[[str, float], None] = lambda stage, fraction: None
    on_steps: Callable[[int], None] = lambda images: None
    on_epoch: Callable[[EpochReport], None] = lambda report: None
    request: Callable[[], Request] = lambda: Request.CONTINUE
    save: Callable[[Snapshot], None] = lambda snapshot: None
