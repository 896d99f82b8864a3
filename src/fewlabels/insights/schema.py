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
CERTAIN, DOUBTFUL, SUSPICIOUS = "certain", "doubtful", "suspicious"  # groups of a gallery


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

    group: "certain" or "doubtful", for a pseudo-label of class class_number; "suspicious" for a given label.
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


def read_map(folder: str | Path) -> MapPoints | None:
    """The map of a run; None where it has none. Raises RunError (K2) for a damaged file."""
    table = _read(Path(folder) / MAP, [field.name for field in fields(MapPoints)])
    return None if table is None else MapPoints(**{name: table[name].to_numpy() for name in table.column_names})


def read_gallery(folder: str | Path) -> list[Tile]:
    """The rows worth looking at; none where the run has no gallery. Raises RunError (K2) for a damaged file."""
    table = _read(Path(folder) / GALLERY, [field.name for field in fields(Tile)])
    return [] if table is None else [Tile(**row) for row in table.to_pylist()]


def _read(path: Path, names: list[str]) -> pa.Table | None:
    if not path.is_file():
        return None
    try:
        return pq.read_table(path).select(names)
    except (pa.ArrowException, OSError, KeyError) as error:
        do = "`fewlabels verify` lists what changed"
        raise RunError("K2", f"damaged table ({error})", where=path, do=do) from error


def _parquet(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()
