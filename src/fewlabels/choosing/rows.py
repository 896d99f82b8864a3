"""Rows as heads see them: directions, as graphs compare them, or as they were given, with their lengths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.rows import blocks, hash_rows
from .settings import HEAD_ROWS

Float = NDArray[np.float64]
BLOCK = 16384  # rows taken at once
LENGTHS = (1e-6, 1e6)  # that float32 squares without overflow; else directions alone count
SAME_LENGTH = 0.01  # relative spread below which all rows are as long, and directions say the same


@dataclass(frozen=True, kw_only=True)
class Rows:
    """values: (n, d) comparable rows, float32 as a rule. length: (n,) of the rows as given; None: it says nothing."""

    values: NDArray[Any]
    length: NDArray[Any] | None = None

    def take(self, numbers: NDArray[np.int64] | slice) -> Rows:
        """Some of the rows."""
        return replace(self, values=self.values[numbers], length=None if self.length is None else self.length[numbers])

    def seen(self, lengths: bool) -> NDArray[np.float32]:
        """(n, d) rows as given if `lengths`, else as they are compared."""
        return self.values * self.length[:, None] if lengths and self.length is not None else self.values


def measure_lengths(descriptors: NDArray[np.generic]) -> NDArray[np.float64]:
    """(n,) Euclidean length of each row; 0 where it has NaN or infinity, or is too long for float64."""
    length = np.empty(len(descriptors))
    for part in blocks(descriptors):
        wide = descriptors[part].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            length[part] = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    length[~np.isfinite(length)] = 0
    return length


def say_something(length: NDArray[np.float64]) -> bool:
    """Whether the lengths differ, and are numbers that float32 can square."""
    known = length[length > 0]
    if not known.size or known.min() < LENGTHS[0] or known.max() > LENGTHS[1]:
        return False
    return bool(known.std() > SAME_LENGTH * known.mean())


@dataclass(frozen=True, kw_only=True)
class Space:
    """Rows as heads are fitted to them: (rows - centre) / scale, so that their total variance is 1.

    rows: all n. lengths: whether they are as given, with their lengths. centre: (d,) float64.
    sample: (s,) numbers of the rows that a head on a graph is fitted to, labelled ones among them.
    """

    rows: Rows
    lengths: bool
    centre: Float
    scale: float
    sample: NDArray[np.int64]

    @property
    def width(self) -> int:
        return int(self.rows.values.shape[1])

    def take(self, numbers: NDArray[np.int64]) -> Float:
        """(r, d) float64 of these rows."""
        wide = self.rows.take(numbers).seen(self.lengths).astype(np.float64)
        return np.asarray((wide - self.centre) / self.scale)


def make_spaces(rows: Rows, labelled: NDArray[np.int64], seed: int) -> list[Space]:
    """Directions, and where the lengths say something, rows as given."""
    sample = pick_rows(rows.values, labelled, HEAD_ROWS, seed)
    return [_make_space(rows, lengths, sample) for lengths in ([False] if rows.length is None else [False, True])]


def _make_space(rows: Rows, lengths: bool, sample: NDArray[np.int64]) -> Space:
    """Centre and scale of the rows with a direction."""
    total, squares, count = np.zeros(rows.values.shape[1]), 0.0, 0
    for start in range(0, len(rows.values), BLOCK):
        block = rows.take(slice(start, start + BLOCK)).seen(lengths)
        total += block.sum(axis=0, dtype=np.float64)
        squares += float(np.einsum("nd,nd->", block, block, dtype=np.float64))
        count += int(block.any(axis=1).sum())
    centre = total / max(count, 1)
    variance = squares / max(count, 1) - float(centre @ centre)
    scale = float(np.sqrt(variance)) if variance > 1e-12 else 1.0
    return Space(rows=rows, lengths=lengths, centre=centre, scale=scale, sample=sample)


def pick_rows(values: NDArray[np.float32], always: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Ascending numbers of at most `most` rows, `always` among them; by content, so that their order does not count."""
    if len(values) <= most:
        return np.arange(len(values))
    mixed = (hash_rows(values) ^ np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(31)
    mixed[always] = 0
    return np.sort(np.argsort(mixed, kind="stable")[: max(most, always.size)])
