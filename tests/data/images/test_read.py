"""Folders of images, case by case of the catalogue of bad input."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewlabels.data.images import read as images_module
from fewlabels.data.images.read import read_images
from fewlabels.data.notes import Note
from fewlabels.errors import ConfigError, ImageError, InputWarning
from tests.data.image_files import cut_in_half, encoded, folder, noise, png_claiming, solid

GOOD = encoded(noise(8, 8))
GREY = encoded(noise(8, 8, 1))
BITS = encoded(Image.fromarray(noise(8, 8, 1)).convert("1"))
CUT = cut_in_half()


def test_a_folder_of_class_folders(tmp_path):
    pictures = {
        name: noise(8, 8, seed=seed) for seed, name in enumerate(["dog/2.png", "cat/1.png", "cat/deep/er/0.PNG"])
    }
    root = folder(tmp_path, {name: encoded(pixels) for name, pixels in pictures.items()})
    with pytest.warns(InputWarning, match=r"FL-I47 .*1 images lie deeper: 1 such row \(cat/deep/er \(cat\)\)"):
        found = read_images(root)
    assert found.ids == ["cat/1.png", "cat/deep/er/0.PNG", "dog/2.png"]
    assert found.names == ["cat", "cat", "dog"]
    assert (found.class_names, found.rejected) == (None, [])
    assert (found.pixels.shape, found.pixels.dtype) == ((3, 8, 8, 3), np.uint8)
    for id, pixels in zip(found.ids, found.pixels, strict=True):
        np.testing.assert_array_equal(pixels, pictures[id])


@pytest.mark.parametrize("name", ["unlabeled", "unlabelled", "Unlabeled", "UNLABELLED"])
def test_the_unlabeled_folder_is_not_a_class(tmp_path, name):
    found = read_images(folder(tmp_path, {f"{name}/a.png": GOOD, "cat/b.png": GOOD}))
    assert dict(zip(found.ids, found.names, strict=True)) == {f"{name}/a.png": None, "cat/b.png": "cat"}


def test_files_in_the_root_are_unlabelled(tmp_path):
    found = read_images(folder(tmp_path, {"b.png": GOOD, "a.png": GOOD, "unlabeled/c.png": GOOD}))
    assert (found.ids, found.names) == (["a.png", "b.png", "unlabeled/c.png"], [None] * 3)


def test_every_ending_is_read_and_others_are_left_alone(tmp_path):
    kinds = {"png": "PNG", "JPG": "JPEG", "jpeg": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "TIF": "TIFF"}
    files = {f"a.{ending}": encoded(noise(8, 8), kind) for ending, kind in kinds.items()}
    root = folder(tmp_path, files | {"notes.txt": b"x", "b.svg": b"<svg/>", "c.pdf": b"%PDF"})
    with pytest.warns(InputWarning, match=r"FL-I45 3 files .*\(1 \.svg, 1 \.pdf, 1 \.txt\)"):
        found = read_images(root)
    assert [note[3:] for note in found.notes] == [
        ("b.svg", "SVG, HTML or XML text"),
        ("c.pdf", "a PDF document"),
        ("notes.txt", "no image"),
    ]
    assert sorted(found.ids) == sorted(files)
    assert found.rejected == []


def test_hidden_and_system_names_are_never_classes_or_images(tmp_path):
    names = (".DS_Store", "._a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "cat/.x.png", "cat/Thumbs.db")
    with pytest.warns(InputWarning, match=r"FL-I45 .* 2 files in folders that are hidden"):
        found = read_images(folder(tmp_path, {"cat/a.png": GOOD} | dict.fromkeys(names, GOOD)))
    assert found.ids == ["cat/a.png"]
    assert {note.id for note in found.notes} == {name.replace("/a.png", "/") for name in names}


def test_an_empty_class_folder_is_worth_a_warning(tmp_path):
    root = folder(tmp_path, {"cat/a.png": GOOD, "dog/readme.txt": b"", "unlabeled/readme.txt": b""})
    with pytest.warns(InputWarning) as caught:
        assert read_images(root).names == ["cat"]
    said = sorted(str(one.message) for one in caught)
    assert said[0].startswith("FL-I16 class folders without any image in ")
    assert said[0].endswith("such row (dog)")
    assert said[1].startswith("FL-I45 2 files ")


def test_images_beside_class_folders_are_ambiguous(tmp_path):
    with pytest.raises(ImageError) as caught:
        read_images(folder(tmp_path, {"a.png": GOOD, "cat/b.png": GOOD}))
    assert (caught.value.code, caught.value.rows) == ("FL-I17", ["a.png"])
    assert "move them to the sub-folder unlabeled/" in str(caught.value)


ODD_NAMES = ["Cat/a.png", "cafe\u0301/a.png", "caf\u00e9/a.png", "a\nb/c\n.png", "x/a .png", "é" * 100 + "/a.png"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_kept_as_they_are(tmp_path, name):
    found = read_images(folder(tmp_path, {name: GOOD, "other/b.png": GOOD}))
    assert dict(zip(found.ids, found.names, strict=True))[name] == name.partition("/")[0]


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/\xff.png")).write_bytes(GOOD)
    found = read_images(tmp_path)
    assert (found.ids, found.names) == (["caf\\xe9/\\xff.png"], ["caf\\xe9"])
    assert found.ids[0].encode()


def test_an_escaped_name_never_stands_for_two_files(tmp_path):
    folder(tmp_path, {"\\xff.png": GOOD, "b.png": GOOD})
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(GOOD)
    found = read_images(tmp_path)
    assert found.ids == ["\\xff.png", "b.png"]
    assert found.rejected == [("\\xff.png", "another file has the same id")]


def test_links_fifos_and_loops_are_refused_without_waiting(tmp_path):
    outside = tmp_path / "outside.png"
    outside.write_bytes(GOOD)
    root = folder(tmp_path / "root", {f"cat/{i}.png": GOOD for i in range(9)})
    (root / "cat/link.png").symlink_to(outside)
    (root / "cat/dangling.png").symlink_to("nowhere")
    (root / "cat/zero.png").symlink_to("/dev/zero")
    (root / "dog").symlink_to(root / "cat")
    (root / "cat/loop").symlink_to(root)
    (root / "cat/readme").symlink_to("nowhere")
    os.mkfifo(root / "cat/fifo.png")
    with pytest.warns(InputWarning, match=r"FL-I45 1 files .*1 without an ending"):
        found = read_images(root)
    assert found.notes == [Note("I45", str(root), None, "cat/readme", "a symbolic link; copy the file itself")]
    assert len(found.ids) == 9
    reasons = dict(found.rejected)
    assert reasons.pop("cat/fifo.png") == "not a regular file"
    assert set(reasons) == {"cat/link.png", "cat/dangling.png", "cat/zero.png", "dog", "cat/loop"}
    assert set(reasons.values()) == {"a symbolic link; copy the file itself"}


def test_a_folder_that_is_itself_named_by_a_link_is_read(tmp_path):
    folder(tmp_path / "root", {"cat/a.png": GOOD})
    (tmp_path / "link").symlink_to(tmp_path / "root")
    assert read_images(tmp_path / "link").ids == ["cat/a.png"]


def test_a_file_that_vanishes_between_the_passes_is_rejected(tmp_path):
    root = folder(tmp_path, {"a.png": GOOD, "b.png": GOOD, "c.png": GOOD})

    def progress(walk, total):
        (root / "b.png").unlink()
        return walk

    found = read_images(root, progress=progress)
    assert found.ids == ["a.png", "c.png"]
    assert found.rejected == [("b.png", "No such file or directory")]


BAD = {
    "b-cut.jpg": CUT,
    "c-empty.jpg": b"",
    "d-html.jpg": b"<html>404</html>",
    "e-bomb.png": png_claiming(20_000, 20_000),
    "f-large.png": png_claiming(12_000, 12_000),
    "g-thin.png": encoded(solid(0, "RGB", (2, 400))),
}
GOODS = {f"{name}.png": encoded(noise(8, 8, seed=seed)) for seed, name in enumerate("ahijkl")}


def test_bad_images_are_left_out_with_their_reasons(tmp_path):
    root = folder(tmp_path, BAD | GOODS)
    before = {p: hashlib.sha256(p.read_bytes()).digest() for p in root.iterdir()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_images(root, image_size=8)
    assert found.ids == sorted(GOODS)
    assert [id for id, _ in found.rejected] == sorted(BAD)
    assert "truncated" in dict(found.rejected)["b-cut.jpg"]
    assert len(found.pixels) == len(found.names) == 6
    np.testing.assert_array_equal(found.pixels[1], noise(8, 8, seed=1))
    assert {p: hashlib.sha256(p.read_bytes()).digest() for p in root.iterdir()} == before


@pytest.mark.parametrize("name", list(BAD))
def test_bad_images_stop_the_reading_when_asked(tmp_path, name):
    root = folder(tmp_path, GOODS | {name: BAD[name]})
    with pytest.raises(ImageError) as caught:
        read_images(root, on_bad_image="fail")
    assert caught.value.code == "FL-I1"
    assert caught.value.rows[0].startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("files", "fragment"),
    [
        ({"a.png": CUT}, "none of 1 images can be used"),
        ({"a.png": b"", "b.png": CUT}, "none of 2 images can be used"),
        ({"a.png": GOOD, "b.png": CUT, "c.png": b""}, "2 of 3 images cannot be used; more than half"),
    ],
)
def test_too_many_bad_images_mean_the_wrong_folder(tmp_path, files, fragment):
    with pytest.raises(ImageError) as caught:
        read_images(folder(tmp_path, files))
    assert caught.value.code == "FL-I35"
    assert fragment in str(caught.value)
    assert "truncated" in str(caught.value)


@pytest.mark.parametrize(
    ("case", "name", "content", "fragment"),
    [
        ("I30", "missing", None, "no such file"),
        ("I20", "images.zip", b"PK\x03\x04", "a zip archive (or an Excel workbook); archives are not unpacked"),
        ("I20", "images.tar.gz", b"\x1f\x8b", "a gzip archive"),
        ("I31", "a.png", GOOD, "a single image"),
        ("I31", "a.csv", b"id,label", "neither a folder nor a Parquet file (no image)"),
        ("I32", "notes/a.txt", b"x", "1 files that are not read (1 .txt)"),
        ("E18", "a.parquet", b"x", "not a whole Parquet file"),
        ("I30", "train-*.parquet", None, "no Parquet file has such a name"),
    ],
)
def test_refuses_other_paths(tmp_path, case, name, content, fragment):
    if content is not None:
        folder(tmp_path, {name: content})
    with pytest.raises(ImageError) as caught:
        read_images(tmp_path / name.partition("/")[0])
    assert caught.value.code == f"FL-{case}"
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"), [("image_size", 0), ("image_size", 2.5), ("image_size", True), ("on_bad_image", "x")]
)
def test_refuses_options_out_of_range(tmp_path, option, value):
    with pytest.raises(ConfigError) as caught:
        read_images(folder(tmp_path, {"a.png": GOOD}), **{option: value})
    assert caught.value.code == "FL-C20"


@pytest.mark.parametrize(
    ("sizes", "asked", "size"),
    [
        ([(8, 8), (8, 8)], None, 8),
        ([(96, 96), (96, 96)], None, 96),
        ([(97, 97), (97, 97)], None, 64),
        ([(8, 8), (16, 16)], None, 64),
        ([(8, 16), (8, 16)], None, 64),
        ([(8, 8), (16, 32)], 20, 20),
    ],
)
def test_the_size_is_asked_for_or_shared_or_64(tmp_path, sizes, asked, size):
    root = folder(tmp_path, {f"{i}.png": encoded(noise(*shape)) for i, shape in enumerate(sizes)})
    assert read_images(root, image_size=asked).pixels.shape == (len(sizes), size, size, 3)


@pytest.mark.parametrize(("second", "channels"), [(GREY, 1), (BITS, 1), (GOOD, 3)])
def test_grey_images_stay_grey_only_if_all_are(tmp_path, second, channels):
    found = read_images(folder(tmp_path, {"a.png": GREY, "b.png": second}))
    assert found.pixels.shape == (2, 8, 8, channels)
    np.testing.assert_array_equal(found.pixels[0], np.repeat(noise(8, 8, 1)[:, :, None], channels, axis=2))


def test_progress_is_laid_around_the_decoding(tmp_path):
    seen = []

    def progress(walk, total):
        seen.append(total)
        for item in walk:
            seen.append("image")
            yield item

    read_images(folder(tmp_path, {"a.png": GOOD, "b.png": GOOD}), progress=progress)
    assert seen == [2, "image", "image"]


def test_too_little_memory_is_an_error_with_numbers(tmp_path, monkeypatch):
    def no_memory(shape, dtype):
        raise MemoryError

    monkeypatch.setattr(images_module.np, "empty", no_memory)
    with pytest.raises(ImageError, match=r"FL-I36 1 images of 4096 x 4096 need 0\.0 GiB"):
        read_images(folder(tmp_path, {"a.png": GOOD}), image_size=4096)
