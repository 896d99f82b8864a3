"""Notes on odd input that was used all the same, or left out because that was asked for: lines of notes.csv."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple


class Note(NamedTuple):
    """One line of notes.csv.

    code: of the case in docs/errors.md, such as "L5". file: where it is. line: 1-based line (CSV) or row (tables,
    arrays), None for images, which have names. id: of the row or image, "" where it has none. note: what was done.
    """

    code: str
    file: str
    line: int | None
    id: str
    note: str


def counts(notes: Iterable[Note]) -> dict[str, int]:
    """How many notes there are of each code, in the order of their first."""
    return dict(Counter(note.code for note in notes))
