"""Labels that lie among images: metadata.csv, .jsonl or .parquet with a column file_name, as for Hugging Face's
ImageFolder; and the label column of a table that holds the images themselves.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import ImageError, LabelError, shown
from ..labels.csv import MAX_ROW, Row
from ..labels.files import LabelFile, merge_repeats
from ..paths import unreadable
from ..tables.files import Table, find_declared_classes, id_texts, is_whole, label_texts, open_table, plain_type

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE_COLUMN = "file_name"
LABEL_COLUMNS = ("label", "labels", "fine_label")
OTHER_LABEL_COLUMNS = ("class", "class_name", "category", "target")


@dataclass(frozen=True)
class Metadata:
    """labels: by the paths of images below the root, as a label file would say them; None without a column of labels.

    said: what was found, in a line.
    """

    labels: LabelFile | None
    said: str


def is_metadata(id: str) -> bool:
    """Whether a file is called like one of metadata."""
    return PurePosixPath(id).name in METADATA


def read_metadata(root: Path, ids: Sequence[str]) -> Metadata | None:
    """What metadata files among the files of a folder say; None where there is no such file.

    ids: of the files, as paths below root with "/"; a metadata file speaks of the folder that it is in.
    Raises LabelError: L5 for a row of another width, L8 for what is no UTF-8, L14 for an image with two labels, L22 for
    labels that are neither text nor whole numbers, L28 for a line that is no JSON, L29 for one that does not end, L32
    for a row without file_name.
    """
    files = [id for id in ids if is_metadata(id)]
    rows: list[Row] = []
    columns: list[str] = []
    for id in files:
        path, folder = root / id, PurePosixPath(id).parent
        found, column = (_parquet_rows if id.endswith(".parquet") else _text_rows)(path)
        known = {(row.id, row.label) for row in rows}  # the same table may lie there in two forms
        named = [row._replace(id=str(folder / row.id)) for row in found]  # which also takes away "./"
        rows += [row for row in named if (row.id, row.label) not in known]
        columns += [column] if column else []
    if not files:
        return None
    where, there = str(root / files[0]), ", ".join(map(shown, files))
    if not rows:
        why = f"no column {FILE_COLUMN} or none of {', '.join(LABEL_COLUMNS)}"
        return Metadata(None, f"{there}: {why}, so labels do not come from there")
    kept, left_out = merge_repeats(rows, where, "error")
    labels = [row.label for row in kept]
    lines = [row.place for row in kept]
    said = f"labels come from {there} (column {columns[0]!r}), and not from the names of folders"
    return Metadata(
        LabelFile(ids=[row.id for row in kept], labels=labels, source=where, lines=lines, left_out=left_out), said
    )


def _label_column(names: Sequence[str]) -> str | None:
    if FILE_COLUMN not in names:
        return None
    return next((name for name in (*LABEL_COLUMNS, *OTHER_LABEL_COLUMNS) if name in names), None)


def _parquet_rows(path: Path) -> tuple[list[Row], str | None]:
    table = open_table([path], LabelError)
    column = _label_column(table.names)
    if column is None or table.num_rows == 0:
        return [], None
    ids = id_texts(table, FILE_COLUMN, unique=False)
    labels, _ = read_label_column(table, column)
    return [Row(place, id, label) for place, (id, label) in enumerate(zip(ids, labels, strict=True), 1)], column


def _text_rows(path: Path) -> tuple[list[Row], str | None]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = _bounded(file, path)
            return _json_rows(lines, path) if path.suffix == ".jsonl" else _csv_rows(lines, path)
    except UnicodeError as problem:
        raise LabelError("L8", f"not UTF-8 ({problem})", where=path, do="save it as UTF-8") from problem
    except OSError as problem:
        raise unreadable(path, problem) from problem


def _bounded(file: object, path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(MAX_ROW + 1):  # type: ignore[attr-defined]
        number += 1
        if len(line) > MAX_ROW:
            do = "check that its lines end"
            raise LabelError("L29", "a line that is too long", where=f"{path}:{number}", do=do)
        yield line


def _csv_rows(lines: Iterator[str], path: Path) -> tuple[list[Row], str | None]:
    reader = csv.reader(lines, strict=True)
    rows: list[Row] = []
    try:
        header = next(reader, [])
        column = _label_column(header)
        if column is None:
            return [], None
        id_at, label_at = header.index(FILE_COLUMN), header.index(column)
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) != len(header):
                what = f"a row with {len(cells)} fields, while the header has {len(header)}"
                raise LabelError("L5", what, where=f"{path}:{reader.line_num}", do="quote cells that hold ','")
            rows.append(_row(reader.line_num, cells[id_at], cells[label_at], path))
    except csv.Error as problem:
        do = 'quote the whole cell, and write "" for a quote in it'
        raise LabelError("L6", f"a wrongly quoted cell ({problem})", where=f"{path}:{reader.line_num}", do=do) from None
    return rows, column


def _json_rows(lines: Iterator[str], path: Path) -> tuple[list[Row], str | None]:
    rows: list[Row] = []
    column: str | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as problem:
            do = "write one JSON object on each line"
            raise LabelError("L28", f"a line that is no JSON ({problem})", where=f"{path}:{number}", do=do) from None
        if not isinstance(value, dict):
            raise LabelError("L28", "a line that is no JSON object", where=f"{path}:{number}", do="write objects")
        column = column or _label_column(list(value))
        if column is not None:
            rows.append(_row(number, value.get(FILE_COLUMN), value.get(column), path))
    return rows, column


def _row(place: int, id: object, label: object, path: Path) -> Row:
    where = f"{path}:{place}"
    if not isinstance(id, str) or not id:
        raise LabelError("L32", f"a row without {FILE_COLUMN}", where=where, do="name the image's file in every row")
    if isinstance(label, float) and label.is_integer() and abs(label) < 2**53:
        label = int(label)
    if not isinstance(label, str | int | None):
        what = f"a label that is {shown(json.dumps(label))}; expected text, a whole number, or null"
        raise LabelError("L22", what, where=where, do="give each image one label")
    return Row(place, id, None if label in (None, "") else str(label))


def read_label_column(table: Table, label: str) -> tuple[list[str | None], list[str] | None]:
    """Class names by row, None where there is no label; and the classes that the hub's metadata declares, if it does.

    Without declared names, a whole number -1 is still the hub's mark for a row without a label.
    Raises ImageError I34 for numbers outside of the declared classes.
    """
    class_names = find_declared_classes(table, label)
    if class_names is None:
        whole = is_whole(plain_type(table.schema.field(label).type))
        return [None if whole and name == "-1" else name for name in label_texts(table, label)], None
    codes = [-1 if code is None else code for code in table.column(label).to_pylist()]
    if bad := [f"row {row + 1}: {code}" for row, code in enumerate(codes) if not -1 <= code < len(class_names)]:
        what = f"class numbers outside the {len(class_names)} declared classes"
        raise ImageError("I34", what, where=f"{table.files[0]}, column {label!r}", rows=bad, do="write it again")
    return [class_names[code] if code >= 0 else None for code in codes], class_names
