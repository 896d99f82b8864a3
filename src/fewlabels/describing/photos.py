"""Photos from wherever they are -> squares and the hash of their content, few in memory; known ones are not decoded."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data.images.decode import FULL_RANGE, BadImage, ImageFile, Resizing
from ..data.images.decoders import Answer, Decoders, OddSquare
from ..data.images.folders import FolderRole
from ..data.images.sources import Source, open_source
from ..data.images.squares import GivenImages, decode_square, is_collection, source_of
from ..errors import ImageError, InputWarning, warn
from .settings import DescribeSettings

LARGEST_HELD = 16 << 20  # bytes of a file that is read at once, hashed and decoded from memory; larger ones twice
GROUP = 32  # photos that a process decodes at a time, or
GROUP_BYTES = 1 << 20  # of files or squares, whichever comes first
CHUNK = 1 << 20
Known = Callable[[bytes], np.ndarray | None]


@dataclass(frozen=True, kw_only=True)
class Photos:
    """Photos to describe, nothing of them read yet.

    source: files; else pictures, as they come. ids, names: of a source, None where nobody can tell before the end.
    said: where labels come from, in a line. sample: bytes of a photo's file on average; 0 for pictures.
    """

    source: Source | Iterable[Any]
    ids: list[str] | None = None
    names: list[str | None] | None = None
    said: str = ""
    sample: float = 0.0

    @property
    def count(self) -> int | None:
        """How many there are, where that is known."""
        if self.ids is not None:
            return len(self.ids)
        return len(self.source) if isinstance(self.source, list | np.ndarray) else None


def open_photos(images: GivenImages, folders: dict[str, FolderRole] | None = None) -> Photos:
    """What there is to describe: a folder, files, Parquet, a pattern, PIL images or uint8 arrays.

    ids are those that `train` uses. Labels are those of a metadata file, of sub-folders or of a label column, where
    there are any; sub-folders that are no classes give none, and nothing stops.
    Raises ImageError (I20, I30-I34) where there are no images, and what open_source raises for `folders`.
    """
    if not isinstance(images, str | os.PathLike) or not is_collection(images):
        given = source_of(images)
        return _of_source(given) if isinstance(given, Source) else Photos(source=given)
    try:
        source = open_source(images, folders=folders)
    except ImageError as problem:
        if problem.code not in ("FL-I17", "FL-I46") or folders:
            raise
        source = open_source(images, folder_labels=False)
        return _of_source(source, f"labels: none, for sub-folders are no classes ({problem.what})")
    for code, what in source.told.items():
        warn(InputWarning(f"FL-{code} {what}"))
    return _of_source(source)


def _of_source(source: Source, said: str = "") -> Photos:
    has_labels = any(name is not None for name in source.names)
    if has_labels and not said:
        labelled = [name for name in source.names if name is not None]
        where = "a metadata file or sub-folders" if source.are_files else "the label column"
        said = f"labels: {len(labelled):,} of {len(source.ids):,} photos in {len(set(labelled)):,} classes, by {where}"
    return Photos(
        source=source,
        ids=source.ids,
        names=source.names if has_labels else None,
        said=said or "labels: none in the photos' folders or columns",
        sample=_mean_bytes(source),
    )


def _mean_bytes(source: Source) -> float:
    """Of a few files, spread over all."""
    if not source.are_files:
        return 0.0
    paths = [file for file in source.files() if isinstance(file, str)]
    sizes = []
    for path in paths[:: max(1, len(paths) // 100)]:
        try:
            sizes.append(os.stat(path).st_size)
        except OSError:
            continue
    return sum(sizes) / max(1, len(sizes))


@dataclass
class Photo:
    """One photo on its way. digest: SHA-256 of the content. square: of pixels, where it is to be described.

    values: its descriptor, once known. reason: why it cannot be used. is_known: the descriptor comes from the cache.
    """

    id: str
    label: str | None = None
    digest: bytes = b""
    square: np.ndarray | None = None
    values: np.ndarray | None = None
    reason: str = ""
    is_known: bool = False


def walk(photos: Photos, size: int, resizing: Resizing, settings: DescribeSettings, known: Known) -> Iterator[Photo]:
    """Every photo in order, with its square, with its descriptor where `known` has it, or with the reason against it.

    The squares come from processes that decode ahead, a few groups at a time.
    """
    if isinstance(photos.source, Source):
        return _walk_files(photos, size, resizing, settings, known)
    return _walk_pictures(photos.source, size, resizing, settings, known)


def _walk_pictures(
    pictures: Iterable[Any], size: int, resizing: Resizing, settings: DescribeSettings, known: Known
) -> Iterator[Photo]:
    used = settings.pixel_range or FULL_RANGE
    for at, picture in enumerate(pictures):
        found = decode_square(
            str(at), picture, size, max_pixels=settings.max_pixels, pixel_range=used, resizing=resizing
        )
        if found.pixels is None:
            yield Photo(found.id, reason=found.reason)
            continue
        pixels = np.ascontiguousarray(found.pixels)
        digest = digest_square(pixels)
        values = known(digest)
        square = pixels if values is None else None
        yield Photo(found.id, digest=digest, square=square, values=values, is_known=values is not None)


def digest_square(pixels: np.ndarray) -> bytes:
    """What a square of pixels is kept under. pixels: (h, w, 3) uint8."""
    return hashlib.sha256(b"square of pixels" + pixels.tobytes()).digest()


@dataclass
class _Group:
    """Photos that are decoded together. files: of those that have to be, whose places in `photos` are `places`.

    stamps: of files that are decoded from the disk, what changes with them.
    """

    photos: list[Photo] = field(default_factory=list)
    files: list[ImageFile] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    stamps: list[tuple[int, ...] | None] = field(default_factory=list)
    size: int = 0

    def settle(self, answers: list[Answer]) -> Iterator[Photo]:
        for place, file, stamp, answer in zip(self.places, self.files, self.stamps, answers, strict=True):
            photo = self.photos[place]
            if isinstance(answer, BadImage):
                photo.reason = str(answer)
                continue
            if isinstance(file, str) and stamp != _stamp(file):
                photo.reason = "the file changed while it was read"
                continue
            square = answer.pixels if isinstance(answer, OddSquare) else answer
            assert isinstance(square, np.ndarray)
            photo.square = square
        yield from self.photos


def _walk_files(
    photos: Photos, size: int, resizing: Resizing, settings: DescribeSettings, known: Known
) -> Iterator[Photo]:
    assert isinstance(photos.source, Source)
    decoders = Decoders(accept_truncated=settings.accept_truncated, max_pixels=settings.max_pixels)
    used = settings.pixel_range or FULL_RANGE
    waiting: deque[tuple[_Group, Future[list[Answer]] | None]] = deque()
    with decoders:
        for group in _groups(photos.source, photos.names, known, 3 * size * size):
            future = decoders.squares(group.files, size, used, resizing) if group.files else None
            waiting.append((group, future))
            while len(waiting) > 2 * decoders.count or (waiting and waiting[0][1] is None):
                yield from _settle(*waiting.popleft())
        while waiting:
            yield from _settle(*waiting.popleft())


def _settle(group: _Group, future: Future[list[Answer]] | None) -> Iterator[Photo]:
    return group.settle([] if future is None else future.result())


def _groups(source: Source, names: list[str | None] | None, known: Known, square_bytes: int) -> Iterator[_Group]:
    """All photos, a few at a time, read and hashed; those that are known need no decoding."""
    group = _Group()
    for at, file in enumerate(source.files()):
        photo = Photo(source.ids[at], names[at] if names else None, reason=source.refused.get(at, ""))
        group.photos.append(photo)
        if not photo.reason:
            _add(group, photo, file, known, square_bytes)
        if len(group.photos) >= GROUP or group.size > GROUP_BYTES:
            yield group
            group = _Group()
    if group.photos:
        yield group


def _add(group: _Group, photo: Photo, file: ImageFile, known: Known, square_bytes: int) -> None:
    try:
        content, photo.digest, stamp = _read(file)
    except OSError as problem:
        photo.reason = problem.strerror or str(problem)
        return
    except BadImage as problem:
        photo.reason = str(problem)
        return
    photo.values = known(photo.digest)
    photo.is_known = photo.values is not None
    if not photo.is_known:
        group.places.append(len(group.photos) - 1)
        group.files.append(content)
        group.stamps.append(stamp)
        group.size += square_bytes + (len(content) if isinstance(content, bytes) else 0)


def _read(file: ImageFile) -> tuple[ImageFile, bytes, tuple[int, ...] | None]:
    """What is to be decoded and its SHA-256: the bytes that were hashed, or of a large file its path and its stamp.

    Raises BadImage for what is no regular file, OSError.
    """
    if not isinstance(file, str):
        return file, hashlib.sha256(file or b"").digest(), None
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(file, flags), "rb") as opened:
        state = os.fstat(opened.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise BadImage("not a regular file")
        if state.st_size <= LARGEST_HELD:
            content = opened.read(LARGEST_HELD + 1)
            if len(content) <= LARGEST_HELD:
                return content, hashlib.sha256(content).digest(), None
            opened.seek(0)
        digest = hashlib.sha256()
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return file, digest.digest(), _stamp(file, state)


def _stamp(file: str, state: os.stat_result | None = None) -> tuple[int, ...]:
    try:
        state = state or os.stat(file)
    except OSError:
        return ()
    return state.st_ino, state.st_size, state.st_mtime_ns
