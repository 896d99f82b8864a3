"""`fewlabels export`: the labels of a reviewed run as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import durable
from ..errors import ConfigError
from ..review.engine import Engine
from ..review.export import exported
from ..review.items import open_items
from ..review.store_file import NAME, open_store, review_folder, run_identity

ENDINGS = {".csv": "csv", ".parquet": "parquet", ".json": "label-studio"}


def run_export(run: Path, out: Path, *, everything: bool = False, excel_safe: bool | None = None) -> dict[str, Any]:
    """Write the labels of a run and of its review, if there was one, to `out`. Returns what was written.

    The review may be open meanwhile: what it has on disk by now is taken.
    Raises ConfigError C16 for another ending, C9 where the file exists, what open_items and open_store raise, and
    StorageError where it cannot be written.
    """
    kind = ENDINGS.get(out.suffix.lower())
    if kind is None:
        do = "give the output such a name"
        raise ConfigError("C16", "labels are exported to .csv, .parquet or .json (Label Studio)", where=out, do=do)
    if out.exists():
        raise ConfigError("C9", "the output exists", where=out, do="choose another name; nothing was changed")
    items = open_items(run)
    answers, event = _answers(run)
    number = {name: code for code, name in enumerate(items.class_names)}
    engine = Engine(items, {row: number[name] for row, name in answers.items()})
    data = exported(items, engine.state, answers, kind, event, everything=everything, excel_safe=excel_safe)
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


def _answers(run: Path) -> tuple[dict[int, str], int]:
    """Row -> class name, and the last event; nothing where there was no review."""
    folder = review_folder(run)
    if not (folder / NAME).is_file():
        return {}, 0
    store = open_store(folder, run_identity(run))
    try:
        return {row: name for row, name in store.answers().items() if name is not None}, store.event
    finally:
        store.close()
