"""The same training as a plain PyTorch loop: what one would write first, with torch's own loader and layers.

A DataLoader over a Dataset of PIL images that are changed one by one, workers or none; eager, float32, contiguous,
SGD without fused kernels, the loss read at every step. The network is the same object; where ours has layers of its own
for weight norm, torch's parametrisation stands in.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.data import DataLoader, Dataset

from benchmarks.training.cases import BATCH, EVALUATED, WARM_UP, Case
from fewlabels.nets import Output
from fewlabels.nets.networks import NormedConv2d, NormedLinear
from fewlabels.training.epoch import Epoch, draw_batches

SHIFT, SIZE = 4, 512
Batch = tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]


class Images(Dataset[tuple[list[torch.Tensor], int, float]]):
    """(views, label, weight) of one row; a view is (3, 32, 32) float32 in [0, 255]."""

    def __init__(self, pixels: np.ndarray, targets: Any, num_views: int, changed: bool = True) -> None:
        self.images = [Image.fromarray(one) for one in pixels]
        self.targets, self.num_views, self.changed = targets, num_views, changed
        self.rng = np.random.default_rng()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[list[torch.Tensor], int, float]:
        views = [self._view(self.images[row]) for _ in range(self.num_views)]
        return views, int(self.targets.label[row]), float(self.targets.weight[row])

    def _view(self, image: Image.Image) -> torch.Tensor:
        if self.changed and self.rng.random() < 0.5:
            image = ImageOps.mirror(image)
        pixels = np.asarray(image)
        if self.changed:
            down, right = self.rng.integers(0, 2 * SHIFT + 1, 2)
            height, width, _ = pixels.shape
            wide = np.pad(pixels, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="reflect")
            pixels = wide[down : down + height, right : right + width]
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float()


def plain_network(case: Case) -> nn.Module:
    """The case's network, contiguous, of torch's layers alone."""
    network = case.build()
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, NormedConv2d):
                shape = layer.weight_v.shape
                setattr(parent, name, weight_norm(nn.Conv2d(shape[1], shape[0], shape[2], padding=layer.padding)))
            if isinstance(layer, NormedLinear):
                setattr(parent, name, weight_norm(nn.Linear(*reversed(layer.weight_v.shape))))
    network.pixels.memory_format = torch.contiguous_format
    return network.to(memory_format=torch.contiguous_format).train()  # type: ignore[no-any-return]


def train_plain(case: Case, pixels: np.ndarray, workers: int, seconds: float) -> float:
    """Images a second, from step to step."""
    student = plain_network(case)
    teacher = copy.deepcopy(student).requires_grad_(False) if case.task == "mean_teacher" else None
    optimizer = torch.optim.SGD(student.parameters(), 0.05, momentum=0.9, weight_decay=2e-4, nesterov=True)
    marks: list[float] = []
    losses = []
    for step, batch in enumerate(_loaded(case, pixels, workers, 1 if teacher is None else 2)):
        for settings in optimizer.param_groups:
            settings["lr"] = 0.05 * 0.999**step
        losses.append(_step(student, teacher, optimizer, batch))
        marks.append(time.perf_counter())
        if step > WARM_UP and marks[-1] - marks[WARM_UP] > seconds:
            break
    return BATCH * (len(marks) - 1 - WARM_UP) / (marks[-1] - marks[WARM_UP])


def _loaded(case: Case, pixels: np.ndarray, workers: int, num_views: int) -> Iterator[Batch]:
    """Batch after batch, of the same rows as in our loop."""
    dataset = Images(pixels, case.targets(), num_views)
    (phase,) = case.settings().phases
    for number in itertools.count():
        rows = [chosen.tolist() for chosen in draw_batches(phase, case.labels(), Epoch(0, 0, number))]
        yield from DataLoader(dataset, batch_sampler=rows * (100 if len(rows) < 100 else 1), num_workers=workers)


def _step(student: nn.Module, teacher: nn.Module | None, optimizer: torch.optim.Optimizer, batch: Batch) -> float:
    views, label, weight = batch
    output = Output(*student(views[0]))
    loss = (F.cross_entropy(output.logits, label, reduction="none") * weight.float()).sum() / len(label)
    if teacher is not None:
        with torch.no_grad():
            taught = Output(*teacher(views[1])).logits.softmax(1)
        loss = loss + F.mse_loss(output.consistency.softmax(1), taught)
        loss = loss + 0.01 * F.mse_loss(output.logits, output.consistency)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    if teacher is not None:
        with torch.no_grad():
            for mine, its in zip(teacher.parameters(), student.parameters(), strict=True):
                mine.mul_(0.97).add_(its, alpha=0.03)
    return loss.item()


@torch.no_grad()
def evaluate_plain(case: Case, pixels: np.ndarray, workers: int, seconds: float) -> float:
    """Images a second, descriptors kept."""
    network = plain_network(case).eval()
    dataset = Images(pixels[:EVALUATED], case.targets(), 1, changed=False)
    network(torch.zeros(SIZE, 3, 32, 32))
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        loader = DataLoader(dataset, batch_size=SIZE, num_workers=workers)
        found = torch.cat([Output(*network(views[0])).descriptor for views, _, _ in loader])
        done += len(found)
    return done / (time.perf_counter() - begun)
