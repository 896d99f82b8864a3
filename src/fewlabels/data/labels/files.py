"""Label files, and labels as class numbers. Ids and labels are text, joined by exact match, never by position."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...conventions import UNLABELED
from ...errors import InputWarning, LabelError, listed, shown, warn
from ..notes import Note
from ..paths import ARROW_FILE, ARROW_STREAM, PARQUET, first_bytes, local_path, other_format
from ..tables.columns import find_declared_index
from ..tables.files import (
    ARROW_ENDINGS,
    PARQUET_ENDINGS,
    Table,
    find_declared_classes,
    id_texts,
    label_texts,
    open_table,
    plain_type,
    repeats,
)
from .csv import ChooseColumns, CsvRows, LabelOptions, OnConflict, Row, choose_columns, find_columns, read_label_csv
from .json_files import is_json, is_unicode, read_label_json
from .words import settle

PLAIN_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}", re.ASCII)  # "007" and "+1" are names, not numbers


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """What a label file says. labels: None = unlabelled. lines: 1-based line (CSV) or row (Parquet) of each id.

    options: it was read with. left_out: its rows that do not count, as the options say.
    is_file: whether source is a path; False for labels that were handed in from Python.
    """

    ids: list[str]
    labels: list[str | None]
    source: str
    lines: list[int]
    options: LabelOptions = field(default_factory=LabelOptions)
    left_out: Sequence[Note] = ()
    is_file: bool = True

    def address(self) -> str:
        """Where the labels are from, for run.json: an absolute path, or what Python handed in."""
        return os.path.abspath(self.source) if self.is_file else self.source

    def place(self, index: int) -> str:
        """Where the row stands, for messages."""
        return f"{self.source}:{self.lines[index]}"


@dataclass(frozen=True)
class Labels:
    """codes: (n,) int64, the class's place in class_names, UNLABELED (-1) where there is none.

    left_out: rows of the label file, and of the data, whose labels do not count.
    """

    codes: np.ndarray
    class_names: list[str]
    left_out: Sequence[Note] = ()


def read_labels(path: str | os.PathLike[str], options: LabelOptions | None = None) -> LabelFile:
    """The labels in a CSV, Parquet, Arrow or JSON file with the columns id and label; other columns are left out.

    Ids are text as it is written. Labels: an empty cell, null and words such as nan are unlabelled, 1.0 is 1, see
    `settle`. The same id twice with the same label counts once, with a warning (L13).
    options: None for the usual ones, which refuse what others pass over with a warning (L5, L14).
    Raises LabelError (L4-L14, L22, L28-L33, L44, L46), StorageError where the file cannot be read.
    """
    options, file = options or LabelOptions(), check_label_file(path)
    if file.suffix.lower() == ".npy":
        do = "with --labels-by-position its numbers are taken in the order of the rows"
        raise LabelError("L28", "an array of labels has no ids to join by", where=file, do=do)
    return make_label_file(*read_label_rows(file, options), str(file), options)


def read_groups(path: str | os.PathLike[str], column: str, options: LabelOptions | None = None) -> LabelFile:
    """The same with the values of another column of the file in place of labels, such as patients or cameras.

    Raises what read_labels raises; LabelError (L31) where there is no such column.
    """
    options, file = options or LabelOptions(), check_label_file(path)

    def choose(header: Sequence[str], where: str, delimiter: str, index: Sequence[str]) -> list[int]:
        return find_columns(header, where, delimiter, ("id", column), index)

    return make_label_file(*read_label_rows(file, options, choose), str(file), options)


def read_label_rows(
    file: Path, options: LabelOptions, choose: ChooseColumns = choose_columns
) -> tuple[list[Row], list[Note]]:
    """The rows of a label file of any kind, their labels as `settle` takes them, and notes on what was odd in it.

    choose: finds the columns of ids and labels. Warns and raises as read_labels does, but for ids that occur twice.
    """
    if is_table(file):
        table = open_table([file], LabelError)
        index = find_declared_index(table)[0]
        id_at, label_at = choose(table.names, str(file), ",", index if len(index) == 1 else ())
        if len(index) > 1 and table.names[id_at] in index:
            do = "write one column id that names each row"
            raise LabelError("L31", f"an index of {len(index)} columns: {', '.join(index)}", where=file, do=do)
        if table.num_rows == 0:
            raise LabelError("L11", "no data rows", where=file, do="add rows with an id and a label")
        ids = id_texts(table, table.names[id_at], unique=False)
        labels, _, notes = settle_column(table, table.names[label_at], options)
        return [Row(place, id, label) for place, (id, label) in enumerate(zip(ids, labels, strict=True), 1)], notes
    is_of_json = is_json(file)
    found = (
        CsvRows(read_label_json(file, choose=choose)) if is_of_json else read_label_csv(file, options, choose=choose)
    )
    warn_of_width(found.left_out, str(file))
    settled, words = settle([row.label for row in found.rows], str(file), options)
    rows = [
        row if row.label == label else row._replace(label=label) for row, label in zip(found.rows, settled, strict=True)
    ]
    return rows, [*found.left_out, *words]


def make_label_file(
    rows: Sequence[Row], notes: Sequence[Note], source: str, options: LabelOptions, *, is_file: bool = True
) -> LabelFile:
    """One label for each id, as `merge_repeats` says. notes: on the rows, to go with them."""
    kept, unused = merge_repeats(rows, source, options.on_conflict)
    ids, labels, lines = [row.id for row in kept], [row.label for row in kept], [row.place for row in kept]
    return LabelFile(
        ids=ids,
        labels=labels,
        source=source,
        lines=lines,
        options=options,
        left_out=[*notes, *unused],
        is_file=is_file,
    )


def labels_from_mapping(labels: Mapping[Any, Any], options: LabelOptions | None = None) -> LabelFile:
    """Labels handed in from Python: id -> class name, None where there is none.

    Whole numbers, also those of NumPy, are their texts; NaN, None and pandas' NA are no label; of text `settle` says
    what it means. Raises LabelError: L19 for a label of blanks, L22 for other types, L44, L46 as `settle`, L14 for ids
    that are the same as text, such as 1 and "1", with two labels.
    """
    options = options or LabelOptions()
    if odd := [id for id, label in labels.items() if not (_is_id(id) and (_is_missing(label) or _is_label(label)))]:
        what = "a label that is neither text nor a whole number, or an id that is neither"
        raise LabelError("L22", what, where="labels", rows=odd, do="give ids and class names as str, None for no label")
    pairs = [(str(id), None if _is_missing(label) else _spell_label(label)) for id, label in labels.items()]
    if blank := [id for id, label in pairs if label and not _fold(label)]:
        do = "give None where there is no label"
        raise LabelError("L19", "a label of blanks", where="labels", rows=blank, do=do)
    digest = hashlib.sha256(json.dumps(sorted(pairs, key=lambda pair: pair[0])).encode()).hexdigest()[:16]
    source = f"{len(labels)} labels from Python, sha256 {digest}"
    settled, notes = settle([label or None for _, label in pairs], source, options)
    rows = [Row(place, id, label) for place, ((id, _), label) in enumerate(zip(pairs, settled, strict=True), 1)]
    return make_label_file(rows, notes, source, options, is_file=False)


def _is_id(id: object) -> bool:
    return (isinstance(id, str) and id != "" and is_unicode(id)) or (
        isinstance(id, (int, np.integer)) and not isinstance(id, bool)
    )


def _is_missing(label: object) -> bool:
    is_nan = isinstance(label, (float, np.floating)) and bool(label != label)
    return label is None or is_nan or type(label).__name__ in ("NAType", "NaTType")  # pandas.NA, NaT


def _is_label(label: object) -> bool:
    if isinstance(label, (float, np.floating)):
        return float(label).is_integer()
    return isinstance(label, (str, int, np.bool_, np.integer)) and is_unicode(str(label))


def _spell_label(label: Any) -> str:
    return str(int(label)) if isinstance(label, (float, np.floating)) else str(label)


def check_label_file(path: str | os.PathLike[str]) -> Path:
    """The path of a label file, if it is a file and no archive. Raises LabelError L28, L30."""
    file = local_path(path, LabelError, "L30")
    if file.is_dir():
        do = "name the file"
        raise LabelError("L28", "a folder; expected a CSV, Parquet or Arrow file of labels", where=file, do=do)
    if kind := other_format(file):
        raise LabelError(
            "L28", f"{kind}; expected CSV, Parquet, Arrow or JSON", where=file, do="save it as one of these"
        )
    return file


def is_table(file: Path) -> bool:
    """Whether a label file is Parquet or Arrow, by content or else by ending."""
    known = first_bytes(file).startswith((PARQUET, ARROW_FILE, ARROW_STREAM))
    return known or file.suffix.lower() in (*PARQUET_ENDINGS, *ARROW_ENDINGS)


def warn_of_width(left_out: Sequence[Note], source: str) -> None:
    """Warn (L5) of rows of a CSV that are left out because they have more or fewer fields than its header."""
    if left_out:
        told = listed([f"line {note.line}{f' with id {note.id!r}' if note.id else ''}" for note in left_out])
        _warn("L5", f"rows with more or fewer fields than the header are left out at {source}: {told}")


def join_labels(
    ids: Sequence[str] | pa.ChunkedArray,
    given: LabelFile,
    *,
    class_names: Sequence[str] | None = None,
    ignore_unknown_ids: bool = False,
) -> Labels:
    """The label of each of `ids` as class numbers, joined by exact id; ids without a row stay UNLABELED.

    ids: n unique texts. class_names fixes the order of the classes, else see `encode_labels`.
    Raises LabelError L15 for ids that are not in the data (unless ignore_unknown_ids), L16 if nothing is labelled,
    L33 for repeated `ids`, L34 for a label outside class_names. Warns where only one class is labelled (L17).
    """
    texts = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([pa.array(ids, pa.string())])
    if len(pc.unique(texts)) < len(texts):
        repeated = repeats(texts.to_pylist())
        raise LabelError("L33", "ids of the data that occur twice", rows=repeated, do="make the ids unique")
    row = pc.fill_null(pc.index_in(pa.array(given.ids, pa.string()), value_set=texts), -1).to_numpy()
    if (row < 0).any() and not ignore_unknown_ids:
        raise unknown_id_error(np.flatnonzero(row < 0), given, texts)
    joined = [i for i in np.flatnonzero(row >= 0) if given.labels[i] is not None]
    names = [given.labels[i] for i in joined]
    if not names:
        what = f"0 of {len(texts):,} rows are labelled"
        raise LabelError("L16", what, where=given.source, do="label at least one row of each class")
    if class_names is not None:
        _check_declared(names, class_names, given)
    found = _encode(names, class_names, Counter(names))
    codes = np.full(len(texts), UNLABELED)
    codes[row[joined]] = found.codes
    warn_of_one_class(found)
    unknown = [
        Note("L15", given.source, given.lines[i], given.ids[i], "an id that is not in the data")
        for i in np.flatnonzero(row < 0)
    ]
    if unknown:
        _warn(
            "L15", f"{len(unknown)} of {len(given.ids)} labels are left out: their ids are not in the data (notes.csv)"
        )
    return Labels(codes, found.class_names, [*given.left_out, *unknown])


def unknown_id_error(unknown: Sequence[int] | np.ndarray, given: LabelFile, ids: pa.ChunkedArray) -> LabelError:
    """The error (L15) for labels, by their places, whose ids are not among those of the data, with what differs."""
    example = f"ids of the data look like {shown(ids[0].as_py())!r}" if len(ids) else "the data has no rows"
    wanted = [given.ids[i] for i in unknown]
    hint = _find_hint(wanted, ids) or "correct the ids, or pass --ignore-unknown-ids (ignore_unknown_ids=True)"
    what = "an id that is not in the data"
    return LabelError("L15", what, where=given.place(unknown[0]), rows=wanted, do=f"{example}; {hint}")


# How ids that are meant to be the same differ: what is said, and what makes them equal.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "only the Unicode normal form differs (NFC and NFD), and several ids are one without it: write them alike": (
        lambda id: unicodedata.normalize("NFC", id)
    ),
    "only blanks around the ids differ": str.strip,
    "only quotes around the ids differ": lambda id: re.sub(r"""^=?b?(['"])(.*)\1$""", r"\2", id).removeprefix("'"),
    "only a .0 at the end differs, which a column of floats has": lambda id: id.removesuffix(".0"),
    "only capitals differ": str.casefold,
    "only characters that nobody sees differ": lambda id: _fold(id),
    "only zeros in front differ": lambda id: id.lstrip("0") or "0",
    "only / and \\ differ": lambda id: id.replace("\\", "/"),
    "only the folders in front differ": lambda id: re.split(r"[/\\]", id)[-1],
    "only the endings differ": lambda id: re.sub(r"\.[A-Za-z0-9]{1,5}$", "", id),
}


def _find_hint(wanted: Sequence[str], ids: pa.ChunkedArray) -> str:
    """How the ids differ from those of the data where that is all that keeps most of them apart, else ""."""
    texts: list[str] = ids.to_pylist()
    for said, alike in SPELLINGS.items():
        known = set(map(alike, texts))
        if 2 * sum(alike(id) in known for id in wanted) > len(wanted):
            return said
    if wanted and all(id.isdecimal() and int(id) < len(texts) for id in wanted) and len(texts):
        return "if the labels count rows, pass --number-rows-from 0, or 1"
    return ""


def warn_of_one_class(labels: Labels) -> None:
    """Warn (L17) where all rows with a label have the same one."""
    if len(labelled := np.unique(labels.codes[labels.codes != UNLABELED])) == 1:
        only = labels.class_names[labelled[0]]
        _warn("L17", f"only one class is labelled ({only!r}): every row that labels reach will get it")


def encode_column(table: Table, name: str, options: LabelOptions) -> Labels:
    """encode_labels for the label column of a table. Null, and what `settle` finds to be no label, is UNLABELED.

    Classes that Hugging Face metadata declare are those, in that order. Raises what `settle_column` does.
    """
    settled, declared, notes = settle_column(table, name, options)
    column = pa.chunked_array([pa.array(settled, pa.string())])
    distinct = pc.unique(column).drop_null()
    counts = {one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()}
    found = _encode(distinct.to_pylist(), declared, counts)
    place = pc.index_in(column, value_set=distinct)
    codes = np.append(found.codes, UNLABELED)[pc.fill_null(place, -1).to_numpy()]
    return Labels(codes, found.class_names, notes)


def settle_column(
    table: Table, name: str, options: LabelOptions
) -> tuple[list[str | None], list[str] | None, list[Note]]:
    """The labels of a column as `settle` takes them; the classes that Hugging Face metadata declare, None without any;
    and notes on words that mean no label.

    A declared name is a class whatever it looks like, unless options.no_label has it. Raises what `label_column` and
    `settle` do.
    """
    declared = find_declared_classes(table, name)
    if declared is not None:
        declared = [one for one in declared if one not in options.no_label]
        options = replace(options, real_label=(*options.real_label, *declared))
    wrapped = wrapped_minus_one(table, name)
    settled, notes = settle(label_texts(table, name), str(table.files[0]), options, wrapped=wrapped)
    return settled, declared, notes


def encode_texts(texts: Sequence[str | None], source: str, options: LabelOptions) -> Labels:
    """encode_labels for cells as a file has them, of which `settle` says what they mean. Raises what it raises."""
    settled, notes = settle(texts, source, options)
    if blank := [f"row {row + 1}" for row, text in enumerate(settled) if text is not None and not _fold(text)]:
        raise LabelError("L19", "labels of blanks", where=source, rows=blank, do="leave a row empty that has no label")
    return replace(_encode(settled, None, Counter(settled)), left_out=notes)


def wrapped_minus_one(table: Table, name: str) -> str | None:
    """What -1 becomes in the unsigned numbers of a column, such as "255"; None where it has other numbers, or names."""
    kind = plain_type(table.schema.field(name).type)
    is_unsigned = pa.types.is_unsigned_integer(kind) and find_declared_classes(table, name) is None
    return str(2**kind.bit_width - 1) if is_unsigned else None


def encode_labels(names: Sequence[str | None], *, class_names: Sequence[str] | None = None) -> Labels:
    """Class names as numbers, None as UNLABELED.

    The classes are ordered as numbers if all of them are whole numbers in plain form, else as text; class_names, if
    given, fixes the classes and their order. Raises LabelError L34 for a name outside class_names, L35 for repeated
    class_names, L19 for a class "-1" beside others than "1". Warns about classes that look alike (L21), and about the
    classes "-1" and "1" (L20).
    """
    if class_names is None and "-1" in names and set(names) - {None} != {"-1", "1"}:
        others = len(set(names) - {None, "-1"})
        do = "leave the cell empty where there is no label; if it is a class, call it something else"
        raise LabelError("L19", f"the label '-1' beside {others} others: a class, or no label?", do=do)
    return _encode(names, class_names, Counter(names))


def _encode(names: Sequence[str | None], class_names: Sequence[str] | None, counts: Mapping[str | None, int]) -> Labels:
    """encode_labels. counts: rows of each name, for messages."""
    if class_names is None:
        found = {name for name in names if name is not None}
        order = sorted(found, key=int if all(map(PLAIN_INTEGER.fullmatch, found)) else None)
    else:
        order = list(class_names)
        if repeated := repeats(order):
            raise LabelError("L35", "class names that occur twice", rows=repeated, do="declare each class once")
        _check_declared(names, order, None)
    _warn_about_twins(order, counts)
    if class_names is None and set(order) == {"-1", "1"}:
        _warn("L20", "the labels '-1' and '1' are taken as two classes; in files an empty cell means unlabelled")
    codes: dict[str | None, int] = {name: code for code, name in enumerate(order)}
    codes[None] = UNLABELED
    return Labels(np.fromiter((codes[name] for name in names), np.int64, len(names)), order)


def _check_declared(names: Sequence[str | None], declared: Sequence[str], given: LabelFile | None) -> None:
    """Raise LabelError L34, with the place in the file if there is one, for names that are not declared."""
    known = {None, *declared}
    outside = {name: None for name in names if name not in known}
    if not outside:
        return
    where = given.place(next(i for i, label in enumerate(given.labels) if label in outside)) if given else None
    declared_as = ", ".join(repr(shown(name)) for name in declared[:5])
    do = f"correct the label, or declare its class; declared are {len(declared)} classes, such as {declared_as}"
    raise LabelError("L34", "a label that is not a declared class", where=where, rows=list(outside), do=do)


def _warn_about_twins(class_names: Sequence[str], counts: Mapping[str | None, int]) -> None:
    """Warn about classes that differ only by case, spaces, invisible characters or normal form (L21)."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in class_names:
        alike[_fold(name)].append(f"{name!a} ({counts.get(name, 0)} labelled)")
    groups = [" and ".join(group) for group in alike.values() if len(group) > 1]
    if groups:
        what = f"classes that differ only by case, space or normal form are kept apart: {listed(groups)}"
        _warn("L21", f"{what}; if they are one class, write its name alike in every row of the labels")


def _fold(name: str) -> str:
    if name.isascii() and name.isprintable():
        return name.strip().casefold()
    # NFKC also turns a no-break space into a space; Cc and Cf are the characters nobody sees.
    visible = (c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) not in ("Cc", "Cf"))
    return "".join(visible).strip().casefold()


def _warn(case: str, message: str) -> None:
    warn(InputWarning(f"FL-{case} {message}"))


Conflicts = Mapping[str, Sequence[Row]]  # id -> its rows, in their order


def merge_repeats(rows: Sequence[Row], source: str, on_conflict: OnConflict) -> tuple[list[Row], list[Note]]:
    """One row for each id, and a note for each row that does not count because of another label of its id.

    Warns of rows that repeat an id with the same label (L13), and of conflicts that are settled as was asked (L14).
    Raises LabelError L14 for an id with two labels unless asked otherwise, L19 for a label of blanks.
    """
    of_id: dict[str, list[Row]] = {}
    for row in rows:
        if row.label is not None and not _fold(row.label):
            do = "leave the cell empty where there is no label"
            raise LabelError("L19", f"a label of blanks ({row.label!r})", where=f"{source}:{row.place}", do=do)
        of_id.setdefault(row.id, []).append(row)
    conflicts = {id: same for id, same in of_id.items() if any(row.label != same[0].label for row in same)}
    if conflicts and on_conflict == "error":
        raise _conflict_error(conflicts, source)
    if again := sum(len(same) - 1 for id, same in of_id.items() if id not in conflicts):
        told = f"{again} {'row repeats' if again == 1 else 'rows repeat'} an id with the same label at {source}"
        _warn("L13", told)
    kept = {id: same[0] for id, same in of_id.items()}
    takes_last = on_conflict == "last"
    kept |= {id: same[-1] if takes_last else same[0]._replace(label=None) for id, same in conflicts.items()}
    if conflicts:
        does = "the last row of each counts" if takes_last else "each stays without a label"
        told = listed([f"{id}: {', '.join(map(_describe, same))}" for id, same in conflicts.items()])
        _warn("L14", f"ids with two different labels at {source}: {does}; {told}")
    unused = [note for same in conflicts.values() for note in _note_unused(same, source, takes_last)]
    return list(kept.values()), unused


def _conflict_error(conflicts: Conflicts, source: str) -> LabelError:
    """The error that names every row with another label than the first of its id, and the place of the first such."""
    pairs = [(same[0], row) for same in conflicts.values() for row in same if row.label != same[0].label]
    pairs.sort(key=lambda pair: pair[1].place)
    said = [f"{row.id}: {_describe(first)}, {_describe(row)}" for first, row in pairs]
    do = "keep one label for each id, or pass --on-conflict last or drop (on_conflict='last')"
    where = f"{source}:{pairs[0][1].place}"
    return LabelError("L14", "an id with two different labels", where=where, rows=said, do=do)


def _note_unused(rows: Sequence[Row], source: str, takes_last: bool) -> list[Note]:
    why = f"{_describe(rows[-1])} counts" if takes_last else "the id has two labels, so it stays without"
    unused = rows[:-1] if takes_last else rows
    return [Note("L14", source, row.place, row.id, f"{_show_label(row)}: {why}") for row in unused]


def _show_label(row: Row) -> str:
    return "no label" if row.label is None else repr(row.label)


def _describe(row: Row) -> str:
    return f"{_show_label(row)} in line {row.place}"
