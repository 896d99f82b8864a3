"""The answers of a review: SQLite, append-only, one writer.

events   one for each request: client, seq, kind, digest of what was asked, time, how many rows were answered after it
changes  what it did to each row: the state before and after. Never changed, never removed (triggers see to it).
classes  what it did to a class, from version 2 on (classes.py). A file of version 1 becomes one of version 2 with the
         first event that needs it: a class is made, renamed or merged, or an answer is none of version 1.

acknowledged, beside it, has the last event that a page was told is saved (acknowledged.py).

The state of a row is that of its last change. A row's version counts its changes; UNIQUE(row, version) makes a lost
update impossible even if two programs should write. UNIQUE(client, seq) makes a retry harmless.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from .acknowledged import Acknowledged, Last
from .classes import Clash, Class, ClassList, restate
from .reading import identify, read_changes, read_events, read_last, to_answer, to_class_change
from .tables import TO_VERSION_2
from .values import (
    BLANK,
    NO_CLASS,
    NONE_OF_THESE,
    OLDEST_SAID,
    SAID,
    Answer,
    Change,
    ClassDone,
    Conflict,
    Event,
    Mark,
    Outcome,
    Refusal,
    Replaced,
    Request,
    Reused,
    Written,
)


class Store:
    """The answers of one review. One thread at a time may write; `marks`, `event` and `answered` may be read by others.

    Raises sqlite3.Error where the file cannot be written or read; nothing of that call is then acknowledged, and what
    is known is read again from the file before the next one. Raises Replaced, which is one, where the file is no longer
    the one that was opened, or no longer has what was acknowledged.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, founded: ClassList) -> None:
        """connection: to the file at `path`, whose tables exist (file.open_store). founded: classes of the run itself.

        Raises ValueError where they contradict.
        """
        self._connection, self._path = connection, path
        self._acknowledged = Acknowledged(path.parent)
        self._seen = self._stamp()
        self._data_version = self._read_data_version()
        self.marks: dict[int, Mark] = {}
        self._founded = self.classes = founded
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
        """row -> name of the class by now, None where it was skipped or taken back."""
        return {row: self.name_of(mark.label) for row, mark in self.marks.items()}

    def labels(self) -> dict[int, str]:
        """row -> name of the class by now, of answered rows."""
        return {row: name for row, name in self.answers().items() if name is not None}

    def numbers(self) -> dict[int, int]:
        """row -> number of the class that was answered, NONE_OF_THESE, or NO_CLASS for all others."""
        return {row: self.number_of(mark) for row, mark in self.marks.items()}

    def number_of(self, mark: Mark) -> int:
        """The number of the class of an answer, whatever became of that class; see `numbers`."""
        if mark.label is not None:
            return self.classes.number_of(mark.label)
        return NONE_OF_THESE if mark.said == "none" else NO_CLASS

    def name_of(self, key: str | None) -> str | None:
        """What a class that answers call by this key is called by now."""
        number = None if key is None else self.classes.find_key(key)
        return key if number is None else self.classes.name_of(number)

    def left_out(self) -> dict[int, str]:
        """row -> what was said in place of a class: one of SAID."""
        return {row: mark.said for row, mark in self.marks.items() if mark.said}

    def check(self) -> None:
        """Raise ValueError where an event is not what its digest says: SQLite has no checksums of its own."""
        changes = groupby(read_changes(self._connection), key=lambda pair: pair[0])
        done = {event: tuple(to_answer(change) for _, change in some) for event, some in changes}
        changed = {event: to_class_change(kind, after, classes) for event, kind, after, classes in self._class_log()}
        for event, kind, digest in self._connection.execute("SELECT event, kind, digest FROM events"):
            asked = done.get(event, ()) if kind == "answers" else None
            if Request("", 0, asked, changed.get(event)).digest != digest:
                raise ValueError(f"event {event} is not what was sent")

    def demand_classes(self) -> None:
        """Raise ValueError where an answer is of a class that neither came with the run nor was made here."""
        labels = (mark.label for mark in self.marks.values() if mark.label is not None)
        if strange := next((label for label in labels if self.classes.find_key(label) is None), None):
            raise ValueError(f"an answer of the class {strange!r}, which there is not")

    @property
    def version(self) -> int:
        """Of the file."""
        (found,) = self._connection.execute("PRAGMA user_version").fetchone()
        return int(found)

    def _class_log(self) -> Iterator[tuple[int, str, Class, ClassList]]:
        """(event, its kind, the class after it, all classes after it), in order. Raises ValueError for odd ones."""
        classes = self._founded
        if self.version == 1:
            return
        columns = "event, kind, class, key, name, merged_into, gone, base"
        found = self._connection.execute(f"SELECT {columns} FROM classes JOIN events USING (event) ORDER BY event")
        for event, kind, number, key, name, merged_into, gone, base in found.fetchall():
            if not 0 <= number <= len(classes) or not (merged_into is None or 0 <= merged_into < len(classes)):
                raise ValueError(f"event {event} changes a class that there is not")
            known = number < len(classes)
            one = classes.classes[number] if known else Class(number, key, name)
            if one.key != key:
                raise ValueError(f"event {event} changes a class of another key")
            classes = classes.replaced(restate(one, (name, merged_into, bool(gone)), base))
            yield event, kind, classes.classes[number], classes

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
        done = self._describe_classes()
        events = read_events(self._connection, first, count, row)
        return total, [replace(event, classes=done.get(event.event, ())) for event in events]

    def _describe_classes(self) -> dict[int, tuple[ClassDone, ...]]:
        """event -> what it did to a class, by the names of that time."""
        found: dict[int, tuple[ClassDone, ...]] = {}
        before = self._founded
        for event, _, after, classes in self._class_log():
            was = before.classes[after.number] if after.number < len(before) else None
            into = None if after.merged_into is None else classes.classes[after.merged_into].name
            name = None if after.gone else after.name
            found[event] = (ClassDone(None if was is None or was.gone else was.name, name, into),)
            before = classes
        return found

    def _carry_out(self, request: Request, draft: _Draft) -> Outcome:
        known = self._connection.execute(
            "SELECT event, kind, digest, answered FROM events WHERE client = ? AND seq = ?",
            (request.client, request.seq),
        ).fetchone()
        if known is not None:
            return self._repeat(request, *known)
        try:
            plan = self._plan(request, draft)
        except Clash as problem:
            return Refusal(str(problem))
        if plan.conflicts:
            return Conflict(tuple(plan.conflicts))
        return self._append(request, plan, draft)

    def _repeat(self, request: Request, event: int, kind: str, digest: str, answered: int) -> Outcome:
        if (kind, digest) != (request.kind, request.digest):
            return Reused()
        applied = tuple((c.row, c.after) for _, c in read_changes(self._connection, "WHERE event = ?", (event,)))
        made = next((after for at, _, after, _ in self._class_log() if at == event), None)
        return Written(event, applied, answered, not applied and made is None, False, made)

    def _plan(self, request: Request, draft: _Draft) -> _Plan:
        """What a new request is to do. Raises Clash where the list of classes does not allow it."""
        if request.change is not None:
            return _Plan(made=draft.classes.carry_out(request.change, draft.event + 1))
        if request.answers is not None:
            pairs = [(answer, draft.mark(answer.row)) for answer in request.answers]
            conflicts = [(a.row, a.label, now) for a, now in pairs if now.version != a.version]
            return _Plan(changes=[Change(a.row, now, _apply(a, now)) for a, now in pairs], conflicts=conflicts)
        undone, kind = self._connection.execute(
            "SELECT max(event), kind FROM events WHERE client = ? AND kind <> 'undo' AND event NOT IN "
            "(SELECT undoes FROM events WHERE undoes IS NOT NULL AND client = ?)",
            (request.client, request.client),
        ).fetchone()
        if undone is None:
            return _Plan()
        if kind != "answers":
            return _Plan(undone=undone, made=self._take_back(undone, draft))
        old = [change for _, change in read_changes(self._connection, "WHERE event = ?", (undone,))]
        now = {change.row: draft.mark(change.row) for change in old}
        lost = [(c.row, c.before.label, now[c.row]) for c in old if now[c.row].base != c.after.base]
        changes = [Change(c.row, now[c.row], _restore(c.before, now[c.row])) for c in old]
        return _Plan(undone=undone, changes=changes, conflicts=lost)

    def _take_back(self, undone: int, draft: _Draft) -> Class:
        """The class that an event changed, as it was before. Raises Clash where it is in use, or has changed since."""
        before = self._founded
        for event, kind, after, classes in self._class_log():
            if event != undone:
                before = classes
                continue
            if kind != "class":
                return draft.classes.take_back(after, before.classes[after.number])
            if any(mark.label == after.key for mark in draft.all_marks()):
                raise Clash(f"there are answers of the class {after.name!r}")
            if after.number in draft.classes.stands_for[: after.number] + draft.classes.stands_for[after.number + 1 :]:
                raise Clash(f"another class was merged into {after.name!r}")
            return draft.classes.take_back(after, restate(after, (after.name, None, True), undone))
        raise ValueError(f"event {undone} changed no class")

    def _append(self, request: Request, plan: _Plan, draft: _Draft) -> Written:
        undone, changes = plan.undone, plan.changes
        for change in changes:
            draft.change(change)
        if plan.made is not None:
            draft.classes = draft.classes.replaced(plan.made)
        if self.version == 1 and (plan.made or any(SAID.index(c.after.said) >= OLDEST_SAID for c in changes)):
            for statement in TO_VERSION_2:
                self._connection.execute(statement)
        draft.event += 1
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = (draft.event, request.client, request.seq, request.kind, request.digest, at, undone, draft.answered)
        self._connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", event)
        draft.last = identify(event)
        self._connection.executemany(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(draft.event, c.row, c.after.version, *_to_columns(c.before), *_to_columns(c.after)) for c in changes],
        )
        if (one := plan.made) is not None:
            state = (draft.event, one.number, one.key, one.name, one.merged_into, one.gone, one.base)
            self._connection.execute("INSERT INTO classes VALUES (?, ?, ?, ?, ?, ?, ?)", state)
        applied = tuple((change.row, change.after) for change in changes)
        return Written(draft.event, applied, draft.answered, not applied and plan.made is None, True, plan.made)

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
        classes = next((after for *_, after in reversed(list(self._class_log()))), self._founded)
        self.marks, self.event, self._last, self.classes = marks, last, read_last(self._connection, last), classes
        self.answered = sum(mark.label is not None for mark in marks.values())
        self.skipped = sum(mark.skipped for mark in marks.values())
        self._is_known = True


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What a request is to do. undone: the event that it takes back. made: a class as it is to be."""

    undone: int | None = None
    changes: Sequence[Change] = ()
    conflicts: Sequence[tuple[int, str | None, Mark]] = ()
    made: Class | None = None


class _Draft:
    """The state as a transaction would leave it; `take_effect` once that is on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.event, self.answered, self.skipped = store.event, store.answered, store.skipped
        self.last, self.classes = store._last, store.classes
        self._marks: dict[int, Mark] = {}

    def mark(self, row: int) -> Mark:
        return self._marks.get(row) or self._store.mark(row)

    def all_marks(self) -> Iterator[Mark]:
        yield from self._marks.values()
        yield from (mark for row, mark in self._store.marks.items() if row not in self._marks)

    def change(self, change: Change) -> None:
        self._marks[change.row] = change.after
        self.answered += (change.after.label is not None) - (change.before.label is not None)
        self.skipped += change.after.skipped - change.before.skipped

    def take_effect(self) -> None:
        self._store.marks.update(self._marks)
        self._store.event, self._store.answered, self._store.skipped = self.event, self.answered, self.skipped
        self._store._last, self._store.classes = self.last, self.classes


def _to_columns(mark: Mark) -> tuple[str | None, int, int]:
    return mark.label, SAID.index(mark.said), mark.base


def _apply(answer: Answer, now: Mark) -> Mark:
    label = answer.label if answer.action == "label" else None
    return Mark(label, answer.action if answer.action in SAID else "", now.version + 1, now.version + 1)


def _restore(before: Mark, now: Mark) -> Mark:
    return Mark(before.label, before.said, now.version + 1, before.base)
