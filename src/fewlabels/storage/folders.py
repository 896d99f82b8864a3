"""Folders that appear whole and disappear whole: a crash leaves one with its name and all its files, or hidden ones.

Hidden folders are named `.NAME.PID.TOKEN.tmp`; `remove_folder` removes what a crash left of them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import StorageError
from . import durable

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # others are about the path


@contextmanager
def write_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a hidden folder that gets the name `path` once the block ends without an error, and not before.

    Write its files with `durable`: each is on disk before the folder has its name. Raises StorageError where that is
    not possible, or where `path` exists and is not empty; nothing is left behind then.
    """
    target = Path(path)
    temporary = durable.temporary_name(target)
    try:
        durable.make_folder(temporary)
        yield temporary
        rename(temporary, target)
    except BaseException:
        with suppress(OSError):  # what went wrong first is what is told
            remove_folder(temporary)
        raise


def rename(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give a file or folder another name in the same folder, flushed to disk."""
    with durable.storage_errors(Path(target)):
        durable._rename(Path(source), Path(target))
        durable._sync_folder(Path(target).parent)


def remove_folder(path: str | os.PathLike[str]) -> None:
    """Remove a folder of files. It loses its name first, so nobody ever sees half of it.

    Raises StorageError where it has a folder inside, or cannot be changed. A hidden folder is removed as it is.
    """
    target = Path(path)
    hidden = target if target.name.startswith(".") else durable.temporary_name(target)
    if hidden != target:
        rename(target, hidden)
    with durable.storage_errors(target):
        for file in sorted(hidden.iterdir()):
            durable._unlink(file)
        durable._remove(hidden)


def demand_writable(path: str | os.PathLike[str]) -> None:
    """Raise StorageError (D1) where `path`, a file or folder that is to be written later, could not be.

    In `path`, or in the first folder above it that exists, a file is written, renamed and removed: the only test
    that permissions cannot fool.
    """
    target = Path(path)
    folder = next((one for one in (target, *target.parents) if one.is_dir()), Path())
    probe = folder / f".probe.{os.getpid()}"
    try:
        durable.write_bytes(probe, b"")
    except StorageError as error:
        why = error.__cause__
        if not isinstance(why, OSError) or why.errno in OF_THE_DISK:
            with durable.storage_errors(target):
                raise why or error from None
        do = f"nothing can be written in {folder}: name another place"
        raise StorageError("D1", f"cannot write: {why.strerror or why}", where=path, do=do) from why
    finally:
        with suppress(OSError):
            durable._unlink(probe)
