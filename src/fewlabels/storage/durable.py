"""The only writer of files that must survive a crash.

A file is written to a temporary name beside its target, flushed to disk, renamed over the target, and the folder is
flushed: a reader sees the old bytes or the new ones, never half. A manifest with the size and SHA-256 of every file
is written last, so that a folder can say whether it is whole.

Every call to the operating system that changes something goes through the nine functions of the first block: they are
the one place where tests inject faults. (`folders` uses them too, for whole folders.)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar

from ..errors import RunError, StorageError

MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
CHUNK = 1 << 20
LEFTOVER = re.compile(r"\..+\.[0-9]+\.[0-9a-f]{8}\.tmp")  # see temporary_name


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)


def _open_to_append(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)


def _write(descriptor: int, data: bytes) -> int:
    return os.write(descriptor, data)


def _fsync(descriptor: int) -> None:
    os.fsync(descriptor)


def _rename(source: Path, target: Path) -> None:
    os.replace(source, target)


def _make(folder: Path) -> None:
    folder.mkdir(exist_ok=True)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    folder.rmdir()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows can neither open nor flush a folder; its rename is already ordered
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[_write(descriptor, bytes(view[:CHUNK])) :]


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError (D1) that names the path and the free space."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        try:
            free = f"{shutil.disk_usage(path.parent).free / 2**20:.0f} MiB are free there"
        except OSError:
            free = "its folder cannot be read"
        raise StorageError(
            "D1",
            f"cannot write: {error.strerror or error}",
            where=path,
            do=f"{free}; files written before are untouched: free space or pick another place, then run again",
        ) from error


class _DurableFile:
    """A binary file whose bytes go through `_write`; enough of a file for Parquet, NumPy and matplotlib writers."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0
        self.closed = False

    def write(self, data: Any) -> int:
        _write_all(self._descriptor, bytes(data))
        size = memoryview(data).nbytes
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def temporary_name(target: Path) -> Path:
    """A hidden name beside `target` that nobody else has."""
    return target.with_name(f".{target.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that a kill left in a folder. Only where it is sure that nobody writes there now."""
    for path in sorted(Path(folder).iterdir()):
        if LEFTOVER.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            with storage_errors(path):
                _unlink(path)


@contextmanager
def write_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new binary file that replaces `path` once the block ends without an error, and not before.

    Raises StorageError when the disk is full or the place cannot be written; `path` is then as it was.
    """
    target = Path(path)
    temporary = temporary_name(target)
    with storage_errors(target):
        try:
            descriptor = _create(temporary)  # inside: a signal right after it must find someone who cleans up
            try:
                yield _DurableFile(descriptor)  # type: ignore[misc]
                _fsync(descriptor)
            finally:
                os.close(descriptor)
            _rename(temporary, target)
        except BaseException:
            _unlink(temporary)
            raise
        _sync_folder(target.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at `path` by `data`, all or nothing."""
    with write_file(path) as file:
        file.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace the file at `path` by UTF-8 text, all or nothing."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Replace the file at `path` by JSON. NaN and infinity are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def append_line(path: str | os.PathLike[str], line: str) -> None:
    """Add one line at the end of a log and flush it to disk."""
    target = Path(path)
    with storage_errors(target):
        descriptor = _open_to_append(target)
        try:
            _write_all(descriptor, line.encode("utf-8") + b"\n")
            _fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder and its parents, flushed to disk; an existing one is fine."""
    target = Path(path)
    with storage_errors(target):
        missing = [folder for folder in target.parents if not folder.exists()]
        for folder in [*reversed(missing), target]:
            _make(folder)
            _sync_folder(folder.parent)
    return target


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Problem:
    """One file of a folder that is not what its manifest says."""

    name: str
    reason: str


def _list_files(folder: Path) -> list[str]:
    """Relative names of the folder's files; temporary and hidden ones and the manifest itself are left out."""
    found = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in found)
    return sorted(name for name in names if name != MANIFEST and not any(p.startswith(".") for p in name.split("/")))


@dataclass(frozen=True)
class Manifest:
    """What a folder must hold. files: name -> (bytes, SHA-256). facts: what else its writer said of the whole."""

    files: dict[str, tuple[int, str]]
    facts: dict[str, Any] = field(default_factory=dict)


def write_manifest(folder: str | os.PathLike[str], **facts: object) -> None:
    """Write the size and SHA-256 of every file in `folder`. Call it last: from then on the folder is complete."""
    root = Path(folder)
    names = _list_files(root)
    files = [{"name": name, "size": (root / name).stat().st_size, "sha256": sha256(root / name)} for name in names]
    write_json(root / MANIFEST, {"format": MANIFEST_FORMAT, **facts, "files": files})


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Raises RunError where the manifest is missing (K4), damaged (K4) or of another format (K6)."""
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise RunError("K4", "no manifest: the folder is not complete, or not a run folder", where=path.parent)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        entries = {str(f["name"]): (int(f["size"]), str(f["sha256"])) for f in document["files"]}
        version = int(document["format"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise RunError("K4", f"the manifest is damaged ({error})", where=path) from error
    if version != MANIFEST_FORMAT:
        raise RunError(
            "K6", f"manifest of format {version}, this version reads {MANIFEST_FORMAT}", where=path, do="upgrade"
        )
    strange = [name for name in entries if name.startswith("/") or ".." in name.split("/")]
    if strange:
        raise RunError("K4", "the manifest names files outside of its folder", where=path, rows=strange)
    return Manifest(entries, {key: value for key, value in document.items() if key not in ("format", "files")})


def verify(folder: str | os.PathLike[str], names: Collection[str] | None = None) -> list[Problem]:
    """Hash every file again and compare with the manifest. An empty list means that the folder is whole.

    names: look at these files alone. Raises RunError where there is no readable manifest.
    """
    root = Path(folder)
    expected = read_manifest(root).files
    problems = []
    for name, (size, digest) in sorted(expected.items()):
        if names is not None and name not in names:
            continue
        path = root / name
        if not path.is_file():
            problems.append(Problem(name, "missing"))
        elif path.stat().st_size != size:
            problems.append(Problem(name, f"{path.stat().st_size} bytes, {size} expected"))
        elif sha256(path) != digest:
            problems.append(Problem(name, "content changed (SHA-256 differs)"))
    found = _list_files(root) if names is None else [name for name in names if (root / name).is_file()]
    return problems + [Problem(name, "not in the manifest") for name in found if name not in expected]


class RowWriter(Protocol):
    """What adds rows to a file that is being written. give_up: end it while the file is still open."""

    def close(self) -> None: ...

    def give_up(self) -> None: ...


Writer = TypeVar("Writer", bound=RowWriter)


@contextmanager
def write_rows(path: str | os.PathLike[str], start: Callable[[BinaryIO], Writer]) -> Iterator[Writer]:
    """What `start` makes of the file at `path`, which is there whole once the block ends, and as before where it fails.

    Raises StorageError (D1).
    """
    with write_file(path) as file:
        writer = start(file)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.give_up()
            raise
