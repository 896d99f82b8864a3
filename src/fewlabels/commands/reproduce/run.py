"""`fewlabels reproduce`: trains cells of the paper's tables, each in a run folder for each split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...data.benchmarks.datasets import Dataset, load_dataset
from ...data.benchmarks.splits import Split, few_labels
from ...errors import ConfigError
from ...runs import is_finished, read_run
from ...training.identity import find_differences, to_plain
from ...training.settings import TrainSettings
from ..progress import track_progress
from ..resuming import demand_same_machine
from ..task import Task
from ..training import RunOptions, run_training
from ..watching import demand_tensorboard
from .cells import Cell, Variant, drop_parts
from .outcomes import read_outcome, split_folder


@dataclass(frozen=True)
class Request:
    """Cells of one data set, and the splits to train each on. out: the folder of all cells' folders."""

    cells: Sequence[Cell]
    splits: Sequence[int]
    variant: Variant
    out: Path


def reproduce(request: Request, load: Callable[[], Dataset], how: RunOptions) -> None:
    """Train what is not there yet, going on with what is unfinished. load: called if there is something to train.

    Raises ConfigError C61 for a finished run that was made with other settings, and what `few_labels` and
    `run_training` raise.
    """
    missing = [(cell, split) for cell in drop_parts(list(request.cells)) for split in request.splits]
    missing = [(cell, split) for cell, split in missing if not _is_known(cell, split, request)]
    if not missing:
        return
    if not how.allow_inexact:
        for cell, split in missing:
            demand_same_machine(split_folder(request.out, cell, request.variant, split), how.device)
    dataset = load()
    for cell, split in missing:
        settings = cell.settings(request.variant, split)
        given = few_labels(dataset, cell.num_labels, split)
        task = make_task(dataset, cell, given, request.variant, how.device)
        run_training(task, settings, split_folder(request.out, cell, request.variant, split), how)


def reproduce_from(request: Request, source: str | Path | None, how: RunOptions) -> None:
    """`reproduce` with the images of a folder, or "hub"; None: where FEWLABELS_DATA says. Raises ConfigError C66
    without TensorBoard, before anything is read."""
    if how.tensorboard:
        demand_tensorboard()
    follow = track_progress("reading images", quiet=how.quiet)
    benchmark = request.cells[0].benchmark
    reproduce(request, lambda: load_dataset(benchmark, source, progress=follow), replace(how, resume=True))


def _is_known(cell: Cell, split: int, request: Request) -> bool:
    folder = split_folder(request.out, cell, request.variant, split)
    _refuse_other_settings(folder, cell.settings(request.variant, split))
    found = read_outcome(cell, split, request.variant, request.out)
    return found is not None and (found.finished or found.cell != cell)


def _refuse_other_settings(folder: Path, settings: TrainSettings) -> None:
    """A finished run would be taken for this one by its name."""
    if not is_finished(folder):
        return
    found = find_differences(read_run(folder).settings, to_plain(settings.facts()))
    if found:
        listed = ", ".join(map(str, found[:5]))
        do = "move that folder away, or choose another --out"
        raise ConfigError("C61", f"a finished run with other settings: {listed}", where=folder, do=do)


def make_task(dataset: Dataset, cell: Cell, given: Split, variant: Variant, device: str) -> Task:
    """The data set with the labels of one split. Its truth goes along for measuring alone."""
    benchmark = dataset.benchmark
    facts = {
        "dataset": benchmark.name,
        "num_labels": cell.num_labels,
        "method": cell.method,
        "split": given.number,
        "split_origin": given.origin,
        "split_file": None if given.file is None else "/".join(given.file.parts[-3:]),
        "mode": variant.mode,
        "scale": variant.scale,
        "departures": cell.departures(variant),
        "accelerator": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
    }
    return Task(
        pixels=dataset.pixels,
        labels=given.labels,
        ids=dataset.ids,
        class_names=dataset.class_names,
        title=cell.title(variant),
        test_pixels=dataset.test_pixels,
        test_truth=dataset.test_truth,
        truth=dataset.truth,
        mean=[255 * value for value in benchmark.mean],
        std=[255 * value for value in benchmark.std],
        facts={
            "reproduces": facts,
            "source": {"kind": "dataset", "name": benchmark.name, "data": dataset.place},
        },
    )
