"""The tables of all partitions as one, in the order of the rows: what a run folder keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..graph.types import Progress
from ..runs.table import TABLE
from ..storage import durable
from .store import Store

__all__ = ["TABLE", "join_tables"]

STEP = 1 << 18  # rows that are in memory at a time, and as many of each partition


class _Part:
    """The rows of one partition, taken in order."""

    def __init__(self, store: Store, p: int, table: pq.ParquetFile) -> None:
        self.store, self.name, self.schema = store, f"numbers-{p}", table.schema_arrow
        self.batches: Iterator[pa.RecordBatch] = table.iter_batches(1 << 16)
        self.size, self.taken = store.size(self.name), 0
        self.ahead = self.schema.empty_table()

    def take_below(self, end: int) -> tuple[np.ndarray, pa.Table]:
        """The numbers of the next rows, up to row `end` (exclusive), and these rows; less than STEP of them."""
        numbers = self.store.get(self.name, self.taken, min(self.taken + STEP, self.size))
        numbers = numbers[: np.searchsorted(numbers, end)]
        while self.ahead.num_rows < numbers.size:
            self.ahead = pa.concat_tables([self.ahead, pa.Table.from_batches([next(self.batches)])])
        found, self.ahead = self.ahead.slice(0, numbers.size), self.ahead.slice(numbers.size)
        self.taken += numbers.size
        return numbers, found


def join_tables(store: Store, tables: Sequence[Path], path: Path, on_progress: Progress) -> int:
    """Write the rows of all tables to one, in the order of their numbers. Returns how many there are."""
    with ExitStack() as stack:
        files = [stack.enter_context(pq.ParquetFile(table)) for table in tables]
        parts = [_Part(store, p, file) for p, file in enumerate(files)]
        num_rows = sum(part.size for part in parts)
        target = stack.enter_context(durable.write_file(path))
        options = {"compression": "zstd", "write_page_checksum": True}
        writer = stack.enter_context(pq.ParquetWriter(target, parts[0].schema, **options))
        for end in range(STEP, num_rows + STEP, STEP):
            numbers, found = zip(*(part.take_below(end) for part in parts), strict=True)
            order = np.argsort(np.concatenate(numbers))
            writer.write_table(pa.concat_tables(found).take(pa.array(order)))
            on_progress("join", min(1.0, end / num_rows))
    return num_rows
