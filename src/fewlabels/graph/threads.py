"""Work shared out between threads. NumPy and the compiled kernels let go of the interpreter lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count, pairwise

import numpy as np
from numpy.typing import NDArray

from .types import StageProgress, no_stage_progress

Range = tuple[int, int]
PARTS = 16  # of the work, for each thread: the last to finish is then never far behind
_THREADS: ContextVar[int | None] = ContextVar("threads", default=None)


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Within it a Team has so many threads, whatever OMP_NUM_THREADS says: a worker of a cluster knows its share."""
    token = _THREADS.set(count)
    try:
        yield
    finally:
        _THREADS.reset(token)


def num_threads() -> int:
    """Cores this process may use; OMP_NUM_THREADS, where it is a number, caps them. `use_threads` says how many."""
    given = _THREADS.get()
    if given is not None:
        return given
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdigit() and int(asked) > 0 else cores


def even_ranges(size: int, parts: int) -> list[Range]:
    """0 to size in at most `parts` consecutive ranges (first, last), none of them empty."""
    cuts = np.linspace(0, size, parts + 1).astype(np.int64).tolist()
    return [(first, last) for first, last in pairwise(cuts) if last > first]


def weighted_ranges(cumulated: NDArray[np.integer], parts: int) -> list[Range]:
    """Ranges over items of about equal work. cumulated: (items + 1), the work before each item, 0 first."""
    goals = np.linspace(0, cumulated[-1], parts + 1)[1:-1]
    cuts = [0, *np.searchsorted(cumulated, goals).tolist(), len(cumulated) - 1]
    return [(first, last) for first, last in pairwise(cuts) if last > first]


class Team:
    """num_threads() threads, the caller's among them, that take ranges of one work after another, in a `with`."""

    def __init__(self) -> None:
        self.size = num_threads()
        self._pool = ThreadPoolExecutor(self.size - 1) if self.size > 1 else None

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def each(
        self,
        work: Callable[[int, int], object],
        ranges: Sequence[Range],
        on_progress: StageProgress = no_stage_progress,
    ) -> None:
        """Call work(first, last) for every range, in any order; on_progress(fraction) tells the part that is done.

        The caller's thread takes ranges as well and waits for no thread that has not woken up when all are taken: small
        work then takes no longer than without threads.
        """
        left, done = iter(ranges), count(1)

        def take() -> Iterator[int]:
            try:
                for first, last in left:  # a list's iterator hands each range to one thread only
                    work(first, last)
                    yield next(done)
            finally:
                deque(left, 0)  # after an error nobody begins another range

        helpers = min(self.size, len(ranges)) - 1
        waking = [self._pool.submit(deque, take(), 0) for _ in range(helpers)] if self._pool is not None else []
        try:
            for number in take():
                if number < len(ranges):
                    on_progress(number / len(ranges))
        finally:
            deque(left, 0)
            for helper in waking:
                if not helper.cancel():
                    helper.result()
        if ranges:
            on_progress(1.0)
