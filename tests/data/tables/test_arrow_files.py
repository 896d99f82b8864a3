"""Embeddings and labels from Arrow IPC files: as from Parquet, mapped where they can be."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from fewlabels.data.labels.files import read_labels
from fewlabels.data.tables.embeddings import open_embeddings, read_embeddings
from fewlabels.errors import EmbeddingError, LabelError

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
FORMATS = ["file", "stream"]


def fixed(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])


def table(values: np.ndarray = VALUES, **more) -> pa.Table:
    ids = [f"r{row}" for row in range(len(values))]
    return pa.table({"id": ids, "embedding": fixed(values)} | more)


def arrow(path, content, kind="file", compression=None, batch=None):
    content = pa.table(content) if isinstance(content, dict) else content
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_file if kind == "file" else pa.ipc.new_stream)(path, content.schema, options=options) as writer:
        writer.write_table(content, max_chunksize=batch)
    return path


@pytest.mark.parametrize("name", ["x.arrow", "x.feather", "x.arrows", "x"])
@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
@pytest.mark.parametrize("kind", FORMATS)
def test_both_formats_are_read_compressed_or_not(tmp_path, name, batch, compression, kind):
    labels = pa.array(["x", None, "", "y"]).dictionary_encode()
    path = arrow(tmp_path / name, table(label=labels), kind, compression, batch)
    found = read_embeddings(path)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.values.flags.c_contiguous
    assert found.ids.to_pylist() == ["r0", "r1", "r2", "r3"]
    assert found.names.to_pylist() == ["x", None, None, "y"]


def test_feather_as_pyarrow_and_pandas_write_it(tmp_path):
    pyarrow.feather.write_feather(table(), str(tmp_path / "x.feather"))
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.feather").values, VALUES)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_plain_batch_stays_on_disk(tmp_path, kind, dtype):
    values = np.random.default_rng(0).normal(size=(20_000, 64)).astype(dtype)
    path = arrow(tmp_path / "x.arrow", table(values), kind)
    before = pa.total_allocated_bytes()
    found = open_embeddings(path).read()
    assert pa.total_allocated_bytes() - before < values.nbytes / 2
    assert not found.flags.owndata
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("values", [VALUES.astype(np.float16), (VALUES * 7).astype(np.int32)])
def test_other_numbers_become_float32(tmp_path, values):
    found = read_embeddings(arrow(tmp_path / "x.arrow", table(values))).values
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype(np.float32))


def test_lists_of_any_kind_and_numeric_columns_are_read(tmp_path):
    for number, kind in enumerate((pa.list_(pa.float32()), pa.large_list(pa.float32()))):
        path = arrow(tmp_path / f"{number}.arrow", {"embedding": pa.array(list(VALUES), kind)})
        np.testing.assert_array_equal(read_embeddings(path).values, VALUES)
    path = arrow(tmp_path / "columns.arrow", {"id": list("abcd")} | {f"x{i}": VALUES[:, i] for i in range(3)})
    np.testing.assert_array_equal(read_embeddings(path).values, VALUES)


def test_a_folder_of_arrow_parts_is_one_table_in_order_of_names(tmp_path):
    arrow(tmp_path / "b.arrow", {"id": ["c", "d"], "embedding": fixed(VALUES[2:])}, "stream")
    arrow(tmp_path / "a.arrow", {"id": ["a", "b"], "embedding": fixed(VALUES[:2])})
    (tmp_path / "_SUCCESS").touch()
    found = read_embeddings(tmp_path)
    assert found.ids.to_pylist() == list("abcd")
    np.testing.assert_array_equal(found.values, VALUES)


def test_a_folder_of_two_kinds_is_refused(tmp_path):
    arrow(tmp_path / "a.arrow", table())
    pq.write_table(table(), tmp_path / "b.parquet")
    with pytest.raises(EmbeddingError, match=r"FL-E20 Parquet and Arrow files in one folder, such as b\.parquet and a"):
        read_embeddings(tmp_path)


@pytest.mark.parametrize(
    ("case", "columns", "rows"),
    [
        ("E17", {"id": ["a", "b", "c"], "embedding": [[1.0, 2.0], [1.0], [1.0, 2.0, 3.0]]}, ["b", "c"]),
        ("E17", {"id": ["a", "b", "c"], "embedding": [[1.0, 2.0], None, [1.0, None]]}, ["b", "c"]),
        ("E17", {"id": ["a", "b"], "embedding": pa.array([None, [1, 2]], pa.list_(pa.float32(), 2))}, ["a"]),
        ("E17", {"id": ["a", "b"], "x": [1.0, None], "y": [1.0, 2.0]}, ["b"]),
        ("E1", {"id": ["a", "b"], "embedding": [[1.0], [np.nan]]}, ["b"]),
        ("E21", {"id": ["a", "b", "a"], "embedding": [[1.0]] * 3}, ["a"]),
        ("E21", {"id": ["a", None, ""], "embedding": [[1.0]] * 3}, ["row 2", "row 3"]),
        ("L22", {"label": [1.5, 1.0], "embedding": [[1.0]] * 2}, ["row 1: 1.5"]),
        ("E10", {"embedding": [["1.0"]]}, []),
        ("E8", {"embedding": pa.array([], pa.list_(pa.float32()))}, []),
        ("E31", {"id": ["a"], "x": [1.0]}, []),
    ],
)
def test_refuses_what_it_refuses_in_parquet(tmp_path, case, columns, rows):
    path = arrow(tmp_path / "x.arrow", columns)
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(path)
    assert (caught.value.code, caught.value.rows) == (f"FL-{case}", rows)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("keep", [0, 4, 8, 60, 300, -300])
def test_a_cut_file_is_named(tmp_path, kind, keep):
    path = arrow(tmp_path / "x.arrow", table(np.ones((100, 3), np.float32)), kind)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(EmbeddingError, match=r"FL-E18 .* Arrow file \(.*x\.arrow"):
        read_embeddings(path)


@pytest.mark.parametrize("content", [b"FEA1" + b"\0" * 40, b"hello, world", b"ARROW1\0\0" + b"\xff" * 200])
def test_something_else_of_that_name_is_named(tmp_path, content):
    (tmp_path / "x.feather").write_bytes(content)
    with pytest.raises(EmbeddingError, match=r"FL-E18 .* Arrow file \(.*x\.feather"):
        read_embeddings(tmp_path / "x.feather")


FUZZ = """
import random, sys, warnings
from pathlib import Path
from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.errors import FewlabelsError
warnings.simplefilter("ignore")
good, draw = Path(sys.argv[1]).read_bytes(), random.Random(0)
for round in range(300):
    bad = bytearray(good)
    for _ in range(draw.randint(1, 8)):
        bad[draw.randrange(len(bad))] = draw.choice((0, 1, 127, 128, 255))
    Path(sys.argv[2]).write_bytes(bad)
    try:
        found = read_embeddings(sys.argv[2])
        found.values.sum(), found.ids.to_pylist(), found.names and found.names.to_pylist()
    except (FewlabelsError, MemoryError):
        pass
"""


@pytest.mark.parametrize("kind", FORMATS)
def test_flipped_bytes_are_an_error_or_other_values_but_never_a_crash(tmp_path, kind):
    labels = pa.array(["x", None, "", "y"]).dictionary_encode()
    path = arrow(tmp_path / "x.arrow", table(label=labels, more=[[1], [], [2, 3], None]), kind)
    command = [sys.executable, "-c", FUZZ, str(path), str(tmp_path / "bad.arrow")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", FORMATS)
def test_labels_are_read_from_arrow(tmp_path, kind):
    path = arrow(tmp_path / "labels.arrow", {"id": [7, 8], "label": ["x", None]}, kind)
    found = read_labels(path)
    assert (found.ids, found.labels) == (["7", "8"], ["x", None])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(LabelError, match=r"FL-E18 .* Arrow file"):
        read_labels(path)
