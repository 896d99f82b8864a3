"""Folders that appear whole and disappear whole: a crash leaves one with its name and all its files, or hidden ones.

Hidden folders are named `.NAME.PID.TOKEN.tmp`; what a crash left of them can be taken away by `remove_folder`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import durable


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
