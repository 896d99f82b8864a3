"""CIFAR-10 and CIFAR-100 as their authors give them out: the version for Python and the binary one.

Both are read without torchvision, which keeps them unpacked in the same folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import ImageError
from ..paths import unreadable
from .facts import Benchmark
from .plain_pickle import read_plain_pickle


@dataclass(frozen=True)
class Part:
    """pixels: (n, h, w, 3) uint8. truth: (n,) int64. ids: n texts. class_names: of the numbers in truth."""

    pixels: np.ndarray
    truth: np.ndarray
    ids: list[str]
    class_names: list[str]


@dataclass(frozen=True)
class Layout:
    """A folder of CIFAR files. ending: "" for pickles. label_bytes: before each image of a binary file, ours last."""

    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    label_key: str = ""
    names_key: str = ""
    label_bytes: int = 0


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
LAYOUTS = {
    "cifar10": (
        Layout("cifar-10-batches-py", _BATCHES, "test_batch", "batches.meta", "labels", "label_names"),
        Layout(
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in _BATCHES),
            "test_batch.bin",
            "batches.meta.txt",
            label_bytes=1,
        ),
    ),
    "cifar100": (
        Layout("cifar-100-python", ("train",), "test", "meta", "fine_labels", "fine_label_names"),
        Layout("cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", label_bytes=2),
    ),
}


def find_cifar(source: Path, benchmark: Benchmark) -> tuple[Path, Layout] | None:
    """The folder of CIFAR files that `source` is or holds, and how it is laid out; None if there is none."""
    for layout in LAYOUTS.get(benchmark.name, ()):
        for folder in (source, source / layout.folder):
            # Folders of images are called train and test, too: a file must be there.
            if (folder / layout.train[0]).is_file() and (folder / layout.names).is_file():
                return folder, layout
    return None


def read_cifar(folder: Path, layout: Layout, benchmark: Benchmark) -> tuple[Part, Part]:
    """(train, test) from the files of a layout.

    Raises ImageError I40 for a file that is missing, cut off or of another shape, I41 for a pickle that is more than
    data; StorageError where one cannot be read.
    """
    names = _read_class_names(folder / layout.names, layout, benchmark)
    train = [_read(folder / name, layout, benchmark, names) for name in layout.train]
    truth = np.concatenate([part.truth for part in train])
    ids = [id for part in train for id in part.ids]
    if len(set(ids)) < len(ids):  # row numbers within each file
        ids = [str(row) for row in range(len(ids))]
    whole = Part(np.concatenate([part.pixels for part in train]), truth, ids, names)
    return whole, _read(folder / layout.test, layout, benchmark, names)


def _read(path: Path, layout: Layout, benchmark: Benchmark, names: list[str]) -> Part:
    planes, truth, ids = _read_pickled(path, layout) if layout.label_key else _read_binary(path, layout, benchmark)
    side = benchmark.side
    if planes.ndim != 2 or planes.shape[1] != 3 * side * side or len(planes) != len(truth):
        what = f"images of shape {planes.shape} and {len(truth):,} labels; expected (n, {3 * side * side}) and n"
        raise _damaged(path, what)
    if bad := [f"row {row}: {truth[row]}" for row in np.flatnonzero((truth < 0) | (truth >= len(names)))]:
        raise ImageError("I40", f"labels outside of 0 .. {len(names) - 1}", where=path, rows=bad, do="fetch it again")
    pixels = np.ascontiguousarray(planes.reshape(-1, 3, side, side).transpose(0, 2, 3, 1))
    return Part(pixels, truth, ids if len(ids) == len(truth) else [str(row) for row in range(len(truth))], names)


def _read_pickled(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray, list[str]]:
    content = _read_content(path)
    planes, labels, files = content.get("data"), content.get(layout.label_key), content.get("filenames", [])
    if not isinstance(planes, np.ndarray) or not isinstance(labels, list) or not _are_all(labels, int):
        found = ", ".join(sorted(content)[:10])
        raise _damaged(path, f"no array `data` and list of numbers `{layout.label_key}` in it; it has {found}")
    truth = np.array([min(max(label, -1), 1 << 30) for label in labels], np.int64)  # outside of int64 is bad anyway
    return planes, truth, _to_texts(files) if _are_all(files, (bytes, str)) else []


def _read_binary(path: Path, layout: Layout, benchmark: Benchmark) -> tuple[np.ndarray, np.ndarray, list[str]]:
    record = layout.label_bytes + 3 * benchmark.side**2
    try:
        content = np.fromfile(path, np.uint8)
    except FileNotFoundError as problem:
        raise _missing(path) from problem
    except OSError as problem:
        raise unreadable(path, problem) from problem
    if len(content) == 0 or len(content) % record:
        raise _damaged(path, f"{len(content):,} bytes; expected {record:,} for each image")
    rows = content.reshape(-1, record)
    return rows[:, layout.label_bytes :], rows[:, layout.label_bytes - 1].astype(np.int64), []


def _read_class_names(path: Path, layout: Layout, benchmark: Benchmark) -> list[str]:
    if layout.label_key:
        names = _read_content(path).get(layout.names_key)
        found = _to_texts(names) if _are_all(names, (bytes, str)) else []
    else:
        try:
            found = [line.strip() for line in path.read_text("latin-1").splitlines() if line.strip()]
        except OSError as problem:
            raise unreadable(path, problem) from problem
    if len(set(found)) != len(found) or len(found) != benchmark.num_classes:
        raise _damaged(path, f"{len(found)} class names; expected {benchmark.num_classes}, each once")
    return found


def _read_content(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise _missing(path)
    return read_plain_pickle(path)


def _are_all(values: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _to_texts(values: object) -> list[str]:
    assert isinstance(values, list)
    return [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]


def _missing(path: Path) -> ImageError:
    return ImageError("I40", "no such file", where=path, do="unpack the whole archive again")


def _damaged(path: Path, what: str) -> ImageError:
    return ImageError("I40", what, where=path, do="unpack or fetch it again")
