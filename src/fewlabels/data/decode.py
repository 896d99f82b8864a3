"""One image file to a square uint8 array: every step is defined, and whatever goes wrong is a reason, not a crash."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Pillow knows more than forty kinds; most of its security holes are in the ones left out.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 64_000_000
MIN_SIDE = 2
MAX_ASPECT = 100
# Bilinear averages over all pixels when shrinking (no aliasing), and unlike Lanczos or bicubic adds no bright or dark
# rims around edges. It is also what most published classifiers were trained with.
RESAMPLING = Image.Resampling.BILINEAR
SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")
GREY = ("1", "L", "LA", "La", *SIXTEEN_BIT)
COLOURED = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")

OpenFile = Callable[[], BinaryIO]


class BadImage(Exception):
    """An image that cannot be used; its text says why."""


@dataclass(frozen=True)
class Header:
    """What an image's header says about its pixels."""

    width: int
    height: int
    grey: bool


def read_header(open_file: OpenFile) -> Header:
    """Size and kind of an image, without decoding its pixels. Raises BadImage."""
    with _opened(open_file) as image:
        return Header(*image.size, image.mode in GREY)


def decode(open_file: OpenFile, size: int, grey: bool) -> np.ndarray:
    """(size, size, 1 if grey else 3) uint8: the centred square of the upright first frame. Raises BadImage.

    16 bits are scaled to 8, transparency becomes white, CMYK and palettes become RGB.
    """
    with _opened(open_file) as image:
        image.load()  # all of it: a file cut in half fails only here
        picture = _eight_bit(_upright(image)).convert("L" if grey else "RGB")
        if picture.size != (size, size):
            picture = ImageOps.fit(picture, (size, size), method=RESAMPLING)
        return np.asarray(picture).reshape(size, size, -1)


@contextmanager
def _opened(open_file: OpenFile) -> Iterator[Image.Image]:
    """The image, its header checked. All that goes wrong inside the block becomes BadImage.

    Warnings are silenced: Pillow warns about odd EXIF and TIFF tags, which do not matter for the pixels, and about
    sizes, which are checked here.
    """
    try:
        with warnings.catch_warnings(), open_file() as file:
            warnings.simplefilter("ignore")
            _check_start(file)
            with Image.open(file, formats=FORMATS) as image:
                _check_header(image)
                yield image
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError as problem:  # its own words hold a memory address instead of a name
        raise BadImage("not an image, or damaged at its start; read are JPEG, PNG, WebP, BMP, GIF, TIFF") from problem
    except Image.DecompressionBombError as problem:
        raise BadImage(f"more than {MAX_PIXELS:,} pixels") from problem
    except OSError as problem:
        raise BadImage(problem.strerror or str(problem)) from problem
    except Exception as problem:  # decoders of damaged files raise nearly anything
        raise BadImage(f"{type(problem).__name__}: {problem}") from problem


def _check_start(file: BinaryIO) -> None:
    start = file.read(16)
    if not start:
        raise BadImage("an empty file (0 bytes)")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise BadImage("HTML, SVG or XML text, not an image")
    file.seek(0)


def _check_header(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width} x {height} is more than {MAX_PIXELS:,} pixels")
    if min(width, height) < MIN_SIDE:
        raise BadImage(f"{width} x {height} pixels; both sides need at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise BadImage(f"{width} x {height} pixels; one side is more than {MAX_ASPECT} times the other")
    if image.mode not in GREY + COLOURED:
        raise BadImage(f"pixels of mode {image.mode!r} (such as floating point) have no defined grey value")


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; as it is where the EXIF data is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  a damaged note about a photo does not make the photo unreadable
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image as L or RGB, or another 8-bit mode that Pillow turns into RGB without a choice to make."""
    if image.mode in SIXTEEN_BIT:
        return _scaled(np.asarray(image))
    if image.mode in ("LA", "La") or (image.mode == "L" and image.has_transparency_data):
        image = image.convert("LA")
        white = Image.new("L", image.size, 255)
        white.paste(image.getchannel("L"), mask=image.getchannel("A"))
        return white
    if image.has_transparency_data and image.mode != "1":
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image


def _scaled(values: np.ndarray) -> Image.Image:
    """0..65535 to 0..255, rounded: Pillow's own conversion would cut all above 255 to white."""
    if values.min() < 0 or values.max() > 65535:
        raise BadImage(f"whole numbers from {values.min()} to {values.max()}; expected 0 to 65535")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
