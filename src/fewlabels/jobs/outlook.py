"""What a training is about to do, in one line: how long it takes depends on the pixels and the steps."""

from __future__ import annotations

from ..training.epoch import steps_of
from ..training.settings import TrainSettings
from .task import Task


def outlook(task: Task, settings: TrainSettings) -> str:
    """What is about to be trained, and on what: how long it takes depends on the pixels above all."""
    side, phases = task.pixels.shape[1], []
    for phase in settings.phases:
        steps = steps_of(phase, task.labels)
        phases.append(f"{phase.epochs} epochs of {steps:,} step{'s' * (steps != 1)} ({phase.method})")
    return (
        f"{len(task.labels):,} images at {side} x {side} pixels (--image-size), {task.num_labeled:,} of them labelled, "
        f"{len(task.class_names)} classes: {', then '.join(phases)}"
    )
