"""What benchmarks/train.py trains: images, a network, a method, and our loop, evaluation and plan of them."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
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
CLASSES, LABELED, BATCH = 10, 500, 100  # half of the batch is labelled, as in the paper
WARM_UP = 3  # steps that do not count: the first ones allocate and choose kernels


@dataclass(frozen=True)
class Case:
    """network: one of NETWORKS. task: one of METHODS, or "evaluate". rows: images there are."""

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
        from fewlabels.train.settings import Phase, TrainSettings

        name = "supervised" if self.task == "evaluate" else self.task
        split = (BATCH, 0) if name == "supervised" else (BATCH // 2, BATCH // 2)
        heads = 2 if name == "mean_teacher" else 1
        network = NetworkSettings(**NETWORKS[self.network], heads=heads, unit_descriptor=heads == 1)
        return TrainSettings((Phase(name, 100_000, 0.05, *split),), network=network)

    def build(self) -> Any:
        import torch

        from fewlabels.nets import ImageInput, build_network

        torch.manual_seed(0)
        return build_network(self.settings().network, ImageInput(3, 32, [125.3] * 3, [63.0] * 3), CLASSES)

    def targets(self) -> Any:
        """Targets of all rows, as a propagation makes them."""
        from fewlabels.train.targets import Targets

        rng = np.random.default_rng(0)
        return Targets(np.arange(self.rows) % CLASSES, rng.random(self.rows), np.ones(CLASSES))


def prepare(rows: int, cache: Path) -> str:
    """Lay out the pixels of all cases; what they are of."""
    path = cache / f"train-{rows}.npy"
    here = Path(os.environ.get("FEWLABELS_DATA", "absent")) / "cifar10"
    kind = "CIFAR-10" if here.is_dir() else "random pixels"
    marked = path.with_suffix(".txt")
    if not path.is_file() or marked.read_text() != kind:
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, _cifar(rows) if here.is_dir() else _random(rows))
        marked.write_text(kind)
    return kind


def _cifar(rows: int) -> np.ndarray:
    from fewlabels.data.datasets import load_dataset

    return load_dataset("cifar10").pixels[:rows]


def _random(rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)


def train_ours(case: Case, pixels: np.ndarray, speed: str, seconds: float) -> float:
    """Images a second of train(), from step to step."""
    import torch

    from fewlabels.train.execution import Execution
    from fewlabels.train.loop import train
    from fewlabels.train.methods import METHODS as KNOWN
    from fewlabels.train.methods import Labels, Method
    from fewlabels.train.watch import Stopped, Watch, Wish

    if case.task == "lp":  # the propagation itself is timed in refresh.py
        targets = case.targets()
        KNOWN["lp"] = lambda settings: Method(lambda describe, labels, propagate: targets)
    marks: list[float] = []

    def wish() -> Wish:
        marks.append(time.perf_counter())
        enough = len(marks) > WARM_UP + 1 and marks[-1] - marks[WARM_UP] > seconds
        return Wish.STOP if enough else Wish.GO_ON

    labels = Labels(case.labels(), [str(number) for number in range(CLASSES)])
    execution = Execution(torch.device("cpu"), speed)  # type: ignore[arg-type]
    with suppress(Stopped):
        train(
            lambda purpose: case.build(), torch.from_numpy(pixels), labels, case.settings(), execution, Watch(wish=wish)
        )
    return BATCH * (len(marks) - 1 - WARM_UP) / (marks[-1] - marks[WARM_UP])


def evaluate_ours(case: Case, pixels: np.ndarray, speed: str, seconds: float) -> float:
    """Images a second of evaluate()."""
    import torch

    from fewlabels.train.evaluate import evaluate
    from fewlabels.train.execution import Execution

    network, images = case.build(), torch.from_numpy(pixels)
    execution = Execution(torch.device("cpu"), speed)  # type: ignore[arg-type]
    evaluate(network, images[:1024], execution)
    begun, done = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        evaluate(network, images[:2048], execution)
        done += min(2048, len(images))
    return done / (time.perf_counter() - begun)
