"""More than 8 bits a channel: by the declared depth, else by one range for all images, which is kept."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fewlabels.data.images.decode import FULL_RANGE, BadImage, decode, read_header
from fewlabels.data.images.pictures import open_pictures
from fewlabels.data.images.read import read_images
from fewlabels.errors import ConfigError, InputWarning
from tests.data.image_files import encoded, folder, noise

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 4096, (16, 16), dtype=np.uint16)
COLOUR = RNG.integers(0, 4096, (16, 16, 3), dtype=np.uint16)
OPAQUE = np.full((16, 16, 1), 65535, np.uint16)


def png(values: np.ndarray, kind: int) -> bytes:
    """A PNG of 16 bits; kind: 0 grey, 2 colour, 4 and 6 with alpha. Pillow writes none of colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, order: str = "<", **more: int) -> bytes:
    """An uncompressed TIFF of 16 bits. more: tags by number, such as t281=4095."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    data = values.astype(order + "u2").tobytes()
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 1 if channels == 1 else 2, 273: 8, 277: channels}
    tags |= {278: height, 279: len(data)} | {int(name[1:]): value for name, value in more.items()}
    at = 8 + len(data)
    bits = b""
    if channels > 1:
        bits, tags[258] = struct.pack(f"{order}{channels}H", *[16] * channels), at
        at += len(bits)
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, 4, 1, value)
        if tag != 258
        else struct.pack(f"{order}HHI", 258, 3, channels)
        + (struct.pack(f"{order}I", value) if channels > 1 else struct.pack(f"{order}HH", value, 0))
        for tag, value in sorted(tags.items())
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    return head + data + bits + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def scaled(values: np.ndarray, low: int, high: int) -> np.ndarray:
    return np.floor((values.astype(float) - low) / (high - low) * 255 + 0.5).astype(np.uint8)


FILES = {
    "grey PNG": (png(GREY, 0), GREY),
    "colour PNG": (png(COLOUR, 2), COLOUR),
    "grey PNG with alpha": (png(np.concatenate([GREY[..., None], OPAQUE], 2), 4), GREY),
    "colour PNG with alpha": (png(np.concatenate([COLOUR, OPAQUE], 2), 6), COLOUR),
    "grey TIFF": (tiff(GREY), GREY),
    "grey TIFF of a Macintosh": (tiff(GREY, ">"), GREY),
    "colour TIFF": (tiff(COLOUR), COLOUR),
    "colour TIFF of a Macintosh": (tiff(COLOUR, ">"), COLOUR),
    "packed TIFF": (encoded(Image.fromarray(GREY), "TIFF", compression="tiff_lzw"), GREY),
}


@pytest.mark.parametrize("name", FILES)
def test_all_bits_of_every_channel_count(name):
    content, values = FILES[name]
    header = read_header(content)
    assert header.deep == (values.min(), values.max())
    picture = decode(content, 16, header.grey, pixel_range=(0, 4095)).picture
    np.testing.assert_array_equal(np.asarray(picture), scaled(values, 0, 4095))


@pytest.mark.parametrize(
    "content",
    [
        tiff(GREY, t281=4095),
        encoded(Image.fromarray(GREY), "TIFF", description='<Pixels SignificantBits="12" Type="uint16"/>'),
        b"P5 16 16 4095\n" + GREY.astype(">u2").tobytes(),
    ],
    ids=["the largest sample of a TIFF", "OME", "PGM"],
)
def test_a_depth_that_the_file_declares_is_taken(content):
    assert read_header(content).deep is None
    np.testing.assert_array_equal(np.asarray(decode(content, 16, True).picture), scaled(GREY, 0, 4095))


def test_a_largest_sample_that_is_no_depth_just_occurs_and_says_nothing():
    assert read_header(tiff(GREY, t281=int(GREY.max()))).deep == (GREY.min(), GREY.max())


def test_white_may_be_zero():
    pixels = np.asarray(decode(tiff(GREY, t262=0), 16, True, pixel_range=(0, 4095)).picture)
    np.testing.assert_array_equal(pixels, 255 - scaled(GREY, 0, 4095))


def test_one_transparent_colour_of_16_bits_is_clear():
    content = png(COLOUR, 2)
    clear = struct.pack(">3H", *COLOUR[3, 4])
    chunk = struct.pack(">I", 6) + b"tRNS" + clear + struct.pack(">I", zlib.crc32(b"tRNS" + clear))
    pixels = np.asarray(decode(content[:33] + chunk + content[33:], 16, False, pixel_range=(0, 4095)).picture)
    np.testing.assert_array_equal(pixels[3, 4], [255] * 3)
    np.testing.assert_array_equal(pixels[0], scaled(COLOUR, 0, 4095)[0])


def test_colours_in_planes_of_16_bits_are_refused():
    planes = tiff(np.moveaxis(COLOUR, 2, 0).reshape(48, 16)[:16], t284=2, t277=3, t262=2)
    with pytest.raises(BadImage):
        read_header(planes)


def test_one_range_holds_for_all_images_and_is_told(tmp_path):
    ramp = np.linspace(0, 4000, 64).reshape(8, 8).astype(np.uint16)
    root = folder(tmp_path, {"a.png": encoded(ramp), "b.png": encoded(ramp // 4), "c.png": encoded(noise(8, 8))})
    with pytest.warns(InputWarning, match=r"FL-I51 2 images .* from 0 to 4,000: 0 becomes 0 and 4,000 becomes 255"):
        found = read_images(root)
    assert found.pixel_range == (0, 4000)
    assert found.pixels.max((1, 2, 3)).tolist()[:2] == [255, 64]
    np.testing.assert_array_equal(found.pixels[2], noise(8, 8))


def test_new_images_take_the_range_of_the_old_ones(tmp_path):
    ramp = np.linspace(0, 8000, 64).reshape(8, 8).astype(np.uint16)
    root = folder(tmp_path, {"a.png": encoded(ramp)})
    with pytest.warns(InputWarning, match=r"4,000 becomes 255 in all of them .*; what is outside of that is cut off"):
        found = read_images(root, pixel_range=(0, 4000))
    assert found.pixel_range == (0, 4000)
    assert (found.pixels[0, 4:] == 255).all()


def test_where_more_than_half_of_16_bits_is_used_it_is_all_of_them_as_ever(tmp_path):
    ramp = np.linspace(100, 40_000, 64).reshape(8, 8).astype(np.uint16)
    found = read_images(folder(tmp_path, {"a.png": encoded(ramp)}))  # and no warning
    assert found.pixel_range == FULL_RANGE
    np.testing.assert_array_equal(found.pixels[0, ..., 0], (ramp.astype(int) + 128) // 257)


def test_images_that_use_little_of_the_range_are_named(tmp_path):
    ramp = np.linspace(0, 65_535, 64).reshape(8, 8).astype(np.uint16)
    root = folder(tmp_path, {"all.png": encoded(ramp), "ten bits.png": encoded(ramp // 64)})
    with pytest.warns(InputWarning, match=r"FL-I51 .* little is left of those .*: 1 such row \(ten bits\.png\)"):
        read_images(root)


@pytest.mark.parametrize("asked", [(5, 5), (10, 2), (-1, 5), (0, 70_000), (0.5, 3)])
def test_a_range_that_is_none_is_refused(tmp_path, asked):
    with pytest.raises(ConfigError, match="FL-C20"):
        read_images(folder(tmp_path, {"a.png": encoded(noise(8, 8))}), pixel_range=asked)


def test_a_review_shows_images_in_the_range_of_their_run(tmp_path):
    ramp = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    root = folder(tmp_path, {"a.png": encoded(ramp)})
    brightest = []
    for facts in ({}, {"pixel_range": [0, 4095]}):
        found = open_pictures({"kind": "images", "path": str(root)} | facts, ["a.png"])
        brightest.append(np.asarray(Image.open(io.BytesIO(found.png(0)))).max())
        found.close()
    assert brightest == [16, 255]
