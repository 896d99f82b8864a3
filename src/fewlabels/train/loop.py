"""The training loop. Only this module moves weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..conventions import UNLABELED
from ..data.augment import augment
from ..data.batches import Epoch, labeled_batches, num_steps, two_stream_batches
from ..data.randomness import generator, torch_seed
from ..errors import NumericsError
from .evaluate import evaluate
from .methods import METHODS, Labels
from .schedule import cosine
from .settings import Phase, TrainSettings
from .targets import BatchTargets, Targets


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did: handed to `watch` after it.

    loss: mean over its steps. learning_rate: of its last step. seconds: all of it, with the propagation.
    targets: what it trained towards.
    """

    phase: Phase
    phase_index: int
    number: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    targets: Targets


def train(
    network: nn.Module,
    images: torch.Tensor,
    labels: Labels,
    settings: TrainSettings,
    watch: Callable[[EpochReport], None] = lambda report: None,
) -> None:
    """Train the network in place, phase after phase.

    network: images (b, c, h, w) in [0, 255] -> Output. images: (n, c, h, w) uint8 on the network's device.
    labels: -1 where unlabelled; nothing else about these rows is used.
    watch: called after every epoch; it may look at the network, not change it.
    Raises NumericsError (P22) before the update that a loss of NaN or infinity would make.
    """

    def describe() -> np.ndarray:
        return evaluate(network, images).descriptors

    network.train()
    for phase_index, phase in enumerate(settings.phases):
        method = METHODS[phase.method](settings.graph)
        optimizer = _optimizer(network, phase, settings)
        for number in range(phase.epochs):
            start = time.perf_counter()
            epoch = Epoch(settings.seed, phase_index, number)
            targets = method.targets(describe, labels)
            batches = list(_batches(phase, labels.label, epoch))
            losses = []
            for step, (chosen, target) in enumerate(_on_device(batches, targets, images.device)):
                progress = (number + step / len(batches)) / phase.epochs
                rate = _set_rate(optimizer, phase.learning_rate * cosine(progress, settings.cosine_stretch))
                with _draws(epoch, step, images.device) as rng:
                    output = network(augment(images[chosen], settings.augment, rng))
                loss = torch.stack([term(output, target) for term in method.terms]).sum()
                _stop_if_not_finite(loss, epoch, step)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                losses.append(loss.detach())
            mean, seconds = float(torch.stack(losses).mean()), time.perf_counter() - start
            watch(EpochReport(phase, phase_index, number, len(batches), mean, rate, seconds, targets))


def epoch_size(phase: Phase, labels: np.ndarray) -> int:
    """Images that one epoch of the phase trains on. labels: (n,) int64, -1 where unlabelled."""
    given = int((labels != UNLABELED).sum())
    if phase.method == "supervised":
        return num_steps(given, phase.batch_labeled) * min(given, phase.batch_labeled)
    return num_steps(len(labels) - given, phase.batch_unlabeled) * (phase.batch_labeled + phase.batch_unlabeled)


def _optimizer(network: nn.Module, phase: Phase, settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(),
        lr=phase.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )


def _on_device(
    batches: list[np.ndarray], targets: Targets, device: torch.device
) -> Iterator[tuple[torch.Tensor, BatchTargets]]:
    """For each batch its row numbers and what these rows are trained towards, as tensors."""
    everything = targets.on(device)
    for rows in batches:
        chosen = torch.from_numpy(rows).to(device)
        yield chosen, BatchTargets(everything.label[chosen], everything.weight[chosen])


@contextmanager
def _draws(epoch: Epoch, step: int, device: torch.device) -> Iterator[np.random.Generator]:
    """The generator for augmentation in this step, and torch's own seeded for dropout, which has no other.

    Afterwards torch's is as it was.
    """
    place = (epoch.phase, epoch.number, step)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(torch_seed(epoch.seed, "dropout", *place))
        yield generator(epoch.seed, "augment", *place)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


def _batches(phase: Phase, label: np.ndarray, epoch: Epoch) -> Iterator[np.ndarray]:
    labeled, unlabeled = np.flatnonzero(label != UNLABELED), np.flatnonzero(label == UNLABELED)
    if phase.method == "supervised":
        return labeled_batches(labeled, phase.batch_labeled, epoch)
    return two_stream_batches(labeled, unlabeled, phase.batch_labeled, phase.batch_unlabeled, epoch)


def _stop_if_not_finite(loss: torch.Tensor, epoch: Epoch, step: int) -> None:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NumericsError(
            "P22",
            f"the loss is {value} in phase {epoch.phase}, epoch {epoch.number}, step {step}",
            do="nothing was updated: lower the learning rate, or look at the images of that batch",
        )
