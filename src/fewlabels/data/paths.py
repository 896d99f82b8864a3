"""Checks of a path that a user handed in: missing, an address, an archive or a pipe is told before anything is read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ..errors import InputError, RunError, StorageError

# The first bytes of files that are often handed in by mistake. We never unpack archives.
ARCHIVES = {
    b"PK\x03\x04": "a zip archive (or an Excel workbook)",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
}
ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+:/")  # s3://bucket, of which Path leaves s3:/bucket; no drive letter
PARQUET = b"PAR1"
ARROW_FILE, ARROW_STREAM, FEATHER_1 = b"ARROW1", b"\xff\xff\xff\xff", b"FEA1"


def local_path(path: str | os.PathLike[str], error: type[InputError], case: str) -> Path:
    """The path, if it is an existing regular file or folder on this machine; links to one are followed.

    Raises `error` with `case` for a missing path, an address such as s3://, a FIFO, socket or device (which could
    block or never end), and StorageError where the path cannot be looked at.
    """
    text = os.fspath(path)
    if ADDRESS.match(text):
        raise error(case, "an address; only local files are read", where=text, do="download it first")
    try:
        mode = os.stat(text).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as problem:  # ValueError: a NUL in the name
        hint = "'~' is not expanded here: write the whole path" if text.startswith("~") else "check the path"
        raise error(case, "no such file or folder", where=text, do=hint) from problem
    except OSError as problem:
        raise unreadable(text, problem) from problem
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise error(case, "neither a regular file nor a folder", where=text, do="pass a file or a folder")
    return Path(text)


def first_bytes(path: Path, count: int = 512) -> bytes:
    """Up to `count` bytes from the start of a regular file. Raises StorageError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as problem:
        raise unreadable(path, problem) from problem


FileStates = dict[Path, tuple[int, int, int]]


def file_states(path: Path) -> FileStates:
    """Number, size and time of change of a file, or of each file in a folder. Raises StorageError."""
    try:
        files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
        return {file: (found.st_ino, found.st_size, found.st_mtime_ns) for file in files for found in [file.stat()]}
    except OSError as problem:
        raise unreadable(path, problem) from problem


def demand_unchanged(before: FileStates) -> None:
    """Raise RunError (E24) where one of these files is not as it was: what was read of it may be of both states."""
    for file, state in before.items():
        if not file.is_file() or file_states(file)[file] != state:
            raise RunError("E24", "the file changed while it was read", where=file, do="wait for its writer; run again")


def archive_kind(head: bytes) -> str | None:
    """What kind of archive starts with these bytes, in words; None if it is no archive we know."""
    return next((kind for magic, kind in ARCHIVES.items() if head.startswith(magic)), None)


# Formats of other tools, by their first bytes, and how to make an array of them.
FORMATS = {
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", "h5py.File('x.h5')['name of the data set'][:]"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook of the old kind", ""),
    b"SQLite format 3\0": ("an SQLite database", ""),
    b"MATLAB 5.0": ("a MATLAB file", "scipy.io.loadmat('x.mat')['name of the matrix']"),
    b"Obj\x01": ("an Avro file", ""),
    b"ORC": ("an ORC file", ""),
}
TORCH = ("a PyTorch file (torch.save)", "torch.load('x.pt').numpy()")
ZIPPED = {  # what the first entry of a zip archive is called
    b"[Content_Types].xml": ("a zip archive (an Excel workbook)", ""),
    b"xl/": ("a zip archive (an Excel workbook)", ""),
    b"mimetypeapplication/vnd.oasis": ("a zip archive (an OpenDocument table)", ""),
    b"data.pkl": TORCH,
    b"/version": TORCH,
    b"/.format_version": TORCH,
    b".npy": ("an .npz or zip archive", "numpy.load('x.npz')['name of the array']"),
}


def other_format(path: Path) -> str | None:
    """What a file is that some other tool reads, in words; None if its first bytes are of no such format."""
    found = known_format(path)
    return found[0] if found else None


def known_format(path: Path) -> tuple[str, str] | None:
    """(what the file is, the Python that makes an array of it or ""), for formats that are not read here; else None."""
    head, ending = first_bytes(path), path.suffix.lower()
    if head.startswith(b"PK"):
        inside = next((known for name, known in ZIPPED.items() if name in head[:120]), None)
        if inside is None and ending in (".pt", ".pth", ".ckpt", ".bin"):
            return TORCH
        return inside or ((archive_kind(head) or "a zip archive"), "")
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return TORCH if ending in (".pt", ".pth", ".ckpt") else ("a pickle, which could run code and is not opened", "")
    if head[8:9] == b"{" and ending == ".safetensors":
        return "a safetensors file", "safetensors.numpy.load_file('x.safetensors')['name of the tensor']"
    if kind := archive_kind(head):
        return kind, ""
    return next((known for magic, known in FORMATS.items() if head.startswith(magic)), None)


def unreadable(path: object, problem: OSError) -> StorageError:
    """The error for a file or folder that the operating system refuses to read."""
    reason = problem.strerror or str(problem)
    return StorageError("D4", f"cannot read: {reason}", where=path, do="check its permissions and the disk")
