"""Images by row number, one at a time and small, for pages that show them."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...errors import FewlabelsError
from ..benchmarks.datasets import training_images
from ..benchmarks.digits import load_digits
from .decode import FULL_RANGE, MAX_PIXELS, BadImage, ImageFile, PixelRange, png
from .decoders import Decoders
from .sources import Source, open_source, pixel_source

LONGEST = 320  # pixels
KEPT_BYTES = 64 << 20
KEPT_FAILURES = 10_000  # each may have cost a process all its time

Stamp = tuple[int, int] | None

__all__ = ["BadImage", "Pictures", "open_pictures", "placeholder"]


class Pictures:
    """Images by row, decoded by processes of its own: no file harms who asks. Threads may share it. To be closed."""

    def __init__(
        self,
        source: Source,
        ids: Sequence[str],
        *,
        accept_truncated: bool = False,
        max_pixels: int = MAX_PIXELS,
        pixel_range: PixelRange = FULL_RANGE,
    ) -> None:
        """ids: of the rows; each is looked for among those of the source, which may have more, or no longer have it.

        accept_truncated: a JPEG that is cut off is shown as far as it goes. max_pixels: a larger image is a BadImage.
        pixel_range: of values of more than 8 bits.
        """
        place = {id: at for at, id in enumerate(source.ids)}
        if not source.are_files and place.keys().isdisjoint(ids) and all(map(str.isdecimal, ids)):
            place = {str(at): at for at in range(len(source.ids))}  # a run from before ids could be an index
        self._places = np.array([place.get(id, -1) for id in ids], np.int64)
        self._source, self._pixel_range = source, pixel_range
        self._decoders = Decoders(accept_truncated=accept_truncated, max_pixels=max_pixels)
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._size = 0
        self._failed: OrderedDict[tuple[int, int], tuple[Stamp, str]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._places)

    def png(self, row: int, longest: int = LONGEST) -> bytes:
        """The image of a row as a PNG, uncropped, upright, no side longer than `longest`.

        A file that could not be decoded is not tried again until it changes.
        Raises BadImage, StorageError (I14) where no process can be started.
        """
        with self._lock:
            if (row, longest) in self._kept:
                self._kept.move_to_end((row, longest))
                return self._kept[row, longest]
        made = self._make(row, longest)
        with self._lock:
            self._keep((row, longest), made)
        return made

    def close(self) -> None:
        """End the processes that decode."""
        self._decoders.close()

    def _make(self, row: int, longest: int) -> bytes:
        at = int(self._places[row])
        if at < 0:
            raise BadImage("no longer among the images")
        assert self._source.file is not None
        try:
            file = self._source.file(at)
        except FewlabelsError as problem:  # of a table that was changed meanwhile
            raise BadImage(problem.what) from problem
        key, stamp = (row, longest), _stamp(file)
        with self._lock:
            before, reason = self._failed.get(key, (stamp, ""))
        if reason and before == stamp:
            raise BadImage(reason)
        try:
            return self._decoders.small_png(file, longest, self._pixel_range)
        except BadImage as problem:
            with self._lock:
                self._failed.pop(key, None)
                self._failed[key] = stamp, str(problem)
                if len(self._failed) > KEPT_FAILURES:
                    self._failed.popitem(last=False)
            raise

    def _keep(self, key: tuple[int, int], made: bytes) -> None:
        self._size += len(made) - len(self._kept.pop(key, b""))
        self._kept[key] = made
        while self._size > KEPT_BYTES:
            _, old = self._kept.popitem(last=False)
            self._size -= len(old)


def _stamp(file: ImageFile) -> Stamp:
    """What changes with a file; None where it is not there, and for the bytes of a table."""
    if not isinstance(file, str):
        return None
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def open_pictures(facts: Mapping[str, Any], ids: Sequence[str]) -> Pictures:
    """The images that a run was made from.

    facts: `source` of run.json, of kind images (path, accept_truncated, max_pixels, pixel_range), dataset (name, data)
        or digits.
    ids: of the run's rows, which are matched by id, never by position.
    Raises ImageError or ConfigError where the images can no longer be found.
    """
    most = int(facts.get("max_pixels", MAX_PIXELS))
    low, high = facts.get("pixel_range") or FULL_RANGE
    return Pictures(
        _open_source_of(facts),
        ids,
        accept_truncated=bool(facts.get("accept_truncated")),
        max_pixels=most,
        pixel_range=(low, high),
    )


def _open_source_of(facts: Mapping[str, Any]) -> Source:
    if facts["kind"] == "digits":
        digits = load_digits()
        return pixel_source(digits.pixels, digits.ids)
    if facts["kind"] == "dataset":
        return training_images(facts["name"], facts["data"])
    assert facts["kind"] == "images", facts["kind"]
    return open_source(facts["path"], folder_labels=False)  # the labels are in the run


def placeholder(side: int = 96) -> bytes:
    """A PNG that stands for an image that cannot be shown: a grey square with a diagonal cross."""
    rows, columns = np.indices((side, side))
    is_cross = (abs(rows - columns) < 2) | (abs(rows + columns - side + 1) < 2)
    return png(np.where(is_cross, 110, 200).astype(np.uint8))


LONGEST_THUMBNAIL = 64  # pixels
COLOURS = 128  # a palette halves a photo, and a thumbnail looks the same


def thumbnail(pixels: np.ndarray, longest: int = LONGEST_THUMBNAIL) -> bytes:
    """PNG of an image whose longer side is at most `longest`; smaller ones stay as they are. Same pixels, same bytes.

    pixels: (h, w, 1) or (h, w, 3) uint8.
    """
    grey = pixels.shape[2] == 1
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    image.thumbnail((longest, longest), Image.Resampling.BOX)
    return _write_small(image)


def reduce_colours(png: bytes) -> bytes:
    """The PNG with COLOURS colours, which is half as large; a grey one stays as it is."""
    return _write_small(Image.open(io.BytesIO(png)))


def _write_small(image: Image.Image) -> bytes:
    kept = image if image.mode == "L" else image.quantize(COLOURS)
    file = io.BytesIO()
    kept.save(file, "PNG", optimize=True)
    return file.getvalue()
