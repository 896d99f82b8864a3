"""One Parquet or Arrow IPC file: told apart by content, opened without trusting it, read batch by batch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from ..errors import InputError
from .paths import ARROW_FILE, ARROW_STREAM, FEATHER_1, PARQUET, first_bytes, unreadable

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
