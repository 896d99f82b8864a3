"""The last event that a person was told is saved, in a file beside the answers.

An older copy of review.sqlite is whole in itself: nothing in it says that it ends too early. So the number of the last
acknowledged event, and what it was, stand in a second file. It is written after the answers and before the page hears
of them. A kill between the two leaves answers that nobody was promised, and a number that is lower than theirs, which
is right: only a number that is higher says that answers are gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...storage import durable

NAME = "acknowledged"
LINE = re.compile(r"([0-9]{1,18}) ([0-9a-f]{64})")
MOST_LINES = 10_000  # then the file begins anew


@dataclass(frozen=True)
class Last:
    """An event. number: 0 before the first. digest: SHA-256 of all that it is; the same number in another history has
    another one."""

    number: int
    digest: str


class Acknowledged:
    """The file; one process at a time writes it, others may read."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._num_lines = MOST_LINES  # so that the first one replaces what is there: the end may be torn
        self._written: Last | None = None

    def read(self) -> Last | None:
        """The last event; None where there is no file, as reviews of version 0.1 have none.

        Raises ValueError for a file that says nothing. A line that a crash has torn does not count.
        """
        if not self.path.is_file():
            return None
        lines = self.path.read_text(encoding="ascii", errors="replace").split("\n")
        whole = [found for line in lines[:-1] if (found := LINE.fullmatch(line))]
        if not whole:
            raise ValueError("no line of it is whole")
        return Last(int(whole[-1][1]), whole[-1][2])

    def write(self, last: Last) -> None:
        """Have it on the disk, flushed. Raises StorageError; it is then written anew with the next one."""
        if last == self._written:
            return
        line = f"{last.number} {last.digest}"
        self._written = None
        try:
            if self._num_lines >= MOST_LINES:
                durable.write_text(self.path, f"{line}\n")
                self._num_lines = 1
            else:
                durable.append_line(self.path, line)
                self._num_lines += 1
        except BaseException:
            self._num_lines = MOST_LINES  # the end may be torn
            raise
        self._written = last
