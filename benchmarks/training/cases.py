"""What training/speed.py and gpu/throughput.py train: images, a network, a method; and how fast our loop does it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

NETWORKS: dict[str, dict[str, Any]] = {
    "small 16, stride 2": {"name": "small", "width": 16, "first_stride": 2},
    "small 16": {"name": "small", "width": 16},
    "small 32, stride 2": {"name": "small", "width": 32, "first_stride": 2},
    "small 32": {"name": "small", "width": 32},
    "cnn13": {"name": "cnn13"},
}
METHODS = ("supervised", "lp", "mean_teacher")
PROPAGATED = ("lp", "mt_lp")
CLASSES, LABELED, BATCH = 10, 500, 100  # half of the batch is labelled, as in the paper
EVALUATED = 2048  # images of one pass
WARM_UP = 3  # steps that do not count: the first ones allocate and choose kernels


@dataclass(frozen=True)
class Case:
    """network: one of NETWORKS. task: a method, or "evaluate". rows: images there are."""

    network: str
    task: str
    rows: int

    def pixels(self, cache: Path) -> np.ndarray:
        """(n, 32, 32, 3) uint8, of CIFAR-10 where FEWLABELS_DATA has it, else at random."""
        return np.load(cache / f"train-{self.rows}.npy")

    def labels(self) -> np.ndarray:
        """(n,) -1 but for the first rows; which classes they are of makes no difference to the time."""
        row = np.arange(self.rows)
        return np.where(row < min(LABELED, self.rows // 2), row % CLASSES, -1)

    def settings(self) -> Any:
        """TrainSettings of one long phase."""
        from fewlabels.nets import NetworkSettings
        from fewlabels.training.settings import Phase, TrainSettings

        name = "supervised" if self.task == "evaluate" else self.task
        split = (BATCH, 0) if name == "supervised" else (BATCH // 2, BATCH // 2)
        heads = 2 if name in ("mean_teacher", "mt_lp") else 1
        network = NetworkSettings(**NETWORKS[self.network], heads=heads, unit_descriptor=heads == 1)
        return TrainSettings(phases=(Phase(name, 100_000, 0.05, *split),), network=network)

    def build(self) -> Any:
        import torch

        from fewlabels.nets import ImageInput, build_network

        torch.manual_seed(0)
        return build_network(self.settings().network, ImageInput(3, 32, [125.3] * 3, [63.0] * 3), CLASSES)

    def targets(self) -> Any:
        """Targets of all rows, as a propagation makes them."""
        from fewlabels.training.targets import Targets

        rng = np.random.default_rng(0)
        return Targets(np.arange(self.rows) % CLASSES, rng.random(self.rows), np.ones(CLASSES))


def prepare(rows: int, cache: Path) -> str:
    """Lay out the pixels of all cases; what they are of."""
    path = cache / f"train-{rows}.npy"
    here = Path(os.environ.get("FEWLABELS_DATA", "absent")) / "cifar10"
    kind = "CIFAR-10" if here.is_dir() else "random pixels"
    marked = path.with_suffix(".txt")
    if not (path.is_file() and marked.is_file() and marked.read_text() == kind):
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, _cifar(rows) if here.is_dir() else _random(rows))
        marked.write_text(kind)
    return kind


def _cifar(rows: int) -> np.ndarray:
    from fewlabels.data.benchmarks.datasets import load_dataset

    return load_dataset("cifar10").pixels[:rows]


def _random(rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)


def train_ours(case: Case, pixels: np.ndarray, execution: Any, seconds: float) -> float:
    """Images a second of train(), counted at the moments when it asks whether to go on.

    On a CPU that is after every step, on a GPU after every fiftieth, when it has waited for the losses.
    """
    import torch

    from fewlabels.training.callbacks import Callbacks, Request
    from fewlabels.training.interrupt import Stopped
    from fewlabels.training.loop import train
    from fewlabels.training.targets import PartialLabels

    if case.task in PROPAGATED:
        _give_targets(case)
    images, marks = [0], []

    def on_steps(count: int) -> None:
        images[0] += count

    def request() -> Request:
        marks.append((time.perf_counter(), images[0]))
        begun = next((moment for moment, seen in marks if seen >= WARM_UP * BATCH), None)
        return Request.STOP if begun is not None and marks[-1][0] - begun > seconds else Request.CONTINUE

    labels = PartialLabels(case.labels(), [str(number) for number in range(CLASSES)])
    there, callbacks = torch.from_numpy(pixels).to(execution.device), Callbacks(on_steps=on_steps, request=request)
    with suppress(Stopped):
        train(lambda purpose: case.build(), there, labels, case.settings(), execution, callbacks)
    (begun, before), (ended, after) = next(one for one in marks if one[1] >= WARM_UP * BATCH), marks[-1]
    return (after - before) / (ended - begun)


def _give_targets(case: Case) -> None:
    """Let label propagation take targets that are there: the propagation itself is timed in other benchmarks."""
    from fewlabels.training.methods import METHODS as KNOWN

    plain, targets = KNOWN[case.task], case.targets()
    KNOWN[case.task] = lambda settings: replace(plain(settings), targets=lambda *given: targets)


def evaluate_ours(case: Case, pixels: np.ndarray, execution: Any, seconds: float) -> float:
    """Images a second of evaluate()."""
    import torch

    from fewlabels.training.evaluate import evaluate

    network = case.build().to(execution.device)
    images = torch.from_numpy(pixels[:EVALUATED]).to(execution.device)
    evaluate(network, images, execution).descriptors.cpu()
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        evaluate(network, images, execution).descriptors.cpu()
        done += len(images)
    return done / (time.perf_counter() - begun)
