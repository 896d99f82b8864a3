"""The small pictures that stand for rows in a report: of the original photos, where these are still there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from ..data.images.pictures import BadImage, Pictures, open_pictures, reduce_colours, thumbnail
from ..errors import FewlabelsError
from ..insights.compute import Describe

if TYPE_CHECKING:
    from .task import Task

LONGEST = 96  # pixels: as wide as the report shows them


@contextmanager
def open_thumbnails(task: Task) -> Iterator[Describe]:
    """Give row -> (id, PNG): whole photos, uncropped; the pixels trained on where a photo cannot be read again."""
    source = task.facts.get("source", {})
    pictures = _open_photos(source, task.ids) if source.get("kind") == "images" else None
    with nullcontext() if pictures is None else closing(pictures):
        yield lambda row: (task.ids[row], shrink_photo(pictures, row) or thumbnail(task.pixels[row]))


def _open_photos(source: Mapping[str, Any], ids: Sequence[str]) -> Pictures | None:
    try:
        return open_pictures(source, ids)
    except FewlabelsError:  # moved or gone, after they were read
        return None


def shrink_photo(pictures: Pictures | None, row: int) -> bytes | None:
    """PNG of the photo of a row, no side longer than LONGEST, of few colours; None where it cannot be read."""
    if pictures is None:
        return None
    try:
        return reduce_colours(pictures.png(row, LONGEST))
    except (BadImage, FewlabelsError):
        return None
