"""Parquet files of images, case by case of the catalogue of bad input."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.data.images.pictures import open_pictures
from fewlabels.data.images.read import read_images
from fewlabels.errors import ImageError, InputError, InputWarning
from tests.data.image_files import cut_in_half, encoded, hub_parquet, noise, structs

GOOD = encoded(noise(8, 8))
GREY = encoded(noise(8, 8, 1))
CUT = cut_in_half()


@pytest.mark.parametrize("column", ["image", "img"])
@pytest.mark.parametrize("label_column", ["label", "labels", "fine_label"])
def test_reads_parquet_of_the_hub(tmp_path, column, label_column):
    images = [(encoded(noise(8, 8, seed=i)), f"{i}.png") for i in range(4)]
    path = hub_parquet(tmp_path / "x.parquet", images, [1, 0, -1, None], ["dog", "cat"], column, label_column)
    found = read_images(path)
    assert found.ids == ["0.png", "1.png", "2.png", "3.png"]
    assert (found.names, found.class_names) == (["cat", "dog", None, None], ["dog", "cat"])
    for seed, pixels in enumerate(found.pixels):
        np.testing.assert_array_equal(pixels, noise(8, 8, seed=seed))


@pytest.mark.parametrize(
    ("case", "labels", "names"),
    [
        ("numbers without names", [3, -1, None], ["3", None, None]),
        ("text", ["x", "", None], ["x", None, None]),
        ("text -1 is text", ["-1", "1", None], ["-1", "1", None]),
        ("no column", None, [None, None, None]),
    ],
)
@pytest.mark.filterwarnings("ignore:FL-L45")
def test_labels_of_tables_without_declared_classes(tmp_path, case, labels, names):
    found = read_images(hub_parquet(tmp_path / "x.parquet", [GOOD] * 3, labels))
    assert (found.names, found.class_names) == (names, None)


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}'])
def test_damaged_metadata_declares_no_classes(tmp_path, metadata):
    table = pa.table({"image": [GOOD], "label": [7]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "x.parquet")
    found = read_images(tmp_path / "x.parquet")
    assert (found.names, found.class_names) == (["7"], None)


@pytest.mark.parametrize(
    ("case", "paths", "more", "ids"),
    [
        ("paths", ["b.png", "a.png"], {}, ["b.png", "a.png"]),
        ("a path twice", ["a.png", "a.png"], {}, ["0", "1"]),
        ("a path missing", ["a.png", None], {}, ["0", "1"]),
        ("a path empty", ["a.png", ""], {}, ["0", "1"]),
        ("an id column", ["a.png", "b.png"], {"id": [20, 10]}, ["20", "10"]),
    ],
)
def test_ids_are_the_column_or_the_paths_or_the_row_numbers(tmp_path, case, paths, more, ids):
    path = hub_parquet(tmp_path / "x.parquet", [(GOOD, p) for p in paths], **more)
    assert read_images(path).ids == ids


def test_plain_binary_is_read(tmp_path):
    found = read_images(hub_parquet(tmp_path / "x.parquet", pa.array([GOOD, GOOD]), column="img"))
    assert found.ids == ["0", "1"]


def test_missing_and_broken_images_of_a_table_are_rejected(tmp_path):
    images = [GOOD, None, (None, "elsewhere.png"), CUT, GOOD, GOOD, GOOD]
    path = hub_parquet(tmp_path / "x.parquet", images, list("abcdefg"))
    found = read_images(path)
    assert (found.ids, found.names) == (["0", "4", "5", "6"], ["a", "e", "f", "g"])
    assert [id for id, _ in found.rejected] == ["1", "2", "3"]
    assert dict(found.rejected)["1"] == dict(found.rejected)["2"] == "no image bytes (null)"


@pytest.mark.parametrize(
    ("case", "table", "fragment"),
    [
        ("I33", {"picture": [GOOD], "label": [1]}, "found 'picture' (binary), 'label' (int64)"),
        ("I33", {"image": ["a.png"]}, "found 'image' (string)"),
        ("I33", {"image": pa.array([{"path": "a.png"}])}, "found 'image' (struct<path: string>)"),
        ("E21", {"image": [GOOD, GOOD], "id": ["a", "a"]}, "ids that occur twice"),
        ("E21", {"image": [GOOD, GOOD], "id": ["a", None]}, "rows without an id"),
        ("L22", {"image": [GOOD], "label": [1.5]}, "row 1: 1.5"),
        ("I32", {"image": pa.array([], pa.binary())}, "the table has no rows"),
    ],
)
def test_refuses_a_table(tmp_path, case, table, fragment):
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    with pytest.raises(InputError) as caught:
        read_images(tmp_path / "x.parquet")
    assert isinstance(caught.value, ImageError)
    assert caught.value.code == f"FL-{case}"
    assert fragment in str(caught.value)


@pytest.mark.parametrize("code", [2, -2])
def test_class_numbers_must_be_declared(tmp_path, code):
    path = hub_parquet(tmp_path / "x.parquet", [GOOD, GOOD], [0, code], ["a", "b"])
    with pytest.raises(ImageError) as caught:
        read_images(path)
    assert (caught.value.code, caught.value.rows) == ("FL-I34", [f"row 2: {code}"])


def test_a_folder_of_parts_is_read_in_order_of_names(tmp_path):
    for part in (1, 0):
        images = [(encoded(noise(8, 8, seed=2 * part + i)), f"{2 * part + i}.png") for i in range(2)]
        hub_parquet(tmp_path / f"train-{part}.parquet", images, [part, part], ["a", "b"])
    hub_parquet(tmp_path / "test-0.parquet", [(GOOD, "t.png")], [0], ["a", "b"])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "README.md").touch()
    assert read_images(tmp_path).ids == ["t.png", "0.png", "1.png", "2.png", "3.png"]
    found = read_images(tmp_path / "train-*.parquet")
    assert (found.ids, found.names) == (["0.png", "1.png", "2.png", "3.png"], ["a", "a", "b", "b"])
    np.testing.assert_array_equal(found.pixels[3], noise(8, 8, seed=3))


def test_parts_must_have_the_same_columns(tmp_path):
    hub_parquet(tmp_path / "0.parquet", [GOOD], [0])
    hub_parquet(tmp_path / "1.parquet", [GOOD], ["x"])
    with pytest.raises(ImageError, match=r"FL-E20 column 'label' is string, not int64.*1\.parquet"):
        read_images(tmp_path)


def test_many_rows_keep_their_order(tmp_path):
    images = [encoded(np.array([[i % 256, 255 - i % 200], [0, 0]], np.uint8)) for i in range(300)]
    pq.write_table(pa.table({"image": structs(images)}), tmp_path / "x.parquet", row_group_size=77)
    found = read_images(tmp_path / "x.parquet")
    assert found.pixels[:, 0, 0, 0].tolist() == [i % 256 for i in range(300)]


@pytest.mark.parametrize(("name", "num_classes", "first"), [("cifar10", 10, "airplane"), ("cifar100", 100, "apple")])
def test_reads_the_published_test_images(data_sets, name, num_classes, first):
    found = read_images(data_sets / name / "test-*.parquet")
    assert found.pixels.shape == (10_000, 32, 32, 3)
    assert (len(found.class_names or []), (found.class_names or [""])[0]) == (num_classes, first)
    assert all(found.names.count(name) == 10_000 // num_classes for name in found.class_names or [])
    assert len(set(found.ids)) == 10_000
    assert found.rejected == []


def test_ids_of_images_are_the_index_that_the_file_declares_or_an_id_in_capitals(tmp_path):
    frame = pd.DataFrame({"image": [GOOD, GOOD], "label": ["a", "b"]}, index=["p", "q"])
    frame.to_parquet(tmp_path / "index.parquet")
    assert read_images(tmp_path / "index.parquet").ids == ["p", "q"]
    for name in ("ID", "file_name"):
        frame.assign(**{name: ["r", "s"]}).to_parquet(tmp_path / "x.parquet", index=False)
        assert read_images(tmp_path / "x.parquet").ids == ["r", "s"]


def test_row_numbers_beside_a_column_that_may_be_ids_are_told(tmp_path):
    pq.write_table(pa.table({"image": [GOOD, GOOD], "image_id": ["p", "q"]}), tmp_path / "x.parquet")
    with pytest.warns(InputWarning, match="FL-I55 ids are row numbers .*'image_id' may be the ids: call the column id"):
        assert read_images(tmp_path / "x.parquet").ids == ["0", "1"]


@pytest.mark.parametrize("name", ["Label", "category", "Class"])
def test_a_label_column_of_another_name_is_told(tmp_path, name):
    hub_parquet(tmp_path / "x.parquet", [GOOD, GOOD], ["a", None], label_column=name)
    with pytest.warns(InputWarning, match=f"FL-I53 labels come from the column '{name}'"):
        assert read_images(tmp_path / "x.parquet").names == ["a", None]


def test_the_label_column_is_not_looked_at_where_labels_come_from_elsewhere(tmp_path):
    hub_parquet(tmp_path / "x.parquet", [GOOD, GOOD, GOOD], ["a", "unknown", "a"])
    assert read_images(tmp_path / "x.parquet", folder_labels=False).names == [None] * 3


def test_runs_from_before_ids_could_be_an_index_find_their_pictures(tmp_path):
    frame = pd.DataFrame({"image": [GOOD, encoded(noise(8, 8, seed=1))]}, index=["p", "q"])
    frame.to_parquet(tmp_path / "x.parquet")
    facts = {"kind": "images", "path": str(tmp_path / "x.parquet")}
    with closing(open_pictures(facts, ["1", "0"])) as old, closing(open_pictures(facts, ["q", "p"])) as new:
        assert [old.png(row) for row in (0, 1)] == [new.png(row) for row in (0, 1)]
