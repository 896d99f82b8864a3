"""Files that the stages of a propagation hand to each other: arrays in one folder that every worker sees.

A file is written beside its name and renamed, so a task that runs twice (a worker died, or was slow) leaves one whole
file. Nothing is mapped: pages of a mapped file count as a worker's own memory, and it would be stopped for them.
What was done is kept in a journal for each stage, so that nothing finished is done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from ..errors import StorageError
from ..storage import durable

JOURNALS = "done"


@dataclass(frozen=True)
class Store:
    """The arrays of one propagation. folder: on a disk that all workers share.

    base: a store whose arrays are read where this one has none of that name, but never written or removed here: the
    graphs of several settings share their rows and lists.
    """

    folder: str
    base: Store | None = None

    def path(self, name: str) -> Path:
        return Path(self.folder) / f"{name}.npy"

    def find(self, name: str) -> Path:
        """Where an array is read from."""
        path = self.path(name)
        return path if self.base is None or path.exists() else self.base.find(name)

    def inside(self, name: str) -> Store:
        """A store within this one, which reads what is here."""
        durable.make_folder(Path(self.folder) / name)
        return Store(str(Path(self.folder) / name), self)

    def put(self, name: str, array: np.ndarray) -> None:
        """Write the array, all or nothing. Raises StorageError (D1) where there is no room."""
        with durable.write_file(self.path(name)) as file:
            npy_format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)

    def get(self, name: str, first: int = 0, last: int | None = None) -> np.ndarray:
        """The rows first to last (exclusive) of an array. Raises StorageError (D1) where the file is gone."""
        with self._open(name) as file:
            shape, dtype = _read_header(file)
            last = shape[0] if last is None else last
            width = int(np.prod(shape[1:], dtype=np.int64))
            file.seek(first * width * dtype.itemsize, os.SEEK_CUR)
            flat = np.fromfile(file, dtype, (last - first) * width)
        return flat.reshape(last - first, *shape[1:])

    def fill(self, target: np.ndarray, name: str, first: int) -> None:
        """Read as many rows from `first` on as `target` has, into it. target: C-contiguous, of the array's type."""
        with self._open(name) as file:
            _, dtype = _read_header(file)
            assert dtype == target.dtype, name
            file.seek(first * target[:1].nbytes, os.SEEK_CUR)
            if file.readinto(target.data.cast("B")) != target.nbytes:  # type: ignore[attr-defined]
                raise StorageError("D1", "cannot read: the file is too short", where=self.find(name))

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        path = self.find(name)
        try:
            with path.open("rb") as file:
                yield file
        except OSError as problem:
            do = "the folder of --work must be the same on all workers, and nobody else may remove files there"
            raise StorageError("D1", f"cannot read: {problem.strerror or problem}", where=path, do=do) from problem

    def size(self, name: str) -> int:
        """How many rows an array has."""
        with self.find(name).open("rb") as file:
            return int(_read_header(file)[0][0])

    def remove(self, pattern: str) -> None:
        """Forget all arrays of such names."""
        for path in Path(self.folder).glob(f"{pattern}.npy"):
            path.unlink(missing_ok=True)


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    version = npy_format.read_magic(file)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


@dataclass(frozen=True)
class Journal:
    """Which tasks of one stage are done, and what they found."""

    store: Store
    stage: str

    @property
    def path(self) -> Path:
        return Path(self.store.folder) / JOURNALS / f"{self.stage}.jsonl"

    def read(self) -> dict[int, Any]:
        """What each task that is done has found, by its number."""
        if not self.path.exists():
            return {}
        found: dict[int, Any] = {}
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the last line of a process that was killed
                continue
            found[int(entry["task"])] = entry["found"]
        return found

    def add(self, task: int, found: Any) -> None:
        """The task is done."""
        durable.make_folder(self.path.parent)
        durable.append_line(self.path, "\n" * self._is_torn() + json.dumps({"task": task, "found": found}))

    def _is_torn(self) -> bool:
        """Whether the last line has no end, since its process was killed."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
