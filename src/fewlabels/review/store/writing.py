"""The one thread that writes answers. All requests that wait go to the disk in one transaction.

A flush to disk takes milliseconds, sometimes a tenth of a second; so two hundred writers at once wait for a few of
them, not for two hundred. Each request is still whole or absent, and is answered after the commit, and after the number
of its event is in the file beside the answers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .store import Store
from .values import Outcome, Request, Written

T = TypeVar("T")
AT_ONCE = 100  # requests of one transaction


class WriterThread:
    """Owns the store and its thread. on_written(request, written): called there for each new event, before the future
    of its request is done.
    """

    def __init__(self, store: Store, on_written: Callable[[Request, Written], None]) -> None:
        self._store, self._on_written = store, on_written
        self._thread = ThreadPoolExecutor(1, "fewlabels-writer")
        self._lock = threading.Lock()
        self._waiting: list[tuple[Request, Future[Outcome]]] = []

    def write(self, request: Request) -> Future[Outcome]:
        """Write a request; the future is done once it is on disk, or has the error, such as sqlite3.Error."""
        future: Future[Outcome] = Future()
        with self._lock:
            self._waiting.append((request, future))
        self._thread.submit(self._write_waiting)
        return future

    def read(self, function: Callable[[], T]) -> Future[T]:
        """Call a function that reads the store, on its thread."""
        return self._thread.submit(function)

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
            outcomes = self._store.write([request for request, _ in some])
            for (request, _), outcome in zip(some, outcomes, strict=True):
                if isinstance(outcome, Written) and outcome.is_new:
                    self._on_written(request, outcome)
            self._store.acknowledge()
        except Exception as problem:  # noqa: BLE001  whatever it is, each of them must hear of it
            for _, future in some:
                if future.set_running_or_notify_cancel():  # False: its client went away
                    future.set_exception(problem)
            return
        for (_, future), outcome in zip(some, outcomes, strict=True):
            if future.set_running_or_notify_cancel():
                future.set_result(outcome)
