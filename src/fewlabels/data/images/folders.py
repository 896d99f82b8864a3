"""Folders of image files: what in them is an image, which folders are classes, and what is left alone and why."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from ...errors import ConfigError, ImageError, listed, shown
from ..notes import Note
from ..paths import unreadable
from ..tables.files import repeats
from .kinds import ENDINGS, HEAD, RAW_ENDINGS, image_kind, other_kind

FolderRole = Literal["class", "unlabeled", "skip"]

# Folders that storage boxes, operating systems and programs make, by their names in small letters; hidden ones besides.
SYSTEM_FOLDERS = frozenset(
    (
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@synoresource", "@appstore", "@sharebin", "@database"),
        *("#recycle", "#snapshot", "~snapshot", "$recycle.bin", "$extend", "$winreagent", "system volume information"),
        *("recycler", "recycled", "recycle bin", "msocache", "config.msi", "lost+found", "lost.dir", "__macosx"),
        *("network trash folder", "temporary items", "thevolumesettingsfolder", "thefindbycontentfolder"),
        *("desktop folder", "__pycache__", "_gsdata_", "cvs", "node_modules", "android_secure", "wpsystem"),
    )
)
SYSTEM_FOLDER = re.compile(r"found\.\d{3}|trash-\d+|\$.*\.bin|~\$.*")
SYSTEM_FILES = frozenset(
    (
        "thumbs.db",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "desktop.ini",
        "icon\r",
        "picasa.ini",
        "folder.htt",
        "sync.ffs_db",
    )
)
UNLABELED = ("unlabeled", "unlabelled")
LIKE_UNLABELED = re.compile(
    r"\bunl(abell?(ed|ing)?|bl|bld)?\b|unlab|"
    r"\b(un|not ?|non ?|no ?|never |yet |to ?(be ?)?)(labell?(ed|ing|s)?|annot(ated?|ations?)?|tag(ged|s)?|sort(ed)?|"
    r"class(ified|ify|es)?|categori[sz](ed|e)|marked|assigned|named?|known|identif(ied|y)|reviewed|checked|"
    r"sup(ervised)?)\b|\b(to ?do|pending|inbox|unsup)\b"
)
NO_NAMES = frozenset(("none", "null", "nan", "na", "n/a", "n a", "nil", "-1", "?", "??", "???", "#n/a", "<na>"))
SPLIT = re.compile(
    r"(train(ing)?|val|valid|validation|test(ing)?|eval(uation)?|dev|hold ?out|splits?|folds?|train ?val|"
    r"train test)( ?(\d+|set|split|data|part|images?|imgs?|pictures?|photos?))*"
)
CONTAINERS = frozenset(
    (
        *("images", "image", "imgs", "img", "jpegimages", "data", "dataset", "datasets", "labeled", "labelled"),
        *("annotated", "annotations", "annotation", "labels", "thumbnails", "thumbnail", "thumbs", "cache", "tmp"),
        *("temp", "trash", "deleted", "backup", "dcim", "camera", "camera roll", "screenshots", "downloads"),
    )
)
FILE_MANAGER = re.compile(  # what these call a folder that nobody named, or a copy of one
    r"((new|untitled) folder|neuer ordner|nouveau dossier|nueva carpeta|copy of .+|.+ (copy|kopie|copie))( \d+)?"
)
DATE = re.compile(r"(19|20)\d\d ?[01]\d ?[0-3]\d")
CAMERA_FOLDER = re.compile(r"[1-9]\d\d[A-Z0-9_]{5}", re.ASCII)  # as cameras number them: 100CANON
TRAIN_ALONE = "train"  # beside cars and planes it is one of them


class FoundFile(NamedTuple):
    """A file in a folder of images. id: its path below the root, with "/". refused: why it will not be opened."""

    id: str
    path: str
    refused: str = ""


@dataclass
class Found:
    """files: images, sorted by id, or what looks like one and is refused. folders: names of the root's sub-folders.

    unused: id and reason of each other file. skipped: id and number of files of each folder that was not entered.
    """

    files: list[FoundFile] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unused: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, int]] = field(default_factory=list)

    def said(self) -> str:
        """What was left alone, in a line; "" for nothing but what an operating system leaves everywhere."""
        kinds = Counter(_ending(id) for id, reason in self.unused if reason != SYSTEM_FILE)
        parts = []
        if kinds:
            each = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(8))
            parts.append(f"{sum(kinds.values()):,} files that are not read ({each})")
        folders = [(id, count) for id, count in self.skipped if count]
        if folders:
            many, inside = sum(count for _, count in folders), listed([f"{id} {count:,}" for id, count in folders])
            parts.append(f"{many:,} files in folders that are hidden, of the system or to be skipped: {inside}")
        return "; and ".join(parts)

    def notes(self, root: str) -> list[Note]:
        """A note for each file that is not used, and for each folder that was not entered."""
        files = [Note("I45", root, None, id, reason) for id, reason in self.unused]
        why = "hidden, of the system or to be skipped"
        return files + [Note("I45", root, None, id, f"{why}: {count:,} files") for id, count in self.skipped if count]


SYSTEM_FILE = "a hidden file, or one of the operating system"


def _ending(id: str) -> str:
    name = id.rpartition("/")[2]
    return os.path.splitext(name)[1].lower() or "without an ending"


def scan_folder(root: Path, roles: Mapping[str, FolderRole] | None = None) -> Found:
    """All image files below root, by content. Symbolic links are not followed, system folders not entered.

    roles: of sub-folders of the root; those with "skip" are not entered.
    Raises StorageError for a root that cannot be read, ConfigError (C20) for roles of folders that are not there.
    """
    roles, found = roles or {}, Found()
    waiting = [(os.fspath(root), "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as problem:
            if not prefix:
                raise unreadable(root, problem) from problem
            found.files.append(FoundFile(prefix.rstrip("/"), folder, f"folder cannot be read: {problem.strerror}"))
            continue
        for entry in inside:
            id = prefix + _text(entry.name)
            if not entry.is_dir(follow_symlinks=False):
                _sort_file(found, entry, id)
            elif is_skipped(entry.name, None if prefix else roles.get(id)):
                found.skipped.append((id + "/", sum(len(files) for _, _, files in os.walk(entry.path))))
            else:
                waiting.append((entry.path, id + "/"))
                found.folders += [id] if not prefix else []
    for part in (found.files, found.folders, found.unused, found.skipped):
        part.sort()
    for id in repeats([file.id for file in found.files]):  # an escaped name can equal a plain one
        at = next(i for i, file in enumerate(found.files) if file.id == id)
        found.files[at] = found.files[at]._replace(refused="another file has the same id")
    known = {*found.folders, *(id.rstrip("/") for id, _ in found.skipped)}
    if strange := [name for name in roles if name not in known]:
        what = f"{shown(strange[0])!r} is no sub-folder of {root}"
        do = f"there are {listed(sorted(known))}" if known else "there is none"
        raise ConfigError("C20", what, where="--folder (folders=)", do=do)
    return found


def _sort_file(found: Found, entry: os.DirEntry[str], id: str) -> None:
    """Put what is no folder among the images, or among what is not used."""
    name = entry.name.lower()
    looks_like_image = name.endswith(ENDINGS)
    if name in SYSTEM_FILES or (name.startswith(".") and not _is_hidden_image(entry)):
        found.unused.append((id, SYSTEM_FILE))
    elif name.startswith("."):
        found.unused.append((id, "a hidden image; rename it"))
    elif entry.is_symlink():
        # Only asks what the link points to: what it points to is never opened.
        why = "a symbolic link; copy the file itself"
        if looks_like_image or entry.is_dir():
            found.files.append(FoundFile(id, entry.path, why))
        else:
            found.unused.append((id, why))
    elif not entry.is_file(follow_symlinks=False):
        if looks_like_image:
            found.files.append(FoundFile(id, entry.path, "not a regular file"))
        else:
            found.unused.append((id, "not a regular file"))
    elif looks_like_image:
        found.files.append(FoundFile(id, entry.path))
    else:
        _sort_by_content(found, entry, id)


def _sort_by_content(found: Found, entry: os.DirEntry[str], id: str) -> None:
    try:
        head = _head_of(entry.path)
    except OSError as problem:
        found.unused.append((id, f"cannot be read: {problem.strerror or problem}"))
        return
    if image_kind(head) is not None and not entry.name.lower().endswith(RAW_ENDINGS):
        found.files.append(FoundFile(id, entry.path))
    else:
        found.unused.append((id, other_kind(entry.name, head)))


def _is_hidden_image(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False) and image_kind(_head_of(entry.path)) is not None
    except OSError:
        return False


def _head_of(path: str) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        return os.read(descriptor, HEAD)
    finally:
        os.close(descriptor)


def _text(name: str) -> str:
    """The name as text that can be written to UTF-8: bytes that are not UTF-8 become a backslash escape."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_skipped(name: str, role: FolderRole | None = None) -> bool:
    """Whether a folder is hidden or made by a system, and so never entered; role: what the user says of it."""
    small = name.casefold().strip()
    is_system = small.startswith(".") or small in SYSTEM_FOLDERS or SYSTEM_FOLDER.fullmatch(small) is not None
    return role == "skip" or (role is None and is_system)


class Judged(NamedTuple):
    """What a folder's name says. doubt: why it is probably no class, and what to do; "" where there is none."""

    role: FolderRole
    doubt: str = ""


def judge_name(name: str) -> Judged:
    """Whether a folder's name is that of a class, by the name alone."""
    words = " ".join(re.findall(r"[^\W_]+", name.casefold()))
    joined = words.replace(" ", "")
    if joined in UNLABELED:
        return Judged("unlabeled")
    if joined.startswith("unlab") or LIKE_UNLABELED.search(words) or name.strip().casefold() in NO_NAMES:
        return Judged("class", "a class, or images without a label?")
    if SPLIT.fullmatch(words):
        return Judged("class", "a part of a data set rather than a class")
    if FILE_MANAGER.fullmatch(words):
        return Judged("class", "a name that a file manager gave?")
    if DATE.fullmatch(words) or CAMERA_FOLDER.fullmatch(name):
        return Judged("class", "a date, or a folder that a camera made?")
    if words in CONTAINERS:
        return Judged("class", "says nothing about what is in it")
    if name[:1] in "@#$~" or not words:
        return Judged("class", "a folder that a system or a program made?")
    return Judged("class")


def label_files(root: Path, found: Found, roles: Mapping[str, FolderRole]) -> list[str | None]:
    """The class of each file, by the first folder on its path; None where it has none.

    A folder `unlabeled` further down means none, too. roles: what the user says of sub-folders of the root.
    Raises ImageError I46 where a folder is probably no class, I17 for images beside class folders.
    """
    _demand_classes(root, found, roles)
    names = [_label_of(file.id, roles) for file in found.files]
    in_root = [file.id for file in found.files if "/" not in file.id and not file.refused]  # a refused one: a folder?
    if in_root and any(name is not None for name in names):
        what = "images beside class folders: are they unlabelled, or is a folder not a class?"
        do = "move them to the sub-folder unlabeled/, or give a label file with --labels"
        raise ImageError("I17", what, where=root, rows=in_root, do=do)
    return names


def _label_of(id: str, roles: Mapping[str, FolderRole]) -> str | None:
    first, *deeper = id.split("/")[:-1] or [""]
    role = roles.get(first) or judge_name(first).role
    if not first or role != "class" or any(judge_name(name).role == "unlabeled" for name in deeper):
        return None
    return first


def _demand_classes(root: Path, found: Found, roles: Mapping[str, FolderRole]) -> None:
    """Raise ImageError (I46) for folders that hold images and are probably no classes."""
    inside: dict[str, set[str]] = {}  # of each sub-folder, its own sub-folders with images; "" for itself
    for file in found.files:
        first, *deeper = file.id.split("/")[:-1] or [""]
        if first:
            inside.setdefault(first, set()).add(deeper[0] if deeper else "")
    open_ones = [name for name in inside if name not in roles]
    doubts = {name: judged.doubt for name in open_ones if (judged := judge_name(name)).doubt}
    if list(doubts) == [TRAIN_ALONE] and len(inside) > 1 and inside[TRAIN_ALONE] == {""}:
        doubts = {}
    classes = [name for name in open_ones if judge_name(name).role == "class"]
    if len(classes) == 1 and not roles and "" not in inside[classes[0]] and len(inside[classes[0]]) > 1:
        doubts.setdefault(classes[0], "it alone holds the folders that look like classes")
    alike = [inside[name] for name in classes]
    if len(alike) > 1 and "" not in alike[0] and len(alike[0]) > 1 and all(one == alike[0] for one in alike):
        same = ", ".join(map(shown, sorted(alike[0])[:3]))
        doubts |= dict.fromkeys(classes, f"each holds the same folders ({same}); are those the classes?")
    for name in open_ones:
        for one in inside[name]:
            if one and judge_name(one).role == "class" and "unlab" in one.casefold():
                doubts.setdefault(f"{name}/{one}", "a class, or images without a label?")
    if doubts:
        raise _no_classes(root, doubts, inside)


def _no_classes(root: Path, doubts: Mapping[str, str], inside: Mapping[str, set[str]]) -> ImageError:
    rows = [f"{name}: {why}" for name, why in sorted(doubts.items())]
    name = next(iter(sorted(doubts, key=lambda one: (one != TRAIN_ALONE, "" in inside.get(one, {""}), one))))
    deeper = name in inside and len(inside[name] - {""}) > 0
    first = f"pass {root.name}/{name} if the classes are in there" if deeper else "rename them"
    if deeper and all(why.startswith("each") for why in doubts.values()):
        first = "give a label file with --labels if those are"
    if deeper and any(SPLIT.fullmatch(one.casefold()) for one in doubts if one != name):
        first += " (and the part to test on with --test)"
    do = f"{first}, or say what each is, such as --folder '{name.partition('/')[0]}=class', =unlabeled or =skip"
    return ImageError("I46", "folders whose names are probably not those of classes", where=root, rows=rows, do=do)


def say_deeper(found: Found, names: Iterable[str | None]) -> str:
    """A line about images in sub-folders of class folders, which count to the first folder; "" where there are none."""
    deep: dict[str, int] = Counter()
    for file, name in zip(found.files, names, strict=True):
        folder, *_ = file.id.rpartition("/")
        if "/" in folder and not file.refused and judge_name(folder.partition("/")[0]).role == "class":
            deep[f"{folder} ({'no label' if name is None else shown(name)})"] += 1
    if not deep:
        return ""
    return f"the class is the first folder; {sum(deep.values()):,} images lie deeper: {listed(list(deep))}"


def check_roles(folders: Mapping[str, str] | None) -> dict[str, FolderRole]:
    """Raise ConfigError (C20) for a role that there is not."""
    roles: dict[str, FolderRole] = {}
    for name, role in (folders or {}).items():
        if role not in get_args(FolderRole):
            do = "write NAME=class, NAME=unlabeled or NAME=skip"
            raise ConfigError("C20", f"folder {shown(name)!r} is to be {shown(role)!r}", where="--folder", do=do)
        roles[name] = role  # type: ignore[assignment]
    return roles
