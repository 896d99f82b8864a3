"""The plan of one epoch, drawn before it begins: each step's rows, random changes, learning rate and EMA decay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..conventions import UNLABELED
from ..randomness import generator, torch_seed
from .augment import Changes, draw_changes
from .distributed import Group
from .method_table import BY_NAME
from .settings import Consistency, Optimization, Phase, TrainSettings
from .strong import draw_strong


@dataclass(frozen=True)
class Epoch:
    """Which epoch of which phase of a run: what its random draws depend on."""

    seed: int
    phase: int
    number: int


def draw_labeled_batches(labeled: np.ndarray, size: int, epoch: Epoch) -> Iterator[np.ndarray]:
    """One pass over the labelled rows in random order, in batches of `size`; a smaller rest is dropped.

    labeled: (l,) row numbers. With fewer than `size` rows the one batch holds them all.
    Released code mean_teacher/helpers.py:72-73 (drop_last).
    """
    order = generator(epoch.seed, "labeled order", epoch.phase, epoch.number).permutation(labeled)
    size = min(size, len(order))
    for step in range(len(order) // size):
        yield order[step * size : (step + 1) * size]


def draw_two_stream_batches(
    labeled: np.ndarray, unlabeled: np.ndarray, num_labeled: int, num_unlabeled: int, epoch: Epoch
) -> Iterator[np.ndarray]:
    """One pass over the unlabelled rows; a batch is `num_labeled` labelled rows, then `num_unlabeled` unlabelled ones.

    The labelled rows come from fresh random orders, one after the other; a rest of the unlabelled pass is dropped.
    With fewer than `num_unlabeled` unlabelled rows the one batch holds them all.
    Released code mean_teacher/data.py:119-164.
    """
    rng = generator(epoch.seed, "two streams", epoch.phase, epoch.number)
    order = rng.permutation(unlabeled)
    num_unlabeled = min(num_unlabeled, len(order))
    num_steps = len(order) // num_unlabeled
    passes = -(-num_steps * num_labeled // len(labeled))
    repeated = np.concatenate([rng.permutation(labeled) for _ in range(passes)])
    for step in range(num_steps):
        own = repeated[step * num_labeled : (step + 1) * num_labeled]
        yield np.concatenate([own, order[step * num_unlabeled : (step + 1) * num_unlabeled]])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All steps of one epoch, for the b rows of each batch that one process takes.

    rows: (steps, b) int64. given: (steps, b) bool, which of them came with a label.
    views: changes of (steps, b) images, for one or two views. seeds: for dropout, one a step.
    rate: (steps,) float32, learning rates. ema_decay: (steps,) float32. beta1: of Adam.
    weight: () float32, of the consistency loss. loss_scale: times the loss of this process, so that the mean over the
        processes is that of the whole batch: its rows over an equal share of the batch.
    """

    rows: torch.Tensor
    given: torch.Tensor
    views: tuple[Changes, ...]
    seeds: list[int]
    rate: torch.Tensor
    ema_decay: torch.Tensor
    weight: torch.Tensor
    beta1: float
    loss_scale: float

    @property
    def num_steps(self) -> int:
        return self.rows.shape[0]

    def to(self, device: torch.device) -> Plan:
        moved = {name: getattr(self, name).to(device) for name in ("rows", "given", "rate", "ema_decay", "weight")}
        return replace(self, views=tuple(view.to(device) for view in self.views), **moved)

    def tensors(self) -> list[torch.Tensor]:
        """All its tensors, in an order that is the same for every plan of a phase."""
        views = [part for view in self.views for part in view.tensors()]
        return [self.rows, self.given, self.rate, self.ema_decay, self.weight, *views]


def plan_epoch(
    epoch: Epoch, labels: np.ndarray, settings: TrainSettings, num_views: int, steps_before: int, group: Group
) -> Plan:
    """Draw the plan of one epoch, on the CPU. labels: (n,) int64, -1 where unlabelled.

    steps_before: steps that the EMA teacher has taken before this phase.
    """
    phase = settings.phases[epoch.phase]
    rows = np.stack(draw_batches(phase, labels, epoch))
    steps, size = rows.shape
    mine = group.share(size)
    counter = (epoch.phase, epoch.number)
    rng = [generator(epoch.seed, f"view {number}", *counter) for number in range(num_views)]
    views = [draw_changes(settings.augment, one, (steps, size)) for one in rng]
    if BY_NAME[phase.method].matches and settings.matching.strong is not None:
        strong = generator(epoch.seed, "strong view", *counter)
        views[0] = replace(views[0], strong=draw_strong(settings.matching.strong, strong, (steps, size)))
    moments = [epoch.number + step / steps for step in range(steps)]
    behind = steps_before + epoch.number * steps
    decay = [ema_decay(behind + step + 1, settings.consistency.ema_decay) for step in range(steps)]
    num_mine = len(range(size)[mine])
    seeds = [torch_seed(epoch.seed, "dropout", *counter, group.rank, step) for step in range(steps)]
    return Plan(
        rows=torch.from_numpy(rows[:, mine]),
        given=torch.from_numpy(labels[rows[:, mine]] != UNLABELED),
        views=tuple(view.map(lambda part: part[:, mine]) for view in views),
        seeds=seeds,
        rate=torch.tensor([learning_rate(phase, settings.optimization, moment) for moment in moments]),
        ema_decay=torch.tensor(decay),
        weight=torch.tensor(consistency_weight(settings.consistency, epoch.number)),
        beta1=adam_beta1(phase, settings.optimization, epoch.number),
        loss_scale=num_mine * group.size / size,
    )


def draw_batches(phase: Phase, labels: np.ndarray, epoch: Epoch) -> list[np.ndarray]:
    """Row numbers of each step of one epoch, all of one length."""
    labeled, unlabeled = np.flatnonzero(labels != UNLABELED), np.flatnonzero(labels == UNLABELED)
    if phase.labeled_only:
        return list(draw_labeled_batches(labeled, phase.batch_labeled, epoch))
    return list(draw_two_stream_batches(labeled, unlabeled, phase.batch_labeled, phase.batch_unlabeled, epoch))


def count_steps(phase: Phase, labels: np.ndarray) -> int:
    """Steps of one epoch of the phase. labels: (n,) int64, -1 where unlabelled."""
    return phase.count_steps(*_count_rows(labels))


def batch_size(phase: Phase, labels: np.ndarray) -> int:
    """Rows in a step of the phase. labels: (n,) int64, -1 where unlabelled."""
    return phase.batch_size(*_count_rows(labels))


def _count_rows(labels: np.ndarray) -> tuple[int, int]:
    """How many rows are labelled, and how many are not."""
    num_labeled = int((labels != UNLABELED).sum())
    return num_labeled, len(labels) - num_labeled


def cosine(progress: float, stretch: float) -> float:
    """Share of the initial learning rate at `progress` in [0, 1) of a phase: half a cosine, cut at 1 / stretch of it.

    With the released code's stretch of 210 / 180 the last share is 0.0495 (helpers.py:302-316).
    """
    return 0.5 * (1 + math.cos(math.pi * progress / stretch))


def ramp_up(epoch: float, length: float) -> float:
    """exp(-5 (1 - epoch / length)^2), and 1 from `length` on. Released code ramps.py:19-26; Laine and Aila."""
    return 1.0 if epoch >= length else math.exp(-5 * (1 - epoch / length) ** 2)


def ramp_down(epoch: float, epochs: int, length: float) -> float:
    """exp(-12.5 (part of the last `length` of `epochs` that is over)^2); 1 before. Laine and Aila."""
    return math.exp(-12.5 * (max(0.0, epoch - (epochs - length)) / length) ** 2) if length else 1.0


def learning_rate(phase: Phase, settings: Optimization, epoch: float) -> float:
    """Learning rate at a fractional epoch, such as 3.5 in the middle of the fourth."""
    if settings.schedule == "cosine":
        return phase.learning_rate * cosine(epoch / phase.epochs, settings.cosine_stretch)
    up = ramp_up(epoch, settings.rampup_epochs)
    return phase.learning_rate * up * ramp_down(epoch, phase.epochs, settings.rampdown_epochs)


def adam_beta1(phase: Phase, settings: Optimization, epoch: float) -> float:
    """Adam's beta1: `momentum`, falling to 0.5 as the rate ramps down (Laine and Aila); constant with a cosine."""
    if settings.schedule == "cosine":
        return settings.momentum
    down = ramp_down(epoch, phase.epochs, settings.rampdown_epochs)
    return down * settings.momentum + (1 - down) * 0.5


def consistency_weight(settings: Consistency, epoch: int) -> float:
    """Weight of the consistency loss in one epoch, ramped up from almost nothing.

    0.674, 4.076, 16.53, 44.93, 81.87, 100, ... for weight 100 and a ramp of 5 epochs.
    The released code takes whole epochs (helpers.py:319-321), so it is constant within one.
    """
    return settings.weight * ramp_up(epoch, settings.rampup_epochs)


def ema_decay(step: int, most: float) -> float:
    """EMA decay of step 1, 2, ...: min(1 - 1 / (step + 1), most). Released code helpers.py:108-112."""
    return min(1 - 1 / (step + 1), most)
