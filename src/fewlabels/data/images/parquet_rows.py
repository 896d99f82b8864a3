"""Single images of Parquet files, by row number: only the row group that has the row is read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...errors import ImageError
from ..tables.files import plain, read_errors
from .decode import BadImage

BATCH_ROWS = 64  # of a row group that is not kept
LARGEST_KEPT = 64 << 20  # bytes of a row group that is kept whole
NUM_KEPT = 4


class _Group(NamedTuple):
    """A row group: number `number` of `file`, with its rows and bytes."""

    file: Path
    number: int
    num_rows: int
    size: int


class ParquetRows:
    """The column `image` of files that are read as if they were one. Threads may share it."""

    def __init__(self, files: Sequence[Path], image: str) -> None:
        """Nothing is read before the first row is asked for."""
        self._files, self._image = files, image
        self._groups: list[_Group] = []
        self._ends: list[int] = []
        self._kept: OrderedDict[int, pa.Array] = OrderedDict()
        self._lock = threading.Lock()

    def file(self, row: int) -> bytes | None:
        """The image file of a row; None where the table has none. Raises BadImage where the row is missing."""
        with self._lock:
            if not self._groups:
                self._groups = [group for file in self._files for group in _groups(file)]
                self._ends = list(accumulate(group.num_rows for group in self._groups))
            at = int(np.searchsorted(self._ends, row, side="right"))
            offset = row - (self._ends[at - 1] if at else 0)
            group = self._groups[at]
            with read_errors(group.file, ImageError):
                if group.size > LARGEST_KEPT:
                    return self._found(group, offset)
                value: bytes | None = self._whole(at)[offset].as_py()
                return value

    def _whole(self, at: int) -> pa.Array:
        if at not in self._kept:
            group = self._groups[at]
            with pq.ParquetFile(group.file) as part:
                column = part.read_row_group(group.number, columns=[self._image]).column(0)
            self._kept[at] = image_bytes(column.combine_chunks())
            if len(self._kept) > NUM_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(at)
        return self._kept[at]

    def _found(self, group: _Group, offset: int) -> bytes | None:
        with pq.ParquetFile(group.file) as part:
            for batch in part.iter_batches(BATCH_ROWS, row_groups=[group.number], columns=[self._image]):
                if offset < batch.num_rows:
                    value: bytes | None = image_bytes(batch.column(0))[offset].as_py()
                    return value
                offset -= batch.num_rows
        raise BadImage("the file has fewer rows than its head says")


def _groups(file: Path) -> list[_Group]:
    with read_errors(file, ImageError), pq.ParquetFile(file) as part:
        heads = [part.metadata.row_group(number) for number in range(part.num_row_groups)]
    return [_Group(file, number, head.num_rows, head.total_byte_size) for number, head in enumerate(heads)]


def image_bytes(column: pa.Array) -> pa.Array:
    """The bytes of image files in a column of bytes, or of structs with a field `bytes`; null where there are none."""
    values = plain(column)
    return pc.struct_field(values, "bytes") if pa.types.is_struct(values.type) else values
