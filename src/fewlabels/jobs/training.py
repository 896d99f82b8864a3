"""Train on images and write the run folder: what `fewlabels demo` and `fewlabels train` share."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from ..conventions import UNLABELED
from ..data.randomness import torch_seed
from ..graph import Propagation, propagate
from ..nets import ImageInput, NetworkSettings, build_network
from ..report import report_html
from ..runs import PseudoLabelTable, RunWriter
from ..train.evaluate import error_percent, evaluate
from ..train.loop import EpochReport, epoch_size, train
from ..train.methods import Labels
from ..train.settings import TrainSettings
from .measures import accuracy_percent, certainty, class_counts, health, peak_memory_mib
from .progress import Progress

MOST_MEASURED = 50  # epochs of a phase after which the test error is measured


@dataclass(frozen=True)
class Task:
    """What to learn from.

    pixels: (n, h, w, c) uint8. labels: (n,) int64, -1 where unlabelled. ids: n texts. class_names: c texts.
    test_pixels, test_truth: images and labels that only the error is measured on; None if there are none.
    truth: (n,) int64, -1 where unknown: to measure pseudo-labels by, never trained on; None if unknown throughout.
    title: one line that names the task in the report. rejected: (id, reason) of inputs left out.
    """

    pixels: np.ndarray
    labels: np.ndarray
    ids: Sequence[str]
    class_names: Sequence[str]
    title: str
    test_pixels: np.ndarray | None = None
    test_truth: np.ndarray | None = None
    truth: np.ndarray | None = None
    rejected: Sequence[tuple[str, str]] = ()


def run_training(
    task: Task, settings: TrainSettings, folder: str | Path, *, device: str = "cpu", quiet: bool = False
) -> dict[str, Any]:
    """Train, propagate once more with the final network, and write it all to a new run folder. Returns its results."""
    start = time.perf_counter()
    writer = RunWriter(
        folder,
        "train",
        asdict(settings),
        title=task.title,
        seed=settings.seed,
        class_names=list(task.class_names),
        device=device,
        threads=torch.get_num_threads(),
    )
    writer.event(
        "start",
        num_rows=len(task.labels),
        num_labeled=int((task.labels != UNLABELED).sum()),
        num_classes=len(task.class_names),
        num_test=0 if task.test_truth is None else len(task.test_truth),
        image_shape=list(task.pixels.shape[1:]),
    )
    if task.rejected:
        writer.rejected(task.rejected)
    torch.use_deterministic_algorithms(True)
    images = _on_device(task.pixels, device)
    network, model = _network(task, settings)
    network.to(device)
    watch = _Watch(task, settings, network, writer, device, quiet)
    train(network, images, Labels(task.labels, task.class_names), settings, watch)
    watch.progress.close()

    final = propagate(evaluate(network, images).descriptors, task.labels, settings.graph, class_names=task.class_names)
    results = _results(task, final, watch) | {
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }
    writer.pseudo_labels(table_of(final, task.labels, task.ids, task.class_names))
    tensors = {name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}
    writer.model(save(tensors), model)
    writer.results(results)
    writer.report(report_html([folder]))
    writer.finish()
    return results


def table_of(
    propagation: Propagation, given: np.ndarray, ids: Sequence[str], class_names: Sequence[str]
) -> PseudoLabelTable:
    """The rows of a propagation as a table. given: (n,) int64, -1 where the label is not the user's."""
    found = propagation.pseudo_labels
    return PseudoLabelTable(ids, found.label, found.certainty, given != UNLABELED, found.reached, class_names)


def _is_measured(report: EpochReport) -> bool:
    """Whether test images are looked at after this epoch: at the last of a phase, and at about 50 spread over it."""
    left = report.phase.epochs - 1 - report.number
    return left % math.ceil(report.phase.epochs / MOST_MEASURED) == 0


class _Watch:
    """Measures after every epoch: an event in the run folder, a step of the progress bar."""

    def __init__(
        self, task: Task, settings: TrainSettings, network: nn.Module, writer: RunWriter, device: str, quiet: bool
    ) -> None:
        self.task, self.network, self.writer = task, network, writer
        self.test = None if task.test_pixels is None else _on_device(task.test_pixels, device)
        everything = sum(phase.epochs * epoch_size(phase, task.labels) for phase in settings.phases)
        self.progress = Progress(everything, "training", unit="image", quiet=quiet)
        self.last_error: dict[str, float] = {}  # of each method, after its last epoch so far
        self.first: dict[str, float | None] = {}  # accuracy and certainty of the first pseudo-labels trained on

    def __call__(self, report: EpochReport) -> None:
        event = {
            "phase": report.phase.method,
            "phase_index": report.phase_index,
            "epoch": report.number,
            "steps": report.steps,
            "learning_rate": report.learning_rate,
            "loss": report.loss,
            "seconds": round(report.seconds, 4),
            "test_error": self._test_error(report) if _is_measured(report) else None,
        }
        propagation = report.targets.propagation
        if propagation is not None:
            event |= self._of_propagation(propagation)
        self.writer.event("epoch", **event)
        accuracy = event.get("pseudo_label_accuracy")
        noted = {"loss": report.loss, "test error %": event["test_error"], "pseudo-labels right %": accuracy}
        note = ", ".join(f"{name} {value:.3g}" for name, value in noted.items() if value is not None)
        self.progress.step(f"{report.phase.method}: {note}", epoch_size(report.phase, self.task.labels))

    def _test_error(self, report: EpochReport) -> float | None:
        if self.test is None or self.task.test_truth is None:
            return None
        error = error_percent(evaluate(self.network, self.test).logits, self.task.test_truth)
        self.last_error[report.phase.method] = error
        return error

    def _of_propagation(self, propagation: Propagation) -> dict[str, Any]:
        task, found = self.task, propagation.pseudo_labels
        facts = health(propagation)
        measured = certainty(propagation, task.labels, task.truth)
        accuracy = accuracy_percent(found.label, task.labels, task.truth)
        self.first = self.first or {
            "pseudo_label_accuracy_first": accuracy,
            "certainty_right_first": measured["certainty_right"],
            "certainty_wrong_first": measured["certainty_wrong"],
        }
        return {
            "pseudo_label_accuracy": accuracy,
            "mean_certainty": measured["certainty"],
            "unreached": facts["unreached"],
            "components": facts["graph"]["num_components"],
            "solver_steps": facts["solver"]["steps"],
            "solver_residual": facts["solver"]["residual"],
            "class_counts": np.bincount(found.label[found.reached], minlength=len(task.class_names)).tolist(),
        }


def _results(task: Task, final: Propagation, watch: _Watch) -> dict[str, Any]:
    """The final pseudo-labels are made by the final network: they are the ones that are written."""
    return {
        "class_names": list(task.class_names),
        "num_rows": len(task.labels),
        "num_labeled": int((task.labels != UNLABELED).sum()),
        "num_test": 0 if task.test_truth is None else len(task.test_truth),
        "num_rejected": len(task.rejected),
        "supervised_error": watch.last_error.get("supervised"),
        "lp_error": watch.last_error.get("lp"),
        **watch.first,
        "pseudo_label_accuracy_last": accuracy_percent(final.pseudo_labels.label, task.labels, task.truth),
        "class_counts": class_counts(final.pseudo_labels.label, task.labels, len(task.class_names)),
        **certainty(final, task.labels, task.truth),
        **health(final),
    }


def _network(task: Task, settings: TrainSettings) -> tuple[nn.Module, dict[str, Any]]:
    """A fresh network, its weights drawn from the seed; and how to build it, for model.json.

    Pixel mean and deviation are those of all images, labelled or not.
    """
    mean = task.pixels.mean(axis=(0, 1, 2), dtype=np.float64)
    std = np.maximum(task.pixels.std(axis=(0, 1, 2), dtype=np.float64), 1.0)
    image_input = ImageInput(task.pixels.shape[3], task.pixels.shape[1], mean.tolist(), std.tolist())
    chosen = NetworkSettings(width=settings.width, dropout=settings.dropout)
    model = {"network": asdict(chosen), "image_input": asdict(image_input), "class_names": list(task.class_names)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(settings.seed, "weights"))
        return build_network(chosen, image_input, len(task.class_names)), model


def _on_device(pixels: np.ndarray, device: str) -> torch.Tensor:
    """(n, h, w, c) array -> (n, c, h, w) tensor."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))).to(device)
