"""Parquet files and folders of parts: found, checked against each other, read column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import InputError
from .paths import unreadable

LARGEST_WHOLE_FLOAT = 2.0**53  # beyond it neighbouring whole numbers are the same float


@dataclass(frozen=True)
class Table:
    """Parquet files with one schema, read in order as if they were one."""

    files: list[Path]
    schema: pa.Schema
    num_rows: int
    error: type[InputError]  # what to raise about this table

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all parts, without its extension type or dictionary."""
        chunks = [plain(batch.column(0)) for batch in self.batches([name])]
        return pa.chunked_array(chunks, type=plain_type(self.schema.field(name).type))

    def batches(self, columns: list[str], size: int = 16384) -> Iterator[pa.RecordBatch]:
        """All rows in order, at most `size` at a time. Columns may be nested ones, such as "image.path"."""
        for path in self.files:
            with read_errors(path, self.error), pq.ParquetFile(path, buffer_size=1 << 20) as part:
                yield from part.iter_batches(batch_size=size, columns=columns, use_threads=True)


@contextmanager
def read_errors(path: Path, error: type[InputError]) -> Iterator[None]:
    """Turn what pyarrow raises for a damaged or unreadable file into one line that names the file (E18)."""
    try:
        yield
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        do = "write the file again, or fetch it again if it was cut on the way"
        raise error("E18", f"not a whole Parquet file ({reason})", where=path, do=do) from problem
    except OSError as problem:
        # A damaged page reaches us as an OSError without a number, a refusal of the operating system with one.
        if problem.errno is not None:
            raise unreadable(path, problem) from problem
        reason = str(problem).splitlines()[0]
        raise error("E18", f"damaged Parquet file ({reason})", where=path, do="write or fetch it again") from problem


def part_files(folder: Path) -> list[Path]:
    """The Parquet files directly in a folder, sorted by name; hidden ones and those starting with "_" are left out.

    So `_SUCCESS`, `.crc` and `.tmp` files of other programs are never read.
    """
    try:
        found = sorted(folder.iterdir())
    except OSError as problem:
        raise unreadable(folder, problem) from problem
    return [p for p in found if p.suffix.lower() == ".parquet" and p.name[0] not in "._" and p.is_file()]


def open_table(files: Sequence[Path], error: type[InputError]) -> Table:
    """The files as one table; their footers are read, their data is not.

    Raises `error` E18 for a file that is not Parquet, E20 for the first one whose columns differ from the first file's.
    """
    schemas, num_rows = [], 0
    for path in files:
        with read_errors(path, error), pq.ParquetFile(path) as part:
            schemas.append(part.schema_arrow)
            num_rows += part.metadata.num_rows
    for path, schema in zip(files, schemas, strict=True):
        if difference := _difference(schemas[0], schema):
            what = f"{difference}, unlike {files[0].name}; all parts need the same columns and types"
            raise error("E20", what, where=path, do="write this part again like the others, or move it away")
        for name in schema.names:
            if schema.names.count(name) > 1:
                raise error("E20", f"two columns named {name!r}", where=path, do="rename one of them")
    return Table(list(files), schemas[0], num_rows, error)


def _difference(first: pa.Schema, other: pa.Schema) -> str:
    """What the other schema has differently, in words; empty if nothing. The order of columns does not matter."""
    wanted = dict(zip(first.names, first.types, strict=True))
    found = dict(zip(other.names, other.types, strict=True))
    for name, kind in wanted.items():
        if name not in found:
            return f"no column {name!r}"
        if found[name] != kind:
            return f"column {name!r} is {found[name]}, not {kind}"
    return next((f"extra column {name!r}" for name in found if name not in wanted), "")


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type below extension types and dictionaries: we trust storage, never code attached to a type."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    return plain_type(kind.value_type) if pa.types.is_dictionary(kind) else kind


def plain(array: pa.Array) -> pa.Array:
    """The same values without extension type and dictionary."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    return plain(array.dictionary_decode()) if pa.types.is_dictionary(array.type) else array


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text."""
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def is_whole(kind: pa.DataType) -> bool:
    """Whether a type holds whole numbers only."""
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def id_texts(table: Table, name: str, *, unique: bool = True) -> list[str]:
    """The id column as text. Raises E21 unless it is text or whole numbers, without nulls, and unique if asked."""
    column = table.column(name)
    where = f"{table.files[0]}, column {name!r}"
    if not (is_text(column.type) or is_whole(column.type)):
        raise table.error("E21", f"ids of type {column.type}; expected text or whole numbers", where=where)
    ids: list[str] = column.cast(pa.string()).to_pylist()
    missing = [f"row {row + 1}" for row, value in enumerate(ids) if not value]
    if missing:
        raise table.error("E21", "rows without an id", where=where, rows=missing, do="give every row its own id")
    if unique and (repeated := repeats(ids)):
        raise table.error("E21", "ids that occur twice", where=where, rows=repeated, do="make the ids unique")
    return ids


def repeats(values: Sequence[str]) -> list[str]:
    """Values that occur more than once, each once, in the order of their second occurrence."""
    seen: set[str] = set()
    return list(dict.fromkeys(v for v in values if v in seen or seen.add(v)))  # type: ignore[func-returns-value]


def label_texts(table: Table, name: str) -> list[str | None]:
    """The label column as text, None for null and empty text.

    Whole numbers become text, 1.0 becomes "1", booleans "True" and "False".
    Raises `table.error` L22 for 2.5, NaN and every other type.
    """
    column = table.column(name)
    where = f"{table.files[0]}, column {name!r}"
    if pa.types.is_null(column.type):
        return [None] * len(column)
    if pa.types.is_boolean(column.type):
        return [None if v is None else str(v) for v in column.to_pylist()]
    if pa.types.is_floating(column.type):
        column = _whole_numbers(column, where, table.error)
    elif not (is_text(column.type) or is_whole(column.type)):
        raise table.error("L22", f"labels of type {column.type}; expected text or whole numbers", where=where)
    return [text or None for text in column.cast(pa.string()).to_pylist()]


def _whole_numbers(column: pa.ChunkedArray, where: str, error: type[InputError]) -> pa.ChunkedArray:
    """Floats as whole numbers, nulls kept. Raises L22 for values that are not whole."""
    values = pc.fill_null(column.cast(pa.float64()), 0.0).to_numpy()
    # Not `abs(x) >= limit`: NaN must count as bad, too.
    bad = ~((np.abs(values) < LARGEST_WHOLE_FLOAT) & (np.trunc(values) == values))
    if bad.any():
        rows = [f"row {i + 1}: {values[i]}" for i in np.flatnonzero(bad)]
        do = "write labels as text or whole numbers, and null where there is none"
        raise error("L22", "labels that are not whole numbers", where=where, rows=rows, do=do)
    return column.cast(pa.int64())
