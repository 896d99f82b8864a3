"""The table of labels that a model gives to new photos, written a few rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..storage import durable
from .table import table_kind

ROWS = 4096  # held in memory
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("sure", pa.bool_()),
    ]
)


class PredictionWriter:
    """Adds rows to a table that is being written."""

    def __init__(self, file: BinaryIO, kind: str) -> None:
        self._writer = (
            pyarrow.csv.CSVWriter(file, SCHEMA)
            if kind == "csv"
            else pq.ParquetWriter(file, SCHEMA, compression="zstd", write_page_checksum=True)
        )
        self._rows: list[tuple[str, str, float, bool | None]] = []

    def add(self, id: str, label: str, probability: float, sure: bool | None) -> None:
        """One more row. sure: None where nothing is known of the error."""
        self._rows.append((id, label, probability, sure))
        if len(self._rows) >= ROWS:
            self._flush()

    def add_many(
        self,
        ids: Sequence[str] | pa.Array | pa.ChunkedArray,
        number: NDArray[np.integer],
        class_names: Sequence[str],
        probability: NDArray[np.float64],
        sure: NDArray[np.bool_] | None,
    ) -> None:
        """Rows at once. number: (b,) the class of each, a place in class_names. Otherwise as `add`."""
        if self._rows:
            self._flush()
        if not len(number):
            return
        texts = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else pa.array(ids, pa.string())
        labels = pa.array(class_names, pa.string()).take(pa.array(number))
        certain = pa.nulls(len(number), pa.bool_()) if sure is None else pa.array(sure)
        columns = [texts.cast(pa.string()), labels, pa.array(probability, pa.float64()), certain]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))

    def _flush(self) -> None:
        columns: Sequence[Sequence[object]] = list(zip(*self._rows, strict=True)) or [[]] * len(SCHEMA)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
        self._rows = []

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def give_up(self) -> None:
        """End it while the file is still open: pyarrow would write to it once more when it is collected."""
        with suppress(Exception):
            self._writer.close()
        if isinstance(self._writer, pq.ParquetWriter):
            self._writer.is_open = False


def write_predictions(path: Path) -> AbstractContextManager[PredictionWriter]:
    """A writer of the table at `path`, which is there whole once the block ends, and is as before where it fails.

    Columns: id, label (text), probability (float64), sure (true, false, or nothing where nobody can tell).
    Raises ConfigError (C16) for another ending than .csv and .parquet, StorageError (D1).
    """
    kind = table_kind(path)
    return durable.write_rows(path, lambda file: PredictionWriter(file, kind))
