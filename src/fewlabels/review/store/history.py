"""What has happened to the rows of a review, as its file says: changes in order, events with the newest first."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from itertools import groupby

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


@dataclass(frozen=True)
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


def changes_in(
    connection: sqlite3.Connection, where: str = "", values: tuple[int, ...] = ()
) -> list[tuple[int, Change]]:
    """(event, what it did to a row), in order. where: SQL on the table `changes`, with its values."""
    rows = connection.execute(f"SELECT * FROM changes {where} ORDER BY event, rowid", values)
    return [
        (event, Change(row, Mark(b, bool(bs), version - 1, bb), Mark(a, bool(as_), version, ab)))
        for event, row, version, b, bs, bb, a, as_, ab in rows
    ]


def newest_events(connection: sqlite3.Connection, first: int, count: int, row: int | None = None) -> list[Event]:
    """`count` events from the `first` newest on, the newest first. row: only what happened to this one."""
    of_row = () if row is None else (row,)
    where = "WHERE event IN (SELECT event FROM changes WHERE row = ?)" if of_row else ""
    found = connection.execute(EVENTS.format(where=where), (*of_row, count, first)).fetchall()
    if not found:
        return []
    where = "WHERE event BETWEEN ? AND ?" + (" AND row = ?" if of_row else "")
    pairs = groupby(changes_in(connection, where, (found[-1][0], found[0][0], *of_row)), key=lambda pair: pair[0])
    changes = {event: tuple(change for _, change in some) for event, some in pairs}
    return [
        Event(event, when, kind, undoes, bool(undone), changes.get(event, ()))
        for event, when, kind, undoes, undone in found
    ]
