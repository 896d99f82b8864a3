"""Embeddings from .npy and Parquet, case by case of the catalogue of bad input."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.lib import format as npy_format

from fewlabels.data.tables import npy
from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.errors import EmbeddingError

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3) / 7


def npy_bytes(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    npy_format.write_array(file, array, version=version)
    return file.getvalue()


def header_only(shape: object, descr: str = "<f4", size: int = 136) -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n").ljust(size, b"\0")


def written(tmp_path, table: dict | pa.Table, name: str = "x.parquet"):
    path = tmp_path / name
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
    return path


def lists(values: np.ndarray) -> pa.Array:
    return pa.array(list(values), pa.list_(pa.from_numpy_dtype(values.dtype)))


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_a_plain_npy_file_stays_on_disk(tmp_path, dtype):
    np.save(tmp_path / "x.npy", VALUES.astype(dtype))
    found = read_embeddings(tmp_path / "x.npy")
    assert isinstance(found.values, np.memmap)
    assert found.values.flags.c_contiguous
    assert not found.values.flags.writeable
    assert found.values.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found.values, VALUES.astype(dtype))
    assert (found.ids.to_pylist(), found.names) == (["0", "1", "2", "3"], None)


@pytest.mark.parametrize(
    ("case", "stored", "dtype"),
    [
        ("E15 big-endian", VALUES.astype(">f4"), np.float32),
        ("E15 big-endian", VALUES.astype(">f8"), np.float64),
        ("E15 Fortran order", np.asfortranarray(VALUES), np.float32),
        ("E10 half", VALUES.astype(np.float16), np.float32),
        ("E10 bytes", (VALUES * 7).astype(np.int8), np.float32),
        ("E10 integers", (VALUES * 7).astype(np.int64), np.float32),
        ("E10 truths", VALUES > 1, np.float32),
        ("E8 one column", VALUES[:, :1], np.float32),
    ],
)
def test_other_npy_files_give_the_same_numbers(tmp_path, monkeypatch, case, stored, dtype):
    monkeypatch.setattr(npy, "BLOCK_BYTES", 16)  # more than one block even here
    np.save(tmp_path / "x.npy", stored)
    found = read_embeddings(tmp_path / "x.npy").values
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, stored.astype(dtype))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_npy_format_is_read(tmp_path, version):
    (tmp_path / "x.npy").write_bytes(npy_bytes(VALUES, version))
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x.npy").values, VALUES)


REFUSED = [
    ("E8", npy_bytes(np.empty((0, 3), np.float32)), "shape (0, 3)"),
    ("E8", npy_bytes(np.empty((3, 0), np.float32)), "shape (3, 0)"),
    ("E8", header_only((-4, 3)), "shape (-4, 3)"),
    ("E9", npy_bytes(VALUES[0]), "shape (3,)"),
    ("E9", npy_bytes(VALUES[0]), "a column of ones gives it one: numpy.column_stack("),
    ("E9", npy_bytes(VALUES[None]), "shape (1, 4, 3)"),
    ("E10", npy_bytes(VALUES.astype(np.complex64)), "complex64"),
    ("E10", npy_bytes(VALUES.astype(str)), "an array of <U"),
    ("E10", npy_bytes(np.zeros((2, 2), "M8[s]")), "datetime64"),
    ("E10", npy_bytes(np.zeros((2, 2), [("a", "f4")])), "'a'"),
    ("E12", b"", "not a .npy file"),
    ("E12", b"1.0,2.0\n3.0,4.0\n", "not a .npy file"),
    ("E12", pickle.dumps([1, 2]), "not a .npy file"),
    ("E12", npy_bytes(VALUES)[:9], "damaged header"),
    ("E12", npy_bytes(VALUES)[:40], "damaged header"),
    ("E12", b"\x93NUMPY\x09\x00" + b"\0" * 100, "damaged header"),
    ("E12", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"(" * 100, "damaged header"),
    ("E14", header_only((10**12, 450)), "the header declares 1,800,000,000,000,"),
    ("E14", npy_bytes(VALUES)[:-1], "bytes (shape (4, 3), float32), the file has"),
    ("E14", npy_bytes(VALUES) * 2, "the file has"),
]


@pytest.mark.parametrize(("case", "content", "fragment"), REFUSED)
def test_refuses_an_npy_file(tmp_path, case, content, fragment):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(path)
    assert caught.value.code == f"FL-{case}"
    assert fragment in str(caught.value)
    assert str(path) in str(caught.value)
    assert "pickle" not in str(caught.value)
    assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


class Bomb:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (self.canary,)


def test_an_array_of_objects_is_refused_without_running_it(tmp_path):
    canary = tmp_path / "canary"
    array = np.empty((1, 1), object)
    array[0, 0] = Bomb(str(canary))
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(tmp_path / "x.npy")
    assert caught.value.code == "FL-E13"
    assert "pickle" not in str(caught.value)
    assert not canary.exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_named(tmp_path, monkeypatch, bad):
    monkeypatch.setattr(npy, "BLOCK_BYTES", 24)
    values = VALUES.copy()
    values[[1, 3], 2] = bad
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(tmp_path / "x.npy")
    assert (caught.value.code, caught.value.rows) == ("FL-E1", ["1", "3"])
    path = written(tmp_path, {"id": list("abcd"), "embedding": lists(values)})
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(path)
    assert (caught.value.code, caught.value.rows) == ("FL-E1", ["b", "d"])


def test_half_precision_that_overflowed_is_refused(tmp_path):
    with np.errstate(over="ignore"):
        np.save(tmp_path / "x.npy", np.float32([[1e6, 1], [1, 2]]).astype(np.float16))
    with pytest.raises(EmbeddingError, match="FL-E1 "):
        read_embeddings(tmp_path / "x.npy")


def test_huge_finite_values_are_left_alone(tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 2), 3e38, np.float32))
    assert (read_embeddings(tmp_path / "x.npy").values == np.float32(3e38)).all()


@pytest.mark.parametrize(
    ("name", "content", "case", "fragment"),
    [
        ("x.npz", b"PK\x03\x04", "E16", "numpy.save('x.npy', numpy.load('x.npz')['name of the array'])"),
        ("x.zip", b"PK\x03\x04", "E16", "zip archive"),
        ("x.csv", b"1,2\n3,4\n", "E30", "save the embeddings as .npy (numpy.save), Parquet or Arrow"),
        ("x.pt", b"\x80\x02stuff", "E32", "a PyTorch file (torch.save); expected one array or table of numbers"),
        ("x.pt", b"PK\x03\x04" + bytes(26) + b"x/data.pkl", "E32", "numpy.save('x.npy', torch.load('x.pt').numpy())"),
        ("x.pkl", b"\x80\x04stuff", "E32", "a pickle, which could run code"),
        ("x.h5", b"\x89HDF\r\n\x1a\n", "E32", "an HDF5 file"),
        ("x.safetensors", b"\x08" + bytes(7) + b"{", "E32", "a safetensors file"),
        ("x.dat", b"stuff", "E32", "neither a .npy nor a Parquet or Arrow file"),
        ("x.bin", b"\x1f\x8bstuff", "E32", "a gzip archive"),
        ("x.parquet", b"", "E18", "not a whole Parquet file"),
        ("x.parquet", b"PAR1" + b"\0" * 50 + b"PAR2", "E18", "not a whole Parquet file"),
        (None, b"", "E32", "no such file"),
    ],
)
def test_refuses_other_files(tmp_path, name, content, case, fragment):
    path = tmp_path / (name or "missing.npy")
    if name:
        path.write_bytes(content)
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(path)
    assert caught.value.code == f"FL-{case}"
    assert fragment in str(caught.value)


@pytest.mark.parametrize("text", ["s3://bucket/x.npy", "file:///x.npy", "~/x.npy", "a\0b.npy"])
def test_only_local_paths_are_read(text):
    with pytest.raises(EmbeddingError) as caught:
        read_embeddings(text)
    assert caught.value.code == "FL-E32"


def test_a_fifo_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(EmbeddingError, match="FL-E32 neither a regular file"):
        read_embeddings(tmp_path / "x.npy")


def test_npy_and_parquet_are_known_by_content_where_the_name_says_nothing(tmp_path):
    with (tmp_path / "x").open("wb") as file:
        np.save(file, VALUES)
    np.testing.assert_array_equal(read_embeddings(tmp_path / "x").values, VALUES)
    path = written(tmp_path, {"embedding": lists(VALUES)}, "y")
    np.testing.assert_array_equal(read_embeddings(path).values, VALUES)
