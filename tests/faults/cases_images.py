"""I: single images. What is wrong with one is a reason in `rejected`, and rejected.csv."""

import csv
import io
import json
import re
import sys
import time
import tomllib
from contextlib import closing
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from fewlabels.data.images import decode, decoders, kinds
from fewlabels.data.images.pictures import open_pictures
from fewlabels.data.images.read import read_images
from fewlabels.errors import install_command
from tests.data.image_files import cut_in_half, encoded, noise, png_claiming, solid
from tests.faults.catalogue import Family, notes

CASES = cases = Family()
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
WORKER = Path(__file__).parents[1] / "data" / "faulty_worker.py"
GOOD = encoded(noise(8, 8))
SIXTEEN_BIT = Image.fromarray(np.full((8, 8), 257 * 100, np.uint16))
SIXTEEN_BIT.putpixel((7, 7), 65535)
SIXTEEN_BIT.putpixel((7, 6), 0)
WHITE_ON_CLEAR = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
WHITE_ON_CLEAR.paste((255, 255, 255, 255), (2, 2, 6, 6))
JPEG_2000 = b"\0\0\0\x0cjP  \r\n\x87\n"
CLEAR = Image.merge("RGBA", [*Image.fromarray(noise(8, 8)).split(), solid(0, "L")])
DICOM = bytes(128) + b"DICM"
PALETTE = Image.new("P", (8, 8), 0)
PALETTE.putpalette([1, 2, 3, 0, 0, 255])
PALETTE.paste(1, (4, 4, 8, 8))


def album(work, files=(), root="photos"):
    """A folder of two good images and these files."""
    for name, content in ({"good 1.png": GOOD, "good 2.png": encoded(noise(8, 8, seed=1))} | dict(files)).items():
        work.write(f"{root}/{name}", content)
    return root


def read(work, files=(), **options):
    return work.call(lambda: read_images(album(work, files), image_size=8, **options))


def rejects(work, content, reason, name="bad.png"):
    """The image is left out with this reason, and the others are there."""
    found = read(work, {name: content})
    assert found.ids == ["good 1.png", "good 2.png"]
    ((id, why),) = found.rejected
    assert id == name
    assert reason in why
    assert "\n" not in why


def is_read(work, content, pixel):
    """The image is read, with this pixel in its corner; returns its name."""
    name = f"one.{Image.open(io.BytesIO(content)).format.lower()}"
    found = read(work, {name: content})
    assert found.rejected == []
    np.testing.assert_array_equal(found.pixels[found.ids.index(name), 0, 0], pixel)
    return name


def dotted(color, mode="RGB", dot=0):
    """An image of one colour, but for its last pixel."""
    image = solid(color, mode)
    image.putpixel((7, 7), dot if isinstance(color, int) else (dot,) * len(color))
    return image


def padded(chunk, data):
    """A good PNG with another chunk before its pixels."""
    header, pixels = GOOD[:33], GOOD[33:]
    return header + len(data).to_bytes(4, "big") + chunk + data + bytes(4) + pixels


def text_bomb():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * (64 << 20), zip=True)
    return encoded(solid(0), pnginfo=info)


BAD = [
    ("I1", "a JPEG cut in half", cut_in_half("JPEG"), "truncated"),
    ("I2", "a JPEG without its last two bytes", encoded(noise(), "JPEG")[:-2], "truncated"),
    ("I3", "0 bytes", b"", "an empty file (0 bytes)"),
    ("I3", "an HTML page", b"<!DOCTYPE html><title>404</title>", "HTML, SVG or XML text, not an image"),
    ("I4", "400 million pixels", png_claiming(20_000, 20_000), "more than 64,000,000 pixels"),
    ("I5", "144 million pixels", png_claiming(12_000, 12_000), "more than 64,000,000 pixels"),
    ("I6", "1 x 1", encoded(solid(0, "L", (1, 1))), "both sides need at least 2"),
    ("I6", "1 x 20,000", encoded(solid(0, "L", (1, 20_000))), "both sides need at least 2"),
    ("I6", "0 x 8", png_claiming(0, 8), "not an image, or damaged"),
    ("I8", "floating point", encoded(Image.new("F", (8, 8)), "TIFF"), "mode 'F'"),
    *(("I11", kind, encoded(solid(0), kind), "not an image") for kind in ("EPS", "PDF", "TGA", "ICO", "SGI")),
    ("I11", "FITS", b"SIMPLE  =                    T" + bytes(2850), "not an image"),
    ("I11", "PSD", b"8BPS\0\1" + bytes(300), "not an image"),
    ("I12", "an SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "HTML, SVG or XML text"),
    ("I13", "a text of 64 MiB in 64 kB", text_bomb(), "Decompressed data too large"),
]
for id, name, content, reason in BAD:

    @cases.accepted(id, name)
    def _(work, content=content, reason=reason):
        rejects(work, content, reason)


def train_shortly(work):
    """Two steps a phase, and no report."""
    work.monkeypatch.setattr("fewlabels.recipes.images.SUPERVISED_STEPS", 2)
    work.monkeypatch.setattr("fewlabels.recipes.images.LP_STEPS", 2)
    work.monkeypatch.setattr("fewlabels.commands.training.report_html", lambda folders: "<html></html>")


@cases.accepted("I1", "a run lists what it left out")
def _(work):
    train_shortly(work)
    files = {f"{n}.png": encoded(noise(8, 8, seed=n)) for n in range(12)}
    album(work, files | {"=cut.jpg": cut_in_half(), "two\nlines.png": b""})
    work.write("labels.csv", "id,label\n0.png,ant\n1.png,bee\n=cut.jpg,bee\n")
    outcome = work.run(work.train("--labels", "labels.csv", "--out", "run", "--image-size", "8"))
    assert (outcome.status, outcome.err) == (0, "")
    assert notes("run") == [["I1", "labels.csv", "", "'=cut.jpg", "given: 'bee'; the image is left out"]]
    with open("run/rejected.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["id", "'=cut.jpg", "two\nlines.png"]
    assert all(row[1] for row in rows)


@cases.refused("I1", "a broken image that is to stop", place="at photos; 1 such row (bad.png: an empty file (0 bytes))")
def _(work):
    album(work, {"bad.png": b""})
    return work.train("--on-bad-image", "fail", "--out", "run")


@cases.refused("I3", "more than half of the files are none", code="I35", place="3 of 5 images cannot be used")
def _(work):
    album(work, {f"{n}.png": b"" for n in range(3)})
    return work.train("--out", "run")


@cases.accepted("I2", "JPEGs that are cut off and are to be accepted", warns=["I2"])
def _(work):
    whole = encoded(noise(64, 64), "JPEG")
    cut, half = whole[:-2], whole[: len(whole) // 2]
    album(work, {"cut.jpg": cut, "half.jpg": half, "half.png": cut_in_half("PNG"), "head.jpg": cut[:60]})
    found = work.call(lambda: read_images("photos", image_size=64, accept_truncated=True))
    assert [id for id, _ in found.rejected] == ["half.png", "head.jpg"]
    assert [note[:4] for note in found.notes] == [("I2", "photos", None, name) for name in ("cut.jpg", "half.jpg")]
    assert str(work.caught[0].message).endswith("the missing part is grey: 2 such rows (cut.jpg, half.jpg)")
    pixels = dict(zip(found.ids, found.pixels, strict=True))
    right = np.asarray(Image.open(io.BytesIO(whole)))
    np.testing.assert_array_equal(pixels["cut.jpg"], right)
    np.testing.assert_array_equal(pixels["half.jpg"][:8], right[:8])
    assert (abs(pixels["half.jpg"][-8:].astype(int) - 128) < 3).all()
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    facts = {"kind": "images", "path": "photos", "accept_truncated": True}
    with closing(open_pictures(facts, ["half.jpg"])) as pictures:
        shown = pictures.png(0)  # and a review shows what was trained on
    assert Image.open(io.BytesIO(shown)).size == (64, 64)


@cases.accepted("I4", "larger images, where they are wanted")
def _(work):
    large, huge = (Image.new("1", size, 1) for size in ((8_200, 8_000), (19_000, 10_000)))
    large.paste(0, (4_000, 3_000, 6_000, 5_000))
    large, huge = encoded(large), encoded(huge)
    found = read(work, {"large.png": large, "huge.png": huge}, max_pixels=70_000_000)
    assert found.rejected == [("huge.png", "more than 70,000,000 pixels (--max-pixels)")]
    assert found.pixels[found.ids.index("large.png")].max() == 255
    facts = {"kind": "images", "path": "photos", "max_pixels": 190_000_000}
    with closing(open_pictures(facts, ["huge.png"])) as pictures:
        shown = pictures.png(0)
    assert Image.open(io.BytesIO(shown)).getpixel((0, 0)) == 255


@cases.refused("I4", "no number of pixels", code="C20", place="max_pixels")
def _(work):
    album(work, {})
    return work.train("--max-pixels", "0", "--out", "run")


@cases.accepted("I2", "a run lists what it accepted")
def _(work):
    train_shortly(work)
    files = {f"{n}.png": encoded(noise(8, 8, seed=n)) for n in range(6)}
    album(work, files | {"cut.jpg": encoded(noise(8, 8), "JPEG")[:-2], "png.jpg": encoded(noise(8, 8, seed=9))})
    rows = "id,label\ngood 1.png,ant\ngood 2.png,bee\ncut.jpg,ant\ncut.jpg,bee\ngood 1.png,bee,x\n"
    work.write("labels.csv", rows)
    options = ("--accept-truncated", "--skip-bad-rows", "--on-conflict", "drop", "--image-size", "8")
    outcome = work.run(work.train("--labels", "labels.csv", "--out", "run", *options))
    assert (outcome.status, outcome.err) == (0, "")
    assert not Path("run/rejected.csv").exists()
    assert [line[:4] for line in notes("run")] == [
        ["L5", "labels.csv", "6", "good 1.png"],
        ["L14", "labels.csv", "4", "cut.jpg"],
        ["L14", "labels.csv", "5", "cut.jpg"],
        ["I2", "photos", "", "cut.jpg"],
        ["I10", "photos", "", "png.jpg"],
    ]
    results = json.loads(Path("run/results.json").read_text())
    assert results["notes"] == {"L5": 1, "L14": 2, "I2": 1, "I10": 1}
    source = json.loads(Path("run/run.json").read_text())["source"]
    assert (source["accept_truncated"], source["skip_bad_rows"], source["on_conflict"]) == (True, True, "drop")


@cases.accepted("I7", "photos that lie on their side")
def _(work):
    picture = Image.new("RGB", (16, 16), "white")
    picture.paste("black", (0, 0, 8, 16))
    dark = {2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}
    sides = {"left": (4, 0), "right": (4, 7), "top": (0, 4), "bottom": (7, 4)}
    files = {}
    for orientation in dark:
        exif = Image.Exif()
        exif[0x0112] = orientation
        files[f"{orientation}.png"] = encoded(picture, "PNG", exif=exif)
    found = read(work, files)
    for orientation, side in dark.items():
        square = found.pixels[found.ids.index(f"{orientation}.png")]
        assert {name for name, at in sides.items() if square[at].max() == 0} == {side}, orientation


for name, content, pixel in (
    ("CMYK", encoded(dotted((0, 255, 255, 0), "CMYK"), "TIFF"), [255, 0, 0]),
    ("grey", encoded(dotted(77, "L")), [77] * 3),
    ("grey and clear", encoded(dotted((0, 128), "LA")), [127] * 3),
    ("1 bit", encoded(dotted(1, "1")), [255] * 3),
    ("16 bit", encoded(SIXTEEN_BIT), [100] * 3),
    ("a palette with a clear colour", encoded(PALETTE, transparency=0), [255] * 3),
):

    @cases.accepted("I8", name)
    def _(work, content=content, pixel=pixel):
        is_read(work, content, pixel)


for kind in ("GIF", "WEBP", "PNG", "TIFF"):

    @cases.accepted("I9", f"several frames or pages in a {kind}", warns=["I9"])
    def _(work, kind=kind):
        frames = [dotted((0, 0, 0), dot=255), dotted((255, 255, 255))]
        name = is_read(
            work, encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True), [0, 0, 0]
        )
        assert f"1 such row ({name})" in str(work.caught[0].message)


@cases.accepted("I10", "a PNG named .jpg", warns=["I10"])
def _(work):
    one = dotted((1, 2, 3), dot=90)
    files = {"one.jpg": encoded(one), "two.JPEG": encoded(one, "JPEG"), "three.gif": GOOD, "four": GOOD}
    found = read(work, files)
    assert found.rejected == []
    np.testing.assert_array_equal(found.pixels[found.ids.index("one.jpg"), 0, 0], [1, 2, 3])
    why = "the ending of the name is not that of its kind of image; the content counts"
    assert found.notes == [("I10", "photos", None, name, why) for name in ("one.jpg", "three.gif")]
    assert str(work.caught[0].message).endswith(": 2 such rows (one.jpg, three.gif)")


@cases.accepted("I11", "no other kinds are opened, by a Pillow without known holes")
def _(work):
    assert list(kinds.ENDINGS_OF) == ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF"]
    needs = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]["train"]
    assert "pillow>=13.0" in needs
    assert int(PIL.__version__.split(".")[0]) >= 13


for name, content, kind in (
    ("photo.jfif", encoded(noise(8, 8), "JPEG"), "JPEG"),
    ("photo.jpe", encoded(noise(8, 8), "JPEG"), "JPEG"),
    ("3f2a91cc", encoded(noise(8, 8), "JPEG"), "JPEG"),
    ("scan.PGM", encoded(noise(8, 8, 1), "PPM"), "PPM"),
    ("photo.avif", encoded(noise(8, 8), "AVIF"), "AVIF"),
):

    @cases.accepted("I11", f"a {kind} called {name}")
    def _(work, name=name, content=content):
        found = read(work, {name: content})
        assert found.rejected == []
        assert name in found.ids


@cases.accepted("I11", "what is no image, or of a kind that is not opened", warns=["I45"])
def _(work):
    others = {
        "a.cr2": encoded(noise(8, 8), "TIFF"),
        "b.jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
        "c.txt": b"x",
        "d.dcm": DICOM,
    }
    found = read(work, others)
    assert found.ids == ["good 1.png", "good 2.png"]
    assert {note.id: note.note.partition(";")[0] for note in found.notes} == {
        "a.cr2": "a camera's raw image",
        "b.jp2": "a JPEG 2000 image",
        "c.txt": "no image",
        "d.dcm": "a DICOM image",
    }


@cases.accepted("I11", "a HEIC, and nothing to read it with")
def _(work):
    for package in ("pillow_heif", "pi_heif"):
        work.monkeypatch.setitem(sys.modules, package, None)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    with pytest.raises(decode.BadImage, match=re.escape(install_command("heic"))):
        decode.read_header(heic)


for name, image, pixel in (
    (
        "clear throughout",
        Image.merge("RGBA", [*Image.fromarray(noise(8, 8)).split(), solid(0, "L")]),
        noise(8, 8)[0, 0],
    ),
    ("white on clear", WHITE_ON_CLEAR, [0, 0, 0]),
):

    @cases.accepted("I8", name, warns=["I48"])
    def _(work, image=image, pixel=pixel):
        name = is_read(work, encoded(image), pixel)
        assert f"1 such row ({name})" in str(work.caught[0].message)


@cases.accepted("I8", "12 bits in files of 16, of which none says so", warns=["I51"])
def _(work):
    ramp = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    found = read(work, {"a.png": encoded(ramp), "b.png": encoded(ramp // 2)})
    pixels = dict(zip(found.ids, found.pixels[..., 0], strict=True))
    assert (pixels["a.png"].max(), pixels["b.png"].max(), found.pixel_range) == (255, 127, (0, 4095))


@cases.accepted("I8", "images that end in one colour", warns=["I49"])
def _(work):
    found = read(work, {"flat.png": encoded(solid((7, 8, 9)))})
    assert [note[:4] for note in found.notes] == [("I49", "photos", None, "flat.png")]


@cases.refused("I8", "a range of pixel values that is none", code="C20", place="--pixel-range")
def _(work):
    album(work, {})
    return work.train("--pixel-range", "12 bit", "--out", "run")


@cases.accepted("I13", "a colour profile and a comment of 8 MiB")
def _(work):
    begun = time.monotonic()
    read(work, {f"{chunk.decode()}.png": padded(chunk, b"x" * (8 << 20)) for chunk in (b"iCCP", b"eXIf")})
    assert time.monotonic() - begun < 60


for id, order, reason in (
    ("I13", b"memory", "decoding it takes too much memory"),
    ("I13", b"loop", "decoding it took more than 0.3 s"),
    ("I14", b"crash", "its decoder crashed (SIGSEGV)"),
    ("I14", b"leave", "its decoder crashed (exit status 7)"),
):

    @cases.accepted(id, f"a decoder that meets a {order.decode()}")
    def _(work, order=order, reason=reason):
        work.monkeypatch.setattr(decoders, "COMMAND", [sys.executable, "-P", str(WORKER)])
        work.monkeypatch.setattr(decoders, "SECONDS", 0.3)
        rejects(work, order, reason)
