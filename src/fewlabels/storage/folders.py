"""Folders that appear whole and disappear whole: a crash leaves one with its name and all its files, or hidden ones.

Hidden folders are named `.NAME.PID.TOKEN.tmp`; what a crash left of them can be taken away by `remove_folder`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import StorageError
from . import durable

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # others are of the place


@contextmanager
def writing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new hidden folder that gets the name `path` only when the block ends without an error.

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
    """Take away a folder of files. It loses its name first, so nobody ever sees it half.

    Raises StorageError where it has a folder inside, or cannot be changed. A hidden folder is taken away as it is.
    """
    target = Path(path)
    hidden = target if target.name.startswith(".") else durable.temporary_name(target)
    if hidden != target:
        rename(target, hidden)
    with durable.storage_errors(target):
        for file in sorted(hidden.iterdir()):
            durable._unlink(file)
        durable._remove(hidden)


def demand_writable(place: str | os.PathLike[str]) -> None:
    """Raise StorageError (D1) that names `place`, a file or folder to be written later, where that cannot be done.

    In `place`, or in the first folder above it that there is, a file is written, renamed and removed: the only test
    that permissions cannot fool.
    """
    wanted = Path(place)
    folder = next((path for path in (wanted, *wanted.parents) if path.is_dir()), Path())
    probe = folder / f".probe.{os.getpid()}"
    try:
        durable.write_bytes(probe, b"")
    except StorageError as error:
        why = error.__cause__
        if not isinstance(why, OSError) or why.errno in OF_THE_DISK:
            with durable.storage_errors(wanted):
                raise why or error from None
        do = f"nothing can be written in {folder}: name another place"
        raise StorageError("D1", f"cannot write: {why.strerror or why}", where=place, do=do) from why
    finally:
        with suppress(OSError):
            durable._unlink(probe)
