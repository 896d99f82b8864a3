"""Plain arrays in one .npz, whole or not at all. No pickle on either side."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError
from . import durable

# What zipfile, NumPy and json raise for files that are none. NotImplementedError: another compression; RuntimeError: an
# encrypted entry; TokenError, SyntaxError, MemoryError: a damaged header of an array.
DAMAGED = (
    ValueError,
    KeyError,
    OSError,
    EOFError,
    AttributeError,
    TypeError,
    IndexError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    OverflowError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def write_arrays(path: str | Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what `read_arrays` reads, array by array: nothing is copied. Raises StorageError."""
    with durable.write_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def read_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """All arrays of the file. Raises RunError: K4 where there is none, K2 where it is damaged or something else."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:  # raw: closed whatever comes
            return {name: file[name] for name in file.files}
    except FileNotFoundError as problem:
        raise RunError("K4", "no such file", where=path) from problem
    except DAMAGED as problem:
        raise RunError("K2", "no arrays that fewlabels wrote, or damaged ones", where=path) from problem
