"""Label files and their join to the data, case by case of the catalogue of bad input."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
import warnings
import zipfile
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.data.labels.csv import LabelOptions
from fewlabels.data.labels.files import encode_column, join_labels, read_labels
from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.errors import InputWarning, LabelError

LONG = "12345678901234567890123"


def csv_file(tmp_path, content: str | bytes):
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


REFUSED = [
    ("L4", "id,label\na,x,1\nb,y,1\n", "a row with 3 fields, while the header has 2 at {path}:2"),
    ("L5", "id,label\na,x\nb,y,1\n", "a row with 3 fields, while the header has 2 at {path}:3"),
    ("L5", "id,label\n\na,x\nb\n", "a row with 1 field, while the header has 2 at {path}:4"),
    ("L6", 'id,label\na,x\n"b,y\nc,z\n', "a quote that is opened here is never closed at {path}:3"),
    ("L6", 'id,label\n"a"b,x\n', "a wrongly quoted cell"),
    ("L6", 'id,label\n"a,x\n' + "some line\n" * 200_000, "never closed at {path}:2"),
    ("L8", b"id,label\na,caf\xe9\n", "not utf-8 at byte 14; it looks like Latin-1 (Windows-1252) at {path}:2"),
    ("L8", "id,label\na,x\n".encode("utf-16"), "it looks like UTF-16"),
    ("L8", "id,label\na,x\n".encode("utf-16-le"), "it looks like UTF-16"),
    ("L9", "id;label\na;x\n", "columns separated by ';', not by ','"),
    ("L9", "id\tlabel\na\tx\n", "columns separated by a tab, not by ','"),
    ("L10", b"id,label\na,x\nb\0,y\n", "a NUL character at {path}:3"),
    ("L11", "", "an empty file"),
    ("L11", "\n\n", "an empty file"),
    ("L11", "id,label\n\n\n", "no data rows, only a header"),
    ("L12", "id,label,label\na,x,y\n", "2 columns named 'label'"),
    ("L14", "id,label\na,x\nb,y\na,z\n", "a: 'x' in line 2, 'z' in line 4"),
    ("L14", "id,label\na,x\na,\n", "a: 'x' in line 2, no label in line 3"),
    ("L19", "id,label\na, \n", "a label of blanks"),
    ("L28", gzip.compress(b"id,label\na,x\n", mtime=0), "a gzip archive; expected CSV, Parquet, Arrow or JSON"),
    ("L28", b"PK\x03\x04rest", "a zip archive (or an Excel workbook)"),
    ("L29", "id,label\na,x\nb," + "y" * 2_000_000, "too long"),
    ("L29", "id,label\na," + "y" * 200_000 + "\n", "too long"),
    ("L31", "id, label\na,x\n", "columns 'id', ' label'; expected id and label"),
    ("L31", "name,class\na,x\n", "columns 'name', 'class'; expected id and label"),
    ("L32", "id,label\n,x\n", "a row without an id at {path}:2"),
]


@pytest.mark.parametrize(("case", "content", "fragment"), REFUSED)
def test_refuses_a_csv_file_with_the_line_at_fault(tmp_path, case, content, fragment):
    path = csv_file(tmp_path, content)
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(LabelError) as caught:
        read_labels(path)
    assert caught.value.code == f"FL-{case}"
    assert fragment.format(path=path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize(
    ("case", "content", "ids", "labels"),
    [
        ("L2", "id,label\n007,x\n1e5,y\n1.0,x\n", ["007", "1e5", "1.0"], "xyx"),
        ("L3", "id,label\n12345678901234567890123,x\n", ["12345678901234567890123"], "x"),
        ("L6", 'id,label\n"a\nb","x, ""y"""\nc,z\n', ["a\nb", "c"], ['x, "y"', "z"]),
        ("L6", "id,label\ra,x\rb,y\r", "ab", "xy"),
        ("L6", "id,label\r\na,x\nb,y\rc,z", "abc", "xyz"),
        ("L7", "\ufeffid,label\na,x\n", "a", "x"),
        ("L7", '\ufeff"id",label\na,x\n', "a", "x"),
        ("L11", "\n\nid,label\n\na,x\n   \nb,y\n\n", "ab", "xy"),
        ("L22", "id,label\na,1.0\nb,True\nc,2.5\n", "abc", ["1.0", "True", "2.5"]),
        ("L26", "id,label\na,=1+1\nb,@x\n", "ab", ["=1+1", "@x"]),
        ("L27", "id,label\na,../../etc\nb,<script>\nc,\U0001f431\n", "abc", ["../../etc", "<script>", "\U0001f431"]),
        ("other columns", "note,label,id,label2\n1,x,a,q\n2,y,b,q\n", "ab", "xy"),
    ],
)
def test_reads_every_cell_as_text(tmp_path, case, content, ids, labels):
    found = read_labels(csv_file(tmp_path, content))
    assert (found.ids, found.labels) == (list(ids), list(labels))


def test_an_id_twice_with_one_label_counts_once_and_is_told(tmp_path):
    with pytest.warns(InputWarning, match=r"^FL-L13 1 row repeats an id with the same label at .*labels.csv$"):
        found = read_labels(csv_file(tmp_path, "id,label\na,x\nb,y\na,x\n"))
    assert (found.ids, found.labels) == (["a", "b"], ["x", "y"])


def test_lines_are_those_of_the_file(tmp_path):
    found = read_labels(csv_file(tmp_path, 'id,label\n\na,x\n"b\nb",y\nc,z\n'))
    assert found.lines == [3, 4, 6]


def test_reads_another_delimiter_and_encoding_when_told(tmp_path):
    path = csv_file(tmp_path, "id;label\na;é\n".encode("latin-1"))
    assert read_labels(path, LabelOptions(";", "latin-1")).labels == ["é"]
    path = csv_file(tmp_path, "id\tlabel\na\té\n".encode("utf-16"))
    assert read_labels(path, LabelOptions("\t", "utf-16")).labels == ["é"]


@pytest.mark.parametrize(("case", "options"), [("L8", {"encoding": "klingon"}), ("L9", {"delimiter": ";;"})])
def test_refuses_options_that_cannot_work(tmp_path, case, options):
    with pytest.raises(LabelError) as caught:
        read_labels(csv_file(tmp_path, "id,label\na,x\n"), LabelOptions(**options))
    assert caught.value.code == f"FL-{case}"


def test_names_the_first_bad_byte_far_into_the_file(tmp_path):
    content = b"id,label\n" + b"image,cat\n" * 1
    content += b"".join(b"image%d,cat\n" % i for i in range(200_000))
    path = csv_file(tmp_path, content + b"last,\xff\n")
    with pytest.raises(LabelError, match=rf"at byte {len(content) + 5:,}; .*:200003"):
        read_labels(path)


def test_a_file_without_line_ends_fails_at_once(tmp_path):
    path = tmp_path / "labels.csv"
    with path.open("wb") as file:
        file.write(b"id,label\n" + b"x" * (1 << 21))
        file.truncate(10 << 30)  # sparse: 10 GiB on paper
    start = time.monotonic()
    with pytest.raises(LabelError) as caught:
        read_labels(path)
    assert caught.value.code == "FL-L29"
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "address", "nul"])
def test_refuses_what_is_not_a_file(tmp_path, kind):
    path = tmp_path / "labels.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    text = {"address": "s3://bucket/labels.csv", "nul": "a\0b"}.get(kind, str(path))
    with pytest.raises(LabelError) as caught:
        read_labels(text)
    assert caught.value.code == ("FL-L28" if kind == "folder" else "FL-L30")


def test_refuses_a_zip_of_labels(tmp_path):
    path = tmp_path / "labels.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.csv", "id,label\na,x\n")
    with pytest.raises(LabelError, match="FL-L28 a zip archive"):
        read_labels(path)


@pytest.mark.parametrize(
    ("case", "labels", "expected"),
    [
        ("L22", pa.array([1.0, 2.0, None]), ["1", "2", None]),
        ("L22", pa.array([True, False, None]), ["True", "False", None]),
        ("L19", pa.array(["x", "", None]), ["x", None, None]),
        ("L22", pa.array([1.0, float("nan"), None]), ["1", None, None]),
        ("J", pa.array([Decimal("1.00"), Decimal("2.00"), None]), ["1", "2", None]),
        ("view", pa.array(["x", "y", None], pa.large_string()).cast(pa.string_view()), ["x", "y", None]),
        ("bytes", pa.array([b"x", b"", None]), ["x", None, None]),
        ("runs", pa.array(["x", "x", None], pa.string()), ["x", "x", None]),
        ("L22", pa.array([3, 0, None], pa.uint8()), ["3", "0", None]),
        (
            "L3",
            pa.array([Decimal("12345678901234567890123"), Decimal(1), None]),
            ["12345678901234567890123", "1", None],
        ),
        ("dictionary", pa.array(["x", "y", None]).dictionary_encode(), ["x", "y", None]),
        ("large text", pa.array(["x", "y", None], pa.large_string()), ["x", "y", None]),
        ("nothing", pa.nulls(3), [None, None, None]),
    ],
)
def test_reads_parquet_labels_as_text(tmp_path, case, labels, expected):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"id": pa.array([10, 20, 30]), "label": labels, "other": pa.array([1, 2, 3])}), path)
    found = read_labels(path)
    assert (found.ids, found.labels, found.lines) == (["10", "20", "30"], expected, [1, 2, 3])


@pytest.mark.parametrize(
    ("case", "columns", "fragment"),
    [
        ("L22", {"id": ["a", "b"], "label": [1.0, 2.5]}, "1 such row (row 2: 2.5)"),
        ("L44", {"id": ["a"], "label": ["[1, 2]"]}, "cells with several labels"),
        ("L22", {"id": ["a"], "label": [[1]]}, "labels of type list"),
        ("L31", {"id": ["a"], "class": ["x"]}, "columns 'id', 'class'; expected id and label"),
        ("L14", {"id": ["a", "a"], "label": ["x", "y"]}, "a: 'x' in line 1, 'y' in line 2"),
        ("E21", {"id": ["a", None], "label": ["x", "y"]}, "rows without an id"),
        ("E21", {"id": [1.5], "label": ["x"]}, "ids of type double"),
        ("L11", {"id": pa.array([], pa.string()), "label": pa.array([], pa.string())}, "no data rows"),
    ],
)
def test_refuses_parquet_labels(tmp_path, case, columns, fragment):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(LabelError) as caught:
        read_labels(path)
    assert caught.value.code == f"FL-{case}"
    assert fragment in str(caught.value)


def test_refuses_a_cut_parquet_file(tmp_path):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"id": ["a"], "label": ["x"]}), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(LabelError, match="FL-E18 not a whole Parquet file"):
        read_labels(path)


def test_reads_hundreds_of_thousands_of_rows(tmp_path):
    path = csv_file(tmp_path, "id,label\n" + "".join(f"img{i}.png,{i % 100}\n" for i in range(300_000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_labels(path)
    labels = join_labels(found.ids, found)
    assert labels.codes.tolist() == [i % 100 for i in range(300_000)]


def test_an_array_of_labels_is_for_labels_by_position(tmp_path):
    np.save(tmp_path / "y.npy", np.array([0, -1]))
    with pytest.raises(LabelError, match=r"FL-L28 an array of labels has no ids .* --labels-by-position"):
        read_labels(tmp_path / "y.npy")


def test_names_of_columns_may_be_in_capitals_unless_that_is_ambiguous(tmp_path):
    (tmp_path / "a.csv").write_text("ID,Note,Label\na,n,x\n")
    assert (read_labels(tmp_path / "a.csv").ids, read_labels(tmp_path / "a.csv").labels) == (["a"], ["x"])
    (tmp_path / "a.csv").write_text("ID,id,label\na,b,x\n")
    assert read_labels(tmp_path / "a.csv").ids == ["b"]
    (tmp_path / "a.csv").write_text("ID,Id,label\na,b,x\n")
    with pytest.raises(LabelError, match="FL-L12 2 columns named 'id'"):
        read_labels(tmp_path / "a.csv")


BOMB = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from fewlabels.data.labels.files import read_labels
from fewlabels.errors import LabelError
try:
    read_labels(sys.argv[1])
except LabelError as error:
    print(error)
"""


def packed(cells, count):
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), pa.array(cells))


@pytest.mark.parametrize(
    ("columns", "dictionary"),
    [
        ({"id": packed(["i" * 300_000], 30_000), "label": packed(["cat"], 30_000)}, True),
        ({"id": packed(["i" * 100_000], 30_000), "label": packed(["cat"], 30_000)}, True),
        ({"id": pa.array(["i" * 300_000] * 5_000), "label": packed(["cat"], 5_000)}, False),
        ({"id": np.arange(30_000), "label": packed(["c" * 100_000], 30_000)}, True),
        ({"id": packed(["i"], 20_000_000), "label": packed(["cat"], 20_000_000)}, True),
        ({"id": packed(["i"], 20_000_000), "label": pa.nulls(20_000_000)}, True),
    ],
    ids=["long ids", "many long ids", "plain pages", "long labels", "many rows", "many rows without labels"],
)
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_within_a_limit_of_memory(tmp_path, columns, dictionary):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=dictionary)
    done = subprocess.run([sys.executable, "-c", BOMB, path], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.startswith("FL-E38 "), done.stderr[-500:]


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nid;label\r\na;x\r\nb;y\r\n",
        '"sep=;"\nid;label\na;x\nb;y\n',
        "\ufeffSEP=\t\nid\tlabel\na\tx\nb\ty\n",
        "sep=,\nid,label\na,x\nb,y\n",
        "id,label\na,x\nb,y\n,\n,\n , \n",
        "id,label,\na,x,\nb,y,\n,,\n,,\n",
        "id,label\na,x,,\nb,y,,\n",
        ",label\na,x\nb,y\n",
        "Unnamed: 0,Label\na,x\nb,y\n",
        "index,label\na,x\nb,y\n",
        "file_name,label\na,x\nb,y\n",
        ",id,label\n7,a,x\n8,b,y\n",
    ],
)
def test_csv_as_spreadsheets_and_pandas_write_it(tmp_path, text):
    found = read_labels(csv_file(tmp_path, text))
    assert (found.ids, found.labels) == (["a", "b"], ["x", "y"])


@pytest.mark.parametrize("header", [",image_id,label", "index,image_id,label", "Unnamed: 0,uuid,label"])
def test_an_index_beside_a_column_of_ids_is_not_taken_for_the_ids(tmp_path, header):
    with pytest.raises(LabelError, match=r"FL-L31 columns .*; expected id and label"):
        read_labels(csv_file(tmp_path, f"{header}\n0,k7,x\n1,k3,y\n"))


@pytest.mark.parametrize(
    "text",
    [
        "filename,label\na,x\nb,y\n",
        "File,Label\na,x\nb,y\n",
        "by,image_path,label\n7,a,x\n7,b,y\n",
        ",path,label\n0,a,x\n1,b,y\n",
    ],
)
def test_a_column_that_is_called_like_files_has_the_ids(tmp_path, text):
    found = read_labels(csv_file(tmp_path, text))
    assert (found.ids, found.labels) == (["a", "b"], ["x", "y"])


def test_of_two_columns_that_are_called_like_files_none_is_chosen(tmp_path):
    with pytest.raises(LabelError, match=r"FL-L31 columns 'path', 'image', 'label'.*one column file_name, filename"):
        read_labels(csv_file(tmp_path, "path,image,label\na,b,x\n"))


def test_a_delimiter_that_the_file_and_the_option_name_differently_is_refused(tmp_path):
    path = csv_file(tmp_path, "sep=;\nid;label\na;x\n")
    assert read_labels(path, LabelOptions(";")).lines == [3]
    with pytest.raises(LabelError, match="FL-L9 a first line that says sep=;"):
        read_labels(path, LabelOptions("\t"))


def test_utf_32_is_told_apart_from_utf_16(tmp_path):
    with pytest.raises(LabelError, match=r"FL-L8 .*UTF-32.*--encoding utf-32"):
        read_labels(csv_file(tmp_path, "id,label\na,x\n".encode("utf-32")))


@pytest.mark.parametrize("unnamed", [True, False])
def test_the_index_of_a_table_is_its_ids(tmp_path, unnamed):
    index = pd.Index(["a", "b"], name=None if unnamed else "key")
    pd.DataFrame({"label": ["x", "y"]}, index=index).to_parquet(tmp_path / "l.parquet")
    assert read_labels(tmp_path / "l.parquet").ids == ["a", "b"]


def test_numbers_that_the_metadata_name_are_classes_of_these_names(tmp_path):
    feature = {"names": ["cat", "none", "dog"], "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    table = pa.table({"id": list("abcd"), "label": [2, -1, None, 1], "embedding": [[1.0]] * 4})
    path = tmp_path / "l.parquet"
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert open_embeddings(path).names().to_pylist() == ["dog", None, None, "none"]
    found = encode_column(open_embeddings(path).table, "label", LabelOptions())
    assert (found.codes.tolist(), found.class_names) == ([2, -1, -1, 1], ["cat", "none", "dog"])
    assert read_labels(path).labels == ["dog", None, None, "none"]
    pq.write_table(table.set_column(1, "label", pa.array([3, 0, 0, -2])).replace_schema_metadata(metadata), path)
    with pytest.raises(LabelError, match=r"FL-L22 class numbers outside the 3 declared classes.*row 1: 3, row 4: -2"):
        read_labels(path)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_categories_of_polars_in_arrow_files_are_text(tmp_path, stream, compression):
    views = pa.array(["x", "y"]).cast(pa.string_view())
    labels = pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.uint8()), views, ordered=True)
    ids = pa.DictionaryArray.from_arrays(
        pa.array([1, 0, 2], pa.uint32()), pa.array(["b", "a", "c"]).cast(pa.string_view())
    )
    table = pa.table({"id": ids, "label": labels, "embedding": [[1.0]] * 3})
    options = pa.ipc.IpcWriteOptions(compression=compression)
    path = tmp_path / "l.arrow"
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(path, table.schema, options=options) as file:
        file.write_table(table)
    found = read_labels(path)
    assert (found.ids, found.labels) == (["a", "b", "c"], ["x", None, "y"])
    assert open_embeddings(path).ids.to_pylist() == ["a", "b", "c"]
    assert open_embeddings(path).names().to_pylist() == ["x", None, "y"]
