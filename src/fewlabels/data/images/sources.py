"""Where images come from: a folder of files, or Parquet files in the layout of the Hugging Face hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...errors import ImageError, listed
from ..labels.csv import LabelOptions
from ..labels.files import LabelFile
from ..labels.ids import match_normal_forms
from ..notes import Note
from ..paths import PARQUET, archive_kind, first_bytes, local_path
from ..tables.columns import Columns, choose_ids
from ..tables.files import Table, open_table, part_files, plain_type, read_head
from .decode import BadImage, ImageFile, png
from .folders import FolderRole, Found, FoundFile, check_roles, judge_name, label_files, say_deeper, scan_folder
from .kinds import ENDINGS, READ, image_kind, other_kind
from .metadata import LABEL_COLUMNS, Metadata, find_label_column, is_metadata, read_label_column, read_metadata
from .parquet_rows import ParquetRows, image_bytes

IMAGE_COLUMNS = ("image", "img")
BESIDE = "beside Parquet files with a column of images"
BATCH_ROWS = 64  # images of a Parquet file held in memory at a time


@dataclass(frozen=True, kw_only=True)
class Source:
    """Images that can be walked through more than once.

    ids, names: one for each image, in order. files: starts a walk through the image files, in order.
    refused: reasons against images, by position, that were known before opening them.
    file: gives the image file at a position, or raises BadImage; None where a source can only be walked through.
    are_files: whether the images are files of their own, whose names a person sees.
    labels: names as a label file says them, where one lies among the images.
    told: what is worth a warning, by its code. notes: what is not used, and why.
    """

    ids: list[str]
    names: list[str | None]
    files: Callable[[], Iterator[ImageFile]]
    class_names: list[str] | None = None
    refused: dict[int, str] = field(default_factory=dict)
    file: Callable[[int], ImageFile] | None = None
    are_files: bool = False
    labels: LabelFile | None = None
    told: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[Note] = ()


def open_source(
    path: str | os.PathLike[str],
    *,
    folder_labels: bool = True,
    folders: Mapping[str, str] | None = None,
    reading: LabelOptions | None = None,
) -> Source:
    """The images at `path`: a folder of images, a Parquet file, a folder of them, or a pattern such as train-*.parquet.

    folder_labels, folders, reading: as in read_images. Raises ImageError I20 for archives, I30 for a missing path, I31
    for any other file, I32 where there is no image; I17, I46 for folders that are no classes.
    """
    roles = check_roles(folders)
    if "*" in os.path.basename(os.fspath(path)) and not os.path.exists(path):
        pattern = Path(path)
        folder = local_path(pattern.parent, ImageError, "I30")
        if not (files := [file for file in part_files(folder) if file.match(pattern.name)]):
            raise ImageError("I30", "no Parquet file has such a name", where=path, do="check the pattern")
        return _parquet_source(files, folder_labels, reading)
    source = local_path(path, ImageError, "I30")
    if source.is_dir():
        return _open_folder(source, roles, folder_labels, reading)
    head = first_bytes(source)
    if head.startswith(PARQUET) or source.suffix.lower() == ".parquet":
        return _parquet_source([source], folder_labels, reading)
    if kind := archive_kind(head):
        raise ImageError("I20", f"{kind}; archives are not unpacked", where=source, do="unpack it, pass the folder")
    kind = "a single image" if image_kind(head) or source.suffix.lower() in ENDINGS else other_kind(source.name, head)
    what = kind if kind == "a single image" else f"neither a folder nor a Parquet file ({kind})"
    raise ImageError("I31", what, where=source, do="pass the folder that holds the images, or a Parquet file")


def _open_folder(
    root: Path, roles: Mapping[str, FolderRole], folder_labels: bool, reading: LabelOptions | None
) -> Source:
    """Parquet files are the images of a folder where one has a column of images, or where there is no image file."""
    parts = part_files(root)
    found = scan_folder(root, roles)
    if not parts or (found.files and not any(_has_image_column(part) for part in parts)):
        metadata = None
        if found.files and folder_labels:
            metadata = read_metadata(root, [id for id, _ in found.unused], reading)
        return _folder_source(root, found, roles, folder_labels, metadata)
    source = _parquet_source(parts, folder_labels, reading)
    if not found.files:
        return source
    what = f"{len(found.files):,} files of images beside the Parquet files, which are what is read"
    return replace(
        source,
        told={**source.told, "I45": what},
        notes=[*source.notes, *(Note("I45", str(root), None, file.id, BESIDE) for file in found.files)],
    )


def _has_image_column(part: Path) -> bool:
    try:
        schema, _ = read_head(part, ImageError)
    except ImageError:  # a damaged one is named where it is to be read
        return False
    return any(name in schema.names for name in IMAGE_COLUMNS)


def pixel_source(pixels: np.ndarray, ids: list[str]) -> Source:
    """Images that are arrays already: (n, h, w, 1 or 3) uint8."""

    def file(at: int) -> ImageFile:
        return png(pixels[at])

    return Source(ids=ids, names=[None] * len(ids), files=lambda: map(file, range(len(ids))), file=file)


def _folder_source(
    root: Path, found: Found, roles: Mapping[str, FolderRole], folder_labels: bool, metadata: Metadata | None
) -> Source:
    files = found.files
    if not files:
        left = found.said()
        what = f"no images ({READ} are read); {left or 'the folder is empty'}"
        raise ImageError("I32", what, where=root, do="pass the folder that holds them")
    told = {} if metadata is None else {"I53": metadata.said}
    labels = None if metadata is None else metadata.labels
    if labels is not None:
        labels = match_normal_forms(labels, [file.id for file in files])
        found = replace(found, unused=[(id, why) for id, why in found.unused if not is_metadata(id)])
    told |= {"I45": said} if (said := found.said()) else {}
    names: list[str | None] = [None] * len(files)
    if labels is not None:
        label_of = dict(zip(labels.ids, labels.labels, strict=True))
        names = [label_of.get(file.id) for file in files]
    elif folder_labels:
        names = label_files(root, found, roles)
        used = {file.id.partition("/")[0] for file in files}
        if empty := [name for name in found.folders if name not in used and judge_name(name).role == "class"]:
            told["I16"] = f"class folders without any image in {root}: {listed(empty)}"
        if deeper := say_deeper(found, names):
            told["I47"] = deeper
    return Source(
        ids=[file.id for file in files],
        names=names,
        files=lambda: (file.path for file in files),
        refused={at: file.refused for at, file in enumerate(files) if file.refused},
        file=lambda at: _path_below(root.resolve(), files[at]),
        are_files=True,
        labels=labels,
        told=told,
        notes=found.notes(os.fspath(root)),
    )


def _path_below(root: Path, file: FoundFile) -> str:
    """The path, long after the folder was listed: a folder on the way may have become a link to outside."""
    if file.refused:
        raise BadImage(file.refused)
    if not Path(file.path).resolve().is_relative_to(root):
        raise BadImage("outside of the folder of images")
    return file.path


def _parquet_source(files: list[Path], with_labels: bool, reading: LabelOptions | None) -> Source:
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
    label = find_label_column(table.names) if with_labels else None
    told = {} if label in (None, *LABEL_COLUMNS) else {"I53": f"labels come from the column {label!r}"}
    names: list[str | None] = [None] * table.num_rows
    class_names = None
    notes: list[Note] = []
    if label is not None:
        names, class_names, notes = read_label_column(table, label, reading)
    rows = ParquetRows(table.files, image)
    ids, doubt = _find_ids(table, image, kind, label)
    return Source(
        ids=ids,
        names=names,
        files=lambda: _parquet_images(table, image),
        class_names=class_names,
        file=rows.file,
        told=told | ({"I55": doubt} if doubt else {}),
        notes=notes,
    )


def _is_binary(kind: pa.DataType) -> bool:
    return kind in (pa.binary(), pa.large_binary(), pa.binary_view())


def _holds_bytes(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return _is_binary(kind)
    return kind.get_field_index("bytes") >= 0 and _is_binary(kind.field("bytes").type)


def _find_ids(table: Table, image: str, kind: pa.DataType, label: str | None) -> tuple[list[str], str]:
    """The ids as `choose_ids` has them for the other columns, but the paths inside the images, if all are there and
    unique, come before row numbers; and what makes row numbers doubtful, "" for nothing.
    """
    rest = [field for field in table.schema if field.name not in (image, label)]
    others = replace(table, schema=pa.schema(rest, table.schema.metadata))
    found = choose_ids(others, Columns())
    if not found.are_counted:
        texts: list[str] = found.texts.to_pylist()
        return texts, ""
    if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0 and pa.types.is_string(kind.field("path").type):
        paths: list[str | None] = []
        for batch in table.batches([f"{image}.path"]):
            paths += pc.struct_field(batch.column(0), "path").to_pylist()
        present = [path for path in paths if path]
        if len(present) == len(paths) == len(set(present)):
            return present, ""
    doubt = "" if found.doubt is None else f"ids are row numbers at {table.files[0]}, and {found.doubt.what}"
    doubt = doubt.replace("labels joined by row number, and ", "")
    return list(map(str, range(table.num_rows))), doubt and f"{doubt}: call the column id if they are"


def _parquet_images(table: Table, image: str) -> Iterator[ImageFile]:
    for batch in table.batches([image], BATCH_ROWS):
        for value in image_bytes(batch.column(0)):
            yield value.as_py()
