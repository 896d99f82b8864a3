"""New rows for a run that answers rows: of a table, or of photos, described as those of the run were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choosing.answer import BLOCK
from ..data.images.kinds import ENDINGS
from ..data.images.sources import Source
from ..data.images.squares import open_paths
from ..data.tables.embeddings import EmbeddingSource
from ..data.tables.units import cut_units
from ..errors import EmbeddingError, InputWarning, demand_packages, warn
from .progress import Progress

TABLES = (".npy", ".parquet", ".arrow", ".feather", ".ipc")
BATCH_BYTES = 16 << 20  # of new rows that are in memory at a time, as float32
Batches = Iterator[tuple[list[str], NDArray[np.generic]]]


@dataclass(frozen=True, kw_only=True)
class NewRows:
    """New rows, to be walked once. batches: ids and their (b, d) values, in order, few in memory.

    photos: of which they are made; None for a table. rejected: (id, reason) of photos that cannot be used; it is whole
    when the batches are through.
    """

    batches: Batches
    photos: Source | None = None
    rejected: list[tuple[str, str]] = field(default_factory=list)


def is_table_of_embeddings(path: Path) -> bool:
    """Whether a path is to be read as embeddings: by its ending; Parquet with a column of images is photos."""
    if path.suffix.lower() not in TABLES:
        return False
    if path.suffix.lower() != ".parquet":
        return True
    import pyarrow.parquet as pq

    return not {"image", "img"} & set(pq.read_schema(path).names)


def is_photos(place: Path) -> bool:
    """Whether it is a photo, or a folder with some right in it or in its folders."""
    if not place.is_dir():
        return place.name.lower().endswith(ENDINGS)
    return any(one.name.lower().endswith(ENDINGS) for some in ("*", "*/*") for one in place.glob(some))


def walk_table(source: EmbeddingSource, *, may_be_bad: bool, quiet: bool) -> NewRows:
    """The rows of a table, with a bar. may_be_bad: whether a row of NaN is left to who answers.

    Raises EmbeddingError (E1) on the way for a row that is not finite, else.
    """
    return NewRows(batches=_walk_table(source, may_be_bad, quiet))


def _walk_table(source: EmbeddingSource, may_be_bad: bool, quiet: bool) -> Batches:
    bar, first = Progress(source.shape[0], "classifying", unit="row", quiet=quiet), 0
    try:
        for unit in cut_units(source, min(BATCH_BYTES, 4 * source.shape[1] * BLOCK)):
            for _, values in unit.read():
                if not may_be_bad:
                    _demand_finite(source, values, first)
                yield source.ids.slice(first, len(values)).to_pylist(), values
                first += len(values)
                bar.step("", len(values))
    finally:
        bar.close()


def _demand_finite(source: EmbeddingSource, values: NDArray[np.generic], first: int) -> None:
    if np.isfinite(values).all():
        return
    rows = first + np.flatnonzero(~np.isfinite(values).all(axis=1))
    do = "compute these again, or leave the rows out"
    raise EmbeddingError("E1", "embeddings with NaN or infinity", where=source.path, rows=source.ids_of(rows), do=do)


def walk_photos(photos: Sequence[Path], facts: Mapping[str, Any], *, device: str, quiet: bool) -> NewRows:
    """Photos described by the backbone and settings of other rows, with a bar; those that are known already at once.

    facts: how the others were described, as `fewlabels describe` writes them.
    Raises what open_paths and load_backbone raise; EmbeddingError (E34) where the backbone has other weights by now.
    """
    demand_packages("describing photos needs", "torch", "safetensors", "PIL")
    source = open_paths(photos)
    for code, what in source.told.items():
        warn(InputWarning(f"FL-{code} {what}"))
    rejected: list[tuple[str, str]] = []
    return NewRows(batches=_walk_photos(source, facts, device, quiet, rejected), photos=source, rejected=rejected)


def _walk_photos(
    source: Source, facts: Mapping[str, Any], device: str, quiet: bool, rejected: list[tuple[str, str]]
) -> Batches:
    from ..describing.settings import DescribeSettings
    from .describe import PhotosInput, find_device, open_all, walk_described

    decoding = facts["decoding"]
    settings = DescribeSettings(
        mirror=facts["mirror"],
        precision=facts["precision"],
        device=find_device(device),
        accept_truncated=decoding["accept_truncated"],
        max_pixels=decoding["max_pixels"],
        pixel_range=tuple(decoding["pixel_range"]) if decoding["pixel_range"] else None,
    )
    asked = PhotosInput(source, facts["model"], size=facts["preprocessing"]["size"], settings=settings)
    opened = open_all(asked)
    ids, values = list[str](), list[NDArray[np.generic]]()
    try:
        _demand_same_weights(opened.describer.backbone.weights_digest, facts)
        for photo in walk_described(opened, quiet=quiet, rejected=rejected):
            assert photo.values is not None
            ids.append(photo.id)
            values.append(photo.values)
            if 4 * len(values) * opened.describer.width >= BATCH_BYTES:
                yield ids, np.stack(values)
                ids, values = [], []
        if ids:
            yield ids, np.stack(values)
    finally:
        opened.close()


def _demand_same_weights(digest: str, facts: Mapping[str, Any]) -> None:
    if digest != facts["weights"]:
        what = f"{facts['model']} has other weights here ({digest[:8]}) than where the rows were made"
        do = "install the version of the backbone that the run was made with"
        raise EmbeddingError("E34", f"{what} ({facts['weights'][:8]})", do=do)
