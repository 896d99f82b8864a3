"""One image file to a square picture: every step is defined, and whatever goes wrong is a reason, not a crash.

NumPy is imported where it is needed only: most processes that decode (decode_worker.py) start in half the time.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from PIL import Image, ImageOps, ImageStat, UnidentifiedImageError
from PIL import TiffImagePlugin as _tiff  # noqa: F401  else Pillow loads all its kinds to find these two
from PIL import WebPImagePlugin as _webp  # noqa: F401
from PIL.ImageFile import ImageFile as OpenedFile

from .kinds import HEAD, READ, image_kind

if TYPE_CHECKING:
    import numpy as np

MAX_PIXELS = 64_000_000  # of an image, unless somebody says another number: a few kB can claim to be any size
MIN_SIDE = 2
MAX_ASPECT = 100
# Bilinear averages over all pixels when shrinking (no aliasing), and unlike Lanczos or bicubic adds no bright or dark
# rims around edges. It is also what most published classifiers were trained with.
RESAMPLING = Image.Resampling.BILINEAR
SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")
SIXTEEN_BIT_COLOUR = re.compile("(RGB|RGBA|RGBX|LA);16([BLN])")  # of which Pillow keeps the upper byte alone
SIGNIFICANT_BITS = re.compile(r'SignificantBits="(9|1[0-6])"')  # in the description of an OME-TIFF
BITS, PHOTOMETRIC, DESCRIPTION, MAX_VALUE, PLANAR = 258, 262, 270, 281, 284  # tags of a TIFF
WHITE_IS_ZERO, IN_PLANES = 0, 2
FULL_RANGE = (0, 65535)
PHOTO = "MPO"  # a JPEG with its preview
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
GREY = ("1", "L", "LA", "La", *SIXTEEN_BIT)
COLOURED = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")
MOST_CLEAR = 8  # of 255: alpha of what nobody sees
LEAST_DEVIATION = 4.0  # of 255: what has less is seen as an empty square

ImageFile = str | bytes | None  # its path; or its content, None where a table has no bytes
PixelRange = tuple[int, int]  # of values of more than 8 bits: what becomes 0 and what becomes 255
DRAFT = 2  # times the side of the square: what a draft leaves at least, so that resizing still averages


class Resizing(NamedTuple):
    """How a photo becomes a square.

    draft: of a JPEG decode an eighth, a quarter or a half, if that leaves DRAFT times the square: several times faster,
        and nearly the same pixels (docs/describe.md). method: number of Pillow's Resampling.
    """

    draft: bool = False
    method: int = RESAMPLING


class BadImage(Exception):
    """An image that cannot be used; its text says why."""


@dataclass(frozen=True)
class Header:
    """What an image's header says about its pixels. more: there are frames or pages after the first, which counts.

    kind: of kinds.py, by content. deep: lowest and highest value where pixels have more than 8 bits, and the file does
    not say how many of them are used; None for all others.
    """

    width: int
    height: int
    grey: bool
    more: bool
    kind: str
    deep: PixelRange | None = None


class Decoded(NamedTuple):
    """An upright image in L or RGB, and what was odd about it: a code of read.ODD, or nothing."""

    picture: Image.Image
    oddity: str = ""


def allow_pixels(max_pixels: int) -> None:
    """In this process images may have so many pixels: Pillow has a limit of its own, which is raised to that."""
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)


def read_header(file: ImageFile, max_pixels: int = MAX_PIXELS) -> Header:
    """Size and kind of an image, without decoding its pixels. Raises BadImage."""
    with _open_image(file, max_pixels) as image:
        kind = "JPEG" if image.format == PHOTO else str(image.format)
        size, grey, deep = image.size, _is_grey(image), None
        if _is_deep(image) and _declared_highest(image) is None:
            values, _ = _read_deep(image, file, max_pixels)
            deep = int(values.min()), int(values.max())
        return Header(*size, grey, _has_more(image), kind, deep)


def decode(
    file: ImageFile,
    size: int,
    grey: bool,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange = FULL_RANGE,
    resizing: Resizing = Resizing(),  # noqa: B008  frozen
) -> Decoded:
    """The centred square of the upright first frame, size x size, mode L if grey else RGB. Raises BadImage.

    Pixels of more than 8 bits are scaled by the depth that the file declares, else by pixel_range. Transparency becomes
    white (I48 where nothing would be left on it), CMYK and palettes become RGB.
    """
    with _open_image(file, max_pixels) as image:
        if resizing.draft:
            image.draft(None, (DRAFT * size, DRAFT * size))  # nothing happens to other kinds than JPEG
        return _cut_square(_read_picture(image, file, max_pixels, pixel_range), size, grey, resizing)


def decode_picture(
    image: Image.Image,
    size: int,
    grey: bool,
    max_pixels: int = MAX_PIXELS,
    pixel_range: PixelRange = FULL_RANGE,
    resizing: Resizing = Resizing(),  # noqa: B008  frozen
) -> Decoded:
    """`decode` of an image that Pillow holds already, which stays as it is. Raises BadImage."""
    with _name_reasons(max_pixels):
        _check_header(image, max_pixels)
        return _cut_square(_read_picture(image.copy(), None, max_pixels, pixel_range), size, grey, resizing)


def _cut_square(decoded: Decoded, size: int, grey: bool, resizing: Resizing) -> Decoded:
    picture = decoded.picture.convert("L" if grey else "RGB")
    square = picture if picture.size == (size, size) else ImageOps.fit(picture, (size, size), method=resizing.method)
    return Decoded(square, decoded.oddity)


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


def small_png(
    file: ImageFile, longest: int, max_pixels: int = MAX_PIXELS, pixel_range: PixelRange = FULL_RANGE
) -> bytes:
    """The whole image, upright, as a PNG with no side longer than `longest`; never enlarged. Raises BadImage.

    Made of pixels alone: no profile, note or other byte of the file is in it.
    """
    with _open_image(file, max_pixels) as image:
        image.draft(None, (longest, longest))  # JPEG: decodes an eighth, a quarter or a half, where that is enough
        picture, _ = _read_picture(image, file, max_pixels, pixel_range)
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


NO_IMAGE = f"not an image, or damaged at its start; read are {READ}"


@contextmanager
def _open_image(source: ImageFile, max_pixels: int) -> Iterator[Image.Image]:
    """The image, its header checked. All that goes wrong inside the block becomes BadImage."""
    with _name_reasons(max_pixels), _open_bytes(source) as file:
        kind = _check_start(file)
        with Image.open(file, formats=[kind]) as image:
            _check_header(image, max_pixels)
            yield image


@contextmanager
def _name_reasons(max_pixels: int) -> Iterator[None]:
    """All that goes wrong inside the block becomes BadImage, with the reason.

    Warnings are silenced: Pillow warns about odd EXIF and TIFF tags, which do not matter for the pixels, and about
    sizes, which are checked here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError as problem:  # its own words hold a memory address instead of a name
        raise BadImage(NO_IMAGE) from problem
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


def _check_start(file: BinaryIO) -> str:
    """The kind of image, by the first bytes of a file; what reads that kind is there afterwards. Raises BadImage."""
    start = file.read(HEAD)
    if not start:
        raise BadImage("an empty file (0 bytes)")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise BadImage("HTML, SVG or XML text, not an image")
    file.seek(0)
    kind = image_kind(start)
    if kind is None:
        raise BadImage(NO_IMAGE)
    if kind == "AVIF":
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # there is a process for each core already
    elif kind == "HEIF":
        _load_heif()
    return kind


def _load_heif() -> None:
    """Let Pillow read HEIC. Raises BadImage where no package for it is installed."""
    packages = ("pillow_heif", "pi_heif")  # the second is the same without an encoder: docs/reliability.md
    found = next((name for name in packages if find_spec(name) is not None), None)
    if found is None:
        from ...errors import install_command  # few photos need it, and it takes time to import

        raise BadImage(f"a HEIC image; to read it, {install_command('heic')}, or save it as JPEG")
    heif = import_module(found)
    heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def _check_header(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} is more than {max_pixels:,} pixels (--max-pixels)")
    if min(width, height) < MIN_SIDE:
        raise BadImage(f"{width} x {height} pixels; both sides need at least {MIN_SIDE}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise BadImage(f"{width} x {height} pixels; one side is more than {MAX_ASPECT} times the other")
    tags = getattr(image, "tag_v2", {})
    if tags.get(PLANAR) == IN_PLANES and len(image.getbands()) > 1 and max(tags.get(BITS, (8,)), default=8) > 8:
        raise BadImage("a TIFF of more than 8 bits with one colour after the other; save it with interleaved channels")
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


def _is_grey(image: Image.Image) -> bool:
    return image.mode in GREY or _raw_mode(image).startswith("LA;16")


def _read_picture(image: Image.Image, file: ImageFile, max_pixels: int, pixel_range: PixelRange) -> Decoded:
    """The whole image, upright and opaque, in a mode of 8 bits that Pillow turns into RGB without a choice to make."""
    if not _is_deep(image):
        image.load()  # all of it: a file cut in half fails only here
        return _make_opaque(_turn_upright(image))
    highest, tags = _declared_highest(image), getattr(image, "tag_v2", {})
    values, alpha = _read_deep(image, file, max_pixels)
    picture = Image.fromarray(_scale(values, pixel_range if highest is None else (0, highest)))
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and picture.mode == "L":
        picture = ImageOps.invert(picture)
    if alpha is not None:
        picture.putalpha(Image.fromarray(alpha))
    return _make_opaque(picture)


def _make_opaque(image: Image.Image) -> Decoded:
    """The image on white; on black where white would leave an empty square; as if opaque where all of it is clear."""
    if image.mode in ("LA", "La") or (image.mode == "L" and image.has_transparency_data):
        image = image.convert("LA")
        colours, ground = image.getchannel("L"), "L"
    elif image.has_transparency_data and image.mode != "1":
        image = image if image.mode == "RGBA" else image.convert("RGBA")  # which copies: 256 MB of the largest
        colours, ground = image, "RGB"
    else:
        return Decoded(image)
    alpha = image.getchannel("A")
    lowest, highest = (int(value) for value in alpha.getextrema())  # type: ignore[arg-type]  # of one channel
    if highest <= MOST_CLEAR:
        return Decoded(colours.convert(ground), "I48")
    white = _lay_on(colours, alpha, Image.new(ground, image.size, "white"))
    if lowest == highest or _deviation(white) >= LEAST_DEVIATION:
        return Decoded(white)
    black = _lay_on(colours, alpha, Image.new(ground, image.size, "black"))
    return Decoded(black, "I48") if _deviation(black) > _deviation(white) else Decoded(white)


def _lay_on(colours: Image.Image, alpha: Image.Image, ground: Image.Image) -> Image.Image:
    ground.paste(colours, mask=alpha)
    return ground


def _deviation(image: Image.Image) -> float:
    """The largest standard deviation of a channel."""
    return max(ImageStat.Stat(image).stddev)


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words, such as "RGB;16B"; "" where Pillow does not say."""
    args = next((tile.args for tile in getattr(image, "tile", ())), "")
    return str(args[0] if isinstance(args, tuple) and args else args)


def _is_deep(image: Image.Image) -> bool:
    """Whether the pixels have more than 8 bits a channel."""
    return image.mode in SIXTEEN_BIT or SIXTEEN_BIT_COLOUR.fullmatch(_raw_mode(image)) is not None


def _declared_highest(image: Image.Image) -> int | None:
    """The largest value that a pixel of more than 8 bits may have, where the file says so."""
    if image.format in ("PPM", "HEIF"):
        return FULL_RANGE[1]  # Pillow or its plugin has scaled to this by the file's own depth
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    bits = max(tags.get(BITS, (16,)), default=16)
    most = tags.get(MAX_VALUE, (0,))  # which some programs set to what just occurs: only depths are believed
    most = most[0] if isinstance(most, tuple) and most else most
    if 8 < bits < 16:
        return int((1 << bits) - 1)
    if found := SIGNIFICANT_BITS.search(str(tags.get(DESCRIPTION, ""))):
        return int((1 << int(found[1])) - 1)
    return int(most) if most in [(1 << depth) - 1 for depth in range(9, 16)] else None


def _read_deep(image: Image.Image, file: ImageFile, max_pixels: int) -> tuple[np.ndarray, np.ndarray | None]:
    """(h, w) or (h, w, 3) uint16, upright, and (h, w) uint8 alpha where there is one. Raises BadImage.

    Pillow has no colours of 16 bits: it keeps the upper byte of each. The lower one comes from opening the file again
    and telling Pillow that its bytes lie the other way round.
    """
    import numpy as np

    raw, transparent = _raw_mode(image), image.info.get("transparency")
    if image.mode in SIXTEEN_BIT:
        image.load()
        values = np.asarray(_turn_upright(image))
        if values.min() < 0 or values.max() > FULL_RANGE[1]:
            raise BadImage(f"whole numbers from {values.min()} to {values.max()}; expected 0 to 65535")
        values = values.astype(np.uint16)
        alpha = None
    elif raw.startswith("LA"):
        _take_as(image, "RGBA")  # upper and lower byte of grey, then of alpha
        pairs = np.asarray(_turn_upright(image))
        values, alpha = (pairs[..., 0].astype(np.uint16) << 8) + pairs[..., 1], pairs[..., 2]
    else:
        image.load()
        upper = np.asarray(_turn_upright(image))
        with _open_image(file, max_pixels) as again:
            other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}[raw[-1]]
            _take_as(again, raw[:-1] + other)
            lower = np.asarray(_turn_upright(again))
        values = (upper[..., :3].astype(np.uint16) << 8) + lower[..., :3]
        alpha = upper[..., 3] if upper.shape[2] == 4 else None
    if alpha is None and isinstance(transparent, int | tuple):
        same = values == np.array(transparent, np.int64)
        alpha = np.where(same if values.ndim == 2 else same.all(axis=2), 0, 255).astype(np.uint8)
    return values, alpha


def _take_as(image: Image.Image, raw: str) -> None:
    """Decode the pixels as if they lay so in the file."""
    assert isinstance(image, OpenedFile)
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]
    image.load()


def _scale(values: np.ndarray, pixel_range: PixelRange) -> np.ndarray:
    """uint16 as uint8, rounded: the ends of the range become 0 and 255, and what is outside of it, too."""
    import numpy as np

    low, high = pixel_range
    inside = np.clip(np.arange(1 << 16), low, high) - low
    table = ((inside * 510 + (high - low)) // (2 * (high - low))).astype(np.uint8)
    scaled = np.empty(values.shape, np.uint8)
    for begin in range(0, len(values), 256):  # NumPy makes 8 bytes of each index
        scaled[begin : begin + 256] = table[values[begin : begin + 256]]
    return scaled
