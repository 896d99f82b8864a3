"""What single image files become, and why some are refused."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from fewlabels.data.images.decode import BadImage, decode, read_header
from tests.data.image_files import cut_in_half, encoded, noise, png_claiming, solid


def decoded(content: bytes, size: int = 8) -> np.ndarray:
    grey = read_header(content).grey
    return np.asarray(decode(content, size, grey).picture).reshape(size, size, -1)


def palette_with_transparency() -> bytes:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (4, 0, 8, 8))
    return encoded(image, transparency=0)


def huge_text() -> PngImagePlugin.PngInfo:
    """A text of 64 MiB that takes 64 kB in the file."""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * (64 << 20), zip=True)
    return info


def half_transparent(mode: str, color: tuple[int, ...]) -> bytes:
    return encoded(solid(color, mode))


SIXTEEN_BIT = Image.fromarray(np.full((8, 8), 257 * 100, np.uint16))


@pytest.mark.parametrize(
    ("case", "content", "pixel"),
    [
        ("grey", encoded(solid(77, "L")), [77]),
        ("1 bit", encoded(solid(1, "1")), [255]),
        ("16 bit", encoded(SIXTEEN_BIT), [100]),
        ("16 bit TIFF", encoded(SIXTEEN_BIT, "TIFF"), [100]),
        ("16 bit rounds", encoded(Image.fromarray(np.full((8, 8), 257 * 9 + 129, np.uint16))), [10]),
        ("32 bit", encoded(Image.fromarray(np.full((8, 8), 65535, np.int32)), "TIFF"), [255]),
        ("palette", encoded(solid((10, 20, 30)).quantize(2)), [10, 20, 30]),
        ("transparent palette", palette_with_transparency(), [255, 255, 255]),
        ("clear throughout", half_transparent("RGBA", (9, 9, 9, 0)), [9, 9, 9]),
        ("half clear", half_transparent("RGBA", (0, 0, 0, 128)), [127, 127, 127]),
        ("half clear grey", half_transparent("LA", (0, 128)), [127]),
        ("the only colour is transparent", encoded(solid((1, 2, 3)), transparency=(1, 2, 3)), [1, 2, 3]),
        ("the only grey is transparent", encoded(solid(5, "L"), transparency=5), [5]),
        ("CMYK", encoded(solid((0, 255, 255, 0), "CMYK"), "JPEG", quality=100), [255, 0, 0]),
        ("CMYK TIFF", encoded(solid((0, 255, 255, 0), "CMYK"), "TIFF"), [255, 0, 0]),
        ("YCbCr", encoded(solid((255, 128, 128), "YCbCr"), "TIFF"), [255, 255, 255]),
        ("WebP", encoded(solid((10, 20, 30)), "WEBP", lossless=True), [10, 20, 30]),
        ("BMP", encoded(solid((10, 20, 30)), "BMP"), [10, 20, 30]),
        ("PPM", encoded(solid((10, 20, 30)), "PPM"), [10, 20, 30]),
        ("PGM of 10 bits", b"P5 4 4 1023\n" + np.full(16, 1023, ">u2").tobytes(), [255]),
        ("text PGM", b"P2\n# a comment\n2 2\n10\n10 0 0 0\n", [255]),
    ],
)
def test_each_kind_of_pixel_has_a_defined_meaning(case, content, pixel):
    pixels = decoded(content)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[0, 0], pixel)


def test_the_opaque_part_of_a_palette_keeps_its_colour():
    np.testing.assert_array_equal(decoded(palette_with_transparency())[0, 7], [0, 0, 255])


def test_pixels_of_the_right_size_are_not_touched():
    np.testing.assert_array_equal(decoded(encoded(noise()), 32), noise())


@pytest.mark.parametrize("shape", [(16, 32), (32, 16)])
def test_the_centred_square_is_kept(shape):
    pixels = np.zeros((*shape, 3), np.uint8)
    top, left = (shape[0] - 16) // 2, (shape[1] - 16) // 2
    pixels[top : top + 16, left : left + 16] = noise(16, 16)
    np.testing.assert_array_equal(decoded(encoded(pixels), 16), noise(16, 16))


def test_shrinking_averages_instead_of_picking_pixels():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = decoded(encoded(stripes), 8)[:, 1:-1]
    assert abs(inner.astype(int) - 127).max() < 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation):
    picture = Image.fromarray(noise(16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(picture, "PNG", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(decoded(content, 16), np.asarray(upright))
    assert (orientation == 1) == np.array_equal(decoded(content, 16), noise(16, 16))


def test_a_turned_jpeg_has_its_left_on_top():
    picture = Image.new("RGB", (16, 16), "white")
    picture.paste("black", (0, 0, 8, 16))  # left half black; orientation 6: turn right
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = decoded(encoded(picture, "JPEG", exif=exif, quality=95), 16)
    assert pixels[:6].max() < 30
    assert pixels[10:].min() > 220


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_counts(kind):
    frames = [solid("black"), solid("white")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert decoded(content).max() < 5


def test_the_content_decides_and_not_the_name():
    assert decoded(encoded(solid((1, 2, 3)), "BMP")).tolist()[0][0] == [1, 2, 3]


@pytest.mark.parametrize(
    ("case", "content", "reason"),
    [
        ("I1", cut_in_half("JPEG"), "truncated"),
        ("I1", cut_in_half("PNG"), "truncated"),
        ("I2", encoded(noise(), "JPEG")[:-2], "truncated"),
        ("I3", b"", "an empty file (0 bytes)"),
        ("I3", b"\r\n<!DOCTYPE html><title>404</title>", "HTML, SVG or XML text"),
        ("I3", b"plain text", "not an image"),
        ("I4", png_claiming(20_000, 20_000), "more than 64,000,000 pixels"),
        ("I5", png_claiming(12_000, 12_000), "12000 x 12000 is more than 64,000,000 pixels"),
        ("I5", png_claiming(8_001, 8_000), "8001 x 8000 is more than 64,000,000 pixels"),
        ("I6", encoded(solid(0, "L", (1, 1))), "1 x 1 pixels; both sides need at least 2"),
        ("I6", encoded(solid(0, "L", (3, 400))), "one side is more than 100 times the other"),
        ("I6", encoded(solid(0, "L", (1, 20_000))), "both sides need at least 2"),
        ("I8", encoded(Image.new("F", (8, 8)), "TIFF"), "mode 'F'"),
        ("I8", encoded(Image.fromarray(np.full((8, 8), 70_000, np.int32)), "TIFF"), "expected 0 to 65535"),
        ("I8", encoded(Image.new("LAB", (8, 8)), "TIFF"), "mode 'LAB'"),
        ("I11", encoded(solid(0), "EPS"), "not an image"),
        ("I11", encoded(solid(0), "PDF"), "not an image"),
        ("I13", encoded(solid(0), pnginfo=huge_text()), "ValueError"),
        ("I12", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "HTML, SVG or XML text"),
    ],
)
def test_refuses_an_image_with_the_reason(case, content, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadImage) as caught:
            decoded(content)
    assert reason in str(caught.value)
    assert " at 0x" not in str(caught.value)


def test_a_file_without_permission_is_refused_with_the_systems_words(monkeypatch):
    def refusing(path, flags):  # as the file's mode would; but tests may run as root, who may read everything
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(BadImage, match=r"^Permission denied$"):
        read_header("a.png")


def test_an_image_cut_in_half_has_a_good_header():
    assert read_header(cut_in_half()).width == 64


def test_every_cut_of_a_file_is_a_reason_and_never_a_crash():
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        content = encoded(noise(), kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
        for length in np.linspace(1, len(content) - 40, 25).astype(int):
            with pytest.raises(BadImage):
                decoded(content[:length])


def test_flipped_bytes_give_pixels_or_a_reason():
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        good = np.frombuffer(encoded(noise(), kind), np.uint8)
        for _ in range(60):
            content = good.copy()
            content[rng.integers(0, min(400, len(good)), 4)] = rng.integers(0, 256, 4)
            with contextlib.suppress(BadImage):
                assert decoded(content.tobytes()).shape[:2] == (8, 8)


def test_damaged_exif_neither_warns_nor_stops():
    content = encoded(noise(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0\xff\xff\xff\xff\x06")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoded(content).shape == (8, 8, 3)
