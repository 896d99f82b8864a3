"""Reads the tables of a file of answers, and finds the requests that its events came from."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from itertools import groupby

from .acknowledged import Last
from .classes import Class, ClassChange, ClassList
from .values import SAID, Action, Answer, Change, Event, Mark

EVENTS = """
SELECT event, at, kind, undoes, EXISTS (SELECT 1 FROM events AS later WHERE later.undoes = events.event)
FROM events {where} ORDER BY event DESC LIMIT ? OFFSET ?
"""


def identify(event: tuple[object, ...]) -> Last:
    """A row of the table `events` as what it is."""
    number = event[0]
    assert isinstance(number, int)
    return Last(number, hashlib.sha256(json.dumps(event).encode()).hexdigest())


def read_last(connection: sqlite3.Connection, number: int) -> Last:
    """The event of that number; Last(0, ...) where there is none."""
    found = connection.execute("SELECT * FROM events WHERE event = ?", (number,)).fetchone()
    return identify(found or (0,))


def to_answer(change: Change) -> Answer:
    """Find the answer that made a change."""
    after = change.after
    action: Action = _ACTIONS.get(after.said) or ("clear" if after.label is None else "label")
    return Answer(change.row, action, after.label, change.before.version)


_ACTIONS: dict[str, Action] = {"skip": "skip", "none": "none", "unsure": "unsure", "bad": "bad"}


def to_class_change(kind: str, after: Class, classes: ClassList) -> ClassChange | None:
    """Find the request that a change of a class came from; None for an undo, which names none."""
    if kind == "merge":
        return ClassChange("merge", key=after.key, into=classes.classes[after.merged_into or 0].key)
    if kind == "rename":
        return ClassChange("rename", after.name, after.key)
    return ClassChange("class", after.name) if kind == "class" else None


def read_changes(
    connection: sqlite3.Connection, where: str = "", values: tuple[int, ...] = ()
) -> list[tuple[int, Change]]:
    """Read changes as (event, change), in order. where: SQL on the table `changes`, with its values."""
    rows = connection.execute(f"SELECT * FROM changes {where} ORDER BY event, rowid", values)
    return [
        (event, Change(row, Mark(b, _said(bs), version - 1, bb), Mark(a, _said(as_), version, ab)))
        for event, row, version, b, bs, bb, a, as_, ab in rows
    ]


def _said(number: int) -> str:
    if not 0 <= number < len(SAID):
        raise ValueError(f"an answer of number {number}, which this version does not know")
    return SAID[number]


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
