"""The one thread that writes answers. All requests that wait go to the disk in one transaction.

A flush to disk takes milliseconds, sometimes a tenth of a second; so two hundred writers at once wait for two or three
of them, not for two hundred. Each request is still whole or absent, and is answered after the commit.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..web.refusals import Refused
from .store import Outcome, Request, Store, Written

T = TypeVar("T")
AT_ONCE = 100  # requests of one transaction


class Writing:
    """Owns the store's thread. told(written): called there for each new event, before the request is answered."""

    def __init__(self, store: Store, told: Callable[[Request, Written], None]) -> None:
        self._store, self._told = store, told
        self._thread = ThreadPoolExecutor(1, "fewlabels-writer")
        self._lock = threading.Lock()
        self._waiting: list[tuple[Request, Future[Outcome]]] = []

    def write(self, request: Request) -> Future[Outcome]:
        """What became of the request, once it is on disk. Fails with Refused (W12, W13) where it could not be."""
        future: Future[Outcome] = Future()
        with self._lock:
            self._waiting.append((request, future))
        self._thread.submit(self._write_waiting)
        return future

    def read(self, function: Callable[[], T]) -> Future[T]:
        """The result of a function of the store, on its thread."""

        def called() -> T:
            try:
                return function()
            except (sqlite3.Error, ValueError) as problem:
                raise refusal(problem) from problem

        return self._thread.submit(called)

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._thread.submit(self._store.close)
        self._thread.shutdown(wait=True)

    def _write_waiting(self) -> None:
        with self._lock:
            some, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
        if not some:  # those before took it along
            return
        try:
            outcomes: list[Outcome] = self._store.write([request for request, _ in some])
        except Exception as problem:  # noqa: BLE001  whatever it is, each of them must hear of it
            for _, future in some:
                _settle(future.set_exception, refusal(problem))
            return
        for (request, future), outcome in zip(some, outcomes, strict=True):
            if isinstance(outcome, Written) and outcome.is_new:
                self._told(request, outcome)
            _settle(future.set_result, outcome)


def _settle(settle: Callable[[Any], None], value: object) -> None:
    """A future whose client went away is cancelled, and takes no result."""
    if settle.__self__.set_running_or_notify_cancel():  # type: ignore[attr-defined]
        settle(value)


def refusal(problem: BaseException) -> Refused:
    """What the page is told where SQLite or the disk fails."""
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        what = "not saved: the disk is full, or refuses to write. Make room; this page keeps your answers and sends"
        return Refused(507, "W12", f"{what} them again ({problem})")
    what = "not saved: the file of answers is locked, moved, removed or damaged. Stop `fewlabels review`, look at it"
    return Refused(503, "W13", f"{what} and start again; this page keeps your answers ({problem})")
