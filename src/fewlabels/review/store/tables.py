"""The tables of a file of answers, in SQL. Version 2 is version 1 and a table of classes; no row is ever changed."""

from __future__ import annotations

APPLICATION = 0x464C5256  # "FLRV", in the header of the file
VERSIONS = (1, 2)  # 1: answers with a class, or skipped; 2: classes that are made, renamed or merged, other answers
TABLES = """
CREATE TABLE review (run TEXT NOT NULL) STRICT;
CREATE TABLE events (
    event INTEGER PRIMARY KEY, client TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
    at TEXT NOT NULL, undoes INTEGER UNIQUE, answered INTEGER NOT NULL, UNIQUE (client, seq)
) STRICT;
CREATE TABLE changes (
    event INTEGER NOT NULL, row INTEGER NOT NULL, version INTEGER NOT NULL,
    label_before TEXT, skipped_before INTEGER NOT NULL, base_before INTEGER NOT NULL,
    label TEXT, skipped INTEGER NOT NULL, base INTEGER NOT NULL, UNIQUE (row, version)
) STRICT;
CREATE INDEX changes_of_event ON changes (event);
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'history is append-only'); END;
CREATE TRIGGER changes_stay BEFORE UPDATE ON changes BEGIN SELECT raise(ABORT, 'history is append-only'); END;
CREATE TRIGGER changes_remain BEFORE DELETE ON changes BEGIN SELECT raise(ABORT, 'history is append-only'); END;
"""
TO_VERSION_2 = (  # one statement each: they belong to the transaction of the first event that needs them
    "CREATE TABLE classes (event INTEGER PRIMARY KEY, class INTEGER NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, "
    "merged_into INTEGER, gone INTEGER NOT NULL, base INTEGER NOT NULL) STRICT",
    "CREATE TRIGGER classes_stay BEFORE UPDATE ON classes BEGIN SELECT raise(ABORT, 'history is append-only'); END",
    "CREATE TRIGGER classes_remain BEFORE DELETE ON classes BEGIN SELECT raise(ABORT, 'history is append-only'); END",
    "PRAGMA user_version = 2",
)
