"""One image file to a square picture: every step is defined, and whatever goes wrong is a reason, not a crash.

NumPy is imported where it is needed only: most processes that decode (decode_worker.py) start in half the time.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import TiffImagePlugin as _tiff  # noqa: F401  else Pillow loads all its kinds to find these two
from PIL import WebPImagePlugin as _webp  # noqa: F401

if TYPE_CHECKING:
    import numpy as np

# Pillow knows more than forty kinds; most of its security holes are in the ones left out.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 64_000_000  # of an image, unless somebody says another number: a few kB can claim to be any size
MIN_SIDE = 2
MAX_ASPECT = 100
# Bilinear averages over all pixels when shrinking (no aliasing), and unlike Lanczos or bicubic adds no bright or dark
# rims around edges. It is also what most published classifiers were trained with.
RESAMPLING = Image.Resampling.BILINEAR
SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")
PHOTO = "MPO"  # a JPEG with its preview
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
GREY = ("1", "L", "LA", "La", *SIXTEEN_BIT)
COLOURED = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")

ImageFile = str | bytes | None  # its path; or its content, None where a table has no bytes


class BadImage(Exception):
    """An image that cannot be used; its text says why."""


@dataclass(frozen=True)
class Header:
    """What an image's header says about its pixels. more: there are frames or pages after the first, which counts.

    kind: of FORMATS, by content.
    """

    width: int
    height: int
    grey: bool
    more: bool
    kind: str


def allow_pixels(max_pixels: int) -> None:
    """In this process images may have so many pixels: Pillow has a limit of its own, which is raised to that."""
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)


def read_header(file: ImageFile, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and kind of an image, without decoding its pixels. Raises BadImage."""
    with _open_image(file, max_pixels) as image:
        kind = "JPEG" if image.format == PHOTO else str(image.format)
        return Header(*image.size, image.mode in GREY, _has_more(image), kind)


def decode(file: ImageFile, size: int, grey: bool, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The centred square of the upright first frame, size x size, mode L if grey else RGB. Raises BadImage.

    16 bits are scaled to 8, transparency becomes white, CMYK and palettes become RGB.
    """
    with _open_image(file, max_pixels) as image:
        image.load()  # all of it: a file cut in half fails only here
        picture = _to_eight_bit(_turn_upright(image)).convert("L" if grey else "RGB")
        return picture if picture.size == (size, size) else ImageOps.fit(picture, (size, size), method=RESAMPLING)


def add_jpeg_end(file: ImageFile) -> bytes:
    """A JPEG with an end put to it: so one that is cut off can be decoded, and what is missing becomes grey.

    Pillow's own switch for that would hold for every image of the process. Raises BadImage for other kinds of files.
    """
    try:
        with _open_bytes(file) as opened:
            content = opened.read()
    except OSError as problem:
        raise BadImage(problem.strerror or str(problem)) from problem
    if not content.startswith(JPEG_START):
        raise BadImage("no JPEG")
    return content + JPEG_END


def small_png(file: ImageFile, longest: int, max_pixels: int = MAX_PIXELS) -> bytes:
    """The whole image, upright, as a PNG with no side longer than `longest`; never enlarged. Raises BadImage.

    Made of pixels alone: no profile, note or other byte of the file is in it.
    """
    with _open_image(file, max_pixels) as image:
        image.draft(None, (longest, longest))  # JPEG: decodes an eighth, a quarter or a half, where that is enough
        image.load()
        picture = _to_eight_bit(_turn_upright(image))
        picture = picture.convert("L" if picture.mode in GREY else "RGB")
        picture.thumbnail((longest, longest), RESAMPLING)
        return _write_png(picture)


def png(pixels: np.ndarray) -> bytes:
    """(h, w), (h, w, 1) or (h, w, 3) uint8 as a PNG file."""
    return _write_png(Image.fromarray(pixels.squeeze(2) if pixels.shape[2:] == (1,) else pixels))


def _write_png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.info.clear()  # or the file's colour profile and notes would be written again
    picture.save(out, "PNG")
    return out.getvalue()


@contextmanager
def _open_image(source: ImageFile, max_pixels: int) -> Iterator[Image.Image]:
    """The image, its header checked. All that goes wrong inside the block becomes BadImage.

    Warnings are silenced: Pillow warns about odd EXIF and TIFF tags, which do not matter for the pixels, and about
    sizes, which are checked here.
    """
    try:
        with warnings.catch_warnings(), _open_bytes(source) as file:
            warnings.simplefilter("ignore")
            _check_start(file)
            with Image.open(file, formats=FORMATS) as image:
                _check_header(image, max_pixels)
                yield image
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError as problem:  # its own words hold a memory address instead of a name
        raise BadImage("not an image, or damaged at its start; read are JPEG, PNG, WebP, BMP, GIF, TIFF") from problem
    except Image.DecompressionBombError as problem:
        raise BadImage(f"more than {max_pixels:,} pixels (--max-pixels)") from problem
    except OSError as problem:
        reason = problem.strerror or str(problem)
        hint = " (of a JPEG, --accept-truncated uses the rest)" if "truncated" in reason else ""
        raise BadImage(reason + hint) from problem
    except Exception as problem:  # decoders of damaged files raise nearly anything
        raise BadImage(f"{type(problem).__name__}: {problem}") from problem


def _open_bytes(source: ImageFile) -> BinaryIO:
    """A regular file, opened without following a link and without waiting for the other end of a FIFO; or its bytes."""
    if source is None:
        raise BadImage("no image bytes (null)")
    if isinstance(source, bytes):
        return io.BytesIO(source)
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(source, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadImage("not a regular file")
    return os.fdopen(descriptor, "rb")


def _check_start(file: BinaryIO) -> None:
    start = file.read(16)
    if not start:
        raise BadImage("an empty file (0 bytes)")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise BadImage("HTML, SVG or XML text, not an image")
    file.seek(0)


def _check_header(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} is more than {max_pixels:,} pixels (--max-pixels)")
    if min(width, height) < MIN_SIDE:
        raise BadImage(f"{width} x {height} pixels; both sides need at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise BadImage(f"{width} x {height} pixels; one side is more than {MAX_ASPECT} times the other")
    if image.mode not in GREY + COLOURED:
        raise BadImage(f"pixels of mode {image.mode!r} (such as floating point) have no defined grey value")


def _has_more(image: Image.Image) -> bool:
    if image.format == PHOTO:
        return False
    try:
        image.seek(1)
    except EOFError:
        return False
    except Exception:  # noqa: BLE001  damaged, and not the frame that counts
        return True
    return True


def _turn_upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; as it is where the EXIF data is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  a damaged note about a photo does not make the photo unreadable
        return image


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """The image as L or RGB, or another 8-bit mode that Pillow turns into RGB without a choice to make."""
    if image.mode in SIXTEEN_BIT:
        return _scaled(image)
    if image.mode in ("LA", "La") or (image.mode == "L" and image.has_transparency_data):
        image = image.convert("LA")
        white = Image.new("L", image.size, 255)
        white.paste(image.getchannel("L"), mask=image.getchannel("A"))
        return white
    if image.has_transparency_data and image.mode != "1":
        image = image if image.mode == "RGBA" else image.convert("RGBA")  # which copies: 256 MB of the largest
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image


def _scaled(image: Image.Image) -> Image.Image:
    """0..65535 to 0..255, rounded: Pillow's own conversion would cut all above 255 to white."""
    import numpy as np

    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise BadImage(f"whole numbers from {values.min()} to {values.max()}; expected 0 to 65535")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
