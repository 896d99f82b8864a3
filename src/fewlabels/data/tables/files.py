"""Parquet and Arrow files and folders of parts: told apart by content, checked against each other, read by column."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from ...errors import InputError, shown
from ..paths import ARROW_FILE, ARROW_STREAM, FEATHER_1, PARQUET, first_bytes, unreadable
from .ipc_sizes import measure_batches
from .limits import (
    LONGEST_CELL,
    ROW_BYTES,
    demand_batches,
    demand_pages,
    demand_rows,
    measure_texts,
    most_bytes,
)

PARQUET_ENDINGS = (".parquet", ".pq", ".parq")
ARROW_ENDINGS = (".arrow", ".arrows", ".feather", ".ipc")
BATCH_ROWS, FEW_ROWS = 16384, 1024
SHORT_ROWS = 1 << 20  # of ids and labels, which are bounded: each batch of packed texts comes with its dictionary
ORIGIN = b"fewlabels"  # key of a file's metadata: how `describe` made the rows, in JSON


def part_kind(path: Path) -> str:
    """ "Parquet" or "Arrow": what a file of a table is, by its first bytes, else by its ending, else Parquet."""
    head = first_bytes(path, 8)
    if head.startswith(PARQUET):
        return "Parquet"
    is_arrow = head.startswith((ARROW_FILE, ARROW_STREAM, FEATHER_1)) or path.suffix.lower() in ARROW_ENDINGS
    return "Arrow" if is_arrow else "Parquet"


def read_head(path: Path, error: type[InputError]) -> tuple[pa.Schema, int]:
    """Schema and number of rows. Of an Arrow file all batches are asked for theirs: the format has no count of rows."""
    with read_errors(path, error):
        if part_kind(path) == "Parquet":
            with pq.ParquetFile(path) as part:
                return part.schema_arrow, part.metadata.num_rows
        with pa.memory_map(str(path)) as source:
            schema = _open_reader(source, None).schema
            _ = schema.names, str(schema.types)  # names that are no text are found here
            return schema, sum(batch.num_rows for batch in measure_batches(source) if not batch.is_dictionary)


def read_batches(
    path: Path, columns: list[str], size: int | None, error: type[InputError], packed: Sequence[str] = ()
) -> Iterator[pa.RecordBatch]:
    """All rows of the file in order, with these columns; at most `size` at a time, None for as they were written.

    packed: columns of text in Parquet that stay dictionaries, so that a cell that repeats is held once.
    Arrow files are memory-mapped: what is not compressed in them is not copied, and stays valid as long as it is held.
    Their offsets and texts are checked before anyone follows them.
    Raises `error` E18 for a damaged file, E38 for a small one that unpacks to gigabytes, before it is unpacked.
    """
    with read_errors(path, error):
        if part_kind(path) == "Parquet":
            yield from _read_pages(path, columns, size or BATCH_ROWS, error, packed)
            return
        with pa.memory_map(str(path)) as source:
            schema, batches = _open_reader(source, None).schema, measure_batches(source)
            demand_batches(path, schema, columns, batches, error)
            # pyarrow copies when it is to choose columns of a file; so where all is to stay mapped, it reads them all.
            is_mapped = size is None and not any(batch.total for batch in batches)
            for batch in _read_batches(source, None if is_mapped else [schema.names.index(name) for name in columns]):
                chosen = batch.select(columns)
                chosen.validate(full=True)
                for start in range(0, chosen.num_rows, size or max(1, chosen.num_rows)):
                    yield chosen.slice(start, size)


def _read_pages(
    path: Path, columns: list[str], size: int, error: type[InputError], packed: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    pages = demand_pages(path, columns, error)
    largest = max((one.largest for one in pages.values() if one.is_delta), default=0)
    size = min(size, max(1, most_bytes([path]) // max(1, largest)))  # each of those texts may be as long as its page
    # Without pre_buffer=False all that was read stays in memory until the end (pyarrow 26).
    options: dict[str, Any] = {"buffer_size": 1 << 20, "page_checksum_verification": True, "pre_buffer": False}
    first = True
    try:
        with pq.ParquetFile(path, read_dictionary=[] if largest else list(packed), **options) as part:
            for batch in part.iter_batches(batch_size=size, columns=columns, use_threads=True):
                yield batch
                first = False
    except pa.ArrowNotImplementedError:  # these texts cannot stay packed (pyarrow 26, delta encoding)
        if not (packed and first):
            raise
        yield from _read_pages(path, columns, min(size, FEW_ROWS), error, [])


def _open_reader(source: pa.MemoryMappedFile, fields: list[int] | None) -> pa.ipc.RecordBatchFileReader:
    """A reader of the file or the stream format; fields: places of the columns to read, None for all."""
    source.seek(0)
    head = source.read(len(ARROW_FILE))
    source.seek(0)
    if head.startswith(FEATHER_1):
        raise pa.ArrowInvalid("Feather version 1; write version 2")
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    return (pa.ipc.open_file if head == ARROW_FILE else pa.ipc.open_stream)(source, options=options)


def _read_batches(source: pa.MemoryMappedFile, fields: list[int] | None) -> Iterator[pa.RecordBatch]:
    reader = _open_reader(source, fields)
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


def describe_made(facts: Mapping[str, Any]) -> str:
    """How `fewlabels describe` made rows, in a few words; "" for facts that are not its."""
    try:
        size = facts.get("preprocessing", {}).get("size")
        model, weights = str(facts["model"]), str(facts["weights"])[:8]
    except (KeyError, TypeError, AttributeError):
        return ""
    pixels = f", {size} pixels" if isinstance(size, int) else ""
    mirror = ", with mirror images" if facts.get("mirror") is True else ""
    return shown(f"made by fewlabels describe: {model}{pixels}{mirror}, weights {weights}")


LARGEST_WHOLE_FLOAT = 2.0**53  # beyond it neighbouring whole numbers are the same float


@dataclass(frozen=True)
class Table:
    """Parquet or Arrow files with one schema, read in order as if they were one."""

    files: list[Path]
    schema: pa.Schema
    num_rows: int
    error: type[InputError]  # what to raise about this table
    parts: Sequence[tuple[Mapping[bytes, bytes], int]] = ()  # what each file says about itself, and its rows

    @property
    def names(self) -> list[str]:
        return list(self.schema.names)

    def made(self) -> dict[str, Any]:
        """How `fewlabels describe` made the rows, as it wrote it; empty where it did not."""
        kept, _ = self.parts[0] if self.parts else ({}, 0)
        try:
            facts = json.loads(kept.get(ORIGIN, b"{}"))
        except (ValueError, RecursionError):
            return {}
        return facts if isinstance(facts, dict) and describe_made(facts) else {}

    def origin(self) -> str:
        """`made` in a few words; "" where `fewlabels describe` did not make the rows."""
        return describe_made(self.made())

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all parts, without its extension type or dictionary."""
        with read_errors(self.files[0], self.error):
            chunks = [plain(batch.column(0)) for batch in self.batches([name])]
            return pa.chunked_array(chunks, type=plain_type(self.schema.field(name).type))

    def cells(self, name: str) -> pa.ChunkedArray:
        """`column` of ids or labels, which are short: bounded before it is unpacked, whatever the file says.

        Raises `error` E38 for a cell of more than LONGEST_CELL bytes, and for a column that would take more than
        512 MiB and more than 200 times the size of the files.
        """
        kind = plain_type(self.schema.field(name).type)
        is_bytes = is_text(kind) or is_binary(kind)
        most = most_bytes(self.files)
        chunks, held = [], 0
        with read_errors(self.files[0], self.error):
            for array in self.packed(name, SHORT_ROWS):
                lengths = measure_texts(array) if is_bytes else None
                longest = (pc.max(lengths).as_py() or 0) if is_bytes else 0
                held += ((pc.sum(lengths).as_py() or 0) if is_bytes else 8 * len(array)) + ROW_BYTES * len(array)
                if longest > LONGEST_CELL:
                    what = f"a cell of {longest:,} bytes; an id or label has up to {LONGEST_CELL:,}"
                    raise self._too_large(name, what)
                if held > most:
                    raise self._too_large(name, f"ids or labels that unpack to more than {most:,} bytes")
                chunks.append(plain(array).cast(kind))  # a packed large_string comes as string
            return pa.chunked_array(chunks, type=kind)

    def packed(self, name: str, size: int = BATCH_ROWS) -> Iterator[pa.Array]:
        """One column of all parts, at most `size` rows at a time; texts of Parquet as dictionaries: `measure_texts`."""
        kind = plain_type(self.schema.field(name).type)
        for path in self.files:
            texts = [name] if is_text(kind) or is_binary(kind) else []
            for batch in read_batches(path, [name], size, self.error, texts):
                yield batch.column(0)

    def place(self, name: str) -> str:
        """The first file and the column, for messages."""
        return f"{self.files[0]}, column {name!r}"

    def _too_large(self, name: str, what: str) -> InputError:
        do = "check that this is the column of ids or labels, and what wrote the file"
        return self.error("E38", what, where=self.place(name), do=do)

    def batches(self, columns: list[str], size: int | None = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """All rows in order, at most `size` at a time, None for the batches of Arrow files as they are.

        Columns of Parquet may be nested ones, such as "image.path".
        """
        for path in self.files:
            yield from read_batches(path, columns, size, self.error)


def natural_key(path: Path) -> tuple[list[int | str], str]:
    """Sorts names as their writers number them: part.2 before part.10."""
    pieces = re.split(r"([0-9]+)", path.name)
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], path.name


def part_files(folder: Path, endings: Sequence[str] = PARQUET_ENDINGS) -> list[Path]:
    """The files of a table directly in a folder, in natural order of their names (part.2 before part.10).

    Hidden ones and those starting with "_" are left out, so `_SUCCESS`, `.crc` and `.tmp` files of other programs are
    never read.
    """
    try:
        found = sorted(folder.iterdir(), key=natural_key)
    except OSError as problem:
        raise unreadable(folder, problem) from problem
    return [p for p in found if p.suffix.lower() in endings and p.name[0] not in "._" and p.is_file()]


def open_table(files: Sequence[Path], error: type[InputError]) -> Table:
    """The files as one table; their heads are read, their data is not.

    Raises `error` E18 for a file that is neither Parquet nor Arrow, E20 for the first one whose columns differ from the
    first file's.
    """
    heads = [read_head(path, error) for path in files]
    schemas = [schema for schema, _ in heads]
    for path, schema in zip(files, schemas, strict=True):
        if difference := _describe_difference(schemas[0], schema):
            what = f"{difference}, unlike {files[0].name}; all parts need the same columns and types"
            raise error("E20", what, where=path, do="write this part again like the others, or move it away")
        for name in schema.names:
            if schema.names.count(name) > 1:
                raise error("E20", f"two columns named {name!r}", where=path, do="rename one of them")
    metadata = tuple((schema.metadata or {}, count) for schema, count in heads)
    num_rows = sum(count for _, count in heads)
    demand_rows(files, num_rows, error)
    return Table(list(files), schemas[0], num_rows, error, metadata)


def _describe_difference(first: pa.Schema, other: pa.Schema) -> str:
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
    """The type below extension types, dictionaries, runs and views: we trust storage, never code attached to a type."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    return VIEWS.get(kind, kind)


VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}


def plain(array: pa.Array) -> pa.Array:
    """The same values without extension type, dictionary, runs and views."""
    if isinstance(array, pa.ExtensionArray):
        return plain(array.storage)
    if pa.types.is_run_end_encoded(array.type):
        return plain(pc.run_end_decode(array))
    if pa.types.is_dictionary(array.type):
        return plain(array.dictionary).take(array.indices)  # pyarrow has no dictionary_decode of views
    return array.cast(VIEWS[array.type]) if array.type in VIEWS else array


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text."""
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def is_binary(kind: pa.DataType) -> bool:
    """Whether a type holds bytes."""
    is_of = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(test(kind) for test in is_of)


def is_whole(kind: pa.DataType) -> bool:
    """Whether a type holds whole numbers only."""
    return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type holds real numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def id_column(table: Table, name: str, *, unique: bool = True) -> pa.ChunkedArray:
    """The id column as text: 5.0 is "5", a UUID has its dashes, bytes are the text that they spell.

    Raises E21 for other types, for a number that is not whole, for a row without an id, and unless unique if asked.
    """
    where, kind = table.place(name), table.schema.field(name).type
    if getattr(kind, "extension_name", "") == "arrow.uuid":
        column = pa.chunked_array([pa.array(list(map(_format_uuid, table.cells(name).to_pylist())), pa.string())])
    else:
        column = table.cells(name)
    try:
        if is_binary(column.type):
            column = column.cast(pa.large_binary()).cast(pa.large_string())
        elif is_number(column.type) and not is_whole(column.type):
            column = _round_whole(column)
    except pa.ArrowInvalid as problem:
        what = (
            f"ids of type {kind} that are no text"
            if is_binary(column.type)
            else f"ids of type {kind} that are not whole numbers"
        )
        raise table.error("E21", what, where=where, do=DO_TEXT_IDS) from problem
    if not (is_text(column.type) or is_whole(column.type)):
        raise table.error("E21", f"ids of type {kind}; expected text or whole numbers", where=where, do=DO_TEXT_IDS)
    ids = column.cast(pa.string())
    missing = pc.fill_null(pc.equal(pc.binary_length(ids), 0), True).to_numpy()
    if missing.any():
        rows = [f"row {row + 1}" for row in np.flatnonzero(missing)]
        raise table.error("E21", "rows without an id", where=where, rows=rows, do="give every row its own id")
    if unique and len(pc.unique(ids)) < len(ids):
        repeated = repeats(ids.to_pylist())
        raise table.error("E21", "ids that occur twice", where=where, rows=repeated, do="make the ids unique")
    return ids


DO_TEXT_IDS = "write the ids as text, a UUID as 8-4-4-4-12 hexadecimal digits"


def _format_uuid(cell: bytes | None) -> str | None:
    if cell is None:
        return None
    digits = cell.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def id_texts(table: Table, name: str, *, unique: bool = True) -> list[str]:
    """id_column as a list."""
    ids: list[str] = id_column(table, name, unique=unique).to_pylist()
    return ids


def repeats(values: Sequence[str]) -> list[str]:
    """Values that occur more than once, each once, in the order of their second occurrence."""
    seen: set[str] = set()
    return list(dict.fromkeys(v for v in values if v in seen or seen.add(v)))  # type: ignore[func-returns-value]


def label_column(table: Table, name: str) -> pa.ChunkedArray:
    """The label column as text, null for null, NaN and empty text.

    Whole numbers become text, 1.0 becomes "1", booleans "True" and "False"; numbers that the Hugging Face metadata name
    (ClassLabel) become their names, -1 null.
    Raises `table.error` L22 for 2.5 and every other type, and for numbers that have no name.
    """
    where, kind = table.place(name), plain_type(table.schema.field(name).type)
    if pa.types.is_null(kind):
        return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
    if not (is_text(kind) or is_number(kind) or is_binary(kind) or pa.types.is_boolean(kind)):
        do = "write one label for each row, as text or a whole number, and null where there is none"
        raise table.error("L22", f"labels of type {kind}; expected text or whole numbers", where=where, do=do)
    column = table.cells(name)
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False")
    if is_number(kind) and not is_whole(kind):
        try:
            column = _round_whole(column)
        except pa.ArrowInvalid as problem:
            raise _not_whole_error(column, where, table.error) from problem
    if is_binary(kind):
        try:
            column = column.cast(pa.large_binary()).cast(pa.large_string())
        except pa.ArrowInvalid as problem:
            do = "write the labels as text"
            raise table.error("L22", f"labels of type {kind} that are no text", where=where, do=do) from problem
    if names := find_declared_classes(table, name):
        return _name_classes(column, names, where, table.error)
    texts = column.cast(pa.string())
    return pc.if_else(pc.equal(pc.binary_length(texts), 0), None, texts)


def find_declared_classes(table: Table, name: str) -> list[str] | None:
    """The names that Hugging Face metadata declare for the numbers in a column (ClassLabel); None without any."""
    try:
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[name]["names"] if features[name]["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    numbers = pa.types.is_integer(plain_type(table.schema.field(name).type))
    return names if numbers and isinstance(names, list) and all(isinstance(one, str) for one in names) else None


def _name_classes(column: pa.ChunkedArray, names: list[str], where: str, error: type[InputError]) -> pa.ChunkedArray:
    codes = pc.fill_null(column.cast(pa.int64()), -1).to_numpy()
    if (bad := np.flatnonzero((codes < -1) | (codes >= len(names)))).size:
        rows = [f"row {row + 1}: {codes[row]}" for row in bad]
        what = f"class numbers outside the {len(names)} declared classes"
        raise error("L22", what, where=where, rows=rows, do="write it again, with -1 or null where there is no label")
    return pa.chunked_array([pa.array(names, pa.string()).take(pa.array(codes, mask=codes < 0))])


def label_texts(table: Table, name: str) -> list[str | None]:
    """label_column as a list, None for null."""
    texts: list[str | None] = label_column(table, name).to_pylist()
    return texts


def _round_whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats and decimals as int64, null for null and NaN. Raises ArrowInvalid for values that are not whole."""
    if pa.types.is_decimal(column.type):
        return column.cast(pa.decimal128(38, 0))  # raises where digits would be lost
    values = column.cast(pa.float64())
    values = pc.if_else(pc.is_nan(values), None, values)
    if pc.any(pc.greater_equal(pc.abs(values), LARGEST_WHOLE_FLOAT)).as_py():
        raise pa.ArrowInvalid("a whole number that a float cannot tell from its neighbours")
    return values.cast(pa.int64())


def _not_whole_error(column: pa.ChunkedArray, where: str, error: type[InputError]) -> InputError:
    values = column.cast(pa.float64())
    bad = pc.fill_null(pc.or_(pc.not_equal(pc.trunc(values), values), pc.greater_equal(pc.abs(values), 2.0**53)), False)
    rows = [f"row {row + 1}: {values[row]}" for row in np.flatnonzero(bad.to_numpy())]
    do = "write labels as text or whole numbers, and null where there is none"
    return error("L22", "labels that are not whole numbers", where=where, rows=rows, do=do)
