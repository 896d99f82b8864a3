"""Photos into folders by class: copies or links, in a folder that appears whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..data.images.decode import ImageFile
from ..data.images.kinds import HEAD, image_kind
from ..data.images.sources import Source
from ..storage import durable
from ..storage.folders import rename

NAME_BYTES = 200  # of a folder or file; most file systems take 255, and a number may follow
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{at}" for name in ("COM", "LPT") for at in range(1, 10))}


def folder_names(class_names: Sequence[str]) -> list[str]:
    """A folder's name for each class: the class itself, but for signs that no folder can have, which become %2F etc.

    Classes that differ only by capitals, which some file systems do not tell apart, get a number.
    """
    found: list[str] = []
    used: set[str] = set()
    for name in class_names:
        found.append(_free(_safe(name), used))
    return found


def _safe(name: str) -> str:
    signs = [f"%{ord(sign):02X}" if sign in '/\\:*?"<>|%' or ord(sign) < 32 else sign for sign in name]
    if signs and (signs[0] in ". " or name.upper() in DEVICES):
        signs[0] = f"%{ord(name[0]):02X}"
    if signs and signs[-1] in ". ":
        signs[-1] = f"%{ord(name[-1]):02X}"
    return "".join(signs).encode()[:NAME_BYTES].decode(errors="ignore") or "%"


def _free(name: str, used: set[str]) -> str:
    """The name, or name-2, name-3, ... before its ending, that is not used yet; from then on it is."""
    stem, ending = os.path.splitext(name)
    free, number = name, 2
    while free.casefold() in used:
        free, number = f"{stem}-{number}{ending}", number + 1
    used.add(free.casefold())
    return free


def sort_photos(source: Source, chosen: Sequence[int], class_names: Sequence[str], into: Path, *, links: bool) -> int:
    """Put each photo into the folder of its class below `into`, which is there whole in the end, or not at all.

    chosen: the number of the class of each photo of the source, -1 for one that is left out. links: symbolic links to
    the photos instead of copies. A photo keeps the last part of its id as its name; the second of a name gets a number.
    Returns how many there are. Raises StorageError (D1).
    """
    names = folder_names(class_names)
    used: list[set[str]] = [set() for _ in names]
    hidden = durable.temporary_name(into)
    try:
        durable.make_folder(hidden)
        with durable.storage_errors(into):
            for name in names:
                (hidden / name).mkdir()
            for file, id, number in zip(source.files(), source.ids, chosen, strict=True):
                if number >= 0:
                    _place(file, hidden / names[number] / _free(_name(file, id), used[number]), links)
            if into.is_dir():
                into.rmdir()  # an empty one; not every system renames over it
        rename(hidden, into)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return sum(number >= 0 for number in chosen)


def _name(file: ImageFile, id: str) -> str:
    """Of a file its own name; of bytes the last part of the id, with an ending that says what they are."""
    name = _safe(PurePosixPath(id.replace("\\", "/")).name)
    if isinstance(file, bytes) and not os.path.splitext(name)[1]:
        name += f".{(image_kind(file[:HEAD]) or 'jpeg').lower()}"
    return name


def _place(file: ImageFile, target: Path, links: bool) -> None:
    if isinstance(file, bytes):
        target.write_bytes(file)
    elif links:
        target.symlink_to(os.path.abspath(str(file)))
    else:
        shutil.copy2(str(file), target)
