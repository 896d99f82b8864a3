"""Labels that lie among images: metadata.csv, .jsonl or .parquet with a column file_name, as for Hugging Face's
ImageFolder; and the label column of a table that holds the images themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import ImageError, LabelError, shown
from ..labels.csv import DELIMITERS, LabelOptions, Row, find_columns
from ..labels.files import LabelFile, make_label_file, read_label_rows, settle_column
from ..notes import Note
from ..tables.files import Table, find_declared_classes

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
    return PurePosixPath(id).name.casefold() in METADATA


def read_metadata(root: Path, ids: Sequence[str], options: LabelOptions | None = None) -> Metadata | None:
    """What metadata files among the files of a folder say; None where there is no such file.

    ids: of the files, as paths below root with "/"; a metadata file speaks of the folder that it is in. options: as for
    a label file, whose rules hold here.
    Raises LabelError as read_labels does, but for a file without the columns, which gives no labels.
    """
    files, options = [id for id in ids if is_metadata(id)], options or LabelOptions()
    rows: list[Row] = []
    notes: list[Note] = []
    columns: list[str] = []
    for id in files:
        choice = _Choice()
        try:
            found, noted = read_label_rows(root / id, options, choice.choose)
        except LabelError as problem:
            if not (choice.has_none or problem.code == "FL-L11"):
                raise
            continue
        columns.append(choice.label)
        notes += noted
        folder, known = PurePosixPath(id).parent, {(row.id, row.label) for row in rows}  # there may be two forms of it
        named = [row._replace(id=str(folder / row.id)) for row in found]  # which also takes away "./"
        rows += [row for row in named if (row.id, row.label) not in known]
    if not files:
        return None
    where, there = str(root / files[0]), ", ".join(map(shown, files))
    if not rows:
        why = f"no rows with a column {FILE_COLUMN} and one of {', '.join(LABEL_COLUMNS)}"
        return Metadata(None, f"{there}: {why}, so labels do not come from there")
    said = f"labels come from {there} (column {columns[0]!r}), and not from the names of folders"
    return Metadata(make_label_file(rows, notes, where, options), said)


class _Choice:
    """The columns of one metadata file. label: the name of that of labels; has_none: whether the file has none."""

    def __init__(self) -> None:
        self.label, self.has_none = "", False

    def choose(self, header: Sequence[str], where: str, delimiter: str, index: Sequence[str]) -> list[int]:
        """Where file_name and the labels stand, in capitals too. Raises LabelError L31 where they do not, L9, L12."""
        names = [cell.casefold() for cell in header]
        pieces = re.split(f"[{''.join(DELIMITERS)}]", delimiter.join(names))  # of another delimiter: L9 is to name it
        wanted = [one for one in (*LABEL_COLUMNS, *OTHER_LABEL_COLUMNS) if one in names or one in pieces]
        self.has_none = not wanted or FILE_COLUMN not in (*names, *pieces)
        places = find_columns(header, where, delimiter, (FILE_COLUMN, wanted[0] if wanted else LABEL_COLUMNS[0]))
        self.label = header[places[1]]
        return places


def find_label_column(names: Sequence[str]) -> str | None:
    """Which column of a table of images has the labels, in capitals too; None where there is none."""
    for wanted in (*LABEL_COLUMNS, *OTHER_LABEL_COLUMNS):
        if wanted in names:
            return wanted
    alike = {name.casefold(): name for name in reversed(names)}
    return next((alike[one] for one in (*LABEL_COLUMNS, *OTHER_LABEL_COLUMNS) if one in alike), None)


def read_label_column(
    table: Table, label: str, options: LabelOptions | None = None
) -> tuple[list[str | None], list[str] | None, list[Note]]:
    """Class names by row, None where there is no label; the classes that the hub's metadata declares, if it does; and
    notes on words that mean no label. The rules are those of label files.

    Raises ImageError I34 for numbers outside of the declared classes, LabelError L44 and L46 as `settle`.
    """
    class_names = find_declared_classes(table, label)
    if class_names is not None:
        codes = [-1 if code is None else code for code in table.column(label).to_pylist()]
        if bad := [f"row {row + 1}: {code}" for row, code in enumerate(codes) if not -1 <= code < len(class_names)]:
            what = f"class numbers outside the {len(class_names)} declared classes"
            raise ImageError("I34", what, where=f"{table.files[0]}, column {label!r}", rows=bad, do="write it again")
    return settle_column(table, label, options or LabelOptions())
