"""The table of descriptors: Parquet that appears whole, written a few rows at a time, and says how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..data.tables.files import ORIGIN
from ..storage import durable

FORMAT = 1
GROUP_BYTES = 16 << 20  # of embeddings in a row group


class DescriptorWriter:
    """Adds rows to a table that is being written."""

    def __init__(self, file: BinaryIO, width: int, facts: Mapping[str, Any], has_labels: bool) -> None:
        fields = [pa.field("id", pa.string(), nullable=False)]
        fields.append(pa.field("embedding", pa.list_(pa.field("item", pa.float32(), nullable=False), width)))
        if has_labels:
            fields.append(pa.field("label", pa.string()))
        text = json.dumps({"format": FORMAT, **facts}, ensure_ascii=False)
        self._schema = pa.schema(fields, metadata={ORIGIN: text.encode()})
        options: dict[str, Any] = {
            "compression": {"id": "zstd", "label": "zstd", "embedding.list.element": "none"},
            "use_dictionary": ["label"],
            "write_statistics": False,
            "write_page_checksum": True,
        }
        self._writer = pq.ParquetWriter(file, self._schema, **options)
        self._width, self._rows_in_group = width, max(1, GROUP_BYTES // (4 * width))
        self._ids: list[str] = []
        self._labels: list[str | None] = []
        self._rows: list[np.ndarray] = []
        self.num_rows = 0

    def add(self, id: str, row: np.ndarray, label: str | None = None) -> None:
        """One more row: (width,) float32."""
        self._ids.append(id)
        self._labels.append(label)
        self._rows.append(row)
        self.num_rows += 1
        if len(self._rows) >= self._rows_in_group:
            self.flush()

    def flush(self) -> None:
        if not self._rows:
            return
        numbers = pa.array(np.concatenate(self._rows).astype(np.float32, copy=False))
        columns = [pa.array(self._ids, pa.string())]
        columns.append(pa.FixedSizeListArray.from_arrays(numbers, type=self._schema.field("embedding").type))
        if "label" in self._schema.names:
            columns.append(pa.array(self._labels, pa.string()))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema), row_group_size=self._rows_in_group)
        self._ids, self._labels, self._rows = [], [], []

    def close(self) -> None:
        self.flush()
        self._writer.close()

    def give_up(self) -> None:
        """End it while the file is still open: pyarrow would write to it once more when it is collected."""
        with suppress(Exception):
            self._writer.close()
        self._writer.is_open = False


def write_descriptors(
    path: Path, width: int, facts: Mapping[str, Any], *, has_labels: bool
) -> AbstractContextManager[DescriptorWriter]:
    """A writer of the table at `path`, which is there whole once the block ends, and is as before where it fails.

    Columns: id (text), embedding (a list of `width` float32), and label (text or null) where there are labels.
    facts: how the rows were made, in the metadata of the file. Raises StorageError (D1).
    """
    return durable.write_rows(path, lambda file: DescriptorWriter(file, width, facts, has_labels))
