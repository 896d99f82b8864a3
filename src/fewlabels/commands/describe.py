"""`fewlabels describe`: from photos to a table of descriptors, or to rows in memory."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.images.squares import GivenImages
from ..describing.photos import Photo, Photos, open_photos
from ..describing.settings import DescribeSettings, Descriptors
from ..describing.table import write_descriptors
from ..errors import MESSAGE_CHARACTERS, SHOWN_ROWS, ConfigError, ImageError, InputWarning, shown, warn
from ..runs.origin import versions
from ..storage import durable
from .described import demand_place, say, write_rejected
from .memory import peak_memory_mib
from .progress import Pace, Progress, time_words

if TYPE_CHECKING:
    from ..describing.cache import DescriptorCache
    from ..describing.network import Describer
    from ..describing.stream import OnProgress
    from ..describing.stream import Progress as Done

JPEG_BYTES_PER_SECOND = 60e6  # that a core decodes of photos, reduced while decoding; docs/describe.md
SECONDS_PER_PHOTO = 0.002  # that a core takes for the rest of a photo: opening, turning, resizing
SECONDS_BETWEEN_STEPS = 0.1


@dataclass(frozen=True)
class PhotosInput:
    """What is described, and how. photos: as in read_squares, a folder or Parquet as in `train`.

    backbone: a name of docs/networks.md, None for the default. weights: a file of them. size: pixels along a side of
    the square, None for the backbone's own. cache: keep descriptors by the content of photos, and look there first.
    on_bad_image: "skip" lists unreadable photos, "fail" raises ImageError I1. folders: as in read_images.
    """

    photos: GivenImages
    backbone: str | None = None
    _: KW_ONLY
    weights: Path | None = None
    size: int | None = None
    settings: DescribeSettings = field(default_factory=DescribeSettings)
    cache: bool = True
    on_bad_image: str = "skip"
    folders: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """All that is known before the first photo is decoded."""

    photos: Photos
    describer: Describer
    cache: DescriptorCache | None
    settings: DescribeSettings
    on_bad_image: str

    def close(self) -> None:
        if self.cache is not None:
            self.cache.close()


def find_device(name: str) -> str:
    """As choose_device, and Apple's "mps" by its name. Raises ConfigError (C7) for one that is not there."""
    import torch

    if name == "mps" and torch.backends.mps.is_available():
        return name
    from ..nets.model import choose_device

    return choose_device(name)


def open_all(asked: PhotosInput) -> Opened:
    """The backbone first, so that what is missing is told before anything is read; then the list of the photos.

    Raises what load_backbone and open_photos raise.
    """
    if asked.on_bad_image not in ("skip", "fail"):
        do = "pass 'skip' or 'fail'"
        raise ConfigError("C20", f"{asked.on_bad_image!r}; expected 'skip' or 'fail'", where="on_bad_image", do=do)
    from ..describing.cache import DescriptorCache
    from ..describing.network import Describer
    from ..nets.pretrained import load_backbone
    from ..storage.cache_folder import cache_folder

    backbone = load_backbone(asked.backbone, weights=asked.weights, size=asked.size)
    describer = Describer(backbone, asked.settings)
    photos = open_photos(asked.photos, dict(asked.folders) or None)
    cache = DescriptorCache(cache_folder(), describer.facts(), describer.width) if asked.cache else None
    return Opened(photos, describer, cache, asked.settings, asked.on_bad_image)


def walk_described(
    opened: Opened, *, quiet: bool, rejected: list[tuple[str, str]], on_progress: OnProgress | None = None
) -> Iterator[Photo]:
    """The photos that have a descriptor, in order; others are added to `rejected`. Shows progress.

    on_progress: called besides with what is done, and once more at the end.

    Raises ImageError: I1 for the first bad photo where they are to fail, I35 where more than half are bad.
    """
    from ..describing.stream import describe_photos

    follow = _Follow(opened.photos.count, quiet, on_progress or (lambda done: None))
    count = 0
    photos = describe_photos(opened.photos, opened.describer, opened.settings, opened.cache, follow)
    for photo in photos:
        count += 1
        if photo.values is not None:
            yield photo
            continue
        rejected.append((photo.id, photo.reason))
        if opened.on_bad_image == "fail":
            row = [f"{photo.id}: {photo.reason}"]
            raise ImageError("I1", "images that cannot be used", rows=row, do="repair or remove them")
    follow.close()
    if 2 * len(rejected) > count:
        rows = [f"{id}: {reason}" for id, reason in rejected]
        what = f"{len(rejected):,} of {count:,} images cannot be used; more than half"
        raise ImageError("I35", what, rows=rows, do="check that this is the right folder or file")
    if rejected:
        _warn_rejected(rejected, count)


def _warn_rejected(rejected: list[tuple[str, str]], count: int) -> None:
    first = "; ".join(f"{shown(name)}: {shown(reason)}" for name, reason in rejected[:SHOWN_ROWS])
    more = f"; and {len(rejected) - SHOWN_ROWS} more" if len(rejected) > SHOWN_ROWS else ""
    warn(InputWarning(f"FL-I1 left out {len(rejected)} of {count} images: {first}{more}"))


class _Follow:
    """A bar over photos with their pace and the time left; known ones take none."""

    def __init__(self, total: int | None, quiet: bool, tell: OnProgress) -> None:
        self._tell = tell
        self._total, self._shown, self._last = total, 0, 0.0
        self._bar = Progress(total or 1, "describing", unit="photo", quiet=quiet or not total)
        self._pace = Pace()
        self._pace.mark(0)

    def __call__(self, done: Done) -> None:
        self._tell(done)
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_STEPS and done.done != self._total:
            return
        self._last = now
        self._pace.mark(done.done)
        left = self._pace.seconds(done.done, self._total or done.done)
        note = []
        if left:
            note.append(f"{((self._total or 0) - done.done) / left:.0f} photos/s")
        if done.known:
            note.append(f"{done.known:,} known already")
        self._bar.step(note or "", done.done - self._shown, left)
        self._shown = done.done

    def close(self) -> None:
        self._bar.close()


def run_describe(asked: PhotosInput, out: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Describe photos and write the table to `out`, which is there whole or not at all. Returns the results.

    Photos that cannot be used are in OUT.rejected.csv. Whatever is wrong is said before a photo is decoded.
    Raises what open_all and walk_described raise, ConfigError C9, C10, C16 and StorageError D1 for the place.
    """
    start = time.perf_counter()
    demand_place(out, [asked.photos] if isinstance(asked.photos, str | Path) else [])
    opened = open_all(asked)
    seen: deque[Done] = deque(maxlen=1)
    try:
        facts = _facts(opened, asked)
        say("" if quiet else _forecast(opened), quiet)
        rejected: list[tuple[str, str]] = []
        has_labels = opened.photos.names is not None
        durable.make_folder(out.parent)
        with write_descriptors(out, opened.describer.width, facts, has_labels=has_labels) as table:
            for photo in walk_described(opened, quiet=quiet, rejected=rejected, on_progress=seen.append):
                assert photo.values is not None
                table.add(photo.id, photo.values, photo.label)
    finally:
        opened.close()
    done = seen[-1]
    listing = write_rejected(out, rejected)
    seconds = time.perf_counter() - start
    return {
        "out": str(out),
        "num_rows": table.num_rows,
        "width": opened.describer.width,
        "num_rejected": len(rejected),
        "rejected": None if listing is None else str(listing),
        "computed": done.computed,
        "known": done.known,
        "labels": opened.photos.said,
        "made": facts,
        "network_seconds": done.network_seconds,
        "wall_seconds": seconds,
        "peak_memory_mib": peak_memory_mib(),
    }


def describe_to_memory(
    asked: PhotosInput, *, quiet: bool = False, on_progress: OnProgress | None = None
) -> Descriptors:
    """Describe photos and keep the rows. Raises what open_all and walk_described raise."""
    return describe_opened(open_all(asked), asked, quiet=quiet, on_progress=on_progress)


def describe_opened(
    opened: Opened, asked: PhotosInput, *, quiet: bool = False, on_progress: OnProgress | None = None
) -> Descriptors:
    """The same of what is open by now, which is closed at the end."""
    rejected: list[tuple[str, str]] = []
    rows, ids, labels = list[np.ndarray](), list[str](), list[str | None]()
    try:
        say("" if quiet else _forecast(opened), quiet)
        for photo in walk_described(opened, quiet=quiet, rejected=rejected, on_progress=on_progress):
            assert photo.values is not None
            rows.append(photo.values)
            ids.append(photo.id)
            labels.append(photo.label)
    finally:
        opened.close()
    facts = _facts(opened, asked)
    return Descriptors(values=np.stack(rows), ids=ids, labels=labels, rejected=rejected, facts=facts)


def _facts(opened: Opened, asked: PhotosInput) -> dict[str, Any]:
    backbone = opened.describer.backbone
    where = str(Path(asked.photos).resolve()) if isinstance(asked.photos, str | Path) else None
    return {
        "kind": "photos",
        **opened.describer.facts(),
        "source": backbone.source,
        "licence": backbone.licence,
        "photos": where,
        "fewlabels": versions()["fewlabels"],
    }


def _forecast(opened: Opened) -> str:
    """How many photos, by what, and about how long it takes where none is known."""
    describer, photos = opened.describer, opened.photos
    preprocessing = describer.backbone.preprocessing
    how = f"{describer.backbone.name} at {preprocessing.size} x {preprocessing.size} pixels"
    how += ", with mirror images" if describer.settings.mirror else ""
    lines = [f"{how}, {describer.width:,} numbers each"]
    if photos.count is not None:
        square = np.zeros((describer.decoded_size, describer.decoded_size, 3), np.uint8)
        describer([square])  # the first batch is slower
        began = time.perf_counter()
        describer([square])
        network = (time.perf_counter() - began) / describer.batch
        cores = _num_cores()
        decoding = (SECONDS_PER_PHOTO + photos.sample / JPEG_BYTES_PER_SECOND) / cores
        busy = network + decoding if describer.settings.device == "cpu" else max(network, decoding)
        seconds = photos.count * busy
        known = ", less where photos are known already" if opened.cache is not None else ""
        lines[0] = f"{photos.count:,} photos by {lines[0]}: about {time_words(seconds)}{known}"
    if photos.said:
        lines.append(photos.said)
    return "\n".join(shown(line, MESSAGE_CHARACTERS) for line in lines)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
