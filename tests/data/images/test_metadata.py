"""Labels in a metadata file among the images, as Hugging Face's ImageFolder has them."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.data.images.read import read_images
from fewlabels.errors import InputWarning, LabelError
from tests.data.image_files import encoded, folder, hub_parquet, noise

GOOD = encoded(noise(8, 8))
IMAGES = {"a.png": GOOD, "b.png": GOOD, "more/c.png": GOOD}
CSV = b"file_name,label\na.png,cat\n./b.png,\nmore/c.png,dog\n"
ROWS = [("a.png", "cat"), ("b.png", None), ("more/c.png", "dog")]


def lines(rows, column="label"):
    return "".join(json.dumps({"file_name": name, column: label}) + "\n" for name, label in rows).encode()


def parquet(path, rows=ROWS, metadata=None):
    names, labels = zip(*rows, strict=True)
    pq.write_table(pa.table({"file_name": names, "label": labels}).replace_schema_metadata(metadata), path)


def read(root):
    with pytest.warns(InputWarning) as caught:
        found = read_images(root)
    return found, [str(one.message) for one in caught]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_a_metadata_file_gives_the_labels_and_says_so(tmp_path, name):
    root = folder(tmp_path, IMAGES)
    if name.endswith(".parquet"):
        parquet(root / name)
    else:
        (root / name).write_bytes(CSV if name.endswith(".csv") else lines(ROWS))
    found, said = read(root)
    assert dict(zip(found.ids, found.names, strict=True)) == dict(ROWS)
    assert said == [f"FL-I53 labels come from {name} (column 'label'), and not from the names of folders"]


def test_the_same_metadata_in_two_forms_counts_once(tmp_path):
    root = folder(tmp_path, IMAGES | {"metadata.csv": CSV, "metadata.jsonl": lines(ROWS)})
    found, said = read(root)
    assert dict(zip(found.ids, found.names, strict=True)) == dict(ROWS)
    assert [one[:6] for one in said] == ["FL-I53"]


def test_metadata_of_sub_folders_speaks_of_their_files(tmp_path):
    root = folder(tmp_path, {"x/a.png": GOOD, "y/a.png": GOOD})
    (root / "x/metadata.csv").write_bytes(b"file_name,label\na.png,cat\n")
    (root / "y/metadata.jsonl").write_bytes(lines([("a.png", 1.0)], "class"))
    assert read(root)[0].names == ["cat", "1"]


def test_class_numbers_take_the_names_that_the_hub_declares(tmp_path):
    root = folder(tmp_path, {"a.png": GOOD, "b.png": GOOD})
    declared = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    info = {b"huggingface": json.dumps({"info": {"features": declared}}).encode()}
    parquet(root / "metadata.parquet", [("a.png", 1), ("b.png", -1)], info)
    assert read(root)[0].names == ["dog", None]


def test_metadata_without_labels_leaves_them_to_the_folders(tmp_path):
    root = folder(tmp_path, {"cat/a.png": GOOD, "metadata.csv": b"file_name,text\ncat/a.png,hello\n"})
    found, said = read(root)
    assert found.names == ["cat"]
    assert any("so labels do not come from there" in one for one in said)


def test_a_table_without_images_beside_images_is_left_alone(tmp_path):
    root = folder(tmp_path, {"cat/a.png": GOOD})
    pq.write_table(pa.table({"x": [1.0]}), root / "features.parquet")
    found, said = read(root)
    assert found.ids == ["cat/a.png"]
    assert said == ["FL-I45 1 files that are not read (1 .parquet)"]


def test_images_beside_a_table_of_images_are_counted(tmp_path):
    root = folder(tmp_path, {"a.png": GOOD})
    hub_parquet(root / "train.parquet", [GOOD, GOOD], ["cat", "dog"])
    found, said = read(root)
    assert (found.ids, found.names) == (["0", "1"], ["cat", "dog"])
    assert said == ["FL-I45 1 files of images beside the Parquet files, which are what is read"]
    assert [note.id for note in found.notes] == ["a.png"]


@pytest.mark.parametrize(
    ("case", "name", "content", "place"),
    [
        ("L5", "metadata.csv", b"file_name,label\na.png\n", "metadata.csv:2"),
        ("L6", "metadata.csv", b'file_name,label\na.png,"cat\n', "metadata.csv"),
        ("L8", "metadata.csv", b"file_name,label\na.png,\xe9\n", "metadata.csv"),
        ("L14", "metadata.csv", b"file_name,label\na.png,cat\na.png,dog\n", "a.png: 'cat' in line 2, 'dog' in line 3"),
        ("L22", "metadata.jsonl", lines([("a.png", ["cat", "dog"])]), "metadata.jsonl:1"),
        ("L22", "metadata.jsonl", lines([("a.png", 1.5)]), "metadata.jsonl:1"),
        ("L28", "metadata.jsonl", b"{}\n{", "metadata.jsonl:2"),
        ("L28", "metadata.jsonl", b"[1]", "metadata.jsonl:1"),
        ("L28", "metadata.jsonl", b"[" * 100_000, "metadata.jsonl:1"),
        ("L29", "metadata.csv", b"file_name,label\n" + b"x" * (1 << 21), "metadata.csv:2"),
        ("L32", "metadata.jsonl", lines([("a.png", "cat"), (None, "dog")]), "metadata.jsonl:2"),
    ],
)
def test_refuses_metadata_that_cannot_be_used(tmp_path, case, name, content, place):
    with pytest.raises(LabelError) as caught:
        read_images(folder(tmp_path, IMAGES | {name: content}))
    assert caught.value.code == f"FL-{case}"
    assert place in str(caught.value)
