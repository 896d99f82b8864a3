"""Embeddings from Parquet, case by case of the catalogue of bad input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.errors import EmbeddingError

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def written(tmp_path, table: dict | pa.Table, name: str = "x.parquet"):
    path = tmp_path / name
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
    return path


def lists(values: np.ndarray) -> pa.Array:
    return pa.array(list(values), pa.list_(pa.from_numpy_dtype(values.dtype)))


@pytest.mark.parametrize(
    ("case", "column", "dtype"),
    [
        ("list", lists(VALUES), np.float32),
        ("list of float64", lists(VALUES.astype(np.float64)), np.float64),
        ("list of float16", lists(VALUES.astype(np.float16)), np.float32),
        ("list of int", lists((VALUES * 7).astype(np.int16)), np.float32),
        ("large list", lists(VALUES).cast(pa.large_list(pa.float32())), np.float32),
        ("fixed-size list", pa.FixedSizeListArray.from_arrays(VALUES.ravel(), 3), np.float32),
        ("E22 extension", pa.FixedShapeTensorArray.from_numpy_ndarray(VALUES), np.float32),
    ],
)
def test_reads_every_kind_of_list(tmp_path, case, column, dtype):
    path = written(tmp_path, {"id": [7, 8, 9, 10], "embedding": column, "label": ["x", None, "", "y"]})
    found = read_embeddings(path)
    assert found.values.dtype == dtype
    assert found.values.flags.c_contiguous
    np.testing.assert_allclose(found.values, VALUES * 7 if case == "list of int" else VALUES, rtol=1e-3)
    assert (found.ids.to_pylist(), found.names.to_pylist()) == (["7", "8", "9", "10"], ["x", None, None, "y"])


def test_numeric_columns_stand_side_by_side_where_there_is_no_list(tmp_path):
    columns = {"id": list("abcd"), "label": [1, 2, None, 1], "note": list("wxyz"), "__index_level_0__": [9, 9, 9, 9]}
    columns |= {f"x{i}": VALUES[:, i] for i in range(3)}
    found = read_embeddings(written(tmp_path, columns))
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.values.dtype == np.float32
    assert (found.ids.to_pylist(), found.names.to_pylist()) == (list("abcd"), ["1", "2", None, "1"])


def test_columns_are_read_by_the_names_asked_for(tmp_path):
    path = written(tmp_path, {"name": list("abcd"), "vec": lists(VALUES), "class": list("xyxy")})
    found = read_embeddings(path, id_column="name", embedding_column="vec", label_column="class")
    assert (found.ids.to_pylist(), found.names.to_pylist()) == (list("abcd"), list("xyxy"))
    np.testing.assert_array_equal(found.values, VALUES)


def test_many_row_groups_are_read_in_order(tmp_path):
    values = np.arange(60_000, dtype=np.float32).reshape(-1, 2)
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"embedding": lists(values)}), path, row_group_size=7_000)
    found = read_embeddings(path)
    np.testing.assert_array_equal(found.values, values)
    assert found.ids[-1].as_py() == "29999"


@pytest.mark.parametrize("options", [{"id_column": "key"}, {"embedding_column": "vec"}, {"label_column": "y"}])
def test_a_column_that_was_asked_for_must_be_there(tmp_path, options):
    path = written(tmp_path, {"embedding": lists(VALUES), "a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})
    with pytest.raises(EmbeddingError, match="FL-E31 no column"):
        read_embeddings(path, **options)


@pytest.mark.parametrize(
    ("case", "columns", "rows"),
    [
        ("E17", {"id": ["a", "b", "c"], "embedding": [[1.0, 2.0], [1.0], [1.0, 2.0, 3.0]]}, ["b", "c"]),
        ("E17", {"id": ["a", "b", "c"], "embedding": [[1.0, 2.0], None, [1.0, None]]}, ["b", "c"]),
        ("E17", {"id": ["a", "b"], "embedding": [None, [1.0]]}, ["a"]),
        ("E17", {"id": ["a", "b"], "embedding": pa.array([None, None], pa.list_(pa.float32()))}, ["a", "b"]),
        ("E17", {"id": ["a", "b"], "embedding": pa.array([None, [1, 2]], pa.list_(pa.float32(), 2))}, ["a"]),
        ("E17", {"id": ["a", "b"], "embedding": pa.array([[1, None], [1, 2]], pa.list_(pa.float32(), 2))}, ["a"]),
        ("E17", {"id": ["a", "b"], "x": [1.0, None], "y": [1.0, 2.0]}, ["b"]),
        ("E21", {"id": ["a", "b", "a"], "embedding": [[1.0]] * 3}, ["a"]),
        ("E21", {"id": ["a", None, ""], "embedding": [[1.0]] * 3}, ["row 2", "row 3"]),
        ("E21", {"id": [1.5], "embedding": [[1.0]]}, []),
        ("L22", {"label": [1.5, 1.0], "embedding": [[1.0]] * 2}, ["row 1: 1.5"]),
        ("E10", {"embedding": [["1.0"]]}, []),
        ("E10", {"embedding": ["1.0"]}, []),
        ("E8", {"embedding": pa.array([], pa.list_(pa.float32()))}, []),
        ("E8", {"embedding": pa.array([[], []], pa.list_(pa.float32()))}, []),
        ("E31", {"id": ["a"], "x": [1.0]}, []),
        ("E31", {"features": [[1.0, 2.0]], "x": [1.0], "y": [2.0]}, []),
    ],
)
def test_refuses_a_table(tmp_path, case, columns, rows):
    path = written(tmp_path, columns)
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(path)
    assert (caught.value.code, caught.value.rows) == (f"FL-{case}", rows)
    assert str(path) in str(caught.value)


def test_odd_rows_far_into_the_table_are_found(tmp_path):
    rows = [[1.0, 2.0]] * 40_000
    rows[30_000] = [1.0]
    path = written(tmp_path, {"embedding": rows})
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(path)
    assert (caught.value.code, caught.value.rows) == ("FL-E17", ["30000"])


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_cut_parquet_file_is_named(tmp_path, keep):
    path = written(tmp_path, {"embedding": lists(VALUES)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(path)
    assert caught.value.code == "FL-E18"
    assert str(path) in str(caught.value)


def test_a_damaged_page_is_named(tmp_path):
    path = written(tmp_path, {"embedding": lists(VALUES)})
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    with pytest.raises(EmbeddingError, match=r"FL-E18 .*x\.parquet"):
        read_embeddings(path)


def parts(tmp_path, *tables: dict):
    for number, table in enumerate(tables):
        written(tmp_path, table, f"part-{number}.parquet")
    return tmp_path


def test_a_folder_of_parts_is_one_table_in_order_of_names(tmp_path):
    folder = parts(
        tmp_path,
        {"id": ["a", "b"], "embedding": lists(VALUES[:2])},
        {"embedding": lists(VALUES[2:]), "id": ["c", "d"]},
    )
    for stray in ("_SUCCESS", ".part-0.parquet.crc", "part-2.parquet.tmp", ".hidden.parquet", "_part.parquet", "a.txt"):
        (folder / stray).write_bytes(b"not Parquet")
    found = read_embeddings(folder)
    assert found.ids.to_pylist() == list("abcd")
    np.testing.assert_array_equal(found.values, VALUES)


@pytest.mark.parametrize(
    ("case", "second", "fragment"),
    [
        ("E20", {"id": ["c"], "embedding": lists(VALUES[:1].astype(np.float64))}, "column 'embedding' is list"),
        ("E20", {"id": [1], "embedding": lists(VALUES[:1])}, "column 'id' is int64, not string"),
        ("E20", {"embedding": lists(VALUES[:1])}, "no column 'id'"),
        ("E20", {"id": ["c"], "embedding": lists(VALUES[:1]), "label": ["x"]}, "extra column 'label'"),
        ("E17", {"id": ["c"], "embedding": lists(VALUES[:1, :2])}, "1 such row (c)"),
        ("E21", {"id": ["b"], "embedding": lists(VALUES[:1])}, "1 such row (b)"),
    ],
)
def test_parts_must_fit_together(tmp_path, case, second, fragment):
    folder = parts(tmp_path, {"id": ["a", "b"], "embedding": lists(VALUES[:2])}, second)
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(folder)
    assert caught.value.code == f"FL-{case}"
    assert fragment in str(caught.value)
    if case == "E20":
        assert "part-1.parquet" in str(caught.value)


def test_a_folder_without_parquet_says_so(tmp_path):
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(EmbeddingError, match="FL-E23 a folder without Parquet or Arrow files"):
        read_embeddings(tmp_path)


def test_a_footer_whose_columns_cannot_be_asked_about_ends_no_process():
    """Found by the fuzz lane: a size statistic is wrong, and pyarrow aborts where that column is described."""
    code = "import sys; from fewlabels.data.tables.embeddings import read_embeddings; read_embeddings(sys.argv[1])"
    damaged = Path(__file__).parents[2] / "fixtures" / "damaged" / "footer.parquet"
    done = subprocess.run([sys.executable, "-c", code, str(damaged)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # an exception, and no signal
    assert "FL-E21" in done.stderr
