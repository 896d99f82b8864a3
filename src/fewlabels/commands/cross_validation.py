"""The error that a network makes on labels it has not seen: cross-validated over the given labels.

Each fold trains a network of its own by the run's phases. Of a head on a frozen trunk they are somewhat shortened, on
some of the rows: seconds, as the descriptors are there. A whole network takes as long for each fold as the run did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..choosing.abstain import describe_curve, measure_curve
from ..choosing.folds import group_copies
from ..choosing.heads import log_shares
from ..choosing.scores import Interval, fit_temperature, temper, wilson
from ..conventions import UNLABELED
from ..graph import LeaveOneOut
from ..insights.compute import count_confusions
from ..randomness import generator
from ..training.callbacks import Callbacks
from ..training.evaluate import evaluate
from ..training.execution import Execution
from ..training.loop import Build, train
from ..training.settings import Phase, TrainSettings
from ..training.targets import PartialLabels

MOST_UNLABELED = 4000  # rows without a label that a fold trains on
PROPAGATED_STEPS = 150  # of a phase with all rows, in a fold; whole epochs
TENTH = 10  # nearest neighbour whose distance says what is near


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How to cross-validate.

    rows: (n, d) descriptors that near-copies are found by. num_folds: 0 for none. groups: (n,) int64, rows of one group
    are never on two sides, -1 for a row that is in none; None for no groups. shorten: some of the rows and shorter
    phases will do.
    """

    rows: NDArray[np.float32]
    num_folds: int = 5
    groups: NDArray[np.int64] | None = None
    shorten: bool = True


@dataclass(frozen=True, kw_only=True)
class CrossValidated:
    """What networks that had not seen them say of given labels.

    rows: (h,) int64, ascending. classes: (h,) int64, the labels they were given. logits: (h, c) float64.
    num_labeled: given labels in all. num_folds: heads that were trained.
    """

    rows: NDArray[np.int64]
    classes: NDArray[np.int64]
    logits: NDArray[np.float64]
    num_labeled: int
    num_folds: int

    @property
    def label(self) -> NDArray[np.int64]:
        """(h,) int64, the class each head says."""
        return np.asarray(self.logits.argmax(axis=1))

    @property
    def error(self) -> Interval:
        """Share of the held-out labels that were contradicted, with Wilson's 95 % interval."""
        return wilson(float((self.label != self.classes).sum()), len(self.rows))

    @property
    def temperature(self) -> float:
        """By which the logits are divided, so that softmax tells how often the network is right."""
        return fit_temperature(log_shares(self.logits), self.classes)

    def facts(self) -> dict[str, Any]:
        """For results.json: percentages, and of each class the number held out and how many of them were wrong."""
        num_classes, wrong, error = self.logits.shape[1], self.label != self.classes, self.error
        return {
            "error": 100 * float(wrong.mean()),
            "low": 100 * error.low,
            "high": 100 * error.high,
            "num_held_out": len(self.rows),
            "num_folds": self.num_folds,
            "temperature": self.temperature,
            "class_held_out": np.bincount(self.classes, minlength=num_classes).tolist(),
            "class_wrong": np.bincount(self.classes[wrong], minlength=num_classes).tolist(),
        }

    def calibration(self) -> dict[str, Any]:
        """For model.json: the temperature, and how many held-out labels were wrong from each probability up."""
        curve = measure_curve(temper(log_shares(self.logits), self.temperature), self.classes)
        return {"temperature": self.temperature, "held_out": describe_curve(curve)}

    def confusion(self) -> dict[str, Any] | None:
        """As insights.json has it."""
        return count_confusions(self.label, self.classes, self.logits.shape[1])

    def contradictions(self) -> LeaveOneOut:
        """The given labels and what the heads that had not seen them say."""
        logs = log_shares(self.logits / self.temperature)
        shares = np.exp(logs)
        at = np.arange(len(self.rows))
        own = shares[at, self.classes]
        others = shares.copy()
        others[at, self.classes] = -1
        entropy = -(shares * logs).sum(axis=1) / math.log(max(2, shares.shape[1]))
        return LeaveOneOut(
            rows=self.rows,
            num_labelled=self.num_labeled,
            given=self.classes,
            label=self.label,
            certainty=np.clip(1 - entropy, 0, 1),
            distribution=shares,
            share=own,
            judged=np.ones(len(self.rows), bool),
            suspicion=others.max(axis=1) - own,
        )


def deal_folds(labels: NDArray[np.int64], how: Validation) -> NDArray[np.int64]:
    """(n,) the fold of each row, -1 for rows that are never held out: those without a label, and those of a class that
    would be left without one.

    Near-copies are in one fold, such as bursts of photos. The folds of a class are dealt in turn, in the order of the
    rows.
    """
    labelled = np.flatnonzero(labels != UNLABELED)
    own, classes = how.rows[labelled], labels[labelled]
    groups = None if how.groups is None else _separate(how.groups[labelled])
    group = group_copies(own, _usual_distance(own, how.rows), groups)
    order = np.argsort(classes, kind="stable")
    turn = {number: place % how.num_folds for place, number in enumerate(dict.fromkeys(group[order].tolist()))}
    fold = np.array([turn[number] for number in group.tolist()], np.int64)
    several = np.array([np.unique(fold[classes == number]).size > 1 for number in classes], bool)
    dealt = np.full(len(labels), -1)
    dealt[labelled[several]] = fold[several]
    return dealt


def _separate(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The groups, and one of its own for each row that is in none."""
    return np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(groups.size), groups)


def _usual_distance(own: NDArray[np.float32], rows: NDArray[np.float32]) -> float:
    """Median of 1 - cosine from some rows to their tenth neighbour among all."""
    one, all_rows = (part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-30) for part in (own, rows))
    kth = min(TENTH, len(rows) - 1)
    nearest = [np.partition(-(part @ all_rows.T), kth)[kth] for part in one]
    return float(np.median(1 + np.array(nearest)))


def cross_validate(
    build: Build,
    images: torch.Tensor,
    labels: PartialLabels,
    settings: TrainSettings,
    execution: Execution,
    how: Validation,
    callbacks: Callbacks,
) -> CrossValidated | None:
    """Train a network for each fold and ask it about the labels that were left out. None where none can be left out.

    images: as loop.train takes them. build: as in loop.train. callbacks: of each training; its `request` may raise
    Stopped by asking to stop, and nothing is saved.
    """
    fold = deal_folds(labels.label, how)
    used, settings = plan_fold(labels.label, settings, how)
    seen, fold, own = images[torch.from_numpy(used).to(images.device)], fold[used], labels.label[used]
    logits = np.empty((len(used), len(labels.class_names)))
    numbers = [number for number in range(how.num_folds) if (fold == number).any()]
    for number in numbers:
        kept = PartialLabels(np.where(fold == number, UNLABELED, own), labels.class_names)
        trained = train(build, seen, kept, settings, execution, callbacks)
        network: nn.Module = trained.network if trained.teacher is None else trained.teacher
        held = np.flatnonzero(fold == number)
        logits[held] = evaluate(network, seen[torch.from_numpy(held).to(seen.device)], execution).logits.cpu().numpy()
    held = np.flatnonzero(fold >= 0)
    if not held.size:
        return None
    return CrossValidated(
        rows=used[held],
        classes=own[held],
        logits=logits[held],
        num_labeled=int((labels.label != UNLABELED).sum()),
        num_folds=len(numbers),
    )


def plan_fold(
    labels: NDArray[np.int64], settings: TrainSettings, how: Validation
) -> tuple[NDArray[np.int64], TrainSettings]:
    """The rows that folds train on and are asked about, and the settings of each."""
    used = _choose_rows(labels, settings.seed, most_unlabeled=MOST_UNLABELED if how.shorten else len(labels))
    if not how.shorten:
        return used, settings
    return used, replace(settings, phases=tuple(_shorten(phase, labels[used]) for phase in settings.phases))


def _choose_rows(labels: NDArray[np.int64], seed: int, most_unlabeled: int) -> NDArray[np.int64]:
    """The labelled rows and as many of the others, drawn by the seed, in order."""
    unlabelled = np.flatnonzero(labels == UNLABELED)
    drawn = generator(seed, "cross-validation").permutation(unlabelled)[:most_unlabeled]
    return np.sort(np.concatenate([np.flatnonzero(labels != UNLABELED), drawn]))


def _shorten(phase: Phase, labels: NDArray[np.int64]) -> Phase:
    """The phase with about 150 steps where it sees all rows; fewer if it has fewer."""
    num_labeled = int((labels != UNLABELED).sum())
    if phase.labeled_only:
        return phase
    steps = phase.count_steps(num_labeled, len(labels) - num_labeled)
    return replace(phase, epochs=min(phase.epochs, math.ceil(PROPAGATED_STEPS / steps)))
