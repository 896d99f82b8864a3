"""Descriptors that were computed before, by the content of the photo: one SQLite file for each way of describing.

Nothing here ever stops the work: a damaged file is set aside, and where nothing can be kept, all is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FewlabelsError, InputWarning, shown, warn
from ..storage import durable
from ..storage.file_systems import network_file_system

FOLDER = "descriptors"  # in the cache folder
ENDING = ".sqlite"
BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a file; they go before it
APPLICATION, VERSION = 0x464C4445, 1  # "FLDE"
BUSY_SECONDS = 20.0
SECONDS_BETWEEN_COMMITS = 2.0
MOST_WAITING = 512  # descriptors that a kill may lose, at most
CHECKSUM = 16
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS descriptors (digest BLOB PRIMARY KEY, checksum BLOB NOT NULL, numbers BLOB NOT NULL);
"""


def cache_key(facts: Mapping[str, Any]) -> str:
    """A name for all that decides on descriptors: 16 hexadecimal digits."""
    text = json.dumps([VERSION, facts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class DescriptorCache:
    """The descriptors of one way of describing, by the SHA-256 of what is described. Threads may share it.

    Several processes may use it at once. Each record has a checksum, so a wrong one is never returned. To be closed.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any], width: int) -> None:
        """folder: the cache folder. facts: what decides on the bytes, as `Describer.facts`. width: of the rows."""
        slug = re.sub(r"[^A-Za-z0-9_.-]+", "_", str(facts["model"]))[:60]
        self.path = folder / FOLDER / f"{slug}-{cache_key(facts)}{ENDING}"
        self._facts, self._size = json.dumps(facts, sort_keys=True, ensure_ascii=False), 4 * width
        self._waiting: dict[bytes, bytes] = {}
        self._last_commit = time.monotonic()
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        with self._lock:
            self._guarded(self._open)

    def get(self, digest: bytes) -> np.ndarray | None:
        """(width,) float32; None where it is not known, or not known for sure."""
        with self._lock:
            data = self._waiting.get(digest) or self._guarded(lambda: self._read(digest))
        return None if data is None else np.frombuffer(data, np.float32)

    def put(self, digest: bytes, row: np.ndarray) -> None:
        """Keep a row. It is on the disk two seconds later, or when the cache is closed."""
        with self._lock:
            self._waiting[digest] = row.astype(np.float32).tobytes()
            is_due = time.monotonic() - self._last_commit > SECONDS_BETWEEN_COMMITS
            if is_due or len(self._waiting) >= MOST_WAITING:
                self.flush()

    def flush(self) -> None:
        """Write what is waiting, in one transaction."""
        with self._lock:
            if self._waiting:
                self._guarded(self._write)
            self._waiting = {}
            self._last_commit = time.monotonic()

    def close(self) -> None:
        """Write the rest and let go of the file."""
        with self._lock:
            self.flush()
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None

    def _open(self) -> None:
        durable.make_folder(self.path.parent)
        self._connection = connect(self.path)
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('facts', ?)", (self._facts,))

    def _read(self, digest: bytes) -> bytes | None:
        if self._connection is None:
            return None
        query = "SELECT checksum, numbers FROM descriptors WHERE digest = ?"
        found = self._connection.execute(query, (digest,)).fetchone()
        if found is None:
            return None
        checksum, numbers = found
        return numbers if len(numbers) == self._size and checksum == make_checksum(digest, numbers) else None

    def _write(self) -> None:
        if self._connection is None:
            return
        rows = [(digest, make_checksum(digest, data), data) for digest, data in self._waiting.items()]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO descriptors VALUES (?, ?, ?)", rows)

    def _guarded(self, work: Any) -> Any:
        """What work gives; None where the file does not allow it: a damaged one is set aside, and a new one begun."""
        try:
            return work()
        except (sqlite3.Error, OSError, FewlabelsError) as problem:
            self._leave()
            if not is_damage(problem):
                self._say("D22", f"descriptors are not kept ({problem})")
                return None
        aside = set_aside(self.path)
        told = f"it is now {aside.name}" if aside else "it could not be moved"
        self._say("D21", f"a damaged cache of descriptors; {told}, and those photos are described again")
        if aside:
            with suppress(sqlite3.Error, OSError, FewlabelsError):
                self._open()
        return None

    def _leave(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _say(self, code: str, what: str) -> None:
        warn(InputWarning(f"FL-{code} {what} at {shown(self.path)}"))


def make_checksum(digest: bytes, numbers: bytes) -> bytes:
    """Of a record: which photo, and which numbers."""
    return hashlib.blake2b(digest + numbers, digest_size=CHECKSUM).digest()


def connect(path: Path) -> sqlite3.Connection:
    """The open database, made where it is missing. Raises sqlite3.Error."""
    end = time.monotonic() + BUSY_SECONDS
    while True:  # two processes may make it at once, and then SQLite does not wait by itself
        try:
            return _connect(path)
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        # A kill loses nothing that was committed, power loss at most the last transactions: they are computed again.
        # The shared memory of a write-ahead log does not exist on network file systems.
        journal = "DELETE" if network_file_system(path.parent) else "WAL"
        connection.execute(f"PRAGMA journal_mode = {journal}").fetchone()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (count,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application not in (0, APPLICATION) or (application == 0 and count):
            raise sqlite3.DatabaseError("a database of another program")
        if application == 0:
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.executescript(SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def is_damage(problem: Exception) -> bool:
    """Whether an error is about the content of the file, and not about its place, its rights or the disk."""
    if not isinstance(problem, sqlite3.DatabaseError):
        return False
    code = getattr(problem, "sqlite_errorcode", None)
    if code is None:
        return type(problem) is sqlite3.DatabaseError
    other = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_SCHEMA)  # such as a table that is not ours
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, *other)


def set_aside(path: Path) -> Path | None:
    """Rename a damaged file, and remove what belongs to it; None where that is not possible."""
    aside = path.with_name(f"{path.name}.{time.time_ns()}.damaged")
    try:
        for ending in BESIDE:  # first: a log beside a new file would be played into it
            path.with_name(path.name + ending).unlink(missing_ok=True)
        os.replace(path, aside)
    except OSError:
        return None
    return aside


@dataclass(frozen=True)
class CachedModel:
    """One file of the cache. photos: how many descriptors; None where it cannot be read. size: bytes, as on the disk.

    used: seconds since the epoch of the last change. facts: how they were made.
    """

    path: Path
    photos: int | None
    size: int
    used: float
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """The name of the file without its ending, which is how a person names it."""
        return self.path.name.partition(ENDING)[0]


def list_models(folder: Path) -> list[CachedModel]:
    """What is in the cache folder, by name; files that were set aside too."""
    place = folder / FOLDER
    if not place.is_dir():
        return []
    files = [path for path in sorted(place.iterdir()) if ENDING in path.name and not path.name.endswith(BESIDE)]
    return [_look_at(path) for path in files]


def _look_at(path: Path) -> CachedModel:
    sizes = [one.stat() for one in (path, *_files_beside(path))]
    size, used = sum(one.st_size for one in sizes), max(one.st_mtime for one in sizes)
    photos, facts = None, {}
    if path.name.endswith(ENDING):
        with suppress(sqlite3.Error, ValueError, TypeError):
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
            try:
                (text,) = connection.execute("SELECT value FROM facts").fetchone()
                facts = dict(json.loads(text))
                (photos,) = connection.execute("SELECT count(*) FROM descriptors").fetchone()
            finally:
                connection.close()
    return CachedModel(path, photos, size, used, facts)


def _files_beside(path: Path) -> Iterator[Path]:
    return (beside for ending in BESIDE if (beside := path.with_name(path.name + ending)).exists())


def remove_model(model: CachedModel) -> int:
    """Remove a file of the cache. Returns its bytes. Raises StorageError (D1)."""
    with durable.storage_errors(model.path):
        for path in (*_files_beside(model.path), model.path):
            path.unlink(missing_ok=True)
    return model.size
