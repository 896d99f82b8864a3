"""The road from photos to descriptors: photos are read, hashed and decoded ahead while the network runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from ..errors import ImageError
from .cache import DescriptorCache
from .photos import Photo, Photos, walk
from .settings import DescribeSettings

if TYPE_CHECKING:
    from .network import Describer

MOST_HELD = 2048  # photos in order that wait for one which is not described yet
SECONDS = 0.1
T = TypeVar("T")


@dataclass
class Progress:
    """What is done: photos in all, described just now, taken from the cache, rejected; seconds that the network ran."""

    done: int = 0
    computed: int = 0
    known: int = 0
    rejected: int = 0
    network_seconds: float = 0.0


OnProgress = Callable[[Progress], None]


def describe_photos(
    photos: Photos,
    describer: Describer,
    settings: DescribeSettings,
    cache: DescriptorCache | None = None,
    on_progress: OnProgress = lambda progress: None,
) -> Iterator[Photo]:
    """Every photo in order, with `values`, (width,) float32, or with the reason why it has none.

    Few are held at a time, whatever their number. cache: known photos are taken from it, new ones added.
    on_progress: called after each batch and each photo that needed none.
    Raises what the source of the photos raises, ImageError I32 where there is none, and NumericsError P30.
    """
    known = cache.get if cache is not None else lambda digest: None
    squares = walk(photos, describer.decoded_size, describer.resizing, settings, known)
    progress = Progress()
    rows: deque[Photo] = deque()
    waiting: list[Photo] = []
    with closing(Ahead(squares, 2 * describer.batch)) as ahead:
        for photo in ahead:
            rows.append(photo)
            if photo.square is not None:
                waiting.append(photo)
            if len(waiting) == describer.batch or (waiting and len(rows) >= MOST_HELD):
                _describe(waiting, describer, cache, progress)
                waiting = []
            yield from _finished(rows, progress, on_progress)
        _describe(waiting, describer, cache, progress)
        yield from _finished(rows, progress, on_progress)
    if progress.done == 0:
        raise ImageError("I32", "no images")


def _describe(photos: list[Photo], describer: Describer, cache: DescriptorCache | None, progress: Progress) -> None:
    if not photos:
        return
    began = time.perf_counter()
    values = describer([photo.square for photo in photos if photo.square is not None])
    progress.network_seconds += time.perf_counter() - began
    for photo, row in zip(photos, values, strict=True):
        photo.values, photo.square = row, None
        if cache is not None:
            cache.put(photo.digest, row)


def _finished(rows: deque[Photo], progress: Progress, on_progress: OnProgress) -> Iterator[Photo]:
    """The photos at the front that wait for nothing."""
    while rows and rows[0].square is None:
        photo = rows.popleft()
        progress.done += 1
        progress.known += photo.is_known
        progress.rejected += bool(photo.reason)
        progress.computed += photo.values is not None and not photo.is_known
        on_progress(progress)
        yield photo


class Ahead(Generic[T]):
    """An iterator that runs in a thread of its own, at most `most` items ahead of who takes them. To be closed."""

    def __init__(self, items: Iterator[T], most: int) -> None:
        self._queue: Queue[tuple[T | None, BaseException | None]] = Queue(most)
        self._ended = Event()
        self._thread = Thread(target=self._run, args=(items,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            item, problem = self._take()
            if problem is not None:
                if isinstance(problem, StopIteration):
                    return
                raise problem
            yield item  # type: ignore[misc]

    def close(self) -> None:
        """End the thread, also in the middle of its work."""
        self._ended.set()
        self._thread.join()

    def _take(self) -> tuple[T | None, BaseException | None]:
        while True:  # not one long wait, which Ctrl-C could not end on every system
            try:
                return self._queue.get(timeout=SECONDS)
            except Empty:
                continue

    def _run(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._put(item, None):
                    break
            else:
                self._put(None, StopIteration())
        except BaseException as problem:  # noqa: BLE001  it is raised where the items are taken
            self._put(None, problem)
        finally:
            close: Any = getattr(items, "close", None)
            if close is not None:
                close()

    def _put(self, item: T | None, problem: BaseException | None) -> bool:
        while not self._ended.is_set():
            try:
                self._queue.put((item, problem), timeout=SECONDS)
            except Full:
                continue
            return True
        return False


def collect(photos: Iterator[Photo], width: int) -> tuple[list[Photo], np.ndarray, list[tuple[str, str]]]:
    """The photos that were described, (n, width) float32, and id and reason of the others."""
    used: list[Photo] = []
    rows: list[np.ndarray] = []
    rejected: list[tuple[str, str]] = []
    for photo in photos:
        if photo.values is None:
            rejected.append((photo.id, photo.reason))
            continue
        rows.append(photo.values)
        photo.values = None
        used.append(photo)
    return used, np.stack(rows) if rows else np.empty((0, width), np.float32), rejected
