"""`fewlabels export`: the labels of a reviewed run as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..review.engine.engine import Engine
from ..review.engine.state import make_unsolved_state
from ..review.export import PLAIN, Form, export_labels, find_kind
from ..review.items import Items, open_items
from ..review.store.acknowledged import NAME as ACKNOWLEDGED
from ..review.store.file import NAME, find_review_folder, identify_run, open_store
from ..runs import refuse_existing
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
    answers, event = _read_answers(run)
    graph_too = form.everything or kind == "label-studio"  # given and answered labels are known without it
    state = Engine(items, encode_answers(items, answers)).state if graph_too else make_unsolved_state(items.given)
    data = export_labels(items, state, answers, kind, event, form)
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
        "event": event,
    }


def encode_answers(items: Items, answers: Mapping[int, str | None]) -> dict[int, int]:
    """Row -> number of the class, -1 where an answer was taken back, as the engine has it."""
    number = {name: code for code, name in enumerate(items.class_names)}
    return {row: -1 if name is None else number[name] for row, name in answers.items()}


def _read_answers(run: Path) -> tuple[dict[int, str], int]:
    """Row -> class name, and the last event; nothing where there was no review."""
    folder = find_review_folder(run)
    if not (folder / NAME).is_file() and not (folder / ACKNOWLEDGED).is_file():
        return {}, 0
    store = open_store(folder, identify_run(run))
    try:
        return {row: name for row, name in store.answers().items() if name is not None}, store.event
    finally:
        store.close()
