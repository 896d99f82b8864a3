"""While a network trains: its events, when it is saved or stopped, and what is measured after every epoch."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..conventions import UNLABELED
from ..errors import CollapseWarning, ConfigError, FewlabelsError, NumericsError, install_command, warn
from ..runs import RunWriter
from ..training.callbacks import Callbacks, EpochReport, Request
from ..training.checkpoint import Checkpoints, Snapshot
from ..training.epoch import batch_size, count_steps
from ..training.evaluate import error_percent, evaluate
from ..training.execution import Execution
from ..training.interrupt import make_interrupt_error
from ..training.settings import Phase, TrainSettings
from ..training.targets import Targets
from .guards import Known, OnCollapse, find_alarms, find_collapse, pick_error
from .progress import Pace, Progress
from .results import accuracy_percent, measure_certainty, measure_health
from .task import Task

WHAT_TO_DO = "look at the labels and at the report; another seed or fewer neighbours may do better"
MOST_MEASURED = 50  # epochs of a phase after which the test error is measured
FIRST_MEASURED = 3  # epochs of a later phase: its learning rate starts high, and the error with it
MEASURING_SHARE = 0.1  # of a phase's work that measuring may add to it; its last epoch is measured in any case
FORWARD_SHARE = 1 / 3  # of the work of training on an image that looking at one takes: no gradients
FLUSHED_EVERY = 10  # seconds
SCALARS = {
    "loss": "loss",
    "learning_rate": "learning_rate",
    "consistency_weight": "consistency_weight",
    "test_error": "test_error/student",
    "teacher_test_error": "test_error/teacher",
    "pseudo_label_accuracy": "pseudo_labels/accuracy",
    "mean_certainty": "pseudo_labels/certainty",
    "certainty_right": "pseudo_labels/certainty_of_right_ones",
    "certainty_wrong": "pseudo_labels/certainty_of_wrong_ones",
    "unreached": "pseudo_labels/unreached",
}


class Log:
    """The events of a run: written as they come, and kept to draw its results from.

    writer: None in a process that does not write. board: shows them in TensorBoard too.
    """

    def __init__(self, writer: RunWriter | None, before: list[dict[str, Any]], board: Board | None = None) -> None:
        self._writer, self._board = writer, board
        self.events = before
        for event in before if board else ():
            self._show(event)

    def add(self, event: str, values: Mapping[str, Any]) -> None:
        self.events.append({"event": event, **values})
        if self._writer is not None:
            self._writer.event(event, **values)
        self._show(self.events[-1])

    def _show(self, event: dict[str, Any]) -> None:
        if self._board is not None:
            self._board.add(event)

    def close(self) -> None:
        """Nothing follows: what TensorBoard reads is complete on disk."""
        if self._board is not None:
            self._board.close()

    @property
    def epochs(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == "epoch"]


def demand_tensorboard() -> None:
    """Raises ConfigError (C66) where it is not installed."""
    if find_spec("tensorboard") is None:
        raise ConfigError("C66", "TensorBoard is not installed", do=install_command("tensorboard"))


class Board:
    """A run's events as TensorBoard shows them; a view, sealed with the folder: what counts is events.jsonl.

    Files of an earlier attempt are removed: a run that is taken up writes them anew from its events, so nothing is
    there twice and nothing that was undone stays. Steps are training steps so far.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer = SummaryWriter(str(folder), flush_secs=FLUSHED_EVERY)
        self._steps = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """Show an event: the numbers of an epoch that are known, the words of a guard. Others are not shown."""
        if event["event"] == "epoch":
            self._steps += event["steps"]
            for name, tag in SCALARS.items():
                if event.get(name) is not None:
                    self._writer.add_scalar(tag, event[name], self._steps)
        if event["event"] == "guard":
            self._writer.add_text("guards", event["message"], self._steps)

    def close(self) -> None:
        """All is written to disk."""
        self._writer.close()


@dataclass(kw_only=True)
class CheckpointPolicy:
    """Says after every step whether to go on, to save or to stop, and saves.

    seconds: between two checkpoints. stop: called with nothing, gives the number of a signal that asked to stop, or
    None. spent: likewise, the seconds that the run has taken, those before it was taken up included. on_collapse: what
    two label-free guards do. leads: whether this process saves. step: of the newest checkpoint.
    """

    checkpoints: Checkpoints
    log: Log
    seconds: float
    stop: Callable[[], int | None]
    spent: Callable[[], float]
    on_collapse: OnCollapse = "warn"
    leads: bool = True
    step: int = 0
    _saved_at: float = field(default_factory=time.monotonic, init=False)
    _ends: bool = field(default=False, init=False)  # the last epoch is over: what follows must not cost it
    _collapse: list[str] = field(default_factory=list, init=False)  # what guards said, if the run is to stop for it

    def __post_init__(self) -> None:
        self.after_epoch(ends=False)  # a run that stopped for a collapse stops again when it is taken up

    def after_epoch(self, *, ends: bool) -> None:
        """The events of an epoch are in the log. ends: it was the last one."""
        self._ends = ends
        if self.on_collapse == "stop":
            self._collapse = find_collapse(self.log.events)

    def request(self) -> Request:
        if self.stop() is not None or self._collapse:
            return Request.STOP
        due = self._ends or time.monotonic() - self._saved_at >= self.seconds
        return Request.SAVE if due and self.leads else Request.CONTINUE

    def save(self, snapshot: Snapshot) -> None:
        values = snapshot.values | {"events": len(self.log.events), "seconds": self.spent()}
        self.step = snapshot.values["place"]["done"]
        self.checkpoints.save(self.step, replace(snapshot, values=values))
        self._saved_at, self._ends = time.monotonic(), False

    def why_stopped(self, command: Sequence[str]) -> FewlabelsError:
        """The error to end with, once all is saved: by a signal, a collapse or another process. command: goes on."""
        number = self.stop()
        if number is None and self._collapse:
            return NumericsError(
                "P23",
                f"training collapsed: {'; '.join(self._collapse)}; stopped after step {self.step}, all is saved",
                do="look at the labels, start anew with a lower --learning-rate, or go on: "
                f"{shlex.join(command)} --on-collapse warn",
            )
        return make_interrupt_error(number, self.step if self.leads else None, command)


class Watcher:
    """Measures after every epoch: an event in the run folder, and a note beside the progress bar.

    test: of each phase the test images as the network takes them, as in loop.train; None without any.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainSettings,
        execution: Execution,
        policy: CheckpointPolicy,
        progress: Progress,
        test: Sequence[torch.Tensor] | None,
    ) -> None:
        self._task, self._settings, self._execution = task, settings, execution
        self._log, self._policy, self._progress = policy.log, policy, progress
        self._test = test
        given = np.bincount(task.labels[task.labels != UNLABELED], minlength=len(task.class_names))
        self._known = Known(given.tolist(), task.class_names, task.num_test)
        self._note = describe_epoch(policy.log.events)
        self._epochs = [(phase.epochs, count_epoch_images(phase, task.labels)) for phase in settings.phases]
        self._total = sum(count * images for count, images in self._epochs)
        self._done = progress.done
        self._pace = Pace()

    def callbacks(self) -> Callbacks:
        return Callbacks(
            on_targets=self._describe_targets,
            on_progress=lambda stage, share: self._progress.step((self._place, describe_stage(stage, share)), 0),
            on_steps=self._count_steps,
            on_epoch=self._measure_epoch,
            request=self._policy.request,
            save=self._policy.save,
        )

    def _count_steps(self, images: int) -> None:
        self._done += images
        self._pace.mark(self._done)
        self._tell(images)

    @property
    def _place(self) -> str:
        return describe_place(self._epochs, self._done)

    def _tell(self, images: int) -> None:
        """So many images more, where the run is, what the last epoch did, and the time left."""
        left = self._pace.seconds(self._done, self._total)
        self._progress.step((self._place, *self._note), images, left)

    def _measure_epoch(self, report: EpochReport) -> None:
        epoch_images, num_networks = self._epochs[report.phase_index][1], 1 + (report.teacher is not None)
        measured = is_measured(report, epoch_images, self._task.num_test * num_networks)
        event = {
            "phase": report.phase.method,
            "phase_index": report.phase_index,
            "epoch": report.number,
            "steps": report.steps,
            "learning_rate": report.learning_rate,
            "consistency_weight": report.consistency,
            "loss": report.loss,
            "seconds": round(report.seconds, 4),
            "test_error": self._test_error(report.network, report.phase_index) if measured else None,
            "teacher_test_error": self._test_error(report.teacher, report.phase_index) if measured else None,
        }
        self._log.add("epoch", event | report.facts)
        if self._execution.group.leads:
            self._guard(report)
        self._note = describe_epoch(self._log.events)
        self._tell(0)
        last = self._settings.phases[-1]
        self._policy.after_epoch(ends=report.phase is last and report.number + 1 == last.epochs)

    def _guard(self, report: EpochReport) -> None:
        """Warn of what this epoch's guards saw for the first time in its phase, and note it as events."""
        for alarm in find_alarms(self._log.events, self._known):
            where = f"phase {report.phase_index + 1} ({report.phase.method}), epoch {report.number + 1}"
            place = {"phase": report.phase.method, "phase_index": report.phase_index, "epoch": report.number}
            message = f"{where}: {alarm.words}"
            self._log.add("guard", {"guard": alarm.guard, **place, "message": message, **alarm.values})
            self._progress.make_room()
            warn(CollapseWarning(f"FL-P23 {message}; {WHAT_TO_DO}"))

    def _test_error(self, network: nn.Module | None, phase: int) -> float | None:
        if network is None or self._test is None or self._task.test_truth is None:
            return None
        return error_percent(evaluate(network, self._test[phase], self._execution).logits, self._task.test_truth)

    def _describe_targets(self, targets: Targets) -> dict[str, Any]:
        """Numbers about pseudo-labels as they are made; nothing where all labels are given."""
        if targets.propagation is None:
            return {}
        task, found = self._task, targets.propagation.pseudo_labels
        facts = measure_health(targets.propagation)
        measured = measure_certainty(targets.propagation, task.labels, task.truth)
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


def count_images(settings: TrainSettings, labels: np.ndarray) -> int:
    """Images that all steps of a run will see."""
    return sum(phase.epochs * count_epoch_images(phase, labels) for phase in settings.phases)


def count_images_before(settings: TrainSettings, labels: np.ndarray, place: Mapping[str, int]) -> int:
    """Images that the steps before a place have seen: what the progress bar of a resumed run begins with."""
    done = 0
    for number, phase in enumerate(settings.phases[: place["phase"] + 1]):
        epochs = place["epoch"] if number == place["phase"] else phase.epochs
        done += epochs * count_epoch_images(phase, labels)
    return done + place["step"] * batch_size(settings.phases[place["phase"]], labels)


def count_epoch_images(phase: Phase, labels: np.ndarray) -> int:
    """Images that the steps of one epoch see."""
    return count_steps(phase, labels) * batch_size(phase, labels)


def describe_place(epochs: Sequence[tuple[int, int]], done: int) -> str:
    """ "phase 1/2, epoch 3/40": where the next image lies after the first `done` of them.

    epochs: of each phase, how many, and images in one.
    """
    for number, (count, images) in enumerate(epochs, 1):
        if done < count * images or number == len(epochs):
            break
        done -= count * images
    epoch = f"epoch {min(done // images + 1, count)}/{count}"
    return epoch if len(epochs) == 1 else f"phase {number}/{len(epochs)}, {epoch}"


def describe_stage(stage: str, share: float) -> str:
    """A stage of the propagation; its share once there is one to tell."""
    return f"{stage} {100 * share:.0f} %" if share > 0 else stage


def is_measured(report: EpochReport, epoch_images: int, test_images: int) -> bool:
    """Whether the test error is measured after this epoch: always after the last of a phase.

    Else after as many as take a tenth of the training, 50 at most: the first three of a phase that follows another, if
    that leaves half of them, and the others spread evenly. It depends on numbers alone, not on the clock, so a run that
    is taken up again measures where it would have.

    epoch_images: that an epoch trains on. test_images: that are looked at each time, by all networks together.
    """
    epochs = report.phase.epochs
    affordable = MEASURING_SHARE * epochs * epoch_images / max(1.0, FORWARD_SHARE * test_images)
    count = int(min(MOST_MEASURED, max(1, affordable)))
    first = FIRST_MEASURED if report.phase_index > 0 and count >= 2 * FIRST_MEASURED else 0
    if report.number < first:
        return True
    return (epochs - 1 - report.number) % math.ceil(epochs / (count - first)) == 0


def describe_epoch(events: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What the last epoch did, in a few words each, the most telling first; nothing before the first."""
    epochs = [event for event in events if event["event"] == "epoch"]
    if not epochs:
        return ()
    last = epochs[-1]
    error = [found for epoch in epochs if (found := pick_error(epoch)) is not None]
    known = {
        "loss {:.3g}": last["loss"],
        "error {:.1f}%": error[-1] if error else None,  # not measured after every epoch
        "labels right {:.1f}%": last.get("pseudo_label_accuracy"),
        "certainty {:.2f}": last.get("mean_certainty"),
    }
    loss, *others = [words.format(value) for words, value in known.items() if value is not None]
    return (f"{last['phase']} {loss}", *others)
