"""Labels in a metadata file among the images, as Hugging Face's ImageFolder has them."""

import json
import unicodedata
import warnings

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.data.images.read import read_images
from fewlabels.data.labels.csv import LabelOptions
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


def read(root, **options):
    with pytest.warns(InputWarning) as caught:
        found = read_images(root, reading=LabelOptions(**options))
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
        ("L4", "metadata.csv", b"file_name,label\na.png\n", "metadata.csv:2"),
        ("L6", "metadata.csv", b'file_name,label\na.png,"cat\n', "metadata.csv"),
        ("L8", "metadata.csv", b"file_name,label\na.png,\xe9\n", "metadata.csv"),
        ("L14", "metadata.csv", b"file_name,label\na.png,cat\na.png,dog\n", "a.png: 'cat' in line 2, 'dog' in line 3"),
        ("L44", "metadata.jsonl", lines([("a.png", ["cat", "dog"])]), "metadata.jsonl"),
        ("L44", "metadata.csv", b"file_name,label\na.png,cat\nb.png,dog\nmore/c.png,cat;dog\n", "'cat;dog' (1 rows)"),
        ("L46", "metadata.csv", b"file_name,label\na.png,cat\nb.png,unknown\n", "'unknown' (1 rows)"),
        ("L9", "metadata.csv", b"file_name;label\na.png;cat\n", "--delimiter ';'"),
        ("L12", "metadata.csv", b"file_name,label,label\na.png,cat,cat\n", "2 columns named 'label'"),
        ("L22", "metadata.jsonl", lines([("a.png", 1.5)]), "metadata.jsonl:1"),
        ("L28", "metadata.jsonl", b"{}\n{", "metadata.jsonl:2"),
        ("L31", "metadata.jsonl", b"[1]", "metadata.jsonl"),
        ("L28", "metadata.jsonl", b"[" * 100_000, "metadata.jsonl"),
        ("L29", "metadata.csv", b"file_name,label\n" + b"x" * (1 << 21), "metadata.csv:2"),
        ("L32", "metadata.jsonl", lines([("a.png", "cat"), (None, "dog")]), "metadata.jsonl:2"),
    ],
)
def test_refuses_metadata_that_cannot_be_used(tmp_path, case, name, content, place):
    with pytest.raises(LabelError) as caught:
        read_images(folder(tmp_path, IMAGES | {name: content}))
    assert caught.value.code == f"FL-{case}"
    assert place in str(caught.value)


WORDS = [("a.png", "cat"), ("b.png", "nan"), ("more/c.png", "-1")]


def write_words(root, name, rows):
    if name.endswith(".parquet"):
        parquet(root / name, rows)
    elif name.endswith(".csv"):
        (root / name).write_text("file_name,label\n" + "".join(f"{id},{label}\n" for id, label in rows))
    else:
        (root / name).write_bytes(lines(rows))


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_words_for_no_label_are_none_in_metadata_as_in_label_files(tmp_path, name):
    root = folder(tmp_path, IMAGES)
    write_words(root, name, WORDS)
    found, said = read(root)
    assert found.names == ["cat", None, None]
    assert any(one.startswith(f"FL-L45 words that mean no label at {root / name}: 'nan' (1), '-1' (1)") for one in said)
    assert read(root, real_label=["nan"])[0].names == ["cat", "nan", None]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_words_that_can_be_classes_stop_in_metadata_and_the_options_settle_them(tmp_path, name):
    root = folder(tmp_path, IMAGES)
    write_words(root, name, [("a.png", "cat"), ("b.png", "unknown")])
    with pytest.raises(LabelError, match=r"FL-L46 'unknown' .*--no-label 'unknown'.*in Python no_label"):
        read_images(root)
    assert read(root, no_label=["unknown"])[0].names == ["cat", None, None]
    assert read(root, real_label=["unknown"])[0].names == ["cat", "unknown", None]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("file_name;label\na.png;cat\n", {"delimiter": ";"}),
        ("sep=;\nfile_name;label\na.png;cat\n", {}),
        ("file_name,label\na.png,cat\nb.png\n", {"skip_bad_rows": True}),
        ("id,File_Name,Label\n1,a.png,cat\n2,b.png,\n", {}),
        ("file_name,label\na.png,cat\n,,\n", {}),
        ("label,class,file_name\ncat,3,a.png\n", {}),
        ("file_name,label\na.png,dog\na.png,cat\n", {"on_conflict": "last"}),
        ("\ufefffile_name,label\na.png,cat\n", {}),
        ("file_name\tlabel\na.png\tcat\n", {"delimiter": "\t", "encoding": "utf-16"}),
        ('file_name,label\na.png,"[""cat""]"\n', {}),
    ],
)
def test_metadata_is_read_as_a_label_file_is(tmp_path, text, options):
    root = folder(tmp_path, IMAGES)
    (root / "metadata.csv").write_bytes(text.encode(options.get("encoding", "utf-8")))
    assert read(root, **options)[0].names == ["cat", None, None]


@pytest.mark.parametrize("text", [b"", b"file_name,label\n", b"file_name,caption\na.png,hello\n"])
def test_metadata_without_rows_or_labels_gives_none(tmp_path, text):
    found, said = read(folder(tmp_path, {"cat/a.png": GOOD, "metadata.csv": text}))
    assert found.names == ["cat"]
    assert any("so labels do not come from there" in one for one in said)


def test_metadata_in_another_normal_form_than_the_files_counts(tmp_path):
    root = folder(tmp_path, {unicodedata.normalize("NFD", "\xe9.png"): GOOD, "b.png": GOOD})
    (root / "metadata.csv").write_text("file_name,label\n\xe9.png,cat\nb.png,dog\n", encoding="utf-8")
    found, said = read(root)
    assert found.names == ["dog", "cat"]
    assert any(one.startswith("FL-I54") for one in said)


@pytest.mark.parametrize(
    ("labels", "options", "names"),
    [
        (["cat", "nan", "NULL"], {}, ["cat", None, None]),
        (["cat", "unknown", None], {"no_label": ["unknown"]}, ["cat", None, None]),
        (["cat", "unknown", None], {"real_label": ["unknown"]}, ["cat", "unknown", None]),
        (pa.array([0, 255, 1], pa.uint8()), {"no_label": ["255"]}, ["0", None, "1"]),
        (pa.array([0, -1, 1], pa.int64()), {}, ["0", None, "1"]),
        (pa.array([0.0, -1.0, None]), {}, ["0", None, None]),
        (pa.array([True, False, None]), {}, ["True", "False", None]),
    ],
)
def test_the_label_column_of_a_table_of_images_follows_the_rules_of_label_files(tmp_path, labels, options, names):
    hub_parquet(tmp_path / "t.parquet", [GOOD] * 3, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        assert read_images(tmp_path / "t.parquet", reading=LabelOptions(**options)).names == names


@pytest.mark.parametrize("labels", [["cat", "unknown", None], pa.array([0, 255, 1], pa.uint8()), ["a", "b", "a;b"]])
def test_a_label_column_of_images_that_leaves_it_open_stops(tmp_path, labels):
    hub_parquet(tmp_path / "t.parquet", [GOOD] * 3, labels)
    with pytest.raises(LabelError, match=r"FL-L4[46] .*--no-label"):
        read_images(tmp_path / "t.parquet")


def test_words_in_the_label_column_of_images_are_told_and_noted(tmp_path):
    hub_parquet(tmp_path / "t.parquet", [GOOD] * 3, ["cat", "nan", "nan"])
    found, said = read(tmp_path / "t.parquet")
    assert [one[:40] for one in said] == ["FL-L45 words that mean no label at " + str(tmp_path)[:5]]
    assert [(note.code, note.note) for note in found.notes] == [("L45", "'nan' in 2 rows means no label")]


def test_declared_class_names_are_classes_whatever_they_say_but_what_no_label_takes(tmp_path):
    hub_parquet(tmp_path / "t.parquet", [GOOD] * 3, [0, 1, -1], ["cat", "unknown"])
    assert read_images(tmp_path / "t.parquet").names == ["cat", "unknown", None]
    with pytest.warns(InputWarning, match=r"FL-L45 .*'unknown' \(1\)"):
        found = read_images(tmp_path / "t.parquet", reading=LabelOptions(no_label=["unknown"]))
    assert (found.names, found.class_names) == (["cat", None, None], ["cat"])
