"""`fewlabels label --finish`: from the answers of a labelling to a finished run; and what is done with it."""

from __future__ import annotations

import shlex
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..choosing import Auto, propagate
from ..conventions import UNLABELED
from ..data.labels.csv import LabelOptions, Row
from ..data.labels.files import LabelFile, make_label_file
from ..errors import ConfigError, LabelError
from ..insights.compute import compute_insights
from ..review.engine.engine import Engine
from ..review.engine.live import open_live
from ..review.finishing import Finished
from ..review.items import Items, open_items
from ..review.store.file import find_review_folder
from ..runs import (
    RunLock,
    RunWriter,
    is_finished,
    is_labelling,
    read_run,
    refuse_open_labelling,
)
from .answers import choice_results, describe_chosen, keep_answer
from .described import say
from .export import Saved, read_answers
from .results import make_table, propagation_results
from .review import describe_estimate

FEWEST_CLASSES = 2


def finish_labelling(folder: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Spread the answers of a labelling by settings that they choose, write labels, results and report, and seal it.

    Photos of none of the classes, and bad ones, get no label. Returns the results.
    Raises ConfigError C150 for a run that is no labelling or is finished already, C151 with fewer than two classes that
    have an answer; C11 where its page is open.
    """
    if not is_labelling(folder):
        do = "`fewlabels label` begins one; runs of other kinds are finished by themselves"
        raise ConfigError("C150", f"a run of kind {read_run(folder).kind!r}, no labelling", where=folder, do=do)
    if is_finished(folder):
        do = "later answers are exported by `fewlabels export`"
        raise ConfigError("C150", "the labelling is finished already", where=folder, do=do)
    review = find_review_folder(folder)
    review.mkdir(exist_ok=True)
    with RunLock(review):
        return _finish_held(folder, quiet=quiet)


def finish_from_page(folder: Path) -> Finished:
    """The same while its page is open, which keeps others from it. Raises ConfigError C151."""
    results = _finish_held(folder, quiet=True)
    return Finished(_count_finished(results) + (f"; {results['said']}" if results["said"] else ""), list_next(folder))


def _finish_held(folder: Path, *, quiet: bool) -> dict[str, Any]:
    items, saved = open_items(folder), read_answers(folder)
    given, names = _encode(items, saved)
    if len(names) < FEWEST_CLASSES:
        do = f"go on with {shlex.join(['fewlabels', 'label', str(folder)])}"
        raise ConfigError("C151", f"{len(names)} classes with an answer, expected two at least", where=folder, do=do)
    return _finish(folder, items, saved, given, names, quiet=quiet)


def _encode(items: Items, saved: Saved) -> tuple[np.ndarray, list[str]]:
    """(n,) numbers of the answered classes, -1 for none, and their names: of those that have an answer, in order."""
    used = set(saved.labels.values())
    names = [name for name in saved.classes.names if name in used]
    number = {name: code for code, name in enumerate(n for n in names if n is not None)}
    given = np.full(len(items.ids), UNLABELED)
    for row, name in saved.labels.items():
        given[row] = number[name]
    return given, list(number)


def _finish(
    folder: Path, items: Items, saved: Saved, given: np.ndarray, names: list[str], *, quiet: bool
) -> dict[str, Any]:
    auto = Auto(base=items.settings)
    say(f"spreading {int((given >= 0).sum()):,} answers over {len(items.ids):,} rows", quiet)
    found = propagate(items.descriptors, given, auto, class_names=names)
    live = open_live(items.descriptors, items.settings, items.class_descriptors)
    engine = Engine(items, saved.numbers, classes=saved.classes, live=live)
    estimate = engine.estimate()
    writer = RunWriter.reopen(folder)
    results = {
        **propagation_results(found, given, names, []),
        **choice_results(found, given),
        "estimated": estimate.to_json(),
        "said": describe_estimate(estimate),
        "left_out": {what: list(saved.left_out.values()).count(what) for what in ("none", "unsure", "bad", "skip")},
    }
    table = make_table(found, given, items.ids, names)
    unusable = [row for row, what in saved.left_out.items() if what in ("none", "bad")]
    table.label[unusable], table.reached[unusable], table.certainty[unusable] = UNLABELED, False, 0
    writer.choose(describe_chosen(found, auto), class_names=names, estimated=estimate.to_json())
    keep_answer(writer, found, names)
    writer.pseudo_labels(table)
    writer.results(results)
    from ..report import report_html
    from .thumbnails import shrink_photo

    def describe(row: int) -> tuple[str, bytes | None]:
        return items.ids[row], shrink_photo(items.pictures, row)

    with nullcontext() if items.pictures is None else closing(items.pictures):
        writer.insights(compute_insights(found, items.descriptors, given, items.settings, describe))

    writer.report(report_html([folder]))
    writer.finish()
    return results


def read_run_labels(folder: Path, options: LabelOptions) -> LabelFile:
    """The given and answered labels of a run, as `train --labels RUN` takes them, joined by id.

    Raises ConfigError (C152) for a labelling that is not finished, LabelError (L16) for a run without labels.
    """
    refuse_open_labelling(folder)
    items, saved = open_items(folder), read_answers(folder)
    rows = {row: items.class_names[code] for row, code in enumerate(items.given) if code >= 0} | dict(saved.labels)
    if not rows:
        raise LabelError("L16", "the run has no labels", where=folder, do="label some rows")
    found = [Row(row + 1, items.ids[row], name) for row, name in sorted(rows.items())]
    return make_label_file(found, [], str(folder), options)


def format_finished(folder: Path, results: dict[str, Any]) -> str:
    """What a finished labelling is, and what comes next, for the terminal."""
    lines = [_count_finished(results)]
    lines += [results["said"]] if results["said"] else []
    lines += [f"labels       {folder / 'pseudo_labels.parquet'}", f"report       {folder / 'report.html'}"]
    return "\n".join([*lines, *describe_next(folder)])


def _count_finished(results: dict[str, Any]) -> str:
    counts = results["class_counts"]
    pairs = zip(results["class_names"], counts["given"], counts["propagated"], strict=True)
    classes = ", ".join(f"{name} {given + spread:,}" for name, given, spread in pairs)
    return f"{results['num_labeled']:,} answers, {results['num_rows']:,} rows: {classes}"


def describe_next(folder: Path) -> list[str]:
    """What is done with a finished labelling, a line for each command."""
    return [f"{what:<12} {command}" for what, command in list_next(folder).items()]


def list_next(folder: Path) -> dict[str, str]:
    """What is done with a finished labelling: in a word, and by which command."""
    source, run = read_run(folder).facts["source"], str(folder)
    is_photos = source["kind"] == "images"
    commands = {"train": ["train", source["path"], "--labels", run]} if is_photos else {}
    commands |= {"classify": ["classify", run, "NEW-PHOTOS" if is_photos else "NEW-ROWS", "--out", "classified.csv"]}
    commands |= {"export": ["export", run, "--all", "--out", "labels.csv"]}
    return {what: shlex.join(["fewlabels", *words]) for what, words in commands.items()}
