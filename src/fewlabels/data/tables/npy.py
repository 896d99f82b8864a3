"""A .npy file of embeddings, opened without trusting its header."""

from __future__ import annotations

import errno
import math
import tokenize
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from ...errors import EmbeddingError, StorageError
from ..paths import unreadable

MAGIC = b"\x93NUMPY"
BLOCK_BYTES = 64 << 20  # of a file on disk, this much is held in memory at a time
DO_SAVE = "write it with numpy.save, as an array of numbers of shape (rows, width)"


def rows_per_block(shape: tuple[int, ...], itemsize: int) -> int:
    """How many rows of a (n, d) array are about 64 MiB."""
    return max(1, BLOCK_BYTES // max(1, shape[1] * itemsize))


def open_npy(path: Path) -> np.ndarray:
    """The (n, d) array of numbers in a .npy file as it is stored: a read-only memmap, nothing read yet but the header.

    Raises EmbeddingError E8 (no rows or columns), E9 (not 2-D), E10 (type), E12 (not .npy), E13 (Python objects),
    E14 (the header declares another size than the file has).
    """
    shape, fortran, dtype, offset, size = read_npy_header(path)
    working_dtype(dtype, str(path))
    check_shape(shape, str(path))
    check_size(path, shape, dtype, offset, size)
    try:
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    except OSError as problem:  # which does not tell the file
        if problem.errno != errno.ENOMEM:
            raise unreadable(path, problem) from problem
        do = "raise the limit (ulimit -v), or save fewer rows in a file"
        raise StorageError("G21", f"no room to map {size:,} bytes of a file", where=path, do=do) from problem


def stays_on_disk(stored: np.ndarray) -> bool:
    """Whether an opened array can be used as it is: float32 or float64, native, C-contiguous. Others are copied."""
    native = stored.dtype.isnative and stored.dtype == working_dtype(stored.dtype, "")
    return bool(native and stored.flags.c_contiguous)


def load_npy(stored: np.ndarray, on_share: Callable[[float], None] = lambda share: None) -> np.ndarray:
    """An opened array as it is, or a float32 or float64 copy of it. on_share: called with the share done, 0 to 1."""
    if stays_on_disk(stored):
        return stored
    out = np.empty(stored.shape, working_dtype(stored.dtype, ""))
    step = rows_per_block(stored.shape, stored.itemsize)
    for start in range(0, len(out), step):
        out[start : start + step] = stored[start : start + step]
        on_share(min(1.0, (start + step) / len(out)))
    return out


def check_size(path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int, size: int) -> None:
    """Raise EmbeddingError E14 where the header declares another size than the file has."""
    declared = offset + math.prod(shape) * dtype.itemsize
    if declared != size:
        what = f"the header declares {declared:,} bytes (shape {shape}, {dtype}), the file has {size:,}"
        do = "it was cut, or more than one array was saved to it: write it again"
        raise EmbeddingError("E14", what, where=path, do=do)


def read_npy_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int, int]:
    """(shape, Fortran order, dtype, where the data begins, size of the file). Nothing else is read."""
    try:
        with path.open("rb") as file:
            return *_parse_header(file, path), file.seek(0, 2)
    except OSError as problem:
        raise unreadable(path, problem) from problem


def _parse_header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """(shape, Fortran order, dtype, where the data begins). Nothing larger than the header is read."""
    if file.read(len(MAGIC)) != MAGIC:
        raise EmbeddingError("E12", "not a .npy file (its first bytes say otherwise)", where=path, do=DO_SAVE)
    file.seek(0)
    try:
        version = npy_format.read_magic(file)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"format version {version}")
        # Version 3 differs from 2 in the names of fields only, and arrays with fields are refused below.
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "reading required additional header parsing": an old, but good file
            shape, fortran, dtype = read(file)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as problem:
        # NumPy's own words go on for lines and may recommend unsafe options: they are left out.
        raise EmbeddingError("E12", "a .npy file with a damaged header", where=path, do=DO_SAVE) from problem
    return shape, fortran, dtype, file.tell()


def working_dtype(dtype: np.dtype, where: str) -> np.dtype:
    """float32 or float64: what an array of this dtype is held as. Raises EmbeddingError E13 or E10."""
    if dtype.hasobject:
        raise EmbeddingError("E13", "an array of Python objects; expected numbers", where=where, do=DO_SAVE)
    if dtype.names is None and dtype.kind in "biuf" and dtype.itemsize <= 8:
        return np.dtype(np.float64 if dtype.kind == "f" and dtype.itemsize == 8 else np.float32)
    do = "convert it to float32 first"
    raise EmbeddingError("E10", f"an array of {dtype}; expected real numbers of up to 64 bits", where=where, do=do)


def check_shape(shape: tuple[int, ...], where: str) -> None:
    """Raise EmbeddingError E9 unless the shape is (n, d), E8 unless both are at least 1."""
    if len(shape) != 2:
        do = "give one row of numbers for each item: reshape(len(x), -1) for grids"
        if len(shape) == 1:
            do = "one number each has no direction, which cosine compares; a column of ones gives it one: "
            do += "numpy.column_stack([(x - x.mean()) / x.std(), numpy.ones(len(x))])"
        raise EmbeddingError("E9", f"an array of shape {shape}; expected (rows, width)", where=where, do=do)
    if min(shape) < 1:
        what = f"embeddings of shape {shape}; expected at least one row and one column"
        raise EmbeddingError("E8", what, where=where, do="check how they were written")
