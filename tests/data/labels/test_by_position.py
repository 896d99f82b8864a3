"""Labels by position: as many as there are rows, or a clear error."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from fewlabels.data.labels.by_position import read_labels_by_position
from fewlabels.data.labels.csv import LabelOptions
from fewlabels.errors import LabelError

CODES = [1, -1, 0, -1]


def read(path, num_rows=4, **options):
    found = read_labels_by_position(path, num_rows, LabelOptions(**options))
    return found.codes.tolist(), found.class_names


@pytest.mark.parametrize(
    "text",
    [
        "label\ndog\n\ncat\n\n",
        'label\ndog\n""\ncat\n""\n',
        "id,label\nq,dog\nw,\nq,cat\n,\n",
        "label,note\ndog,x\n,\n\ncat,y\n,z\n",
    ],
)
def test_a_csv_file_gives_its_labels_in_order(tmp_path, text):
    (tmp_path / "l.csv").write_text(text)
    assert read(tmp_path / "l.csv") == (CODES, ["cat", "dog"])


def test_delimiter_and_encoding_hold_here_too(tmp_path):
    (tmp_path / "l.csv").write_bytes("x;label\n1;é\n2;\n3;a\n4;\n".encode("latin-1"))
    assert read(tmp_path / "l.csv", delimiter=";", encoding="latin-1") == (CODES, ["a", "é"])


def test_tables_give_their_labels_in_order(tmp_path):
    table = pa.table({"id": list("aaaa"), "label": ["dog", None, "cat", ""]})
    pq.write_table(table, tmp_path / "l.parquet")
    pyarrow.feather.write_feather(table, str(tmp_path / "l.arrow"))
    assert read(tmp_path / "l.parquet") == read(tmp_path / "l.arrow") == (CODES, ["cat", "dog"])


@pytest.mark.parametrize("dtype", [np.int64, np.int8, ">i4"])
def test_an_array_of_whole_numbers_gives_classes_called_by_number(tmp_path, dtype):
    np.save(tmp_path / "l.npy", np.array([10, -1, 2, -1], dtype))
    assert read(tmp_path / "l.npy") == (CODES, ["2", "10"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_what_minus_one_becomes_in_unsigned_numbers_must_be_settled(tmp_path, dtype):
    last = np.iinfo(dtype).max
    np.save(tmp_path / "l.npy", np.array([last, 0, last, 2], dtype))
    with pytest.raises(LabelError, match=rf"FL-L46 '{last}' \(2 rows\): a class, or no label.*--real-label"):
        read(tmp_path / "l.npy")
    with pytest.warns(UserWarning, match=f"FL-L45.*'{last}' \\(2\\)"):
        assert read(tmp_path / "l.npy", no_label=[str(last)]) == ([-1, 0, -1, 1], ["0", "2"])
    assert read(tmp_path / "l.npy", real_label=[str(last)]) == ([2, 0, 2, 1], ["0", "2", str(last)])
    pq.write_table(pa.table({"label": np.array([last, 0, last, 2], dtype)}), tmp_path / "l.parquet")
    with pytest.raises(LabelError, match="FL-L46"):
        read(tmp_path / "l.parquet")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([1.0, np.nan, 0.0, -1.0]), (CODES, ["0", "1"])),
        (np.array(["dog", "", "cat", ""]), (CODES, ["cat", "dog"])),
        (np.array([b"dog", b"", b"cat", b""]), (CODES, ["cat", "dog"])),
        (np.array([True, False, True, True]), ([1, 0, 1, 1], ["False", "True"])),
    ],
)
def test_arrays_of_whole_floats_truths_and_text_are_labels_too(tmp_path, array, expected):
    np.save(tmp_path / "l.npy", array)
    assert read(tmp_path / "l.npy") == expected


def test_words_of_numpy_in_an_array_of_text_mean_no_label(tmp_path):
    np.save(tmp_path / "l.npy", np.array(["dog", None, "cat", np.nan], object).astype(str))
    with pytest.warns(UserWarning, match=r"FL-L45 .*'None' \(1\), 'nan' \(1\)"):
        assert read(tmp_path / "l.npy") == (CODES, ["cat", "dog"])


@pytest.mark.parametrize("text", ["dog\n\ncat\n\n", "1\n-1\n0\n-1\n", "1.000e+00\n-1.000e+00\n0.000e+00\n-1.000e+00"])
def test_text_without_a_header_has_a_label_in_each_line(tmp_path, text):
    (tmp_path / "l.txt").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read(tmp_path / "l.txt")[0] == CODES


def test_json_gives_its_labels_in_order(tmp_path):
    for text in ('["dog", null, "cat", ""]', '[{"label": "dog"}, {}, {"label": "cat"}, {"label": null}]'):
        (tmp_path / "l.json").write_text(text.replace("{}", '{"note": 1}'))
        assert read(tmp_path / "l.json") == (CODES, ["cat", "dog"])


def test_blank_rows_beyond_the_last_row_of_the_data_are_those_of_a_spreadsheet(tmp_path):
    (tmp_path / "l.csv").write_text("x,label\n1,dog\n2,\n3,cat\n4,\n,\n,\n")
    assert read(tmp_path / "l.csv") == (CODES, ["cat", "dog"])


def test_an_array_of_objects_is_told_how_to_be_saved(tmp_path):
    np.save(tmp_path / "l.npy", np.array(["dog", None, "cat", None], object), allow_pickle=True)
    with pytest.raises(LabelError, match=r"FL-L22 an array of Python objects.*y\.astype\(str\)"):
        read(tmp_path / "l.npy")


def written(folder, content):
    if isinstance(content, str):
        (folder / "l.csv").write_text(content)
        return folder / "l.csv"
    if isinstance(content, dict):
        pq.write_table(pa.table(content), folder / "l.parquet")
        return folder / "l.parquet"
    np.save(folder / "l.npy", content)
    return folder / "l.npy"


@pytest.mark.parametrize(
    ("case", "content", "fragment"),
    [
        ("L23", "label\na\nb\n", "2 labels by position for 4 rows"),
        ("L23", "id,label\n" + "0,a\n" * 5, "5 labels by position for 4 rows"),
        ("L23", {"label": ["a"]}, "1 labels by position for 4 rows"),
        ("L23", np.array([0, 1, 2]), "3 labels by position for 4 rows"),
        ("L23", np.zeros((4, 1), int), "shape (4, 1); expected (4,)"),
        ("L22", np.array([0.0, 1, 2.5, -1]), "1 such row (row 3: 2.5)"),
        ("L22", np.zeros(4, complex), "complex128; expected whole numbers"),
        ("L22", {"label": [0.5, 1, 1, 1]}, "row 1: 0.5"),
        ("L40", np.array([0, -2, 1, -1]), "row 2: -2"),
        ("L16", np.full(4, -1), "0 of 4 rows are labelled"),
        ("L16", "label\n\n\n\n\n", "0 of 4 rows are labelled"),
        ("L31", "id,name\n0,a\n", "expected label"),
        ("L31", {"name": ["a"]}, "columns 'name'; expected label"),
        ("L5", "id,label\n0,a\n1\n", "1 field"),
        ("L11", "", "the column label"),
    ],
)
def test_refuses(tmp_path, case, content, fragment):
    path = written(tmp_path, content)
    with pytest.raises(LabelError) as caught:
        read(path)
    assert caught.value.code == f"FL-{case}"
    assert fragment in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_damaged_array_is_named(tmp_path):
    path = written(tmp_path, np.array(CODES))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LabelError, match=r"FL-L28 not a whole \.npy file .*FL-E14"):
        read(path)


def test_one_class_alone_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="FL-L17"):
        read(written(tmp_path, np.array([3, -1, 3, -1])))
