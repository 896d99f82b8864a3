"""What a training is about to do, in one line: how long it takes depends on the pixels and the steps."""

from __future__ import annotations

from ..train.epoch import steps_of
from ..train.settings import TrainSettings
from .task import Task


def outlook(task: Task, settings: TrainSettings) -> str:
    """What is about to be trained, and on what: how long it takes depends on the pixels above all."""
    side, num_labeled = task.pixels.shape[1], task.num_labeled
    phases = ", then ".join(
        f"{phase.epochs} epochs of {steps_of(phase, task.labels)} steps ({phase.method})" for phase in settings.phases
    )
    return (
        f"{len(task.labels):,} images at {side} x {side} pixels (--image-size), {num_labeled:,} of them labelled, "
        f"{len(task.class_names)} classes: {phases}"
    )
