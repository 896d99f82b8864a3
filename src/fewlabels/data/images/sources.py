"""Where images come from: a folder of files, or Parquet files in the layout of the Hugging Face hub."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ImageError, InputWarning, listed
from ..paths import PARQUET, archive_kind, first_bytes, local_path, unreadable
from ..tables.files import Table, id_texts, is_whole, label_texts, open_table, part_files, plain_type, repeats
from .decode import BadImage, ImageFile, png
from .parquet_rows import ParquetRows, image_bytes

ENDINGS_OF = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
}
ENDINGS = tuple(ending for endings in ENDINGS_OF.values() for ending in endings)
SYSTEM_NAMES = ("__MACOSX", "Thumbs.db")
UNLABELED_FOLDERS = ("unlabeled", "unlabelled")
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
BATCH_ROWS = 64  # images of a Parquet file held in memory at a time


@dataclass(frozen=True)
class Source:
    """Images that can be walked through more than once.

    ids, names: one for each image, in order. files: starts a walk through the image files, in order.
    refused: reasons against images, by position, that were known before opening them.
    file: gives the image file at a position, or raises BadImage; None where a source can only be walked through.
    are_files: whether the images are files of their own, whose names a person sees.
    """

    ids: list[str]
    names: list[str | None]
    files: Callable[[], Iterator[ImageFile]]
    class_names: list[str] | None = None
    refused: dict[int, str] = field(default_factory=dict)
    file: Callable[[int], ImageFile] | None = None
    are_files: bool = False


def open_source(path: str | os.PathLike[str], *, folder_labels: bool = True) -> Source:
    """The images at `path`: a folder of images, a Parquet file, a folder of them, or a pattern such as train-*.parquet.

    Raises ImageError I20 for archives, I30 for a missing path, I31 for any other file, I32 where there is no image.
    """
    if "*" in os.path.basename(os.fspath(path)) and not os.path.exists(path):
        pattern = Path(path)
        folder = local_path(pattern.parent, ImageError, "I30")
        if not (files := [file for file in part_files(folder) if file.match(pattern.name)]):
            raise ImageError("I30", "no Parquet file has such a name", where=path, do="check the pattern")
        return _parquet_source(files)
    source = local_path(path, ImageError, "I30")
    if source.is_dir():
        files = part_files(source)
        return _parquet_source(files) if files else _folder_source(source, folder_labels)
    head = first_bytes(source)
    if head.startswith(PARQUET) or source.suffix.lower() == ".parquet":
        return _parquet_source([source])
    if kind := archive_kind(head):
        raise ImageError("I20", f"{kind}; archives are not unpacked", where=source, do="unpack it, pass the folder")
    kind = "a single image" if source.suffix.lower() in ENDINGS else "neither a folder nor a Parquet file"
    raise ImageError("I31", kind, where=source, do="pass the folder that holds the images, or a Parquet file")


def pixel_source(pixels: np.ndarray, ids: list[str]) -> Source:
    """Images that are arrays already: (n, h, w, 1 or 3) uint8."""

    def file(at: int) -> ImageFile:
        return png(pixels[at])

    return Source(ids, [None] * len(ids), lambda: map(file, range(len(ids))), file=file)


class _File(NamedTuple):
    """A file in a folder of images. id: its path below the root, with "/". refused: why it will not be opened."""

    id: str
    path: str
    refused: str = ""


def _folder_source(root: Path, folder_labels: bool) -> Source:
    files, folders = _scan(root)
    if not files:
        what = f"no images; files looked for end in {', '.join(ENDINGS)}"
        raise ImageError("I32", what, where=root, do="pass the folder that holds them")
    names = [_folder_label(file.id) if folder_labels else None for file in files]
    in_root = [file.id for file in files if "/" not in file.id and not file.refused]  # a refused one may be a folder
    classes = {name for name in names if name is not None}
    if in_root and classes:
        what = "images beside class folders: are they unlabelled, or is a folder not a class?"
        raise ImageError(
            "I17",
            what,
            where=root,
            rows=in_root,
            do="move them to the sub-folder unlabeled/, or give a label file with --labels",
        )
    empty = [name for name in folders if name not in classes and name.lower() not in UNLABELED_FOLDERS]
    if folder_labels and empty:
        warnings.warn(f"FL-I16 class folders without any image in {root}: {listed(empty)}", InputWarning, stacklevel=4)
    return Source(
        [file.id for file in files],
        names,
        lambda: (file.path for file in files),
        refused={at: file.refused for at, file in enumerate(files) if file.refused},
        file=lambda at: _path_below(root.resolve(), files[at]),
        are_files=True,
    )


def _folder_label(id: str) -> str | None:
    folder, _, rest = id.partition("/")
    return folder if rest and folder.lower() not in UNLABELED_FOLDERS else None


def _scan(root: Path) -> tuple[list[_File], list[str]]:
    """All image files below root, sorted by id, and the names of its sub-folders. Symbolic links are not followed."""
    files: list[_File] = []
    folders: list[str] = []
    waiting = [(os.fspath(root), "")]
    while waiting:
        folder, prefix = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                found = [e for e in entries if not e.name.startswith(".") and e.name not in SYSTEM_NAMES]
        except OSError as problem:
            if not prefix:
                raise unreadable(root, problem) from problem
            files.append(_File(prefix.rstrip("/"), folder, f"folder cannot be read: {problem.strerror}"))
            continue
        for entry in found:
            id = prefix + _text(entry.name)
            if entry.is_dir(follow_symlinks=False):
                waiting.append((entry.path, id + "/"))
                folders += [id] if not prefix else []
            elif refused := _refusal(entry):
                files.append(_File(id, entry.path, refused))
            elif entry.name.lower().endswith(ENDINGS):
                files.append(_File(id, entry.path))
    files.sort()
    for id in repeats([file.id for file in files]):  # an escaped name can equal a plain one
        at = next(i for i, file in enumerate(files) if file.id == id)
        files[at] = files[at]._replace(refused="another file has the same id")
    return files, sorted(folders)


def _refusal(entry: os.DirEntry[str]) -> str:
    """Why a thing that is not a folder is not opened; empty for regular files and for what is no image anyway."""
    looks_like_image = entry.name.lower().endswith(ENDINGS)
    if entry.is_symlink():
        # Only asks what the link points to: what it points to is never opened.
        return "a symbolic link; copy the file itself" if looks_like_image or entry.is_dir() else ""
    return "not a regular file" if looks_like_image and not entry.is_file(follow_symlinks=False) else ""


def _text(name: str) -> str:
    """The name as text that can be written to UTF-8: bytes that are not UTF-8 become a backslash escape."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _path_below(root: Path, file: _File) -> str:
    """The path, long after the folder was listed: a folder on the way may have become a link to outside."""
    if file.refused:
        raise BadImage(file.refused)
    if not Path(file.path).resolve().is_relative_to(root):
        raise BadImage("outside of the folder of images")
    return file.path


def _parquet_source(files: list[Path]) -> Source:
    """Images in a column image or img: binary, or a struct of bytes and path. Labels and ids from their columns."""
    table = open_table(files, ImageError)
    image = next((name for name in IMAGE_COLUMNS if name in table.names), None)
    kind = plain_type(table.schema.field(image).type) if image else None
    if image is None or not _holds_bytes(kind):
        found = ", ".join(f"{name!r} ({t})" for name, t in zip(table.names[:20], table.schema.types, strict=False))
        what = f"no column image or img with the bytes of image files; found {found}"
        raise ImageError("I33", what, where=files[0], do="rename the column, or write image files as binary")
    if table.num_rows == 0:
        raise ImageError("I32", "no images: the table has no rows", where=files[0])
    label = next((name for name in LABEL_COLUMNS if name in table.names), None)
    class_names = _declared_classes(table, label) if label else None
    if label is None:
        names: list[str | None] = [None] * table.num_rows
    elif class_names is None:
        # Without declared names, -1 is still the hub's mark for a row without a label.
        whole = is_whole(plain_type(table.schema.field(label).type))
        names = [None if whole and name == "-1" else name for name in label_texts(table, label)]
    else:
        names = _name_classes(table, label, class_names)
    rows = ParquetRows(table.files, image)
    return Source(_ids(table, image, kind), names, lambda: _parquet_images(table, image), class_names, file=rows.file)


def _is_binary(kind: pa.DataType) -> bool:
    return kind in (pa.binary(), pa.large_binary(), pa.binary_view())


def _holds_bytes(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return _is_binary(kind)
    return kind.get_field_index("bytes") >= 0 and _is_binary(kind.field("bytes").type)


def _ids(table: Table, image: str, kind: pa.DataType) -> list[str]:
    """The id column; else the paths inside the images if all are there and unique; else the row numbers."""
    if "id" in table.names:
        return id_texts(table, "id")
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0 and pa.types.is_string(kind.field("path").type):
        paths: list[str | None] = []
        for batch in table.batches([f"{image}.path"]):
            paths += pc.struct_field(batch.column(0), "path").to_pylist()
        present = [path for path in paths if path]
        if len(present) == len(paths) == len(set(present)):
            return present
    return list(map(str, range(table.num_rows)))


def _declared_classes(table: Table, label: str) -> list[str] | None:
    """The names that the hub's metadata declares for the numbers in a label column; None if it declares none."""
    try:
        features = json.loads((table.schema.metadata or {})[b"huggingface"])["info"]["features"]
        declared = features[label]
        names = declared["names"] if declared["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    numbers = pa.types.is_integer(plain_type(table.schema.field(label).type))
    return names if numbers and isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _name_classes(table: Table, label: str, class_names: list[str]) -> list[str | None]:
    codes = [-1 if code is None else code for code in table.column(label).to_pylist()]
    if bad := [f"row {row + 1}: {code}" for row, code in enumerate(codes) if not -1 <= code < len(class_names)]:
        what = f"class numbers outside the {len(class_names)} declared classes"
        raise ImageError("I34", what, where=f"{table.files[0]}, column {label!r}", rows=bad, do="write it again")
    return [class_names[code] if code >= 0 else None for code in codes]


def _parquet_images(table: Table, image: str) -> Iterator[ImageFile]:
    for batch in table.batches([image], BATCH_ROWS):
        for value in image_bytes(batch.column(0)):
            yield value.as_py()
