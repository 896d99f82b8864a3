"""Images in any form become the squares that training makes of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fewlabels.data.images.decode import BadImage, decode, decode_picture
from fewlabels.data.images.read import read_images
from fewlabels.data.images.squares import read_squares
from fewlabels.errors import ImageError


@pytest.fixture
def folder(tmp_path):
    """Images of several kinds, sizes and modes: transparent, a palette, 16 bits, turned by a note, and a broken one."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (30, 20, 3), dtype=np.uint8)
    place = tmp_path / "photos"
    (place / "deep" / "deeper").mkdir(parents=True)
    Image.fromarray(pixels).save(place / "plain.png")
    Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save(place / "clear.png")
    Image.fromarray(pixels).quantize(8).save(place / "palette.gif")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(place / "deep" / "sixteen.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(place / "deep" / "deeper" / "turned.jpg", exif=exif)
    (place / "broken.jpg").write_bytes(b"")
    return place


def test_a_folder_gives_every_image_below_it_as_training_reads_them(folder):
    images = read_images(folder, image_size=12, folder_labels=False)
    squares = list(read_squares(folder, 12))
    assert [square.id for square in squares if square.pixels is not None] == images.ids
    assert np.array_equal(np.stack([square.pixels for square in squares if square.pixels is not None]), images.pixels)
    assert [(square.id, square.reason) for square in squares if square.pixels is None] == images.rejected


def test_parquet_gives_its_rows(folder, tmp_path):
    files = sorted(folder.glob("*.png"))
    table = pa.table({"id": [file.name for file in files], "image": [file.read_bytes() for file in files]})
    pq.write_table(table, tmp_path / "images.parquet")
    rows = list(read_squares(tmp_path / "images.parquet", 12))
    one_by_one = list(read_squares(files, 12))
    assert [row.id for row in rows] == [file.name for file in files]
    assert all(np.array_equal(row.pixels, one.pixels) for row, one in zip(rows, one_by_one, strict=True))


@pytest.mark.parametrize("grey", [False, True])
def test_a_picture_in_memory_is_decoded_as_its_file_is_and_left_as_it_was(folder, grey):
    for file in sorted(path for path in folder.rglob("*.*") if path.name != "broken.jpg"):
        expected = np.asarray(decode(str(file), 12, grey).picture)
        with Image.open(file) as picture:
            before = picture.copy().tobytes()
            assert np.array_equal(np.asarray(decode_picture(picture, 12, grey).picture), expected), file.name
            assert picture.tobytes() == before


def test_a_picture_that_no_file_could_be_is_refused_as_one():
    with pytest.raises(BadImage, match="both sides need at least 2"):
        decode_picture(Image.new("RGB", (1, 9)), 12, grey=False)
    (square,) = read_squares(Image.new("F", (9, 9)), 12)
    assert square.pixels is None
    assert "mode 'F'" in square.reason


def test_a_link_that_somebody_named_is_followed_and_one_in_a_folder_is_not(folder):
    link = folder / "link.png"
    link.symlink_to(folder / "plain.png")
    (named,) = read_squares(link, 12)
    assert named.pixels is not None
    found = {square.id: square.reason for square in read_squares(folder, 12)}
    assert "symbolic link" in found["link.png"]


def test_squares_of_the_right_size_are_taken_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 255, (5, 12, 12, 3), dtype=np.uint8)
    squares = list(read_squares(pixels, 12))
    assert [square.id for square in squares] == ["0", "1", "2", "3", "4"]
    assert np.array_equal(np.stack([square.pixels for square in squares]), pixels)
    assert np.array_equal(next(iter(read_squares(pixels[0, ..., 0], 12, grey=True))).pixels, pixels[0, ..., :1])


def test_what_is_no_image_is_told_with_what_came():
    with pytest.raises(ImageError, match=r"FL-I31 no image: array of shape \(9, 9, 2\) and type uint8; expected"):
        list(read_squares(np.zeros((9, 9, 2), np.uint8), 12))
    with pytest.raises(ImageError, match="FL-I31 no image: int"):
        list(read_squares(["a.png", 3], 12))
