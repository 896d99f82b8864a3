"""Writes the labels of a reviewed run: CSV or Parquet, which `train` and `propagate` take, or Label Studio's JSON.

Rows are named by their ids, never by position. An answer counts before a given label.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import ConfigError
from .engine.state import SOURCES, State
from .items import Items

KINDS = ("csv", "parquet", "label-studio")
ENDINGS = dict(zip((".csv", ".parquet", ".json"), KINDS, strict=True))
RISKY = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a cell that starts so for a formula
CONTROL, MODEL = "label", "fewlabels"
OTHER_SOURCES = {"none": "none of these", "unsure": "not sure", "bad": "bad photo"}  # answers without a class
LABELED = (SOURCES.index("given"), SOURCES.index("answered"))


@dataclass(frozen=True)
class Form:
    """What an export looks like.

    everything: CSV and Parquet have every row, with certainty and source. excel_safe: put ' before cells of a CSV that
    a spreadsheet would run as formulas; None: for `everything`, which people look at, and not for labels alone, whose
    ids must stay as they are to be read again. images_at: in Label Studio's tasks, what an image's address begins with;
    the id follows it, percent-encoded. Empty: the id as it is.
    """

    everything: bool = False
    excel_safe: bool | None = None
    images_at: str = ""


PLAIN = Form()


@dataclass(frozen=True)
class More:
    """What people did beside labelling rows. class_names: by number, as a State has them by now, empty for those of the
    items. left_out: row -> what was said in place of a class: "none", "unsure", "bad" or "skip".
    """

    class_names: Sequence[str | None] = ()
    left_out: Mapping[int, str] = field(default_factory=dict)


NOTHING_MORE = More()


def find_kind(out: Path) -> str:
    """Find the kind of file to write, one of KINDS, by its ending. Raises ConfigError C16 for another ending."""
    kind = ENDINGS.get(out.suffix.lower())
    if kind is None:
        do = "give the output such a name"
        raise ConfigError("C16", "labels are exported to .csv, .parquet or .json (Label Studio)", where=out, do=do)
    return kind


def export_labels(
    items: Items,
    state: State,
    answers: Mapping[int, str],
    kind: str,
    event: int = 0,
    form: Form = PLAIN,
    more: More = NOTHING_MORE,
) -> bytes:
    """Make the file of labels. Returns its bytes.

    answers: row -> name of its class, as saved; they count even where `state` has not taken them in yet.
    more: what else was answered. Photos of none of the classes, and bad ones, have no label.
    csv, parquet: id,label of given and answered rows, in their order. form.everything: of every row, with certainty
    and source (given, answered, propagated or none); the label is empty (null) where there is none.
    label-studio: a task for every row: its id and texts as data, an annotation where a person labelled it, else a
    prediction with the certainty as score. event: the last one that is in `answers`; it names the predictions' model.
    Raises ConfigError (C89) for another kind.
    """
    source = state.source.copy()
    source[np.isin(source, LABELED[1:])] = SOURCES.index("propagated")  # taken back meanwhile, unless it is in answers
    source[items.given >= 0] = SOURCES.index("given")
    source[list(answers)] = SOURCES.index("answered")
    labels = _find_labels(items, state, answers, source, more.class_names or items.class_names)
    said = {row: OTHER_SOURCES[what] for row, what in more.left_out.items() if what in OTHER_SOURCES}
    for row, what in said.items():
        labels[row] = labels[row] if what == OTHER_SOURCES["unsure"] else None
        source[row] = SOURCES.index("propagated")  # no label that a person gave
    if kind == "label-studio":
        return _to_label_studio(items, labels, source, state.certainty, f"{MODEL}-{event}", form)
    rows = (np.arange(len(labels)) if form.everything else np.flatnonzero(np.isin(source, LABELED))).tolist()
    columns: dict[str, list[Any]] = {"id": [items.ids[row] for row in rows], "label": [labels[row] for row in rows]}
    certainty = np.where(np.isin(source, LABELED), 1.0, state.certainty)
    if form.everything:
        columns["certainty"] = certainty[rows].astype(np.float32).tolist()
        columns["source"] = [said.get(row) or SOURCES[source[row]] for row in rows]
    if kind == "parquet":
        return _to_parquet(columns)
    if kind == "csv":
        return _format_csv(columns, form.everything if form.excel_safe is None else form.excel_safe)
    raise ConfigError("C89", f"no export of kind {kind!r}; there are {', '.join(KINDS)}")


def _find_labels(
    items: Items,
    state: State,
    answers: Mapping[int, str],
    source: NDArray[np.int8],
    names: Sequence[str | None],
) -> list[str | None]:
    """The label of every row: of its answer, else as given, else as propagated; None where there is none."""
    codes = np.where(items.given >= 0, items.given, state.label)
    codes[source == SOURCES.index("none")] = -1
    found: list[str | None] = [names[code] if code >= 0 else None for code in codes.tolist()]
    for row, name in answers.items():
        found[row] = name
    return found


def _format_csv(columns: Mapping[str, list[Any]], excel_safe: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for cells in zip(*columns.values(), strict=True):
        shown = ["" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells]
        writer.writerow([_escape(cell) for cell in shown] if excel_safe else shown)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _escape(cell: str) -> str:
    return f"'{cell}" if cell.startswith(RISKY) else cell


def _to_parquet(columns: Mapping[str, list[Any]]) -> bytes:
    kinds = {"certainty": pa.float32()}
    table = pa.table({name: pa.array(cells, kinds.get(name, pa.string())) for name, cells in columns.items()})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _to_label_studio(
    items: Items,
    labels: list[str | None],
    source: NDArray[np.int8],
    certainty: NDArray[np.floating[Any]],
    model: str,
    form: Form,
) -> bytes:
    """Tasks for a configuration with <Choices name="label" toName="image"> (toName="text" for rows without images)."""
    to_name = "image" if items.kind == "images" else "text"
    tasks = []
    for row, (id, name) in enumerate(zip(items.ids, labels, strict=True)):
        shown = form.images_at + quote(id, errors="surrogatepass") if form.images_at and to_name == "image" else id
        data = {"id": id, to_name: shown, **{key: texts[row] for key, texts in items.texts.items() if key != "id"}}
        task: dict[str, Any] = {"data": data}
        result = [{"from_name": CONTROL, "to_name": to_name, "type": "choices", "value": {"choices": [name]}}]
        if name is not None and source[row] in LABELED:
            task["annotations"] = [{"result": result, "ground_truth": False, "was_cancelled": False}]
        elif name is not None:
            score = round(float(certainty[row]), 6)
            task["predictions"] = [{"model_version": model, "score": score, "result": result}]
        tasks.append(task)
    return json.dumps(tasks, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
