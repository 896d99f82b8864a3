"""Images in whatever form a caller has them -> squares for a network, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ...errors import ImageError
from ..paths import local_path
from .decode import FULL_RANGE, MAX_PIXELS, BadImage, ImageFile, PixelRange, Resizing, decode_picture
from .decoders import Decoders, OddSquare
from .sources import Source, open_source

Path = str | os.PathLike[str]
Picture = Image.Image | np.ndarray
GivenImages = Path | Picture | Iterable[Path] | Iterable[Picture] | Source
CHANNELS = (1, 3, 4)
EXPECTED = "expected a path, a PIL image, a uint8 array (h, w, 3) or (n, h, w, 3), or a list of such of one kind"


class Square(NamedTuple):
    """An image cut to its centred square. id: its path or name, or its number. pixels: (size, size, 1 or 3) uint8.

    pixels is None where the image cannot be used, and `reason` says why.
    """

    id: str
    pixels: np.ndarray | None
    reason: str = ""


def read_squares(
    images: GivenImages,
    size: int,
    *,
    grey: bool = False,
    accept_truncated: bool = False,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange | None = None,
) -> Iterator[Square]:
    """The images in their order, decoded as `read_images` decodes them; few are held at a time.

    images: the path of an image file, of a folder (all images below it, by path), of Parquet, or a list of image files;
    or a PIL image, a uint8 array (h, w), (h, w, 1, 3 or 4) or (n, h, w, 1, 3 or 4), or an iterable of such. Files are
    decoded in processes of their own, with limits on time and memory; their ids are their paths, those of others count.
    pixel_range: what becomes 0 and 255 of pixels of more than 8 bits, where a file does not say how many it uses;
        None: all 16 bits.
    Raises ImageError (I30-I33) where there are no images or the input is none.
    """
    source, used = source_of(images), pixel_range or FULL_RANGE
    if isinstance(source, Source):
        decoders = partial(Decoders, accept_truncated=accept_truncated, max_pixels=max_pixels)
        return _decode_files(source, size, grey, used, decoders)
    how = partial(decode_square, size=size, grey=grey, max_pixels=max_pixels, pixel_range=used)
    return (how(str(at), picture) for at, picture in enumerate(source))


def source_of(images: GivenImages) -> Source | Iterable[Any]:
    """Files as a Source; pictures as they come. Raises ImageError (I30-I33) where it is neither."""
    if isinstance(images, Source):
        return images
    if isinstance(images, str | os.PathLike):
        return _at_path(images)
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, np.ndarray) and images.dtype != object:
        return images if images.ndim == 4 else [images]
    try:
        rest = iter(images)
    except TypeError as problem:
        raise _no_image(images) from problem
    first = next(rest, None)
    if first is None:
        raise ImageError("I32", "no images", do=EXPECTED)
    if isinstance(first, str | os.PathLike):
        return _file_source([first, *_demand_paths(rest)])
    return chain([first], rest)


def open_paths(paths: Sequence[Path]) -> Source:
    """Image files, folders, Parquet files and patterns as one source; each path once.

    ids: of a single folder or Parquet its own, as in training; of several paths each begins with the path as given.
    Raises what open_source raises.
    """
    texts = list(dict.fromkeys(os.fspath(path) for path in paths))
    parts = [_at_path(path) for path in texts]
    if len(parts) == 1:
        return parts[0]
    ids = [
        f"{path.rstrip('/')}/{id}" if is_collection(path) else id
        for path, part in zip(texts, parts, strict=True)
        for id in part.ids
    ]
    starts = accumulate((len(part.ids) for part in parts), initial=0)
    return Source(
        ids=ids,
        names=[None] * len(ids),
        files=lambda: chain.from_iterable(part.files() for part in parts),
        refused={
            start + at: reason
            for start, part in zip(starts, parts, strict=False)
            for at, reason in part.refused.items()
        },
        are_files=all(part.are_files for part in parts),
        told={code: what for part in parts for code, what in part.told.items()},
    )


def _at_path(path: Path) -> Source:
    return open_source(path, folder_labels=False) if is_collection(path) else _file_source([path])


def is_collection(path: Path) -> bool:
    """Whether a path is a folder, Parquet or a pattern, and no image. Raises ImageError (I30) where it is nothing."""
    is_pattern = "*" in os.path.basename(os.fspath(path)) and not os.path.exists(path)
    return is_pattern or local_path(path, ImageError, "I30").is_dir() or os.fspath(path).lower().endswith(".parquet")


def _demand_paths(given: Iterable[Any]) -> Iterator[Path]:
    for one in given:
        if not isinstance(one, str | os.PathLike):
            raise _no_image(one)
        yield one


def _file_source(paths: list[Path]) -> Source:
    """Files that somebody named one by one: links to one are followed."""

    def files() -> Iterator[ImageFile]:
        return (os.path.realpath(os.fspath(path)) for path in paths)

    return Source(ids=[os.fspath(path) for path in paths], names=[None] * len(paths), files=files, are_files=True)


def _decode_files(
    source: Source, size: int, grey: bool, pixel_range: PixelRange, start: Callable[[], Decoders]
) -> Iterator[Square]:
    usable = (file for at, file in enumerate(source.files()) if at not in source.refused)
    with start() as decoders:
        answers = decoders.answers(usable, size, grey, pixel_range)
        for at, id in enumerate(source.ids):
            if at in source.refused:
                yield Square(id, None, source.refused[at])
                continue
            found = next(answers)
            if isinstance(found, BadImage):
                yield Square(id, None, str(found))
            else:
                pixels = found.pixels if isinstance(found, OddSquare) else found
                assert isinstance(pixels, np.ndarray)
                yield Square(id, pixels)


def decode_square(
    id: str,
    picture: Any,
    size: int,
    *,
    grey: bool = False,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange = FULL_RANGE,
    resizing: Resizing = Resizing(),  # noqa: B008  frozen
) -> Square:
    """The square of a PIL image or a uint8 array. Raises ImageError (I31) for what is no picture."""
    shape = (size, size, 1 if grey else 3)
    if isinstance(picture, np.ndarray) and picture.shape == shape and picture.dtype == np.uint8:
        return Square(id, picture)
    image = picture if isinstance(picture, Image.Image) else _as_image(picture)
    try:
        decoded = decode_picture(image, size, grey, max_pixels, pixel_range, resizing)
        return Square(id, np.asarray(decoded.picture).reshape(shape))
    except BadImage as problem:
        return Square(id, None, str(problem))


def _as_image(array: Any) -> Image.Image:
    """The array as a PIL image. Raises ImageError (I31) for anything but an image in uint8."""
    is_image = isinstance(array, np.ndarray) and array.dtype == np.uint8 and 0 not in array.shape
    if not is_image or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS):
        raise _no_image(array)
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[2:] == (1,) else array))


def _no_image(given: Any) -> ImageError:
    what = f"{type(given).__name__}"
    if isinstance(given, np.ndarray):
        what = f"array of shape {given.shape} and type {given.dtype}"
    return ImageError("I31", f"no image: {what}", do=EXPECTED)
