"""`fewlabels classify` of a run of `propagate`: labels of new embeddings, or of photos described as the run's were."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..choosing.abstain import Threshold, is_sure
from ..errors import ConfigError, EmbeddingError, UnreachedWarning, warn
from ..runs import read_run, refuse_open_labelling
from ..runs.predictions import PredictionWriter, write_predictions
from ..storage import durable
from .classify_options import ClassifyOptions, are_below, demand_options, demand_places, describe_threshold
from .described import write_rejected
from .memory import peak_memory_mib
from .new_rows import NewRows, find_described, find_made_by, open_new_rows, to_texts
from .rows_model import RowModel, load_rows_model


@dataclass
class _Counts:
    """What came out so far. chosen: the number of the class whose folder each photo goes to, by its id."""

    classes: np.ndarray
    sure: int = 0
    missed: int = 0
    chosen: dict[str, int] = field(default_factory=dict)


def run_classify_rows(run: Path, inputs: Sequence[Path], out: Path, options: ClassifyOptions) -> dict[str, Any]:
    """Classify new embeddings or photos and write the table to `out`, which is there whole or not at all.

    inputs: one .npy file or table, as `propagate` reads them, or photos, which are described by the backbone, weights
    and settings of the run's own photos. Rows that nothing answers are left out and warned of. Returns the results.
    Raises what load_rows_model and open_new_rows raise; EmbeddingError (E34) for rows of another width;
    ConfigError C9, C10, C16 and StorageError D1 for places, C122, C130 and C131 for options.
    """
    start = time.perf_counter()
    demand_options(options)
    demand_places(inputs, out, options)
    refuse_open_labelling(run)
    found = read_run(run)
    described = find_described(found)
    made_by = find_made_by(found, described)
    new = open_new_rows(inputs, described, made_by, device=options.device, quiet=options.quiet)
    _demand_photos(new, options)
    model = load_rows_model(run, device=options.device)
    threshold = model.find_threshold(options.wanted_error)
    if options.only_sure and (threshold is None or not threshold.supported):
        why = "nothing is known of its error" if threshold is None else threshold.reason
        do = "leave out --only-sure, ask for less, or give more labels"
        raise ConfigError("C131", f"nobody can tell which labels are sure: {why}", where=run, do=do)
    durable.make_folder(out.parent)
    counts = _Counts(np.zeros(len(model.class_names), np.int64))
    with write_predictions(out) as table:
        _label(model, new, table, counts, threshold, options)
    if counts.missed:
        what = f"FL-G1 nothing answers {counts.missed:,} of {counts.missed + counts.classes.sum():,} new rows"
        warn(UnreachedWarning(f"{what}: they are not in the table"))
    listing = write_rejected(out, new.rejected) if new.unit == "photo" else None
    return {
        "run": str(run),
        "out": str(out),
        "by": model.by,
        "described_by": model.made_by if new.unit == "photo" else None,
        "num_rows": int(counts.classes.sum()),
        "num_rejected": counts.missed + len(new.rejected),
        "rejected": None if listing is None else str(listing),
        "class_counts": dict(zip(model.class_names, counts.classes.tolist(), strict=True)),
        "calibrated": model.held_out is not None,
        "estimated": found.facts.get("estimated"),
        "trained_on": new.unit == "photo" and _are_own(described, inputs),
        "sure": describe_threshold(threshold, counts.sure, options.wanted_error),
        "sorted": _sort(new, counts, model, options),
        "wall_seconds": time.perf_counter() - start,
        "peak_memory_mib": peak_memory_mib(),
    }


def _are_own(described: Mapping[str, Any], inputs: Sequence[Path]) -> bool:
    own = described.get("photos")
    return isinstance(own, str) and are_below(Path(own), inputs)


def _demand_photos(new: NewRows, options: ClassifyOptions) -> None:
    """Raise ConfigError (C130) for folders of what is no photo, and for links to what is no file."""
    if options.sort_into is None:
        return
    if new.source is None:
        raise ConfigError("C130", "--sort-into for embeddings, which are no photos", do="leave it out")
    if options.links and not new.source.are_files:
        do = "leave it out: they are copied"
        raise ConfigError("C130", "--links to photos that are no files of their own", do=do)


def _label(
    model: RowModel,
    new: NewRows,
    table: PredictionWriter,
    counts: _Counts,
    threshold: Threshold | None,
    options: ClassifyOptions,
) -> None:
    """Write a row for each that is answered."""
    for ids, values in new.batches:
        try:
            shares = model.answer(values)
        except EmbeddingError as problem:
            raise _name_rows(problem, to_texts(ids), new) from problem
        best, number = shares.max(axis=1), shares.argmax(axis=1)
        sure = None if threshold is None else is_sure(best, threshold)
        answered = best > 0
        if not answered.all():
            ids = [id for id, is_answered in zip(to_texts(ids), answered, strict=True) if is_answered]
            best, number, sure = best[answered], number[answered], None if sure is None else sure[answered]
        table.add_many(ids, number, model.class_names, best, sure)
        if options.sort_into is not None:
            kept = np.ones(best.size, bool) if sure is None or not options.only_sure else sure
            pairs = zip(to_texts(ids), number.tolist(), kept, strict=True)
            counts.chosen |= {id: number for id, number, is_kept in pairs if is_kept}
        counts.classes += np.bincount(number, minlength=counts.classes.size)
        counts.sure += 0 if sure is None else int(sure.sum())
        counts.missed += int((~answered).sum())


def _name_rows(problem: EmbeddingError, ids: Sequence[str], new: NewRows) -> EmbeddingError:
    """Rows with NaN or infinity by their ids and file, which a batch knows by its own numbers alone."""
    if problem.code != "FL-E1":
        return problem
    do = "compute these again, or leave the rows out"
    rows = [ids[int(str(at))] for at in problem.rows]
    return EmbeddingError("E1", "embeddings with NaN or infinity", where=new.path, rows=rows, do=do)


def _sort(new: NewRows, counts: _Counts, model: RowModel, options: ClassifyOptions) -> dict[str, Any] | None:
    if options.sort_into is None or new.source is None:
        return None
    from .sorting import sort_photos

    durable.make_folder(options.sort_into.parent)
    chosen = [counts.chosen.get(id, -1) for id in new.source.ids]
    number = sort_photos(new.source, chosen, model.class_names, options.sort_into, links=options.links)
    return {"into": str(options.sort_into), "num_photos": number}
