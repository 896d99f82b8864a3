"""The file of a review: where it lies, whether it can be trusted, and whose answers it has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...errors import ConfigError, RunError, StorageError, shown
from ...runs import name_labelling
from ...storage import durable
from ...storage.file_systems import network_file_system
from .acknowledged import NAME as ACKNOWLEDGED
from .acknowledged import Acknowledged, Last
from .classes import found_classes
from .reading import read_last
from .store import Store
from .tables import APPLICATION, TABLES, VERSIONS

NAME = "review.sqlite"
BUSY_SECONDS = 5.0  # how long another program, such as a backup, may hold the file


def find_review_folder(run: str | Path) -> Path:
    """The folder of a run's review, beside the run, which is sealed: `<run>.review`."""
    folder = Path(run).absolute()
    return folder.with_name(f"{folder.name}.review")


def identify_run(run: str | Path) -> str:
    """SHA-256 of the run's manifest, which has the hash of all its files; of run.json where it is unfinished.

    A labelling has the name that it began with: its answers come before it is finished.
    """
    folder = Path(run)
    sealed = folder / durable.MANIFEST
    name = name_labelling(folder)
    return name or durable.sha256(sealed if sealed.is_file() else folder / "run.json")


def make_local_folder(folder: Path) -> Path:
    """Make the folder where it is missing. Raises ConfigError C75 on a network file system, StorageError D1."""
    if kind := network_file_system(folder):
        what = f"a network file system ({kind}): there no database can promise that an answer is on the disk"
        raise ConfigError("C75", what, where=folder, do="copy the run to a local disk and review it there")
    return durable.make_folder(folder)


def open_store(folder: Path, run: str, class_names: Sequence[str] | None = None) -> Store:
    """Open and check the answers in `folder`, or begin them there.

    run: identity of the run that they must be of. class_names: the classes that it came with; None where nobody
    asks for numbers of classes.

    Raises RunError C76 for a file of another version, C77 for answers to another run, C78 for a damaged file, C95 for
    one that lacks answers which were acknowledged; StorageError D1 where it cannot be opened.
    """
    path = folder / NAME
    known = read_acknowledged(folder)  # before the answers: somebody may be answering
    if known is not None and known.number and not path.is_file():
        raise refuse_older(path, f"it is gone, and {known.number} events were acknowledged")
    with _translate_errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _set_up(connection)
            _check(connection, path, run)
            connection.execute("BEGIN")  # all that is read is of one moment, though somebody may be answering
            store = Store(connection, path, found_classes(class_names or ()))
            store.check()
            if class_names is not None:
                store.demand_classes()
            if known is not None:
                _demand_acknowledged(store.event, read_last(connection, known.number), known, path)
            connection.execute("COMMIT")
            return store
        except BaseException:
            connection.close()
            raise


def read_acknowledged(folder: Path) -> Last | None:
    """The last event that was acknowledged; None for a review that does not know. Raises RunError (C95)."""
    file = Acknowledged(folder)
    try:
        return file.read()
    except ValueError as problem:
        raise refuse_older(folder / NAME, f"{file.path.name} beside it is damaged ({problem})") from problem


def _demand_acknowledged(event: int, there: Last, known: Last, path: Path) -> None:
    if event < known.number:
        what = f"it ends at event {event}, and {known.number} were acknowledged: it is an older copy"
        raise refuse_older(path, what)
    if known.number and there != known:
        raise refuse_older(path, f"event {known.number} in it is not the one that was acknowledged: it is another copy")


def refuse_older(path: Path, what: str) -> RunError:
    """The error of a file of answers that lacks some that were acknowledged."""
    do = (
        f"nothing was changed. Put the newest {path.name} back, or {path.parent.name}/ as a whole; to go on from this "
        f"one and lose the answers since, remove {path.parent.name}/{ACKNOWLEDGED}"
    )
    return RunError("C95", f"answers are missing: {what}", where=path, do=do)


@contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as problem:
        if problem.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _damaged(path, str(problem)) from problem
        do = "check permissions and free space; another program may hold the file"
        raise StorageError("D1", f"the answers cannot be opened ({problem})", where=path, do=do) from problem
    except ValueError as problem:
        raise _damaged(path, str(problem)) from problem


def _set_up(connection: sqlite3.Connection) -> None:
    """A commit is to return when the data, and the removal of the journal that could undo it, are on the disk."""
    for setting, expected in (("journal_mode = DELETE", "delete"), ("synchronous = EXTRA", None)):
        answer = connection.execute(f"PRAGMA {setting}").fetchone()
        assert expected is None or answer == (expected,), answer
    assert connection.execute("PRAGMA synchronous").fetchone() == (3,)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _check(connection: sqlite3.Connection, path: Path, run: str) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (num_tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (application, version, num_tables) == (0, 0, 0):
        return _create(connection, run)
    if application != APPLICATION or version not in VERSIONS:
        what = f"answers of version {version}, this fewlabels reads {' and '.join(map(str, VERSIONS))}"
        raise RunError("C76", what, where=path, do=f"use the version that wrote them, or move {path.parent.name}/ away")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if missing := {"events", "changes", *(["classes"] if version > 1 else [])} - tables:
        raise _damaged(path, f"there is no table {', '.join(sorted(missing))}")
    (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if result != "ok":
        raise _damaged(path, result)
    (owner,) = connection.execute("SELECT run FROM review").fetchone()
    if owner != run:
        what = "these are the answers to another run than the one beside them"
        do = f"give the folders back their names, or move {path.parent.name}/ away to begin a new review"
        raise RunError("C77", what, where=path, do=do)
    return None


def _create(connection: sqlite3.Connection, run: str) -> None:
    """Create the tables, all or nothing: a kill leaves an empty file, which is created anew."""
    statements = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSIONS[0]}; {TABLES}"
    connection.executescript(f"BEGIN IMMEDIATE; {statements}")
    connection.execute("INSERT INTO review VALUES (?)", (run,))
    connection.execute("COMMIT")


def _damaged(path: Path, reason: str) -> RunError:
    do = (
        f"nothing was changed. Copy {path.parent} somewhere safe first; then restore {path.name} from a backup, or "
        "move the folder away to begin a new review"
    )
    return RunError("C78", f"the answers are damaged ({shown(' '.join(reason.split()))})", where=path, do=do)
