"""The answers of a review: SQLite, append-only, one writer.

events   one for each request: client, seq, kind, digest of what was asked, time, how many rows were answered after it
changes  what it did to each row: the state before and after. Never changed, never removed (triggers see to it).

acknowledged, beside it, has the last event that a page was told is saved (acknowledged.py).

The state of a row is that of its last change. A row's version counts its changes; UNIQUE(row, version) makes a lost
update impossible even if two programs should write. UNIQUE(client, seq) makes a retry harmless.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Literal

from .acknowledged import Acknowledged, Last

Action = Literal["label", "skip", "clear"]
EVENTS = """
SELECT event, at, kind, undoes, EXISTS (SELECT 1 FROM events AS later WHERE later.undoes = events.event)
FROM events {where} ORDER BY event DESC LIMIT ? OFFSET ?
"""


@dataclass(frozen=True)
class Mark:
    """What a person said of a row. label: name of the class, None for none.

    version: how often the row was changed. base: the version whose state this is; an older one after an undo, so that
    what was before can be undone too.
    """

    label: str | None = None
    skipped: bool = False
    version: int = 0
    base: int = 0


BLANK = Mark()


@dataclass(frozen=True)
class Change:
    """What an event did to a row."""

    row: int
    before: Mark
    after: Mark


@dataclass(frozen=True, kw_only=True)
class Event:
    """One request and what it did. when: ISO 8601, UTC. kind: "answers" or "undo".

    undoes: the event that an undo took back. undone: whether this one has been taken back by an undo since.
    """

    event: int
    when: str
    kind: str
    undoes: int | None
    undone: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Answer:
    """What a person said of one row. version: of the row, as the page knew it. label: where the action is "label"."""

    row: int
    action: Action
    label: str | None
    version: int


@dataclass(frozen=True)
class Request:
    """What a page sent. client and seq name it for good. answers: None takes back the client's newest ones."""

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
    """What a request wrote to the disk.

    applied: (row, its state after the event). answered: rows with a label after the event.
    nothing: an undo that found nothing to take back. is_new: False for a repeated request, which wrote nothing.
    """

    event: int
    applied: tuple[tuple[int, Mark], ...]
    answered: int
    nothing: bool
    is_new: bool


@dataclass(frozen=True)
class Conflict:
    """Nothing was written: these rows have changed meanwhile. rows: (row, what was wanted, what is there)."""

    rows: tuple[tuple[int, str | None, Mark], ...]


@dataclass(frozen=True)
class Reused:
    """Nothing was written: client and seq belong to another request."""


class Replaced(sqlite3.DatabaseError):
    """The file of answers was replaced by another one, such as an older copy of it."""


Outcome = Written | Conflict | Reused


class Store:
    """The answers of one review. One thread at a time may write; `marks`, `event` and `answered` may be read by others.

    Raises sqlite3.Error where the file cannot be written or read; nothing of that call is then acknowledged, and what
    is known is read again from the file before the next one. Raises Replaced, which is one, where the file is no longer
    the one that was opened, or no longer has what was acknowledged.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """connection: to the file at `path`, whose tables exist (file.open_store).

        Raises ValueError where they contradict.
        """
        self._connection, self._path = connection, path
        self._acknowledged = Acknowledged(path.parent)
        self._seen = self._stamp()
        self._data_version = self._read_data_version()
        self.marks: dict[int, Mark] = {}
        self.event = 0
        self.answered = 0
        self.skipped = 0
        self._last = Last(0, "")
        self._is_known = False
        self._read_state()

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
        """Raise ValueError where an event is not what its digest says: SQLite has no checksums of its own."""
        changes = groupby(read_changes(self._connection), key=lambda pair: pair[0])
        done = {event: tuple(_to_answer(change) for _, change in some) for event, some in changes}
        for event, kind, digest in self._connection.execute("SELECT event, kind, digest FROM events"):
            asked = done.get(event, ()) if kind == "answers" else None
            if Request("", 0, asked).digest != digest:
                raise ValueError(f"event {event} is not what was sent")

    def write(self, requests: Sequence[Request]) -> list[Outcome]:
        """Carry out requests in order, each whole or not at all. They are on disk when this returns; `acknowledge`
        before anybody hears of them.
        """
        with self._transaction():
            self._demand_history()
            self._read_state()
            draft = _Draft(self)
            outcomes = [self._carry_out(request, draft) for request in requests]
        draft.take_effect()
        self._seen = self._stamp()
        return outcomes

    def acknowledge(self) -> None:
        """Have on disk that all events up to the last one are acknowledged. Raises StorageError."""
        self._acknowledged.write(self._last)

    @property
    def is_untouched(self) -> bool:
        """Whether nobody but this store seems to have written the file: a look at its name, size and time alone."""
        return self._seen == self._stamp()

    def demand_same(self) -> None:
        """Raise Replaced where the file is another one, or lacks what was acknowledged, sqlite3.Error where it is
        damaged. To be called where it is not untouched.
        """
        now = self._stamp()
        if self._seen is None or now is None or now[:2] != self._seen[:2]:
            raise Replaced("another file is there under its name" if now else "it was moved or removed")
        self._demand_history()
        self._seen = now

    def _demand_history(self) -> None:
        """Where another connection has written since the last look, or the file was overwritten: all that is known must
        be there still. It is then read again.
        """
        now = self._read_data_version()
        if now == self._data_version:
            return
        if self._last.number and read_last(self._connection, self._last.number) != self._last:
            raise Replaced(f"event {self._last.number}, which was acknowledged, is no longer in it")
        self._data_version, self._is_known = now, False

    def _read_data_version(self) -> int:
        """A number that changes with each commit of others to the file."""
        self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # which looks at the file
        (found,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(found)

    def _stamp(self) -> tuple[int, int, int, int] | None:
        """What changes with the file; None where it is not there."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def history(self, first: int, count: int, row: int | None = None) -> tuple[int, list[Event]]:
        """(number of events, `count` of them from the `first` newest on, the newest first). row: those of one row."""
        total = self.event if row is None else self.mark(row).version
        return total, read_events(self._connection, first, count, row)

    def _carry_out(self, request: Request, draft: _Draft) -> Outcome:
        known = self._connection.execute(
            "SELECT event, kind, digest, answered FROM events WHERE client = ? AND seq = ?",
            (request.client, request.seq),
        ).fetchone()
        if known is not None:
            return self._repeat(request, *known)
        undone, changes, conflicts = self._plan(request, draft)
        if conflicts:
            return Conflict(tuple(conflicts))
        return self._append(request, undone, changes, draft)

    def _repeat(self, request: Request, event: int, kind: str, digest: str, answered: int) -> Outcome:
        if (kind, digest) != (request.kind, request.digest):
            return Reused()
        applied = tuple((c.row, c.after) for _, c in read_changes(self._connection, "WHERE event = ?", (event,)))
        return Written(event, applied, answered, not applied, False)

    def _plan(
        self, request: Request, draft: _Draft
    ) -> tuple[int | None, list[Change], list[tuple[int, str | None, Mark]]]:
        """(event to undo, changes, conflicts) of a new request."""
        if request.answers is not None:
            pairs = [(answer, draft.mark(answer.row)) for answer in request.answers]
            conflicts = [(a.row, a.label, now) for a, now in pairs if now.version != a.version]
            return None, [Change(a.row, now, _apply(a, now)) for a, now in pairs], conflicts
        (undone,) = self._connection.execute(
            "SELECT max(event) FROM events WHERE client = ? AND kind = 'answers' AND event NOT IN "
            "(SELECT undoes FROM events WHERE undoes IS NOT NULL AND client = ?)",
            (request.client, request.client),
        ).fetchone()
        if undone is None:
            return None, [], []
        old = [change for _, change in read_changes(self._connection, "WHERE event = ?", (undone,))]
        now = {change.row: draft.mark(change.row) for change in old}
        lost = [(c.row, c.before.label, now[c.row]) for c in old if now[c.row].base != c.after.base]
        return undone, [Change(c.row, now[c.row], _restore(c.before, now[c.row])) for c in old], lost

    def _append(self, request: Request, undone: int | None, changes: list[Change], draft: _Draft) -> Written:
        for change in changes:
            draft.change(change)
        draft.event += 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = (draft.event, request.client, request.seq, request.kind, request.digest, at, undone, draft.answered)
        self._connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", event)
        draft.last = _identify(event)
        self._connection.executemany(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(draft.event, c.row, c.after.version, *_to_columns(c.before), *_to_columns(c.after)) for c in changes],
        )
        applied = tuple((change.row, change.after) for change in changes)
        return Written(draft.event, applied, draft.answered, not applied, True)

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

    def _read_state(self) -> None:
        """Read the state from the file where it is not known. Raises ValueError where changes contradict each other."""
        if self._is_known:
            return
        marks: dict[int, Mark] = {}
        for event, change in read_changes(self._connection):
            if marks.get(change.row, BLANK) != change.before:
                raise ValueError(f"event {event} does not follow from those before it (row {change.row})")
            marks[change.row] = change.after
        (last,) = self._connection.execute("SELECT coalesce(max(event), 0) FROM events").fetchone()
        self.marks, self.event, self._last = marks, last, read_last(self._connection, last)
        self.answered = sum(mark.label is not None for mark in marks.values())
        self.skipped = sum(mark.skipped for mark in marks.values())
        self._is_known = True


class _Draft:
    """The state as a transaction would leave it; `take_effect` once that is on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.event, self.answered, self.skipped = store.event, store.answered, store.skipped
        self.last = store._last
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
        self._store._last = self.last


def _identify(event: tuple[object, ...]) -> Last:
    """A row of the table `events` as what it is."""
    number = event[0]
    assert isinstance(number, int)
    return Last(number, hashlib.sha256(json.dumps(event).encode()).hexdigest())


def read_last(connection: sqlite3.Connection, number: int) -> Last:
    """The event of that number; Last(0, ...) where there is none."""
    found = connection.execute("SELECT * FROM events WHERE event = ?", (number,)).fetchone()
    return _identify(found or (0,))


def _to_answer(change: Change) -> Answer:
    """Find the answer that made a change."""
    after = change.after
    action: Action = "skip" if after.skipped else "clear" if after.label is None else "label"
    return Answer(change.row, action, after.label, change.before.version)


def _to_columns(mark: Mark) -> tuple[str | None, bool, int]:
    return mark.label, mark.skipped, mark.base


def _apply(answer: Answer, now: Mark) -> Mark:
    label = answer.label if answer.action == "label" else None
    return Mark(label, answer.action == "skip", now.version + 1, now.version + 1)


def _restore(before: Mark, now: Mark) -> Mark:
    return Mark(before.label, before.skipped, now.version + 1, before.base)


def read_changes(
    connection: sqlite3.Connection, where: str = "", values: tuple[int, ...] = ()
) -> list[tuple[int, Change]]:
    """Read changes as (event, change), in order. where: SQL on the table `changes`, with its values."""
    rows = connection.execute(f"SELECT * FROM changes {where} ORDER BY event, rowid", values)
    return [
        (event, Change(row, Mark(b, bool(bs), version - 1, bb), Mark(a, bool(as_), version, ab)))
        for event, row, version, b, bs, bb, a, as_, ab in rows
    ]


def read_events(connection: sqlite3.Connection, first: int, count: int, row: int | None = None) -> list[Event]:
    """Read `count` events from the `first` newest on, the newest first. row: only what happened to this one."""
    of_row = () if row is None else (row,)
    where = "WHERE event IN (SELECT event FROM changes WHERE row = ?)" if of_row else ""
    found = connection.execute(EVENTS.format(where=where), (*of_row, count, first)).fetchall()
    if not found:
        return []
    where = "WHERE event BETWEEN ? AND ?" + (" AND row = ?" if of_row else "")
    pairs = groupby(read_changes(connection, where, (found[-1][0], found[0][0], *of_row)), key=lambda pair: pair[0])
    changes = {event: tuple(change for _, change in some) for event, some in pairs}
    return [
        Event(event=event, when=when, kind=kind, undoes=undoes, undone=bool(undone), changes=changes.get(event, ()))
        for event, when, kind, undoes, undone in found
    ]
