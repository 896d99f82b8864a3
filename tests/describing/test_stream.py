"""Photos in, descriptors out: the same bytes whatever is described with them, few photos in memory, in order."""

import threading
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import fewlabels as fl
from fewlabels.data.images.read import read_images
from fewlabels.describing import stream
from fewlabels.describing.network import Describer
from fewlabels.describing.photos import open_photos
from fewlabels.describing.settings import DescribeSettings
from fewlabels.describing.stream import Ahead, describe_photos
from fewlabels.errors import ConfigError, ImageError, InputWarning, NumericsError
from tests.describing.conftest import save_photo
from tests.describing.fakes import tiny

pytestmark = pytest.mark.usefixtures("tiny_backbone")


def described(photos, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return fl.describe(photos, quiet=True, **options)


def test_a_folder_gives_the_ids_that_train_uses_and_lists_what_cannot_be_used(photos):
    with pytest.warns(InputWarning, match="FL-I1 left out 1 of 41 images: broken.jpg"):
        found = fl.describe(photos, quiet=True)
    read = read_images(photos, image_size=8)
    assert found.ids == read.ids
    assert [id for id, _ in found.rejected] == [id for id, _ in read.rejected]
    assert found.values.shape == (40, 24)
    assert found.values.dtype == np.float32


def test_a_photo_has_the_same_bytes_alone_and_among_others(photos):
    together = described(photos, cache=False)
    for at in (0, 7, 8, 39):
        alone = described(photos / together.ids[at], cache=False)
        assert alone.values[0].tobytes() == together.values[at].tobytes()


def test_arrays_and_pil_images_are_described_like_the_file_they_come_from(tmp_path):
    save_photo(tmp_path / "one.png", 3)
    image = Image.open(tmp_path / "one.png")
    rows = [
        described(given, cache=False).values
        for given in (tmp_path / "one.png", image, np.asarray(image), [np.asarray(image)], [tmp_path / "one.png"])
    ]
    assert all(np.array_equal(row, rows[0]) for row in rows)


def test_a_stack_of_arrays_counts_its_ids(photos):
    stack = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    found = described(stack)
    assert found.ids == ["0", "1", "2", "3", "4"]
    assert described(image for image in stack).values.tobytes() == found.values.tobytes()


def test_parquet_with_image_bytes_keeps_its_ids_and_labels(tmp_path, photos):
    files = sorted(photos.glob("*.png"))
    columns = {
        "id": [file.stem for file in files],
        "image": [{"bytes": file.read_bytes(), "path": None} for file in files],
        "label": ["a" if at % 2 else None for at in range(len(files))],
    }
    pq.write_table(pa.table(columns), tmp_path / "photos.parquet")
    found = described(tmp_path / "photos.parquet")
    assert found.ids == columns["id"]
    assert found.labels == columns["label"]
    assert np.array_equal(found.values, described(files).values)


def test_sub_folders_are_labels_and_unlabeled_is_none(tmp_path):
    for at, place in enumerate(("cat/a.png", "dog/b.png", "unlabeled/c.png", "dog/d.png")):
        save_photo(tmp_path / "photos" / place, at)
    found = described(tmp_path / "photos")
    assert dict(zip(found.ids, found.labels, strict=True)) == {
        "cat/a.png": "cat",
        "dog/b.png": "dog",
        "dog/d.png": "dog",
        "unlabeled/c.png": None,
    }


def test_sub_folders_that_are_no_classes_stop_nothing_and_give_no_labels(tmp_path):
    for at, place in enumerate(("train/a.png", "test/b.png")):
        save_photo(tmp_path / "photos" / place, at)
    found = described(tmp_path / "photos")
    assert found.labels == [None, None]
    assert "sub-folders are no classes" in open_photos(tmp_path / "photos").said


def test_the_mirror_image_of_a_photo_has_its_descriptor_with_mirror_alone():
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    plain, turned = (described(one).values for one in (image, image[:, ::-1]))
    both, both_turned = (described(one, mirror=True).values for one in (image, image[:, ::-1]))
    assert not np.allclose(plain, turned)
    assert np.allclose(both, both_turned)
    assert np.allclose(both, (plain + turned) / 2)


def test_the_crop_of_a_backbone_leaves_the_border_out():
    inner = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    framed = np.zeros((40, 40, 3), np.uint8)
    framed[4:36, 4:36] = inner
    plain, cropped = (Describer(tiny(crop=crop), DescribeSettings()) for crop in (1.0, 0.8))
    assert cropped.decoded_size == 40
    assert np.array_equal(cropped([framed]), plain([inner]))


def test_half_precision_is_close_and_says_where_it_does_not_reach(monkeypatch):
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    exact, half = (described(image, precision=precision).values for precision in ("float32", "bfloat16"))
    assert not np.array_equal(exact, half)
    assert np.allclose(exact, half, atol=0.05)
    monkeypatch.setattr(Describer, "_describe", lambda self, squares: np.full((1, 24), np.inf, np.float32))
    with pytest.raises(NumericsError, match="FL-P30"):
        described(image, cache=False)


def test_another_precision_and_another_way_with_bad_images_are_refused(photos):
    with pytest.raises(ConfigError, match="FL-C1 precision is 'int8'"):
        fl.describe(photos, precision="int8")
    with pytest.raises(ConfigError, match="FL-C20"):
        fl.describe(photos, on_bad_image="drop")
    with pytest.raises(ImageError, match=r"FL-I1 .*broken.jpg"):
        fl.describe(photos, on_bad_image="fail", quiet=True)


def test_more_bad_photos_than_good_ones_are_an_error(tmp_path):
    save_photo(tmp_path / "photos" / "a.png", 0)
    for name in ("b.png", "c.png"):
        (tmp_path / "photos" / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError, match="FL-I35 2 of 3 images"):
        fl.describe(tmp_path / "photos", quiet=True)


def test_large_files_are_decoded_from_the_disk_and_refused_where_they_change(photos, monkeypatch):
    from fewlabels.describing import photos as room

    small = described(photos, cache=False)
    monkeypatch.setattr(room, "LARGEST_HELD", 10)
    assert described(photos, cache=False).values.tobytes() == small.values.tobytes()
    monkeypatch.setattr(room, "_stamp", lambda file, state=None: (state is None,))
    with pytest.raises(ImageError, match="the file changed while it was read"):
        described(photos, cache=False)


def test_few_photos_are_held_at_a_time(tmp_path, monkeypatch):
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    taken = []

    def endless():
        for at in range(500):
            taken.append(at)
            yield image

    describer = Describer(tiny(), DescribeSettings())
    rows = describe_photos(open_photos(endless()), describer, DescribeSettings())
    for at in range(100):
        next(rows)
        assert len(taken) - at <= 4 * describer.batch + 2
    rows.close()


def test_photos_that_are_known_do_not_wait_for_one_that_is_not_beyond_a_bound(photos, monkeypatch):
    monkeypatch.setattr(stream, "MOST_HELD", 4)
    first = described(sorted(photos.glob("*.png"))[1:])
    mixed = described(sorted(photos.glob("*.png")))
    assert mixed.values[1:].tobytes() == first.values.tobytes()


def test_who_stops_taking_photos_leaves_no_thread_behind(photos):
    before = threading.active_count()
    rows = describe_photos(open_photos(photos), Describer(tiny(), DescribeSettings()), DescribeSettings())
    next(rows)
    rows.close()
    assert threading.active_count() <= before


def test_an_error_ahead_is_raised_where_the_items_are_taken():
    def broken():
        yield 1
        raise OSError("gone")

    ahead = Ahead(broken(), 2)
    taken = iter(ahead)
    assert next(taken) == 1
    with pytest.raises(OSError, match="gone"):
        next(taken)
    ahead.close()


def test_progress_counts_what_is_done_known_and_rejected(photos):
    seen = []

    def follow(progress):
        seen.append((progress.done, progress.computed, progress.known, progress.rejected))

    described(photos, on_progress=follow)
    described(photos, on_progress=follow)
    assert seen[40] == (41, 40, 0, 1)
    assert seen[-1] == (41, 0, 40, 1)
