"""Images by row number, for the review page."""

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fewlabels.data.benchmarks.datasets import training_images
from fewlabels.data.benchmarks.digits import load_digits
from fewlabels.data.images import decoders, pictures
from fewlabels.data.images.pictures import BadImage, placeholder
from fewlabels.errors import ImageError, StorageError
from tests.data.dataset_files import TINY10, hub_folder, images
from tests.data.image_files import cut_in_half, encoded, folder, hub_parquet, noise, png_claiming, solid

FAULTY = Path(__file__).parents[1] / "faulty_worker.py"


OPENED = []


@pytest.fixture(autouse=True)
def closed_at_the_end():
    yield
    while OPENED:
        OPENED.pop().close()


def open_pictures(facts, ids):
    OPENED.append(pictures.open_pictures(facts, ids))
    return OPENED[-1]


def pixels(data):
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image)


def photos(root, ids=("b/2.png", "a/1.png"), **more):
    content = {"a/1.png": encoded(noise(seed=1)), "b/2.png": encoded(noise(seed=2)), **more}
    return open_pictures({"kind": "images", "path": str(folder(root / "photos", content))}, list(ids))


def test_rows_are_matched_by_id_not_by_position(tmp_path):
    found = photos(tmp_path, **{"a/0.png": b"broken"})
    np.testing.assert_array_equal(pixels(found.png(0)), noise(seed=2))
    np.testing.assert_array_equal(pixels(found.png(1)), noise(seed=1))


def test_a_large_photo_is_shrunk_whole_and_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # taken with the camera on its side
    wide = encoded(solid("red", size=(800, 400)), "JPEG", exif=exif)
    root = folder(tmp_path / "photos", {"unlabeled/wide.jpg": wide})
    found = open_pictures({"kind": "images", "path": str(root)}, ["unlabeled/wide.jpg"])
    assert pixels(found.png(0)).shape == (320, 160, 3)
    assert pixels(found.png(0, 50)).shape == (50, 25, 3)


def test_no_byte_of_the_file_itself_is_handed_out(tmp_path):
    secret = b"the owner's note"
    exif = Image.Exif()
    exif[0x010E] = secret.decode()
    data = encoded(noise(), "PNG", exif=exif, icc_profile=secret * 20)
    assert secret in data
    made = photos(tmp_path, ["c/3.png"], **{"c/3.png": data}).png(0)
    assert secret not in made
    assert sorted(Image.open(io.BytesIO(made)).info) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(cut_in_half()),
        lambda path: path.write_bytes(b"<svg onload='alert(1)'/>"),
        lambda path: path.write_bytes(png_claiming(30_000, 30_000)),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["gone", "cut", "svg", "bomb", "link", "folder"],
)
def test_an_image_that_was_spoilt_since_the_run_is_a_bad_image(tmp_path, spoil):
    found = photos(tmp_path)
    spoil(tmp_path / "photos/b/2.png")
    with pytest.raises(BadImage):
        found.png(0)
    assert found.png(1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"crash", r"its decoder crashed \(SIGSEGV\)"),
        (b"leave", r"its decoder crashed \(exit status 7\)"),
        (b"loop", r"decoding it took more than 0\.2 s"),
        (b"memory", "decoding it takes too much memory"),
    ],
)
def test_a_file_that_harms_its_decoder_is_a_bad_image_and_the_others_are_shown(tmp_path, monkeypatch, content, reason):
    monkeypatch.setattr(decoders, "COMMAND", [sys.executable, "-P", str(FAULTY)])
    monkeypatch.setattr(decoders, "SECONDS", 0.2)
    found = photos(tmp_path, ["b/bad.png", "a/1.png"], **{"b/bad.png": content})
    for _ in range(2):
        with pytest.raises(BadImage, match=reason):
            found.png(0)
    np.testing.assert_array_equal(pixels(found.png(1)), noise(seed=1))


def counted(monkeypatch, found):
    """The files that are handed to the decoders from now on."""
    asked, small_png = [], found._decoders.small_png
    monkeypatch.setattr(
        found._decoders, "small_png", lambda file, longest, *rest: (asked.append(file), small_png(file, longest))[1]
    )
    return asked


def test_a_file_that_cannot_be_decoded_is_not_tried_again_until_it_changes(tmp_path, monkeypatch):
    found = photos(tmp_path, ["b/bad.png"], **{"b/bad.png": b"no image"})
    asked = counted(monkeypatch, found)
    reasons = []
    for _ in range(3):
        with pytest.raises(BadImage) as caught:
            found.png(0)
        reasons.append(str(caught.value))
    assert len(asked) == 1
    assert len(set(reasons)) == 1
    (tmp_path / "photos/b/bad.png").unlink()
    with pytest.raises(BadImage):
        found.png(0)
    (tmp_path / "photos/b/bad.png").write_bytes(encoded(noise(seed=3)))
    np.testing.assert_array_equal(pixels(found.png(0)), noise(seed=3))
    assert len(asked) == 3


def test_bytes_of_a_table_that_cannot_be_decoded_are_not_tried_again_and_what_is_noted_is_bounded(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(pictures, "KEPT_FAILURES", 2)
    path = hub_parquet(tmp_path / "x.parquet", [(b"no image", f"{row}.png") for row in range(3)])
    found = open_pictures({"kind": "images", "path": str(path)}, [f"{row}.png" for row in range(3)])
    asked = counted(monkeypatch, found)
    for row in (0, 1, 2, 2, 1, 0):  # the failure of row 0 had to make room
        with pytest.raises(BadImage):
            found.png(row)
    assert len(asked) == 4
    assert len(found._failed) == 2


def test_the_largest_image_that_is_read_can_be_shown_too(tmp_path):
    large = encoded(solid((1, 2, 3, 255), "RGBA", (8000, 8000)), compress_level=1)
    found = photos(tmp_path, ["b/large.png"], **{"b/large.png": large})
    np.testing.assert_array_equal(pixels(found.png(0)), np.full((320, 320, 3), (1, 2, 3)))


def test_the_processes_that_decode_begin_with_the_first_image_are_kept_and_end_when_closed(tmp_path):
    found = photos(tmp_path)
    assert found._decoders._running == set()
    found.png(0)
    (process,) = found._decoders._running
    found.png(1)
    assert found._decoders._running == {process}
    found.close()
    assert process._process.returncode is not None


def test_where_no_process_can_be_started_no_image_is_blamed(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders, "COMMAND", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(StorageError, match="FL-I14"):
        photos(tmp_path).png(0)


def test_a_folder_that_has_become_a_link_to_outside_is_not_followed(tmp_path):
    found = photos(tmp_path)
    outside = folder(tmp_path / "outside", {"2.png": encoded(noise(seed=9))})
    (tmp_path / "photos/b/2.png").unlink()
    (tmp_path / "photos/b").rmdir()
    (tmp_path / "photos/b").symlink_to(outside)
    with pytest.raises(BadImage, match="outside"):
        found.png(0)


def test_an_id_that_is_no_longer_there_is_a_bad_image(tmp_path):
    with pytest.raises(BadImage, match="no longer"):
        photos(tmp_path, ["gone.png"]).png(0)


@pytest.mark.parametrize("largest", [1 << 26, 0], ids=["groups kept", "groups walked"])
def test_parquet_gives_each_row_of_several_files_and_row_groups(tmp_path, monkeypatch, largest):
    monkeypatch.setattr("fewlabels.data.images.parquet_rows.LARGEST_KEPT", largest)
    monkeypatch.setattr("fewlabels.data.images.parquet_rows.BATCH_ROWS", 2)
    for part in range(2):
        path = tmp_path / f"{part}.parquet"
        hub_parquet(path, [(encoded(noise(8, 8, seed=5 * part + i)), f"{part}-{i}.png") for i in range(5)])
        pq.write_table(pq.read_table(path), path, row_group_size=3)
    ids = [f"{part}-{i}.png" for part in (1, 0) for i in range(5)]
    found = open_pictures({"kind": "images", "path": str(tmp_path)}, ids)
    for row, seed in enumerate([*range(5, 10), *range(5)]):
        np.testing.assert_array_equal(pixels(found.png(row)), noise(8, 8, seed=seed))


def test_a_row_without_bytes_is_a_bad_image(tmp_path):
    path = hub_parquet(tmp_path / "x.parquet", [(None, "a.png"), (encoded(noise()), "b.png")])
    found = open_pictures({"kind": "images", "path": str(path)}, ["a.png", "b.png"])
    with pytest.raises(BadImage):
        found.png(0)
    assert found.png(1)


def test_digits_are_those_of_the_demo():
    digits = load_digits()
    found = open_pictures({"kind": "digits"}, digits.ids)
    np.testing.assert_array_equal(pixels(found.png(7)), digits.pixels[7, :, :, 0])


def test_the_training_images_of_a_benchmark(tmp_path, monkeypatch):
    monkeypatch.setitem(pictures.training_images.__globals__["BENCHMARKS"], "cifar10", TINY10)
    hub_folder(tmp_path, TINY10)
    facts = {"kind": "dataset", "name": "cifar10", "data": str(tmp_path)}
    found = open_pictures(facts, training_images("cifar10", tmp_path).ids)
    np.testing.assert_array_equal(pixels(found.png(3)), images(20)[3])


def test_a_folder_that_has_moved_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ImageError, match="I30"):
        open_pictures({"kind": "images", "path": str(tmp_path / "gone")}, ["1"])


def test_what_is_kept_is_bounded(tmp_path, monkeypatch):
    digits = load_digits()
    found = open_pictures({"kind": "digits"}, digits.ids)
    monkeypatch.setattr(pictures, "KEPT_BYTES", 2000)
    made = [found.png(row) for row in range(50)]
    assert sum(map(len, found._kept.values())) == found._size <= 2000
    assert [found.png(row) for row in range(50)] == made


def test_the_placeholder_is_a_picture():
    assert pixels(placeholder()).shape == (96, 96)
