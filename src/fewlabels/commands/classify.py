"""`fewlabels classify`: labels of new photos by the model of a run, with how sure it is of each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..choosing.abstain import Threshold, is_sure
from ..data.images.sources import Source
from ..data.images.squares import open_paths
from ..errors import SHOWN_ROWS, ConfigError, ImageError, InputWarning, shown, warn
from ..nets.model import Answer, Model, is_export, load_model
from ..runs import read_facts
from ..runs.predictions import PredictionWriter, write_predictions
from ..storage import durable
from .classify_options import ClassifyOptions, are_below, demand_options, demand_places, describe_threshold
from .described import write_rejected
from .frozen import FollowPhotos
from .memory import peak_memory_mib
from .sorting import sort_photos

UNCALIBRATED = "no label could be held out of this run"


@dataclass
class _Counts:
    """What came out so far. chosen: for each photo the number of the class whose folder it goes to, else -1."""

    classes: np.ndarray
    chosen: list[int]
    rejected: list[tuple[str, str]]
    sure: int = 0


def run_classify(
    run: Path,
    photos: Sequence[Path],
    out: Path,
    options: ClassifyOptions | None = None,
) -> dict[str, Any]:
    """Classify photos and write the table to `out`, which is there whole or not at all. Returns the results.

    run: a finished run, or what `export-model --folder` wrote. Photos that cannot be read are in OUT.rejected.csv.
    Whatever is wrong with options and places is said before a photo is read.
    Raises what load_model, open_paths and Model.answer raise; ConfigError C9, C10, C16 and StorageError D1 for places,
    C122, C130 and C131 for options; ImageError I35 where more than half of the photos cannot be read.
    """
    start = time.perf_counter()
    options = options or ClassifyOptions()
    demand_options(options)
    demand_places(photos, out, options)
    model = load_model(run, device=options.device)
    threshold = model.find_threshold(options.wanted_error)
    if options.only_sure and (threshold is None or not threshold.supported):
        what = f"nobody can tell which labels are sure: {UNCALIBRATED if threshold is None else threshold.reason}"
        raise ConfigError("C131", what, where=run, do="leave out --only-sure, ask for less, or label more photos")
    source = open_paths(photos)
    for code, what in source.told.items():
        warn(InputWarning(f"FL-{code} {what}"))
    if options.links and not source.are_files:
        raise ConfigError(
            "C130", "--links to photos that are no files of their own", do="leave it out: they are copied"
        )
    counts = _Counts(np.zeros(len(model.class_names), np.int64), [], [])
    durable.make_folder(out.parent)
    with write_predictions(out) as table:
        _label(_follow(model, source, options.quiet), table, counts, (model, threshold, options.only_sure))
        _demand_readable(counts.rejected, len(source.ids))
    listing = write_rejected(out, counts.rejected)
    if options.sort_into is not None:
        durable.make_folder(options.sort_into.parent)
        names = model.class_names
        num_sorted = sort_photos(source, counts.chosen, names, options.sort_into, links=options.links)
    return {
        "run": str(run),
        "out": str(out),
        "num_rows": int(counts.classes.sum()),
        "num_rejected": len(counts.rejected),
        "rejected": None if listing is None else str(listing),
        "class_counts": dict(zip(model.class_names, counts.classes.tolist(), strict=True)),
        "calibrated": model.temperature is not None,
        "trained_on": _has_trained_on(run, photos),
        "sure": describe_threshold(threshold, counts.sure, options.wanted_error),
        "sorted": None if options.sort_into is None else {"into": str(options.sort_into), "num_photos": num_sorted},
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }


def _has_trained_on(run: Path, photos: Sequence[Path]) -> bool:
    """Whether some of the photos are in the folder or table that the run was trained on; unknown of an export."""
    source = {} if is_export(run) else read_facts(run).get("source") or {}
    if source.get("kind") != "images":
        return False
    return are_below(Path(source["path"]), photos)


def _follow(model: Model, source: Source, quiet: bool) -> Iterator[Answer]:
    """The answers, with a bar that shows photos a second."""
    follow = FollowPhotos(len(source.ids), "classifying", quiet=quiet, stop=None)
    try:
        for answer in model.answer(source):
            yield answer
            follow.step(1)
    finally:
        follow.close()


def _label(
    answers: Iterator[Answer],
    table: PredictionWriter,
    counts: _Counts,
    by: tuple[Model, Threshold | None, bool],
) -> None:
    """Write a row for each photo that could be read. by: the model, when it is sure, whether unsure ones are sorted."""
    model, threshold, only_sure = by
    for answer in answers:
        if answer.logits is None:
            counts.rejected.append((answer.id, answer.reason))
            counts.chosen.append(-1)
            continue
        shares = model.find_probabilities(answer.logits[None])[0]
        number = int(shares.argmax())
        sure = None if threshold is None else bool(is_sure(shares[number : number + 1], threshold)[0])
        table.add(answer.id, model.class_names[number], float(shares[number]), sure)
        counts.classes[number] += 1
        counts.sure += bool(sure)
        counts.chosen.append(number if sure or not only_sure else -1)


def _demand_readable(rejected: list[tuple[str, str]], count: int) -> None:
    """Warn of photos that cannot be read; raise ImageError (I35) where they are more than half."""
    if 2 * len(rejected) > count:
        rows = [f"{id}: {reason}" for id, reason in rejected]
        what = f"{len(rejected):,} of {count:,} images cannot be used; more than half"
        raise ImageError("I35", what, rows=rows, do="check that this is the right folder or file")
    if rejected:
        first = "; ".join(f"{shown(id)}: {shown(reason)}" for id, reason in rejected[:SHOWN_ROWS])
        warn(InputWarning(f"FL-I1 {len(rejected)} of {count} images cannot be read and get no label: {first}"))
