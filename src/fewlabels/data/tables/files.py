"""Parquet and Arrow files and folders of parts: told apart by content, checked against each other, read by column."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from ...errors import InputError
from ..paths import ARROW_FILE, ARROW_STREAM, FEATHER_1, PARQUET, first_bytes, unreadable

ARROW_ENDINGS = (".arrow", ".arrows", ".feather", ".ipc")
BATCH_ROWS = 16384


def part_kind(path: Path) -> str:
    """ "Parquet" or "Arrow": what a file of a table is, by its first bytes, else by its ending, else Parquet."""
    head = first_bytes(path, 8)
    if head.startswith(PARQUET):
        return "Parquet"
    is_arrow = head.startswith((ARROW_FILE, ARROW_STREAM, FEATHER_1)) or path.suffix.lower() in ARROW_ENDINGS
    return "Arrow" if is_arrow else "Parquet"


def part_head(path: Path, error: type[InputError]) -> tuple[pa.Schema, int]:
    """Schema and number of rows. Of an Arrow file one narrow column is walked: the format has no count of rows."""
    with read_errors(path, error):
        if part_kind(path) == "Parquet":
            with pq.ParquetFile(path) as part:
                return part.schema_arrow, part.metadata.num_rows
        with pa.memory_map(str(path)) as source:
            schema = _reader(source, None).schema
            _ = schema.names, str(schema.types)  # names that are no text are found here
            flat = [place for place, field in enumerate(schema) if not pa.types.is_nested(field.type)]
            return schema, sum(batch.num_rows for batch in _batches(source, (flat or [0])[:1]))


def part_batches(path: Path, columns: list[str], size: int | None, error: type[InputError]) -> Iterator[pa.RecordBatch]:
    """All rows of the file in order, with these columns; at most `size` at a time, None for as they were written.

    Arrow files are memory-mapped: what is not compressed in them is not copied, and stays valid as long as it is held.
    Their offsets and texts are checked before anyone follows them.
    """
    with read_errors(path, error):
        if part_kind(path) == "Parquet":
            with pq.ParquetFile(path, buffer_size=1 << 20, page_checksum_verification=True) as part:
                yield from part.iter_batches(batch_size=size or BATCH_ROWS, columns=columns, use_threads=True)
            return
        with pa.memory_map(str(path)) as source:
            names = _reader(source, None).schema.names
            # pyarrow copies when it is to choose columns of a file; so where all is to stay mapped, it reads them all.
            for batch in _batches(source, None if size is None else [names.index(name) for name in columns]):
                chosen = batch.select(columns)
                chosen.validate(full=True)
                for start in range(0, chosen.num_rows, size or max(1, chosen.num_rows)):
                    yield chosen.slice(start, size)


def _reader(source: pa.MemoryMappedFile, fields: list[int] | None) -> pa.ipc.RecordBatchFileReader:
    """A reader of the file or the stream format; fields: places of the columns to read, None for all."""
    source.seek(0)
    head = source.read(len(ARROW_FILE))
    source.seek(0)
    if head.startswith(FEATHER_1):
        raise pa.ArrowInvalid("Feather version 1; write version 2")
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    return (pa.ipc.open_file if head == ARROW_FILE else pa.ipc.open_stream)(source, options=options)


def _batches(source: pa.MemoryMappedFile, fields: list[int] | None) -> Iterator[pa.RecordBatch]:
    reader = _reader(source, fields)
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
    else:
        yield from reader


@contextmanager
def read_errors(path: Path, error: type[InputError]) -> Iterator[None]:
    """Turn what pyarrow raises for a damaged or unreadable file into one line that names the file (E18)."""
    try:
        yield
    except pa.ArrowMemoryError as problem:
        asked = re.search(r"size (\d+)", str(problem))
        if asked is None or int(asked[1]) <= _main_memory():
            raise
        what = f"damaged {part_kind(path)} file (it asks for {int(asked[1]):,} bytes at once)"
        raise error("E18", what, where=path, do="write or fetch it again") from problem
    except (pa.ArrowException, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        do = "write the file again, or fetch it again if it was cut on the way"
        raise error("E18", f"not a whole {part_kind(path)} file ({reason})", where=path, do=do) from problem
    except OSError as problem:
        # A damaged page reaches us as an OSError without a number, a refusal of the operating system with one.
        if problem.errno is not None:
            raise unreadable(path, problem) from problem
        reason = str(problem).splitlines()[0]
        what = f"damaged {part_kind(path)} file ({reason})"
        raise error("E18", what, where=path, do="write or fetch it again") from problem


def _main_memory() -> int:
    """Bytes that this machine has; where nobody can tell, more than any."""
    if not hasattr(os, "sysconf"):
        return 1 << 46
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


LARGEST_WHOLE_FLOAT = 2.0**53  # beyond it neighbouring whole numbers are the same float


@dataclass(frozen=True)
class Table:
    """Parquet or Arrow files with one schema, read in order as if they were one."""

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

    def batches(self, columns: list[str], size: int | None = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """All rows in order, at most `size` at a time, None for the batches of Arrow files as they are.

        Columns of Parquet may be nested ones, such as "image.path".
        """
        for path in self.files:
            yield from part_batches(path, columns, size, self.error)


def part_files(folder: Path, endings: Sequence[str] = (".parquet",)) -> list[Path]:
    """The files of a table directly in a folder, sorted by name; hidden ones and those starting with "_" are left out.

    So `_SUCCESS`, `.crc` and `.tmp` files of other programs are never read.
    """
    try:
        found = sorted(folder.iterdir())
    except OSError as problem:
        raise unreadable(folder, problem) from problem
    return [p for p in found if p.suffix.lower() in endings and p.name[0] not in "._" and p.is_file()]


def open_table(files: Sequence[Path], error: type[InputError]) -> Table:
    """The files as one table; their heads are read, their data is not.

    Raises `error` E18 for a file that is neither Parquet nor Arrow, E20 for the first one whose columns differ from the
    first file's.
    """
    schemas, num_rows = [], 0
    for path in files:
        schema, count = part_head(path, error)
        schemas.append(schema)
        num_rows += count
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


def id_column(table: Table, name: str, *, unique: bool = True) -> pa.ChunkedArray:
    """The id column as text. Raises E21 unless it is text or whole numbers, without nulls, and unique if asked."""
    column = table.column(name)
    where = f"{table.files[0]}, column {name!r}"
    if not (is_text(column.type) or is_whole(column.type)):
        raise table.error("E21", f"ids of type {column.type}; expected text or whole numbers", where=where)
    ids = column.cast(pa.string())
    missing = pc.fill_null(pc.equal(pc.binary_length(ids), 0), True).to_numpy()
    if missing.any():
        rows = [f"row {row + 1}" for row in np.flatnonzero(missing)]
        raise table.error("E21", "rows without an id", where=where, rows=rows, do="give every row its own id")
    if unique and len(pc.unique(ids)) < len(ids):
        repeated = repeats(ids.to_pylist())
        raise table.error("E21", "ids that occur twice", where=where, rows=repeated, do="make the ids unique")
    return ids


def id_texts(table: Table, name: str, *, unique: bool = True) -> list[str]:
    """id_column as a list."""
    ids: list[str] = id_column(table, name, unique=unique).to_pylist()
    return ids


def repeats(values: Sequence[str]) -> list[str]:
    """Values that occur more than once, each once, in the order of their second occurrence."""
    seen: set[str] = set()
    return list(dict.fromkeys(v for v in values if v in seen or seen.add(v)))  # type: ignore[func-returns-value]


def label_column(table: Table, name: str) -> pa.ChunkedArray:
    """The label column as text, null for null and empty text.

    Whole numbers become text, 1.0 becomes "1", booleans "True" and "False".
    Raises `table.error` L22 for 2.5, NaN and every other type.
    """
    column = table.column(name)
    where = f"{table.files[0]}, column {name!r}"
    if pa.types.is_null(column.type):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    if pa.types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    if pa.types.is_floating(column.type):
        column = _whole_numbers(column, where, table.error)
    elif not (is_text(column.type) or is_whole(column.type)):
        raise table.error("L22", f"labels of type {column.type}; expected text or whole numbers", where=where)
    texts = column.cast(pa.string())
    return pc.if_else(pc.equal(pc.binary_length(texts), 0), None, texts)


def label_texts(table: Table, name: str) -> list[str | None]:
    """label_column as a list, None for null."""
    texts: list[str | None] = label_column(table, name).to_pylist()
    return texts


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
