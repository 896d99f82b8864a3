"""Which columns of a table are ids, labels and features: as asked, else by stated rules, and always said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import EmbeddingError, InputError, shown
from .files import (
    LARGEST_WHOLE_FLOAT,
    Table,
    id_column,
    is_binary,
    is_number,
    is_text,
    is_whole,
    plain,
    plain_type,
)
from .limits import LONGEST_CELL, measure_texts

RULES = 2  # of the columns that nobody names; runs made before there were any have 1: see `Columns.rules`
INDEX_NAMES = re.compile(
    r"|__.+__|Unnamed: ?[\d.]+(_level_\d+)?|index|level_\d+|row[._ ]?names?|rowid|_c0|\.\.\.1|X", re.ASCII
)
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
ID_WORDS = {"id", "ids", "uid", "uuid", "guid", "pk"}
FILE_NAME = "file_name"  # what Hugging Face calls the ids of a folder of images
NAME_WORDS = {"key", "idx", "index", "filename", "file", "path", "filepath", "name", "url", "uri", "image", "img"}
LABEL_NAMES = {"label", "labels", "target", "targets", "class", "classes", "category", "truth", "ground_truth", "gt"}
CODE_WORDS = {"code", "codes", "idx", "index", "num", "number", "no", "int", "encoded", "true"}
NUMBER = re.compile(
    r"[+-]?(\d+|\d{1,3}([,. '\u00a0\u202f]\d{3})+)?([.,]\d+)?([eE][+-]?\d+)? ?%?|[+-]?(?i:nan|inf)", re.ASCII
)
VECTOR = re.compile(r"[\[({]?\s*[+-]?[\d.][\d.eE+-]*([,;|\s]+[+-]?[\d.][\d.eE+-]*)+\s*[\])}]?", re.ASCII)
NUMBERS_ROWS = "numbers the rows"
FEWEST_NUMBERED = 20  # rows, so that consecutive numbers are no accident
SAMPLE = 1000  # cells of a column of text that are looked at
LONG_BYTES = 64  # bytes of one length in every row that are longer than hashes are, so perhaps numbers


@dataclass(frozen=True)
class Columns:
    """What the columns of a table of embeddings are called; one that is not called by its default must be there.

    features: names or patterns such as "f*" of the numeric columns that are the embeddings; (): see `choose_features`.
    ignore: names or patterns of columns that are not. rows_from: ids are row numbers from there, whatever columns there
    are. rules: how what is not named is chosen; 1 is for runs of earlier versions.
    """

    id: str = "id"
    embedding: str = "embedding"
    label: str = "label"
    features: Sequence[str] = ()
    ignore: Sequence[str] = ()
    rows_from: int | None = None
    rules: int = RULES

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))  # JSON has lists
        object.__setattr__(self, "ignore", tuple(self.ignore))

    @classmethod
    def of_run(cls, facts: Mapping[str, Any]) -> Columns:
        """As run.json has them."""
        return cls(**{"rules": 1, **facts})

    def words(self) -> list[str]:
        """The options of the command line that say the same."""
        plain, words = Columns(), []
        for option, value, usual in (
            ("--id-column", self.id, plain.id),
            ("--embedding-column", self.embedding, plain.embedding),
            ("--number-rows-from", self.rows_from, None),
        ):
            words += [option, str(value)] if value != usual else []
        return (
            words
            + [w for p in self.features for w in ("--feature-columns", p)]
            + [w for p in self.ignore for w in ("--ignore-columns", p)]
        )


@dataclass(frozen=True)
class Ids:
    """texts: n ids. said: what they are, in words. column: that holds them, None for numbers.

    are_counted: row numbers that nobody declared. doubt: why other ids may be meant; to be raised where labels are
    joined by these.
    """

    texts: pa.ChunkedArray
    said: str
    column: str | None = None
    are_counted: bool = False
    doubt: EmbeddingError | None = None


DO_IDS = "name the column with --id-column, or pass --number-rows-from 0 for row numbers"


def row_numbers(count: int, start: int = 0, step: int = 1) -> pa.ChunkedArray:
    """ "0", "1", ... as text."""
    chunk = 1 << 20
    numbers = (start + step * np.arange(at, min(at + chunk, count)) for at in range(0, count, chunk))
    return pa.chunked_array([pa.array(part).cast(pa.string()) for part in numbers], pa.string())


def choose_ids(table: Table, asked: Columns) -> Ids:
    """The ids of the rows: the column asked for; `id`, in capitals too; the index that the file declares; a column that
    is an index by its name; `file_name`; else row numbers from 0.

    Raises EmbeddingError E21 for ids that cannot be ids, E31 for a column that is not there, or for `ID` beside `Id`.
    """
    count = table.num_rows
    if asked.rows_from is not None:
        return Ids(row_numbers(count, asked.rows_from), f"row numbers from {asked.rows_from}")
    name = asked.id if asked.id in table.names else None
    if name is None and asked.rules > 1:
        alike = [other for other in table.names if other.casefold() == asked.id.casefold()]
        if len(alike) > 1:
            what = f"{len(alike)} columns named id: {', '.join(alike)}"
            raise EmbeddingError("E31", what, where=table.files[0], do="name one with --id-column")
        name = alike[0] if alike else None
    if name is not None:
        return Ids(id_column(table, name), f"the column {shown(name)!r}", name)
    counted = Ids(row_numbers(count), "row numbers from 0", are_counted=True)
    if asked.rules == 1:
        return counted
    return _find_declared_ids(table, counted) or _find_ids_by_name(table, counted)


def _find_declared_ids(table: Table, counted: Ids) -> Ids | None:
    """The index that pandas or Dask say the table has; None where they say nothing but that rows are counted."""
    columns, ranges = find_declared_index(table)
    if len(columns) == 1:
        return _column_or_doubt(table, columns[0], "the index", counted)
    if columns:
        return _doubt(table, counted, f"the table's index has {len(columns)} columns: {', '.join(columns)}")
    if ranges is None or (all((start, step) == (0, 1) for start, step, _ in ranges) and _are_whole(ranges, table)):
        return None
    if not _are_whole(ranges, table):
        return _doubt(table, counted, "the file declares an index of another number of rows than it has")
    numbers = [
        row_numbers(count, start, step) for (start, step, _), (_, count) in zip(ranges, table.parts, strict=True)
    ]
    texts = pa.chunked_array([chunk for part in numbers for chunk in part.chunks], pa.string())
    if len(pc.unique(texts)) < len(texts):
        return _doubt(table, counted, "the parts declare indexes that overlap")
    start, step, _ = ranges[0]
    said = f"the index that the file declares (from {start}{f' in steps of {step}' if step != 1 else ''})"
    return Ids(texts, said)


def find_declared_index(table: Table) -> tuple[list[str], list[tuple[int, int, int]] | None]:
    """(columns of the index, (start, step, rows) of each part's range), as the metadata of pandas have them."""
    ranges: list[tuple[int, int, int]] = []
    for metadata, _ in table.parts:
        try:
            index = json.loads(metadata[b"pandas"])["index_columns"]
            columns = [name for name in index if isinstance(name, str)]
            if columns and set(columns) <= set(table.names):
                return columns, None
            one = index[0] if len(index) == 1 and isinstance(index[0], dict) else None
            if one is None:
                return [], None
            start, stop, step = (int(one[name]) for name in ("start", "stop", "step"))
            ranges.append((start, step, len(range(start, stop, step))))
        except (KeyError, TypeError, ValueError, RecursionError, OverflowError):
            return [], None
    return [], ranges


def _are_whole(ranges: Sequence[tuple[int, int, int]], table: Table) -> bool:
    return all(rows == count for (_, _, rows), (_, count) in zip(ranges, table.parts, strict=True))


def _find_ids_by_name(table: Table, counted: Ids) -> Ids:
    """The column that is an index by its name, or `file_name`; else row numbers, doubted if a column looks like ids."""
    for name in table.names:
        if INDEX_NAMES.fullmatch(name) and _may_be_ids(table, name):
            rivals = [n for n in table.names if sounds_like_id(n) and _read_unique_ids(table, n) is not None]
            if rivals:
                why = f"{', '.join(map(repr, rivals))} beside the index {name!r} may be the ids"
                return replace(_doubt(table, counted, why), column=name)
            return _column_or_doubt(table, name, "the index in the column", counted)
    if FILE_NAME in table.names:
        return _column_or_doubt(table, FILE_NAME, "the column", counted)
    tests: list[Callable[[str], bool]] = [sounds_like_id, _sounds_like_name]
    tests += [lambda name: _holds_codes(table, name), lambda name: _is_too_large(table, name)]
    tests += [lambda name: getattr(table.schema.field(name).type, "extension_name", "") == "arrow.uuid"]
    alike = [name for name in table.names if any(is_alike(name) for is_alike in tests)]
    alike += [name for name in find_numbering_columns(table) if name not in alike]
    ids = {name: _read_unique_ids(table, name) for name in alike}
    found = [name for name, texts in ids.items() if texts is not None and not texts.equals(counted.texts)]
    if not found:
        return counted
    return _doubt(table, counted, f"{', '.join(map(repr, found))} may be the ids")


def _may_be_ids(table: Table, name: str) -> bool:
    """Whether a column with such a name is one of whole numbers or text; `X` and `index` may be something else."""
    kind = plain_type(table.schema.field(name).type)
    return name not in ("X", "index") or (
        (is_whole(kind) or is_text(kind)) and _read_unique_ids(table, name) is not None
    )


def _column_or_doubt(table: Table, name: str, what: str, counted: Ids) -> Ids:
    try:
        return Ids(id_column(table, name), f"{what} {shown(name)!r}", name)
    except EmbeddingError as problem:
        return replace(_doubt(table, counted, f"{what} {name!r} cannot be the ids: {problem.what}"), column=name)


def _doubt(table: Table, counted: Ids, why: str) -> Ids:
    error = EmbeddingError("E35", f"labels joined by row number, and {why}", where=table.files[0], do=DO_IDS)
    return replace(counted, said=f"{counted.said} ({why}; {DO_IDS})", doubt=error)


def _read_unique_ids(table: Table, name: str) -> pa.ChunkedArray | None:
    try:
        return id_column(table, name)
    except InputError:
        return None


def _holds_codes(table: Table, name: str) -> bool:
    """Whether the first cells of a column are words of text without blanks, no two alike, as names of files are."""
    if not is_text(plain_type(table.schema.field(name).type)):
        return False
    cells = _read_first_cells(table, name)
    return len(cells) > 2 and len(set(cells)) == len(cells) and not any(re.search(r"\s", cell) for cell in cells)


def _is_too_large(table: Table, name: str) -> bool:
    """Whether a column has whole numbers that no float tells from their neighbours, such as hashes and made-up ids."""
    kind = plain_type(table.schema.field(name).type)
    if not is_whole(kind) or kind.bit_width <= 32:
        return False
    span = pc.min_max(table.column(name)).as_py()
    return span["max"] is not None and max(abs(span["min"]), abs(span["max"])) >= LARGEST_WHOLE_FLOAT


def find_numbering_columns(table: Table) -> list[str]:
    """The column of whole numbers that are consecutive in any order, none twice; [] where several are, as ranks are."""
    found = []
    for name in table.names if table.num_rows >= FEWEST_NUMBERED else []:
        if is_whole(plain_type(table.schema.field(name).type)):
            column = table.column(name)
            span = pc.min_max(column).as_py()
            is_dense = not column.null_count and span["max"] - span["min"] + 1 == len(column)
            found += [name] if is_dense and len(pc.unique(column)) == len(column) else []
    return found if len(found) == 1 else []


def sounds_like_id(name: str) -> bool:
    words = [word.casefold() for word in WORDS.findall(name)]
    return bool(words) and not ID_WORDS.isdisjoint((words[0], words[-1]))


def _sounds_like_label(name: str) -> bool:
    """Whether a name is that of a label: `Target`, `true_label`, `class_idx`, `y_true`."""
    words = [word.casefold() for word in WORDS.findall(name)]
    if name.casefold() in LABEL_NAMES or words == ["y", "true"]:
        return True
    return bool(words) and (words[-1] in LABEL_NAMES or (words[0] in LABEL_NAMES and words[-1] in CODE_WORDS))


def _sounds_like_name(name: str) -> bool:
    words = [word.casefold() for word in WORDS.findall(name)]
    return bool(words) and words[-1] in NAME_WORDS


@dataclass(frozen=True)
class Features:
    """columns: of the embeddings: one of lists, or numeric ones. left_out: every other column that is neither id nor
    label -> why it is no feature."""

    columns: list[str]
    is_list: bool
    left_out: Mapping[str, str]


def choose_features(table: Table, asked: Columns, ids: Ids) -> Features:
    """The columns of the embeddings: as asked; else the column `embedding`, in capitals too; else all numeric columns
    (truths and decimals are numbers) but the index, ids, those that number the rows, and those called like labels.

    Raises EmbeddingError E31 if it is not clear where they are, E10 for a column asked for that holds no numbers, E37
    for text that holds numbers or vectors.
    """
    others = {name for name in (ids.column, find_label_column(table, asked.label)) if name is not None}
    if asked.rules > 1:
        others.update(find_declared_index(table)[0])
    rest = [name for name in table.names if name not in others]
    ignored = _match_columns(table, asked.ignore, "--ignore-columns")
    left_out = dict.fromkeys([name for name in rest if name in ignored], "--ignore-columns")
    if asked.features:
        return _choose_asked(table, asked, others, left_out)
    name = _find_embedding(table, asked)
    if name is not None:
        left_out |= {other: f"beside {name!r}" for other in rest if other not in left_out and other != name}
        return Features([name], True, left_out)
    rest = [name for name in rest if name not in left_out]
    if asked.rules > 1:
        left_out |= {name: NUMBERS_ROWS for name in find_numbering_columns(table) if name in rest}
        rest = [name for name in rest if name not in left_out]
    left_out |= {name: why for name in rest if (why := _find_reason(table, name, asked))}
    chosen = [name for name in rest if name not in left_out]
    if len(chosen) < 2:
        raise missing_column(table, f"no column {asked.embedding!r}, and no table of two or more numeric columns")
    return Features(chosen, False, left_out)


def find_label_column(table: Table, asked: str) -> str | None:
    """The label column, if there is one; `Label` will do where there is no `label`."""
    if asked in table.names:
        return asked
    alike = [name for name in table.names if asked == "label" and name.casefold() == asked]
    return alike[0] if len(alike) == 1 else None


def missing_column(table: Table, what: str) -> EmbeddingError:
    """The error for a column that was asked for, or is needed, and is not there (E31)."""
    found = ", ".join(f"{name!r} ({kind})" for name, kind in zip(table.names[:20], table.schema.types, strict=False))
    do = "name the column of lists of numbers (--embedding-column; in Python: embedding_column=...)"
    return EmbeddingError("E31", f"{what}; found {found}", where=table.files[0], do=do)


def may_be_list(kind: pa.DataType) -> bool:
    """Whether a type holds lists that can be read."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _choose_asked(table: Table, asked: Columns, others: set[str], left_out: dict[str, str]) -> Features:
    matching = _match_columns(table, asked.features, "--feature-columns")
    chosen = [n for n in matching if n not in left_out and (n in asked.features or n not in others)]
    for name in chosen:
        kind = plain_type(table.schema.field(name).type)
        if _is_too_large(table, name):
            what = "whole numbers beyond 2^53, which no float holds"
            raise EmbeddingError(
                "E10", what, where=table.place(name), do="leave it out, or write what it means as numbers"
            )
        if not (is_number(kind) or pa.types.is_boolean(kind)):
            do = "name numeric columns; a column of lists is named with --embedding-column"
            raise EmbeddingError("E10", f"features of type {kind}; expected numbers", where=table.place(name), do=do)
    if not chosen:
        raise missing_column(table, "no column is left of --feature-columns")
    rest = [name for name in table.names if name not in {*chosen, *left_out, *others}]
    return Features(chosen, False, left_out | dict.fromkeys(rest, "not in --feature-columns"))


def _match_columns(table: Table, patterns: Sequence[str], option: str) -> list[str]:
    """The columns that the patterns name, in the order of the table. Raises E31 for a pattern that names none."""
    found: set[str] = set()
    for pattern in patterns:
        for one in [pattern] if _match_pattern(table, pattern) else pattern.split(","):
            if not (named := _match_pattern(table, one)):
                raise missing_column(table, f"no column {one!r} of {option}")
            found.update(named)
    return [name for name in table.names if name in found]


def _match_pattern(table: Table, pattern: str) -> list[str]:
    return [pattern] if pattern in table.names else [name for name in table.names if fnmatchcase(name, pattern)]


def _find_embedding(table: Table, asked: Columns) -> str | None:
    if asked.embedding in table.names:
        return asked.embedding
    alike = [name for name in table.names if name.casefold() == asked.embedding.casefold()]
    return alike[0] if len(alike) == 1 and asked.rules > 1 else None


def _find_reason(table: Table, name: str, asked: Columns) -> str:
    """Why a column is none of the features; "" if it is one. Raises E31 for lists, E37 for text that holds numbers."""
    kind = plain_type(table.schema.field(name).type)
    if (may_be_list(kind) and (is_number(kind.value_type) or may_be_list(kind.value_type))) or "list_view" in str(kind):
        raise missing_column(table, f"no column {asked.embedding!r}, and {name!r} holds {kind}")
    if asked.rules == 1:
        numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return "" if numeric and not name.startswith("__index_level_") else str(kind)
    if INDEX_NAMES.fullmatch(name) and name not in ("X", "index"):
        return "an index"
    if not (is_number(kind) or pa.types.is_boolean(kind)):
        return _find_other_reason(table, name, kind)
    if sounds_like_id(name):
        return "called like an id"
    if _is_too_large(table, name):
        return "whole numbers beyond 2^53, which no float holds"
    if _sounds_like_label(name) or (name.casefold() == "y" and "x" not in map(str.casefold, table.names)):
        return "called like a label; --feature-columns takes it"
    if is_whole(kind) and _numbers_rows(table.column(name), strict=not _sounds_like_name(name) and name != "X"):
        return NUMBERS_ROWS
    return ""


def _numbers_rows(column: pa.ChunkedArray, *, strict: bool) -> bool:
    """Whether whole numbers rise by one from row to row; unless strict, also whether no two of them are equal."""
    if column.null_count or len(column) < 3:
        return False
    values = column.cast(pa.float64()).to_numpy()
    return bool((np.diff(values) == 1).all() or (not strict and np.unique(values).size == values.size))


def _find_other_reason(table: Table, name: str, kind: pa.DataType) -> str:
    if pa.types.is_null(kind):
        return "empty"
    if is_binary(kind):
        every = pa.chunked_array([measure_texts(part) for part in table.packed(name)], pa.int64())
        lengths = pc.unique(every.drop_null())
        if len(lengths) == 1 and lengths[0].as_py() >= LONG_BYTES and lengths[0].as_py() % 4 == 0:
            _refuse_packed(table, name, f"bytes, {lengths[0].as_py()} in each row, which may be a vector")
        return "bytes"
    if not is_text(kind):
        return str(kind)
    if not (sounds_like_id(name) or _sounds_like_label(name)):
        cells = _read_first_cells(table, name)
        for pattern, what in ((NUMBER, "numbers"), (VECTOR, "vectors")):
            hits = [cell for cell in cells if pattern.fullmatch(cell)]
            if 2 * len(hits) > len(cells):
                _refuse_packed(table, name, f"text that holds {what}, such as {shown(hits[0], 40)!r}")
    return "text, shown in review"


def _read_first_cells(table: Table, name: str) -> list[str]:
    """Up to SAMPLE cells of text that are not empty, and no longer than an id or label may be."""
    cells: list[str] = []
    for part in table.packed(name, SAMPLE):
        lengths = pc.fill_null(measure_texts(part), LONGEST_CELL + 1).to_pylist()
        short = [part.slice(at, 1) for at, length in enumerate(lengths) if length <= LONGEST_CELL]
        texts = plain(pa.concat_arrays(short)).to_pylist() if short else []  # views of text cannot be filtered
        cells += [cell.strip() for cell in map(str, texts) if cell.strip()]
        if len(cells) >= SAMPLE:
            break
    return cells[:SAMPLE]


def _refuse_packed(table: Table, name: str, what: str) -> None:
    do = f"write it as numbers, or as lists of float32; or leave it out: --ignore-columns {shown(name)!r}"
    raise EmbeddingError("E37", what, where=table.place(name), do=do)


SHOWN_COLUMNS = 5


def list_columns(names: Sequence[str]) -> str:
    """ "a, b and 12 more"."""
    first = ", ".join(shown(name, 40) or "''" for name in names[:SHOWN_COLUMNS])
    return first if len(names) <= SHOWN_COLUMNS else f"{first} and {len(names) - SHOWN_COLUMNS} more"
