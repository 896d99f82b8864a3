"""What a run writes and tells while it trains: events, progress, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from ..runs import RunWriter
from ..train.checkpoint import Checkpoints
from ..train.epoch import batch_size, steps_of
from ..train.evaluate import error_percent, evaluate
from ..train.execution import Execution
from ..train.settings import TrainSettings
from ..train.snapshot import Snapshot
from ..train.targets import Targets
from ..train.watch import EpochReport, Watch, Wish
from .measures import accuracy_percent, certainty, health
from .progress import Progress
from .task import Task

MOST_MEASURED = 50  # epochs of a phase after which the test error is measured
FIRST_MEASURED = 3  # epochs of a later phase: its learning rate starts high, and the error with it


class Log:
    """The events of a run: written as they come, and kept to draw its results from.

    writer: None in a process that does not write.
    """

    def __init__(self, writer: RunWriter | None, before: list[dict[str, Any]]) -> None:
        self._writer = writer
        self.events = before

    def add(self, event: str, values: Mapping[str, Any]) -> None:
        self.events.append({"event": event, **values})
        if self._writer is not None:
            self._writer.event(event, **values)

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == "epoch"]


class Keeper:
    """Says when a run is to be saved, and saves it.

    seconds: between two checkpoints. stop: the number of a signal that asked to stop, or None.
    """

    def __init__(
        self, checkpoints: Checkpoints, log: Log, seconds: float, stop: Callable[[], int | None], *, leads: bool
    ) -> None:
        self._checkpoints, self._log, self._seconds, self._stop = checkpoints, log, seconds, stop
        self._leads = leads
        self._saved_at = time.monotonic()
        self.step = 0  # of the newest checkpoint
        self.ends = False  # the last epoch is over: what follows must not cost it

    def wish(self) -> Wish:
        if self._stop() is not None:
            return Wish.STOP
        due = self.ends or time.monotonic() - self._saved_at >= self._seconds
        return Wish.SAVE if due and self._leads else Wish.GO_ON

    def save(self, snapshot: Snapshot) -> None:
        values = snapshot.values | {"events": len(self._log.events)}
        self.step = snapshot.values["place"]["done"]
        self._checkpoints.save(self.step, replace(snapshot, values=values))
        self._saved_at, self.ends = time.monotonic(), False


class Watcher:
    """Measures after every epoch: an event in the run folder, and a note beside the progress bar."""

    def __init__(
        self, task: Task, settings: TrainSettings, execution: Execution, log: Log, keeper: Keeper, progress: Progress
    ) -> None:
        self._task, self._settings, self._execution = task, settings, execution
        self._log, self._keeper, self._progress = log, keeper, progress
        self._test = None if task.test_pixels is None else torch.from_numpy(task.test_pixels).to(execution.device)
        self._note = ""

    def watch(self) -> Watch:
        return Watch(
            on_targets=self._facts,
            on_stage=lambda stage, share: self._progress.step(f"{stage} {100 * share:.0f} %", 0),
            on_steps=lambda images: self._progress.step(self._note, images),
            on_epoch=self._epoch,
            wish=self._keeper.wish,
            save=self._keeper.save,
        )

    def _epoch(self, report: EpochReport) -> None:
        measured = _is_measured(report)
        event = {
            "phase": report.phase.method,
            "phase_index": report.phase_index,
            "epoch": report.number,
            "steps": report.steps,
            "learning_rate": report.learning_rate,
            "consistency_weight": report.consistency,
            "loss": report.loss,
            "seconds": round(report.seconds, 4),
            "test_error": self._test_error(report.network) if measured else None,
            "teacher_test_error": self._test_error(report.teacher) if measured else None,
        }
        self._log.add("epoch", event | report.facts)
        noted = {
            "loss": report.loss,
            "test error %": event["test_error"],
            "pseudo-labels right %": report.facts.get("pseudo_label_accuracy"),
            "certainty": report.facts.get("mean_certainty"),
        }
        note = ", ".join(f"{name} {value:.3g}" for name, value in noted.items() if value is not None)
        self._note = f"{report.phase.method}: {note}"
        self._progress.step(self._note, 0)
        last = self._settings.phases[-1]
        self._keeper.ends = report.phase is last and report.number + 1 == last.epochs

    def _test_error(self, network: nn.Module | None) -> float | None:
        if network is None or self._test is None or self._task.test_truth is None:
            return None
        return error_percent(evaluate(network, self._test, self._execution).logits, self._task.test_truth)

    def _facts(self, targets: Targets) -> dict[str, Any]:
        """Numbers about pseudo-labels as they are made; nothing where all labels are given."""
        if targets.propagation is None:
            return {}
        task, found = self._task, targets.propagation.pseudo_labels
        facts = health(targets.propagation)
        measured = certainty(targets.propagation, task.labels, task.truth)
        return {
            "pseudo_label_accuracy": accuracy_percent(found.label, task.labels, task.truth),
            "mean_certainty": measured["certainty"],
            "certainty_right": measured["certainty_right"],
            "certainty_wrong": measured["certainty_wrong"],
            "unreached": facts["unreached"],
            "components": facts["graph"]["num_components"],
            "solver_steps": facts["solver"]["steps"],
            "solver_residual": facts["solver"]["residual"],
            "class_counts": np.bincount(found.label[found.reached], minlength=len(task.class_names)).tolist(),
        }


def total_images(settings: TrainSettings, labels: np.ndarray) -> int:
    """Images that all steps of a run will see."""
    return sum(phase.epochs * steps_of(phase, labels) * batch_size(phase, labels) for phase in settings.phases)


def images_before(settings: TrainSettings, labels: np.ndarray, place: Mapping[str, int]) -> int:
    """Images that the steps before a place have seen: what the progress bar of a resumed run begins with."""
    done = 0
    for number, phase in enumerate(settings.phases[: place["phase"] + 1]):
        epochs = place["epoch"] if number == place["phase"] else phase.epochs
        done += epochs * steps_of(phase, labels) * batch_size(phase, labels)
    return done + place["step"] * batch_size(settings.phases[place["phase"]], labels)


def _is_measured(report: EpochReport) -> bool:
    """Whether test images are looked at after this epoch: at the last of a phase, about 50 spread over it, and the
    first ones of a phase that follows another.
    """
    if report.phase_index > 0 and report.number < FIRST_MEASURED:
        return True
    left = report.phase.epochs - 1 - report.number
    return left % math.ceil(report.phase.epochs / MOST_MEASURED) == 0
