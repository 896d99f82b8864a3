"""What the steps of one epoch will see, drawn before it begins: rows, random changes, rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..conventions import UNLABELED
from ..randomness import generator, torch_seed
from .augment import Changes, draw_changes
from .distributed import Group
from .schedule import adam_beta1, consistency_weight, ema_keep, learning_rate
from .settings import Phase, TrainSettings


@dataclass(frozen=True)
class Epoch:
    """Names one epoch of one phase of one run: what its random draws depend on."""

    seed: int
    phase: int
    number: int


def labeled_batches(labeled: np.ndarray, size: int, epoch: Epoch) -> Iterator[np.ndarray]:
    """One pass over the labelled rows in random order, in batches of `size`; a smaller rest is dropped.

    labeled: (l,) row numbers. With fewer than `size` rows the one batch holds them all.
    Released code mean_teacher/helpers.py:72-73 (drop_last).
    """
    order = generator(epoch.seed, "labeled order", epoch.phase, epoch.number).permutation(labeled)
    size = min(size, len(order))
    for step in range(len(order) // size):
        yield order[step * size : (step + 1) * size]


def two_stream_batches(
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
    given = np.concatenate([rng.permutation(labeled) for _ in range(passes)])
    for step in range(num_steps):
        yield np.concatenate(
            [
                given[step * num_labeled : (step + 1) * num_labeled],
                order[step * num_unlabeled : (step + 1) * num_unlabeled],
            ]
        )


@dataclass(frozen=True)
class Plan:
    """One row for each step of an epoch, for one process's share b of the batches.

    rows: (steps, b) int64. views: changes of (steps, b) images, for one or two views. seeds: for dropout, one a step.
    rate: (steps,) float32, learning rates. keep: (steps,) float32, what stays of an EMA teacher. beta1: of Adam.
    weight: () float32, of the teacher's word. share: rows of this process over an equal share of the batch.
    """

    rows: torch.Tensor
    views: tuple[Changes, ...]
    seeds: list[int]
    rate: torch.Tensor
    keep: torch.Tensor
    weight: torch.Tensor
    beta1: float
    share: float

    @property
    def num_steps(self) -> int:
        return self.rows.shape[0]

    def to(self, device: torch.device) -> Plan:
        moved = {name: getattr(self, name).to(device) for name in ("rows", "rate", "keep", "weight")}
        return replace(self, views=tuple(view.to(device) for view in self.views), **moved)

    def tensors(self) -> list[torch.Tensor]:
        """All its tensors, in an order that is the same for every plan of a phase."""
        views = [part for view in self.views for part in view.tensors()]
        return [self.rows, self.rate, self.keep, self.weight, *views]


def planned(
    epoch: Epoch, labels: np.ndarray, settings: TrainSettings, num_views: int, steps_before: int, group: Group
) -> Plan:
    """The plan of one epoch, on the CPU. labels: (n,) int64, -1 where unlabelled.

    steps_before: steps that the EMA teacher took before this phase.
    """
    phase = settings.phases[epoch.phase]
    rows = np.stack(batches(phase, labels, epoch))
    steps, size = rows.shape
    mine = group.share(size)
    place = (epoch.phase, epoch.number)
    rng = [generator(epoch.seed, f"view {number}", *place) for number in range(num_views)]
    views = tuple(draw_changes(settings.augment, one, (steps, size)) for one in rng)
    moments = [epoch.number + step / steps for step in range(steps)]
    behind = steps_before + epoch.number * steps
    keep = [ema_keep(behind + step + 1, settings.consistency.ema_decay) for step in range(steps)]
    share = len(range(size)[mine])
    seeds = [torch_seed(epoch.seed, "dropout", *place, group.rank, step) for step in range(steps)]
    return Plan(
        rows=torch.from_numpy(rows[:, mine]),
        views=tuple(view.each(lambda part: part[:, mine]) for view in views),
        seeds=seeds,
        rate=torch.tensor([learning_rate(phase, settings.optimization, moment) for moment in moments]),
        keep=torch.tensor(keep),
        weight=torch.tensor(consistency_weight(settings.consistency, epoch.number)),
        beta1=adam_beta1(phase, settings.optimization, epoch.number),
        share=share * group.size / size,
    )


def batches(phase: Phase, labels: np.ndarray, epoch: Epoch) -> list[np.ndarray]:
    """Row numbers of each step, all of one length."""
    labeled, unlabeled = np.flatnonzero(labels != UNLABELED), np.flatnonzero(labels == UNLABELED)
    if phase.labeled_only:
        return list(labeled_batches(labeled, phase.batch_labeled, epoch))
    return list(two_stream_batches(labeled, unlabeled, phase.batch_labeled, phase.batch_unlabeled, epoch))


def steps_of(phase: Phase, labels: np.ndarray) -> int:
    """Steps that one epoch of the phase takes. labels: (n,) int64, -1 where unlabelled."""
    num_labeled = int((labels != UNLABELED).sum())
    return phase.count_steps(num_labeled, len(labels) - num_labeled)


def batch_size(phase: Phase, labels: np.ndarray) -> int:
    """Rows in a step of the phase. labels: (n,) int64, -1 where unlabelled."""
    num_labeled = int((labels != UNLABELED).sum())
    return phase.count_rows(num_labeled, len(labels) - num_labeled)
