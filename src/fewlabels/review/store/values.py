"""What the answers of a review are made of: what a page asks, what becomes of it, and the history of that."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import dataclass
from typing import Literal

from .classes import Class, ClassChange

Action = Literal["label", "skip", "clear", "none", "unsure", "bad"]
SAID = ("", "skip", "none", "unsure", "bad")  # answers without a class, by their number in the file; "": no such answer
OLDEST_SAID = 2  # the first of them came with version 1
NONE_OF_THESE, NO_CLASS = -2, -1  # in place of the number of a class


@dataclass(frozen=True)
class Mark:
    """What a person said of a row. label: key of the class, None for none. said: one of SAID, in place of a class.

    version: how often the row was changed. base: the version whose state this is; an older one after an undo, so that
    what was before can be undone too.
    """

    label: str | None = None
    said: str = ""
    version: int = 0
    base: int = 0

    @property
    def skipped(self) -> bool:
        """Whether the person answered without a class: the row leaves the queue."""
        return self.said != ""


BLANK = Mark()


@dataclass(frozen=True)
class ClassDone:
    """What an event did to a class, by the names of that time. before: None where it was made. into: where merged."""

    before: str | None
    after: str | None
    into: str | None


@dataclass(frozen=True)
class Change:
    """What an event did to a row."""

    row: int
    before: Mark
    after: Mark


@dataclass(frozen=True, kw_only=True)
class Event:
    """One request and what it did. when: ISO 8601, UTC. kind: "answers", "undo", "class", "rename" or "merge".

    undoes: the event that an undo took back. undone: whether this one has been taken back by an undo since.
    """

    event: int
    when: str
    kind: str
    undoes: int | None
    undone: bool
    changes: tuple[Change, ...]
    classes: tuple[ClassDone, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a person said of one row. version: of the row, as the page knew it.

    label: key of the class where the action is "label".
    """

    row: int
    action: Action
    label: str | None
    version: int


@dataclass(frozen=True)
class Request:
    """What a page sent. client and seq name it for good: answers, or a change of the list of classes.

    Without either it takes back what this client did last.
    """

    client: str
    seq: int
    answers: tuple[Answer, ...] | None
    change: ClassChange | None = None

    @property
    def kind(self) -> str:
        if self.change is not None:
            return self.change.action
        return "undo" if self.answers is None else "answers"

    @property
    def digest(self) -> str:
        """SHA-256 of what was asked, whatever the order of keys in which it was sent."""
        asked: object = None if self.answers is None else [(a.row, a.action, a.label, a.version) for a in self.answers]
        if self.change is not None:
            asked = [self.change.name, self.change.key, self.change.into]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


@dataclass(frozen=True)
class Written:
    """What a request wrote to the disk.

    applied: (row, its state after the event). answered: rows with a label after the event.
    nothing: an undo that found nothing to take back. made: the class that the event changed, as it is then.
    is_new: False for a repeated request, which wrote nothing.
    """

    event: int
    applied: tuple[tuple[int, Mark], ...]
    answered: int
    nothing: bool
    is_new: bool
    made: Class | None = None


@dataclass(frozen=True)
class Refusal:
    """Nothing was written: the list of classes is no longer as the person saw it. why: in words."""

    why: str


@dataclass(frozen=True)
class Conflict:
    """Nothing was written: these rows have changed meanwhile. rows: (row, what was wanted, what is there)."""

    rows: tuple[tuple[int, str | None, Mark], ...]


@dataclass(frozen=True)
class Reused:
    """Nothing was written: client and seq belong to another request."""


class Replaced(sqlite3.DatabaseError):
    """The file of answers was replaced by another one, such as an older copy of it."""


Outcome = Written | Conflict | Reused | Refusal
