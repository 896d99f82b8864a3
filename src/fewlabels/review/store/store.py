"""The answers of a review: SQLite, append-only, one writer.

events   one for each request: client, seq, kind, digest of what was asked, time, how many rows were answered after it
changes  what it did to each row: the state before and after. Never changed, never removed (triggers see to it).

The state of a row is that of its last change. A row's version counts its changes; UNIQUE(row, version) makes a lost
update impossible even if two programs should write. UNIQUE(client, seq) makes a retry harmless.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal

from .history import BLANK, Change, Event, Mark, changes_in, newest_events

Action = Literal["label", "skip", "clear"]


@dataclass(frozen=True)
class Answer:
    """One row of a request. version: of the row, as the page knew it. label: where the action is "label"."""

    row: int
    action: Action
    label: str | None
    version: int


@dataclass(frozen=True)
class Request:
    """client and seq name it for good. answers: what to write; None takes back the client's newest request."""

    client: str
    seq: int
    answers: tuple[Answer, ...] | None

    @property
    def kind(self) -> str:
        return "undo" if self.answers is None else "answers"

    @property
    def digest(self) -> str:
        """SHA-256 of what was asked, whatever the order of keys in which it was sent."""
        asked = None if self.answers is None else [(a.row, a.action, a.label, a.version) for a in self.answers]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


@dataclass(frozen=True)
class Written:
    """On disk. applied: (row, its state after the event). answered: rows with a label after the event.

    nothing: an undo that found nothing to take back. is_new: False for a repeated request, which wrote nothing.
    """

    event: int
    applied: tuple[tuple[int, Mark], ...]
    answered: int
    nothing: bool
    is_new: bool


@dataclass(frozen=True)
class Conflict:
    """Nothing was written: these rows have moved on. rows: (row, what was wanted, what is there)."""

    rows: tuple[tuple[int, str | None, Mark], ...]


@dataclass(frozen=True)
class Reused:
    """Nothing was written: client and seq belong to another request."""


Outcome = Written | Conflict | Reused


class Store:
    """The answers of one review. One thread at a time may write; `marks`, `event` and `answered` may be read by others.

    Raises sqlite3.Error where the file cannot be written or read; nothing of that call is then acknowledged, and what
    is known is read again from the file before the next one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """connection: to a file whose tables exist (store_file.open_store). Raises ValueError where they contradict."""
        self._connection = connection
        self.marks: dict[int, Mark] = {}
        self.event = 0
        self.answered = 0
        self.skipped = 0
        self._is_known = False
        self._know()

    def close(self) -> None:
        self._connection.close()

    def mark(self, row: int) -> Mark:
        """The state of a row."""
        return self.marks.get(row, BLANK)

    def answers(self) -> dict[int, str | None]:
        """row -> name of the class, None where it was skipped or taken back."""
        return {row: mark.label for row, mark in self.marks.items()}

    def labels(self) -> dict[int, str]:
        """row -> name of the class, of answered rows."""
        return {row: mark.label for row, mark in self.marks.items() if mark.label is not None}

    def check(self) -> None:
        """Raise ValueError where what a request did is not what was asked: SQLite has no checksums of its own."""
        changes = groupby(changes_in(self._connection), key=lambda pair: pair[0])
        done = {event: tuple(_asked(change) for _, change in some) for event, some in changes}
        for event, kind, digest in self._connection.execute("SELECT event, kind, digest FROM events"):
            asked = done.get(event, ()) if kind == "answers" else None
            if Request("", 0, asked).digest != digest:
                raise ValueError(f"event {event} is not what was sent")

    def write(self, requests: Sequence[Request]) -> list[Outcome]:
        """Carry out requests in order, each whole or not at all. They are on disk when this returns."""
        self._know()
        with self._transaction():
            staged = _Staged(self)
            outcomes = [self._one(request, staged) for request in requests]
        staged.take_effect()
        return outcomes

    def history(self, first: int, count: int, row: int | None = None) -> tuple[int, list[Event]]:
        """(number of events, `count` of them from the `first` newest on, the newest first). row: those of one row."""
        total = self.event if row is None else self.mark(row).version
        return total, newest_events(self._connection, first, count, row)

    def _one(self, request: Request, staged: _Staged) -> Outcome:
        known = self._connection.execute(
            "SELECT event, kind, digest, answered FROM events WHERE client = ? AND seq = ?",
            (request.client, request.seq),
        ).fetchone()
        if known is not None:
            return self._again(request, *known)
        undone, changes, conflicts = self._planned(request, staged)
        if conflicts:
            return Conflict(tuple(conflicts))
        return self._append(request, undone, changes, staged)

    def _again(self, request: Request, event: int, kind: str, digest: str, answered: int) -> Outcome:
        if (kind, digest) != (request.kind, request.digest):
            return Reused()
        applied = tuple((c.row, c.after) for _, c in changes_in(self._connection, "WHERE event = ?", (event,)))
        return Written(event, applied, answered, not applied, False)

    def _planned(
        self, request: Request, staged: _Staged
    ) -> tuple[int | None, list[Change], list[tuple[int, str | None, Mark]]]:
        """(event to undo, changes, conflicts) of a new request."""
        if request.answers is not None:
            pairs = [(answer, staged.mark(answer.row)) for answer in request.answers]
            conflicts = [(a.row, a.label, now) for a, now in pairs if now.version != a.version]
            return None, [Change(a.row, now, _after(a, now)) for a, now in pairs], conflicts
        (undone,) = self._connection.execute(
            "SELECT max(event) FROM events WHERE client = ? AND kind = 'answers' AND event NOT IN "
            "(SELECT undoes FROM events WHERE undoes IS NOT NULL AND client = ?)",
            (request.client, request.client),
        ).fetchone()
        if undone is None:
            return None, [], []
        old = [change for _, change in changes_in(self._connection, "WHERE event = ?", (undone,))]
        now = {change.row: staged.mark(change.row) for change in old}
        lost = [(c.row, c.before.label, now[c.row]) for c in old if now[c.row].base != c.after.base]
        return undone, [Change(c.row, now[c.row], _restored(c.before, now[c.row])) for c in old], lost

    def _append(self, request: Request, undone: int | None, changes: list[Change], staged: _Staged) -> Written:
        for change in changes:
            staged.change(change)
        staged.event += 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._connection.execute(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (staged.event, request.client, request.seq, request.kind, request.digest, at, undone, staged.answered),
        )
        self._connection.executemany(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(staged.event, c.row, c.after.version, *_columns(c.before), *_columns(c.after)) for c in changes],
        )
        applied = tuple((change.row, change.after) for change in changes)
        return Written(staged.event, applied, staged.answered, not applied, True)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._is_known = False  # a commit that failed may have reached the disk all the same: ask the file
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _know(self) -> None:
        """Read the state from the file where it is not known. Raises ValueError where changes contradict each other."""
        if self._is_known:
            return
        marks: dict[int, Mark] = {}
        for event, change in changes_in(self._connection):
            if marks.get(change.row, BLANK) != change.before:
                raise ValueError(f"event {event} does not follow from those before it (row {change.row})")
            marks[change.row] = change.after
        (last,) = self._connection.execute("SELECT coalesce(max(event), 0) FROM events").fetchone()
        self.marks, self.event = marks, last
        self.answered = sum(mark.label is not None for mark in marks.values())
        self.skipped = sum(mark.skipped for mark in marks.values())
        self._is_known = True


class _Staged:
    """What is known, and what a transaction adds to it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.event, self.answered, self.skipped = store.event, store.answered, store.skipped
        self._marks: dict[int, Mark] = {}

    def mark(self, row: int) -> Mark:
        return self._marks.get(row) or self._store.mark(row)

    def change(self, change: Change) -> None:
        self._marks[change.row] = change.after
        self.answered += (change.after.label is not None) - (change.before.label is not None)
        self.skipped += change.after.skipped - change.before.skipped

    def take_effect(self) -> None:
        self._store.marks.update(self._marks)
        self._store.event, self._store.answered, self._store.skipped = self.event, self.answered, self.skipped


def _asked(change: Change) -> Answer:
    """The answer that made a change."""
    after = change.after
    action: Action = "skip" if after.skipped else "clear" if after.label is None else "label"
    return Answer(change.row, action, after.label, change.before.version)


def _columns(mark: Mark) -> tuple[str | None, bool, int]:
    return mark.label, mark.skipped, mark.base


def _after(answer: Answer, now: Mark) -> Mark:
    label = answer.label if answer.action == "label" else None
    return Mark(label, answer.action == "skip", now.version + 1, now.version + 1)


def _restored(before: Mark, now: Mark) -> Mark:
    return Mark(before.label, before.skipped, now.version + 1, before.base)
