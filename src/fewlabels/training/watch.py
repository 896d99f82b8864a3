"""What a caller of the loop is told, and what it may ask of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from torch import nn

from .checkpoint import Snapshot
from .settings import Phase
from .targets import Targets


class Wish(IntEnum):
    """What is to happen at the next place where a run can be left and taken up again."""

    GO_ON = 0
    SAVE = 1
    STOP = 2  # save, then raise Stopped


class Stopped(Exception):
    """The run was asked to stop, and is saved."""


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    loss: mean over its steps. learning_rate: of its last step. consistency: weight of the teacher's word, 0 without
    one. seconds: all of it, with the propagation, since the run was last taken up. facts: what `on_targets` noted.
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


@dataclass(frozen=True)
class Watch:
    """on_targets: called with an epoch's targets as soon as they are made; what it returns (JSON) is kept with them,
        through checkpoints too. on_stage: told each stage of the propagation and its share.
    on_steps: called with the number of images that were trained on. on_epoch: after every epoch.
    wish: asked after every step. save: called with a snapshot when it wished so.
    In a group of processes on_targets and save are called in the first alone, the others in all.
    """

    on_targets: Callable[[Targets], dict[str, Any]] = lambda targets: {}
    on_stage: Callable[[str, float], None] = lambda stage, share: None
    on_steps: Callable[[int], None] = lambda images: None
    on_epoch: Callable[[EpochReport], None] = lambda report: None
    wish: Callable[[], Wish] = lambda: Wish.GO_ON
    save: Callable[[Snapshot], None] = lambda snapshot: None
