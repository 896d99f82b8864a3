"""The pictures of a report are those of the original photos, as long as these are there."""

import io

import numpy as np
from PIL import Image

from fewlabels.commands.task import Task
from fewlabels.commands.thumbnails import open_thumbnails


def make_task(folder):
    """One wide photo, red, of which a small blue square was trained on."""
    blue = np.zeros((1, 8, 8, 3), np.uint8)
    blue[..., 2] = 255
    facts = {"source": {"kind": "images", "path": str(folder)}}
    return Task(blue, np.zeros(1, np.int64), ["a.png"], ["only"], "one photo", facts=facts)


def read_thumbnail(task):
    with open_thumbnails(task) as describe:
        id, png = describe(0)
    assert id == "a.png"
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_a_thumbnail_is_the_whole_original_photo(tmp_path):
    Image.new("RGB", (400, 200), "red").save(tmp_path / "a.png")
    found = read_thumbnail(make_task(tmp_path))
    assert found.size == (96, 48)
    assert found.getpixel((50, 20)) == (255, 0, 0)


def test_a_photo_that_is_gone_or_damaged_is_shown_by_the_pixels_trained_on(tmp_path):
    for content in (b"no picture", None):
        (tmp_path / "a.png").unlink(missing_ok=True)
        (tmp_path / "b.png").write_bytes(b"another")
        if content is not None:
            (tmp_path / "a.png").write_bytes(content)
        found = read_thumbnail(make_task(tmp_path))
        assert found.size == (8, 8)
        assert found.getpixel((4, 4)) == (0, 0, 255)


def test_a_folder_that_is_gone_is_no_error(tmp_path):
    assert read_thumbnail(make_task(tmp_path / "moved")).getpixel((4, 4)) == (0, 0, 255)
