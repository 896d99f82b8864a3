"""How long what is left of a job will take, by what has been done so far."""

from __future__ import annotations

import time
from collections import deque

LEAST_SECONDS = 1.0  # of work that a pace can be told from


class Pace:
    """By the later half of what was done since the first mark: what came first may have gone at another pace, such as
    another phase.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()
        self._first = 0

    def mark(self, done: int) -> None:
        """So much is done now."""
        now = time.monotonic()
        if not self._marks:  # the clock starts here: a first step is slow
            self._first = done
            self._marks.append((done, now))
        half = (self._first + done) / 2
        while len(self._marks) > 1 and self._marks[1][0] <= half:
            self._marks.popleft()
        if now - self._marks[-1][1] >= LEAST_SECONDS:
            self._marks.append((done, now))

    def seconds(self, done: int, total: int) -> float | None:
        """That the rest will take; None while nothing can be told."""
        if not self._marks:
            return None
        before, since = self._marks[0]
        passed = time.monotonic() - since
        if done <= before or passed < LEAST_SECONDS or done >= total:
            return None
        return passed * (total - done) / (done - before)
