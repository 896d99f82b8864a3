"""What a report shows of single rows, kept in the run folder: the map of the descriptors and the galleries.

map.parquet      row, x, y, label, certainty, given: some rows on a plane
gallery.parquet  group, class_number, id, label, truth, certainty, score, image: rows worth looking at, with thumbnails
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import RunError

INSIGHTS, MAP, GALLERY = "insights.json", "map.parquet", "gallery.parquet"
LARGEST = 1e30  # of numbers: pictures calculate with their squares
CERTAIN, DOUBTFUL, SUSPICIOUS, WRONG = "certain", "doubtful", "suspicious", "wrong"  # groups of a gallery


@dataclass(frozen=True, kw_only=True)
class MapPoints:
    """Rows on a plane. row, label: (m,) int64, label -1 for none. x, y, certainty: (m,) float32. given: (m,) bool."""

    row: np.ndarray
    x: np.ndarray
    y: np.ndarray
    label: np.ndarray
    certainty: np.ndarray
    given: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A row worth looking at.

    group: "certain" or "doubtful", for a pseudo-label of class class_number; "suspicious" for a given label; "wrong",
        for a test image that the network takes for class_number.
    label: class number of the pseudo-label; of a suspicious row, what the other labels say. -1: none.
    truth: class number, -1 where unknown. certainty: of `label`. score: what the group is ordered by, largest first.
    image: PNG, None for rows without an image.
    """

    group: str
    class_number: int
    id: str
    label: int
    truth: int
    certainty: float
    score: float
    image: bytes | None


@dataclass(frozen=True)
class Insights:
    """What is computed once, at the end of a run. values: for insights.json. points: None where there are too few."""

    values: dict[str, Any]
    points: MapPoints | None
    tiles: Sequence[Tile]


MAP_TYPES = (pa.int64(), pa.float32(), pa.float32(), pa.int64(), pa.float32(), pa.bool_())
TILE_TYPES = (
    pa.string(),
    pa.int64(),
    pa.string(),
    pa.int64(),
    pa.int64(),
    pa.float64(),
    pa.float64(),
    pa.binary(),
)


def map_bytes(points: MapPoints) -> bytes:
    """The content of map.parquet."""
    names = [field.name for field in fields(MapPoints)]
    columns = [pa.array(getattr(points, name), kind) for name, kind in zip(names, MAP_TYPES, strict=True)]
    return _parquet(pa.table(dict(zip(names, columns, strict=True))))


def gallery_bytes(tiles: Sequence[Tile]) -> bytes:
    """The content of gallery.parquet."""
    names = [field.name for field in fields(Tile)]
    schema = pa.schema(list(zip(names, TILE_TYPES, strict=True)))
    return _parquet(pa.Table.from_pylist([asdict(tile) for tile in tiles], schema))


def read_map(folder: str | Path, num_classes: int | None = None) -> MapPoints | None:
    """The map of a run; None where it has none. num_classes: that labels are numbers of.

    Raises RunError: K2 for a damaged file, K16 for one with other columns or values.
    """
    path = Path(folder) / MAP
    table = _read(path, [field.name for field in fields(MapPoints)], MAP_TYPES)
    if table is None:
        return None
    points = MapPoints(**{name: table[name].to_numpy() for name in table.column_names})
    for name, most in (("x", LARGEST), ("y", LARGEST), ("certainty", 1 + 1e-6)):
        _demand(path, name, np.abs(getattr(points, name)) <= most, f"numbers up to {most:g}")
    _demand_classes(path, "label", points.label, -1, num_classes)
    return points


def read_gallery(folder: str | Path, num_classes: int | None = None) -> list[Tile]:
    """The rows worth looking at; none where the run has no gallery. Groups of newer versions are left out.

    Raises RunError: K2 for a damaged file, K16 for one with other columns or values.
    """
    path = Path(folder) / GALLERY
    table = _read(path, [field.name for field in fields(Tile)], TILE_TYPES)
    if table is None:
        return []
    for name, least in (("class_number", 0), ("label", -1), ("truth", -1)):
        _demand_classes(path, name, table[name].to_numpy(), least, num_classes)
    for name in ("certainty", "score"):
        _demand(path, name, np.abs(table[name].to_numpy()) <= LARGEST, f"numbers up to {LARGEST:g}")
    return [Tile(**row) for row in table.to_pylist() if row["group"] in (CERTAIN, DOUBTFUL, SUSPICIOUS, WRONG)]


def _read(path: Path, names: list[str], types: Sequence[pa.DataType]) -> pa.Table | None:
    """A table of these columns and types, None where there is none. Only `image` may have nulls."""
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path).select(names)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        what = f"damaged table ({' '.join(str(error).split())})"
        raise RunError("K2", what, where=path, do="`fewlabels verify` lists what changed") from error
    for name, kind in zip(names, types, strict=True):
        if table[name].type != kind:
            raise _misfit(path, name, f"is of {table[name].type}", str(kind))
        if table[name].null_count and name != "image":
            raise _misfit(path, name, "has nulls", "none")
    return table


def _demand_classes(path: Path, name: str, numbers: np.ndarray, least: int, num_classes: int | None) -> None:
    most = np.iinfo(np.int64).max if num_classes is None else num_classes - 1
    _demand(path, name, (numbers >= least) & (numbers <= most), f"numbers of classes, from {least} to {most}")


def _demand(path: Path, name: str, fits: np.ndarray, expected: str) -> None:
    if not fits.all():
        raise _misfit(path, name, f"has {(~fits).sum():,} other values", expected)


def _misfit(path: Path, name: str, came: str, expected: str) -> RunError:
    what = f"not what a run has there: the column {name} {came}, expected {expected}"
    return RunError("K16", what, where=path, do="fewlabels has not written it so: restore it from a copy, or run again")


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()
