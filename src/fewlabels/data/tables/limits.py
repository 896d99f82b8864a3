"""How much a small file of a table may unpack to, demanded before anything in it is unpacked (E38)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import InputError
from .ipc_sizes import BatchSizes
from .page_sizes import PageSizes, footer_length, measure_pages

LONGEST_CELL = 131_072  # bytes of an id or label, as many as a cell of a CSV may have
SMALL, MOST_UNPACKED = 512 << 20, 200  # bytes that ids and labels may take, or so many times those of their files
MOST_NUMBERS = 1000  # the same of embeddings: zeros and repeated rows are packed tighter than text
ROW_BYTES = 100  # what a row of ids and labels takes beside its text
LEAST_ROW = 16  # what any row takes: its number as text
SHORT_FOOTER = (
    1 << 17
)  # bytes of a footer that is walked for every file; longer ones where they say that much is packed
DO = "check what wrote it; a good file that is packed so tightly is read when written without compression"


def most_bytes(files: Sequence[Path], times: int = MOST_UNPACKED) -> int:
    """Bytes that a part of these files may take in memory."""
    return max(SMALL, times * sum(path.stat().st_size for path in files))


def demand_rows(files: Sequence[Path], num_rows: int, error: type[InputError]) -> None:
    """Raise `error` E38 for more rows than files of this size can mean: past 33 million, 12 for each byte."""
    if LEAST_ROW * num_rows > most_bytes(files):
        raise error(
            "E38", f"{num_rows:,} rows in {sum(f.stat().st_size for f in files):,} bytes", where=files[0], do=DO
        )


def demand_numbers(files: Sequence[Path], size: int, error: type[InputError]) -> None:
    """Raise `error` E38 for embeddings of more bytes than 512 MiB and 1,000 times those of their files."""
    if size > most_bytes(files, MOST_NUMBERS):
        raise error("E38", f"embeddings that unpack to {size:,} bytes", where=files[0], do=DO)


def demand_batches(
    path: Path, schema: pa.Schema, columns: Sequence[str], batches: Sequence[BatchSizes], error: type[InputError]
) -> None:
    """Raise `error` E38 where the dictionaries of an Arrow file and a batch of these columns unpack to too much."""
    most = most_bytes([path])
    packed = sum(batch.total for batch in batches if batch.is_dictionary)
    largest = 0
    for batch in batches:
        if not batch.is_dictionary and packed + max(batch.total, largest) > most:
            sizes = dict(zip(schema.names, batch.of_columns(schema), strict=True))
            largest = max(largest, sum(sizes[name] for name in columns))
    if packed + largest > most:
        what = f"dictionaries and a batch that unpack to {packed + largest:,} bytes"
        raise error("E38", what, where=f"{path}, column {columns[0]!r}", do=DO)


def demand_pages(path: Path, columns: Sequence[str], error: type[InputError]) -> dict[str, PageSizes]:
    """The pages of columns of a Parquet file; {} where its footer is long and says that little is packed in it.

    Raises `error` E38 where one of them unpacks to more than the limits, ValueError where they are damaged.
    """
    most = most_bytes([path])
    with pq.ParquetFile(path) as part:
        groups = [part.metadata.row_group(number) for number in range(part.metadata.num_row_groups)]
        if footer_length(path) > SHORT_FOOTER and sum(group.total_byte_size for group in groups) <= most:
            return {}
    found = measure_pages(path, [name.split(".")[0] for name in columns] + list(columns))
    for name, pages in found.items():
        if pages.size > most or 4 * pages.num_values > most_bytes([path], MOST_NUMBERS):
            what = f"a column of {pages.num_values:,} values and {pages.size:,} bytes in {path.stat().st_size:,}"
            raise error("E38", what, where=f"{path}, column {name!r}", do=DO)
    return found


def measure_texts(array: pa.Array) -> pa.Array:
    """(rows,) int64, bytes of each text, null for null: without unpacking dictionaries, runs and views."""
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_run_end_encoded(array.type):
        lengths = measure_texts(array.values)
        ends = pc.subtract(array.run_ends.cast(pa.int64()), array.offset)
        rows = np.searchsorted(ends.to_numpy(), np.arange(len(array)), side="right")
        return lengths.take(pa.array(rows))
    if pa.types.is_dictionary(array.type):
        return measure_texts(array.dictionary).take(array.indices)
    if array.type in (pa.string_view(), pa.binary_view()):  # 16 bytes each, of which the first 4 are the length
        lengths = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset :][: 4 * len(array) : 4]
        missing = array.is_null().to_numpy(zero_copy_only=False)
        return pa.array(lengths.astype(np.int64), mask=missing)
    return pc.binary_length(array).cast(pa.int64())
