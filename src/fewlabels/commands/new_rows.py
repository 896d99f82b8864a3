"""New rows that a run is asked of: embeddings of a file or an array, or photos described as those of the run were."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..data.images.kinds import ENDINGS
from ..data.tables.embeddings import EmbeddingSource, open_embeddings
from ..data.tables.files import describe_made
from ..data.tables.units import cut_units
from ..errors import ConfigError, EmbeddingError, FewlabelsError, demand_packages, shown
from ..runs import Run
from .progress import Progress

if TYPE_CHECKING:
    from ..data.images.sources import Source
    from .describe import Opened

BATCH_BYTES = 32 << 20  # of new rows that are in memory at a time, as float32
MOST_ROWS = 16384  # of a batch
PHOTOS = 256  # described photos in a batch
MADE = "made by fewlabels describe"
KEPT = ("kind", "model", "weights", "preprocessing", "mirror", "precision", "decoding", "photos")

Ids = Any  # texts: a list, or pa.ChunkedArray
Batch = tuple[Ids, NDArray[np.generic]]  # ids, and (b, d) rows


def to_texts(ids: Ids) -> list[str]:
    """Ids as Python's texts, which a table of a million rows does without."""
    return list(ids) if isinstance(ids, list) else list(ids.to_pylist())


@dataclass(kw_only=True)
class NewRows:
    """Rows some at a time, to be read once.

    batches: ids and rows. unit: "row" or "photo". path: of embeddings in a file. source: of photos.
    rejected: (id, reason) of photos that cannot be used; complete once the batches are read.
    """

    batches: Iterable[Batch]
    unit: str = "row"
    path: Path | None = None
    source: Source | None = None
    rejected: list[tuple[str, str]] = field(default_factory=list)


def find_described(run: Run) -> dict[str, Any]:
    """How `fewlabels describe` made the rows of a run, as it says itself, or its table, where that is still there."""
    own = run.facts.get("described")
    if isinstance(own, dict) and describe_made(own):
        return own
    source = run.facts.get("source")
    if not isinstance(source, dict) or source.get("kind") != "embeddings":
        return {}
    try:
        table = open_embeddings(Path(source["path"])).table
    except (FewlabelsError, KeyError, TypeError):
        return {}
    return {} if table is None else table.made()


def find_made_by(run: Run, described: Mapping[str, Any]) -> str:
    """The same in a few words; "" where nothing is known of it."""
    said = (run.results.get("read") or {}).get("said") or []
    told = next((line for line in said if isinstance(line, str) and line.startswith(MADE)), "")
    return describe_made(described) or told


def is_of_photos(given: object) -> bool:
    """Whether it is a photo, a folder with some right in it, Parquet with image bytes, or pictures in memory."""
    if isinstance(given, np.ndarray):
        return given.ndim != 2
    paths = _list_paths(given)
    return paths is None or any(map(_is_photos, paths))


def _list_paths(given: object) -> list[Path] | None:
    """The paths that are given, one or several; None for anything else."""
    places = [given] if isinstance(given, str | os.PathLike) else given
    if isinstance(places, Sequence) and all(isinstance(one, str | os.PathLike) for one in places):
        return [Path(one) for one in places]
    return None


def _is_photos(place: Path) -> bool:
    if place.is_dir():
        return any(one.name.lower().endswith(ENDINGS) for one in place.rglob("*"))
    return place.name.lower().endswith(ENDINGS) or _has_image_bytes(place)


def _has_image_bytes(place: Path) -> bool:
    if place.suffix.lower() != ".parquet" or not place.is_file():
        return False
    try:
        names = set(pq.read_schema(place).names)
    except (OSError, ValueError):
        return False
    return "image" in names and "embedding" not in names


def open_new_rows(
    given: Any, described: Mapping[str, Any], made_by: str, *, device: str = "auto", quiet: bool = False
) -> NewRows:
    """Open embeddings, or photos to be described as those of the run were; what is wrong is said before they are read.

    given: the path of embeddings as `propagate` reads them, a (q, d) array, or photos as `fewlabels.describe` takes.
    described, made_by: of the run, see `find_described` and `find_made_by`.
    Raises ConfigError (C124) for photos where nobody knows how to describe them, and for several tables; EmbeddingError
    (E34) for rows or weights of another model; and what open_embeddings and open_photos raise.
    """
    if is_of_photos(given):
        return _open_photos(given, described, device=device, quiet=quiet)
    if isinstance(given, np.ndarray):
        return NewRows(batches=_cut_array(given))
    places = _list_paths(given) or []
    if len(places) != 1:
        do = "give a .npy file, a table, or a folder of the parts of one"
        raise ConfigError("C124", f"{len(places)} inputs for a run of embeddings, expected one", do=do)
    source = open_embeddings(places[0])
    own = source.table.origin() if source.table is not None else ""
    if own and made_by and own != made_by:
        what = f"rows {own}; those of the run were {made_by}"
        raise EmbeddingError("E34", what, where=source.path, do="describe them by the same model as the old rows")
    return NewRows(batches=_read_table(source, quiet), path=source.path)


def _cut_array(rows: NDArray[np.generic]) -> Iterator[Batch]:
    size = _rows_of_batch(rows.shape[1])
    for first in range(0, len(rows), size):
        part = rows[first : first + size]
        yield [str(first + at) for at in range(len(part))], part


def _read_table(source: EmbeddingSource, quiet: bool) -> Iterator[Batch]:
    """With a bar."""
    bar, first = Progress(source.shape[0], "classifying", unit="row", quiet=quiet), 0
    try:
        for unit in cut_units(source, 4 * source.shape[1] * _rows_of_batch(source.shape[1])):
            for _, values in unit.read():
                yield source.ids.slice(first, len(values)), values
                first += len(values)
                bar.step("", len(values))
    finally:
        bar.close()


def _rows_of_batch(width: int) -> int:
    return max(1, min(BATCH_BYTES // (4 * width), MOST_ROWS))


def _open_photos(given: Any, described: Mapping[str, Any], *, device: str, quiet: bool) -> NewRows:
    """Photos, described by the backbone, weights and settings of the run's own."""
    model, paths = described.get("model"), _list_paths(given)
    name = shown(paths[0]) if paths else "PHOTOS"
    if described.get("kind") != "photos" or not isinstance(model, str) or model.startswith("module:"):
        do = "describe them first, by the model of the run's embeddings, and classify that table"
        words = f"`fewlabels describe {name} --out new.parquet`"
        raise ConfigError("C124", "photos for a run of embeddings", do=f"{do}: {words}")
    demand_packages("describing photos needs", "torch", "safetensors", "PIL")
    from ..data.images.sources import Source
    from ..data.images.squares import open_paths

    opened = _open_backbone(given if paths is None else open_paths(paths), described, device)
    source, rejected = opened.photos.source, list[tuple[str, str]]()
    return NewRows(
        batches=_describe(opened, rejected, quiet),
        unit="photo",
        source=source if isinstance(source, Source) else None,
        rejected=rejected,
    )


def _open_backbone(photos: Any, described: Mapping[str, Any], device: str) -> Opened:
    """Raises EmbeddingError (E34) where the backbone of this machine is not that of the run."""
    from ..describing.settings import DescribeSettings
    from .describe import PhotosInput, find_device, open_all

    reading, pixels = described.get("decoding") or {}, described.get("preprocessing") or {}
    settings = DescribeSettings(
        mirror=described.get("mirror") is True,
        precision=described.get("precision", "float32"),
        device=find_device(device),
        accept_truncated=reading.get("accept_truncated") is True,
        max_pixels=int(reading.get("max_pixels") or DescribeSettings.max_pixels),
        pixel_range=tuple(reading["pixel_range"]) if reading.get("pixel_range") else None,
    )
    opened = open_all(PhotosInput(photos, described["model"], size=pixels.get("size"), settings=settings))
    here = opened.describer.facts()
    if here["weights"] == described.get("weights") and _same(here["preprocessing"], pixels):
        return opened
    opened.close()
    what = f"the backbone here makes other rows, {describe_made(here)}; the run's were {describe_made(described)}"
    words = f"`fewlabels describe PHOTOS --backbone {shown(described['model'])} --weights FILE --out new.parquet`"
    raise EmbeddingError("E34", what, do=f"describe them with the run's weights, and classify that table: {words}")


def _same(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """JSON knows lists alone."""
    return all(_plain(value) == _plain(there.get(name)) for name, value in here.items())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _describe(opened: Opened, rejected: list[tuple[str, str]], quiet: bool) -> Iterator[Batch]:
    from .describe import walk_described

    ids, rows = list[str](), list[NDArray[np.float32]]()
    try:
        for photo in walk_described(opened, quiet=quiet, rejected=rejected):
            assert photo.values is not None
            ids.append(photo.id)
            rows.append(photo.values)
            if len(rows) == PHOTOS:
                yield ids, np.stack(rows)
                ids, rows = [], []
        if rows:
            yield ids, np.stack(rows)
    finally:
        opened.close()
