"""`fewlabels export`: the labels of a reviewed run as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..review.engine.engine import Engine
from ..review.engine.live import open_live
from ..review.engine.state import make_unsolved_state
from ..review.export import PLAIN, Form, More, export_labels, find_kind
from ..review.items import open_items, read_class_names
from ..review.store.acknowledged import NAME as ACKNOWLEDGED
from ..review.store.classes import ClassList, found_classes
from ..review.store.file import NAME, find_review_folder, identify_run, open_store
from ..runs import is_labelling, read_run, refuse_existing
from ..storage import durable


def run_export(run: Path, out: Path, form: Form = PLAIN, *, force: bool = False) -> dict[str, Any]:
    """Write the labels of a run and of its review, if there was one, to `out`. Returns what was written.

    The review may be open meanwhile: what it has on disk by now is taken. force: replace the file if it exists.
    Raises ConfigError C16 for another ending, what refuse_existing, open_items and open_store raise, and StorageError
    where it cannot be written; a file that was there is then as it was.
    """
    kind = find_kind(out)
    refuse_existing(out, force=force)
    items = open_items(run)
    saved = read_answers(run)
    graph_too = form.everything or kind == "label-studio"  # given and answered labels are known without it
    if graph_too:
        live = open_live(items.descriptors, items.settings, items.class_descriptors) if is_labelling(run) else None
        state = Engine(items, saved.numbers, classes=saved.classes, live=live).state
    else:
        state = make_unsolved_state(items.given)
    answers = saved.labels
    data = export_labels(items, state, answers, kind, saved.event, form, More(saved.classes.names, saved.left_out))
    durable.make_folder(out.parent)
    durable.write_bytes(out, data)
    num_given = int((items.given >= 0).sum())
    corrected = sum(1 for row in answers if items.given[row] >= 0)
    return {
        "out": str(out),
        "rows": len(items.ids),
        "given": num_given,
        "answered": len(answers),
        "labelled": num_given + len(answers) - corrected,
        "event": saved.event,
    }


@dataclass(frozen=True)
class Saved:
    """What people answered. labels: row -> name of the class. numbers: row -> its number, as the engine has it.

    left_out: row -> what was said in place of a class. event: the last one.
    """

    classes: ClassList
    labels: Mapping[int, str] = field(default_factory=dict)
    numbers: Mapping[int, int] = field(default_factory=dict)
    left_out: Mapping[int, str] = field(default_factory=dict)
    event: int = 0


def read_answers(run: Path) -> Saved:
    """The answers beside a run, also while somebody is answering; none where there was no review."""
    folder, names = find_review_folder(run), read_class_names(read_run(run))
    if not (folder / NAME).is_file() and not (folder / ACKNOWLEDGED).is_file():
        return Saved(found_classes(names))
    store = open_store(folder, identify_run(run), names)
    try:
        return Saved(store.classes, store.labels(), store.numbers(), store.left_out(), store.event)
    finally:
        store.close()
