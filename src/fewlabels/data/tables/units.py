"""Embeddings in units that are read one by one, by any process that sees the files, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from .embeddings import EmbeddingSource, Layout, read_blocks
from .files import Table
from .npy import open_npy, working_dtype

Block = tuple[int, np.ndarray]  # number of the shard, and its rows, (n, d) float32 or float64


@dataclass(frozen=True)
class NpyUnit:
    """Rows of a .npy file. shard: number of the first shard. bounds: where each begins, and the end."""

    path: Path
    shard: int
    bounds: tuple[int, ...]

    def read(self) -> Iterator[Block]:
        """Shard by shard. Missing numbers are NaN."""
        for number, (first, last) in enumerate(pairwise(self.bounds), self.shard):
            stored = open_npy(self.path)  # again for each: pages of the map are let go
            yield number, np.array(stored[first:last], working_dtype(stored.dtype, str(self.path)), order="C")


@dataclass(frozen=True)
class TableUnit:
    """One file of a table. As NpyUnit."""

    table: Table
    layout: Layout
    shard: int
    bounds: tuple[int, ...]

    def read(self) -> Iterator[Block]:
        """Shard by shard. Rows with missing numbers are NaN."""
        yield from enumerate(read_blocks(self.table, self.layout, self.bounds), self.shard)


Unit = NpyUnit | TableUnit


def cut_units(source: EmbeddingSource, most_bytes: int) -> list[Unit]:
    """The source in units, each with shards of up to about so many bytes as float32."""
    step = max(1, most_bytes // (4 * source.shape[1]))
    units: list[Unit] = []
    number = 0
    if source.table is None:
        cuts = [*range(0, source.shape[0], step), source.shape[0]]
        return [NpyUnit(source.path.absolute(), shard, pair) for shard, pair in enumerate(pairwise(cuts))]
    for path, (kept, rows) in zip(source.table.files, source.table.parts, strict=True):
        if not rows:
            continue
        part = replace(source.table, files=[path.absolute()], num_rows=rows, parts=((kept, rows),))
        bounds = (*range(0, rows, step), rows)
        units.append(TableUnit(part, source.layout, number, bounds))
        number += len(bounds) - 1
    return units


def shard_bounds(units: list[Unit]) -> np.ndarray:
    """(s + 1,) int64, the first row of each shard, and the number of rows."""
    sizes = [last - first for unit in units for first, last in pairwise(unit.bounds)]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
