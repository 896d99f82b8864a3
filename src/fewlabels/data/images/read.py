"""Images as one array of squares: every file is decoded whole, and those that cannot be used are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ...errors import ConfigError, ImageError, InputWarning, listed, warn
from ..labels.csv import LabelOptions
from ..labels.files import LabelFile
from ..notes import Note
from .decode import FULL_RANGE, MAX_PIXELS, BadImage, Header, ImageFile, PixelRange
from .decoders import Answer, Decoders, OddSquare
from .kinds import ENDINGS_OF
from .sources import Source, open_source

LARGEST_OWN_SIZE = 96  # images that share a square size up to this keep it
DEFAULT_SIZE = 64
SIZES = range(2, 4097)
PIXELS = range(4, 1_000_000_001)
VALUES = range(65536)
LEAST_SHARE = 1 / 16  # of the range of values
ODD = {
    "I2": "of a JPEG that is cut off the missing part is grey",
    "I9": "of images with several frames or pages the first one is used",
    "I10": "the ending of the name is not that of its kind of image; the content counts",
    "I48": "transparent throughout, or nothing would be seen of it on white: its colours are taken as they are, or on "
    "black",
    "I49": "all pixels have one colour",
}

Progress = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True, kw_only=True)
class Images:
    """pixels: (n, size, size, 3) uint8 RGB, or (n, size, size, 1) if every image is grey.

    ids: n unique texts. names: n labels of the folder or the label column, None = unlabelled. class_names: the order
    of the classes if the source declares one. rejected: (id, reason) of each image that was left out. notes: what was
    odd about others, and which files are not used.
    pixel_range: what became 0 and 255 of pixels of more than 8 bits whose depth no file declares; None where there are
    none. It belongs to the model: new images need the same. labels: of a metadata file among the images.
    """

    pixels: np.ndarray
    ids: list[str]
    names: list[str | None]
    class_names: list[str] | None
    rejected: list[tuple[str, str]]
    notes: list[Note] = field(default_factory=list)
    pixel_range: PixelRange | None = None
    labels: LabelFile | None = None


def read_images(  # noqa: PLR0913  a door of keywords
    path: str | os.PathLike[str],
    *,
    image_size: int | None = None,
    on_bad_image: str = "skip",
    accept_truncated: bool = False,
    max_pixels: int = MAX_PIXELS,
    folder_labels: bool = True,
    folders: Mapping[str, str] | None = None,
    pixel_range: PixelRange | None = None,
    reading: LabelOptions | None = None,
    progress: Progress | None = None,
) -> Images:
    """The images in a folder, a Parquet file, a folder of Parquet files, or those of a pattern (train-*.parquet).

    Folder: searched through sub-folders; the label is the first-level sub-folder, `unlabeled` and the root mean none.
    What is an image is decided by content; every other file is in `notes`. A metadata.csv, .jsonl or .parquet with the
    columns file_name and label gives the labels instead.
    Parquet: a column image or img, and optionally id and label, labels or fine_label.
    Each image is turned upright, cut to its centred square and resized to image_size; None: the size that all images
    with a readable header share if they are squares of at most 96 pixels, else 64.
    on_bad_image: "skip" lists unreadable images in `rejected`; "fail" raises ImageError I1.
    accept_truncated: use JPEGs that are cut off, with grey for what is missing; each is in `notes`.
    max_pixels: an image of more is unreadable, so that a small file cannot ask for all memory; a process that decodes
        may take 1 GiB and 5 s of processor time, and in proportion more where this is above 64 million.
    folder_labels: sub-folders, metadata or the label column give the labels; False where they come from elsewhere, and
        images may lie anywhere.
    folders: what sub-folders are whose names say something else: "class", "unlabeled" or "skip", by name.
    pixel_range: what becomes 0 and 255 of pixels of more than 8 bits, such as those of the images that a model was
        trained on. It is for files that do not declare their depth. None: one range for all images here, from their
        lowest value to their highest, or all 16 bits where these are more than half of them.
    reading: how a metadata file or the label column is read, such as words in it that mean no label; None: as usual.
    progress(iterable, total) is laid around the decoding, such as tqdm.
    Warns of images that are cut off (I2), of which only the first frame or page is used (I9), whose names have another
    ending (I10), that had to be laid on black or were transparent throughout (I48), or that have one colour (I49); of
    files that are not used (I45), empty classes (I16), images below class folders (I47), metadata (I53), and of how
    more than 8 bits became 8 (I51).
    Raises ImageError (I1, I17, I20, I30-I36, I46, E18, E20, E21, L22), ConfigError for an option out of range, and
    LabelError for a metadata file that cannot be used.
    """
    _check_options(image_size, on_bad_image, max_pixels, pixel_range)
    source = open_source(path, folder_labels=folder_labels, folders=folders, reading=reading)
    _warn_all(source.told)
    rejected = dict(source.refused)
    with Decoders(accept_truncated=accept_truncated, max_pixels=max_pixels) as decoders:
        headers = _read_headers(source, rejected, decoders)
        _check_rejected(source, rejected, on_bad_image, path)
        size = image_size or _choose_size(headers.values())
        grey = all(header.grey for header in headers.values())
        used = _choose_range(source, headers, pixel_range)
        squares = decoders.answers(_files_left(rejected, source), size, grey, used or FULL_RANGE)
        found = _decode_all(source, rejected, squares, (size, size, 1 if grey else 3), progress)
    _check_rejected(source, rejected, on_bad_image, path)
    return Images(
        pixels=found.pixels,
        ids=[source.ids[at] for at in found.kept],
        names=[source.names[at] for at in found.kept],
        class_names=source.class_names,
        rejected=[(source.ids[at], rejected[at]) for at in sorted(rejected)],
        notes=[*source.notes, *_note_oddities(source, headers, found, os.fspath(path))],
        pixel_range=used,
        labels=source.labels,
    )


def read_colour(source: Source, size: int, progress: Progress | None, where: object) -> Images:
    """The images of a source in RGB, whatever they are: (n, size, size, 3), cut and resized as in `read_images`.

    No header is read beforehand, so each file is opened once. Raises ImageError I1 for an image that cannot be used.
    """
    rejected = dict(source.refused)
    _check_rejected(source, rejected, "fail", where)
    with Decoders() as decoders:
        squares = decoders.answers(source.files(), size)
        found = _decode_all(source, rejected, squares, (size, size, 3), progress)
    _check_rejected(source, rejected, "fail", where)
    return Images(pixels=found.pixels, ids=source.ids, names=source.names, class_names=source.class_names, rejected=[])


def _check_options(image_size: int | None, on_bad_image: str, max_pixels: int, pixel_range: PixelRange | None) -> None:
    if on_bad_image not in ("skip", "fail"):
        do = "pass 'skip' or 'fail'"
        raise ConfigError("C20", f"{on_bad_image!r}; expected 'skip' or 'fail'", where="on_bad_image", do=do)
    if image_size is not None:
        _demand_whole("image_size", image_size, SIZES, "pass such a number, or None to choose by the images")
    _demand_whole("max_pixels", max_pixels, PIXELS, "pass such a number")
    if pixel_range is not None:
        low, high = pixel_range
        for value in (low, high):
            _demand_whole("pixel_range", value, VALUES, "pass two such numbers")
        if low >= high:
            do = "pass the value that becomes black and the one that becomes white"
            raise ConfigError(
                "C20", f"{low:,} to {high:,}; expected a larger second number", where="pixel_range", do=do
            )


def _demand_whole(name: str, value: object, known: range, do: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value not in known:
        what = f"{value!r}; expected a whole number from {known[0]:,} to {known[-1]:,}"
        raise ConfigError("C20", what, where=name, do=do)


def _files_left(rejected: dict[int, str], source: Source) -> Iterator[ImageFile]:
    """The files of the images that are not rejected yet."""
    known = frozenset(rejected)
    return (file for at, file in enumerate(source.files()) if at not in known)


def _read_headers(source: Source, rejected: dict[int, str], decoders: Decoders) -> dict[int, Header]:
    """By position, the headers of the images that have one; others are added to `rejected`.

    Needed before decoding: the size and the channels of the array depend on all of them.
    """
    headers: dict[int, Header] = {}
    places = [at for at in range(len(source.ids)) if at not in rejected]
    for at, found in zip(places, decoders.answers(_files_left(rejected, source)), strict=True):
        if isinstance(found, Header):
            headers[at] = found
        else:
            rejected[at] = str(found)
    return headers


def _choose_range(source: Source, headers: Mapping[int, Header], asked: PixelRange | None) -> PixelRange | None:
    """What becomes 0 and 255 of pixels of more than 8 bits; None where no file leaves that open. Warns (I51)."""
    deep = {at: header.deep for at, header in headers.items() if header.deep is not None}
    if not deep:
        return None
    low, high = min(low for low, _ in deep.values()), max(high for _, high in deep.values())
    most = FULL_RANGE[1]
    used = asked or ((low, high) if 0 < high - low <= most // 2 else FULL_RANGE)
    least = (used[1] - used[0]) * LEAST_SHARE
    faint = [source.ids[at] for at, (darkest, brightest) in deep.items() if brightest - darkest < least]
    said = f"{len(deep):,} images of more than 8 bits with values from {low:,} to {high:,}: {used[0]:,} becomes 0 and "
    said += f"{used[1]:,} becomes 255 in all of them (--pixel-range)"
    if low < used[0] or high > used[1]:
        said += "; what is outside of that is cut off"
    if faint:
        said += f"; little is left of those that use less than a sixteenth of it: {listed(faint)}"
    if faint or used != FULL_RANGE:
        _warn_all({"I51": said})
    return used


def _warn_all(told: Mapping[str, str]) -> None:
    for code, what in told.items():
        warn(InputWarning(f"FL-{code} {what}"))


def _note_oddities(source: Source, headers: Mapping[int, Header], found: _Decoded, path: str) -> list[Note]:
    """A note for each thing that is odd about the images that are used, and a warning for each kind of them."""
    places = {code: [at for at, one in found.odd if one == code] for code in ODD}
    places["I9"] = [at for at in found.kept if headers[at].more]
    if source.are_files:
        places["I10"] = [at for at in found.kept if _is_misnamed(source.ids[at], headers[at].kind)]
    flat = _are_flat(found.pixels)
    places["I49"] = [at for at, is_flat in zip(found.kept, flat.tolist(), strict=True) if is_flat]
    told = {code: f"{ODD[code]}: {listed([source.ids[at] for at in odd])}" for code, odd in places.items() if odd}
    _warn_all(told)
    return [Note(code, path, None, source.ids[at], ODD[code]) for code, odd in places.items() for at in odd]


def _are_flat(pixels: np.ndarray) -> np.ndarray:
    """(n,) bool: whether all pixels of an image are the same, but for 1 of 255."""
    flat = np.zeros(len(pixels), bool)
    few = pixels[:, ::8, ::8]  # tells nearly all that are not
    for at in np.flatnonzero((few.max((1, 2)) - few.min((1, 2)) <= 1).all(1)):
        flat[at] = (pixels[at].max((0, 1)) - pixels[at].min((0, 1)) <= 1).all()
    return flat


def _is_misnamed(id: str, kind: str) -> bool:
    return os.path.splitext(id)[1].lower() not in ("", *ENDINGS_OF[kind])


def _choose_size(headers: Iterable[Header]) -> int:
    sizes = {(header.width, header.height) for header in headers}
    width, height = next(iter(sizes))
    return width if len(sizes) == 1 and width == height <= LARGEST_OWN_SIZE else DEFAULT_SIZE


class _Decoded(NamedTuple):
    """pixels: of the images that could be decoded. kept: their positions; odd: of some, and the code of what is odd."""

    pixels: np.ndarray
    kept: list[int]
    odd: list[tuple[int, str]]


def _decode_all(
    source: Source,
    rejected: dict[int, str],
    squares: Iterable[Answer],
    shape: tuple[int, int, int],
    progress: Progress | None,
) -> _Decoded:
    """The images; those that fail are added to `rejected`."""
    places = [at for at in range(len(source.ids)) if at not in rejected]
    pixels = _allocate((len(places), *shape))
    kept: list[int] = []
    odd: list[tuple[int, str]] = []
    walk: Iterable[Any] = zip(places, squares, strict=True)
    for at, found in progress(walk, len(places)) if progress else walk:
        if isinstance(found, BadImage):
            rejected[at] = str(found)
            continue
        if isinstance(found, OddSquare):
            odd.append((at, found.code))
            found = found.pixels
        pixels[len(kept)] = found
        kept.append(at)
    return _Decoded(pixels[: len(kept)], kept, odd)


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.empty(shape, np.uint8)
    except MemoryError as problem:
        what = f"{shape[0]:,} images of {shape[1]} x {shape[2]} need {np.prod(shape, dtype=float) / 2**30:.1f} GiB"
        raise ImageError("I36", what, do="choose a smaller --image-size (image_size=)") from problem


def _check_rejected(source: Source, rejected: dict[int, str], on_bad_image: str, path: object) -> None:
    """Raise ImageError I1 for the first bad images if asked to, I35 if more than half are bad."""
    rows = [f"{source.ids[at]}: {rejected[at]}" for at in sorted(rejected)]
    if rows and on_bad_image == "fail":
        raise ImageError("I1", "images that cannot be used", where=path, rows=rows, do="repair or remove them")
    if len(rejected) == len(source.ids):
        what = f"none of {len(source.ids):,} images can be used"
    elif 2 * len(rejected) > len(source.ids):
        what = f"{len(rejected):,} of {len(source.ids):,} images cannot be used; more than half"
    else:
        return
    raise ImageError("I35", what, where=path, rows=rows, do="check that this is the right folder or file")
