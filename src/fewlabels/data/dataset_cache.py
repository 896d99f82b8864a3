"""Decoded images of a benchmark, kept in a folder of the user's choice: decoded once, mapped into memory afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import PIL

from ..errors import InputWarning, RunError
from ..storage.durable import MANIFEST, make_folder, verify, write_json, write_manifest, writing
from .benchmarks import Benchmark
from .cifar_files import Part
from .paths import unreadable

FORMAT = 1
NAMES = "names.json"

Parts = tuple[Part, Part]


def kept(
    folder: str | os.PathLike[str], benchmark: Benchmark, files: Sequence[Path], read: Callable[[], Parts]
) -> Parts:
    """What `read` gives, from `folder` if it was kept there for the same files, else read and kept.

    files: what the images come from; another name, size or time of change of one of them means another data set.
    Every byte is compared with its SHA-256 before it is used; a damaged copy is made again, with a warning (I44).
    Raises StorageError where the folder cannot be written.
    """
    place = Path(folder) / f"{benchmark.name}-{_digest(benchmark, files)}"
    if (place / MANIFEST).is_file():
        problems = _problems(place)
        if not problems:
            return _part(place, "train"), _part(place, "test")
        what = f"FL-I44 damaged copy of decoded images at {place} ({problems[0]}); it is made again"
        warnings.warn(InputWarning(what), stacklevel=3)
    train, test = read()
    make_folder(place)
    (place / MANIFEST).unlink(missing_ok=True)  # until the last file is there, the folder counts as not whole
    for part, name in ((train, "train"), (test, "test")):
        for array, kind in ((part.pixels, "pixels"), (part.truth, "truth")):
            with writing(place / f"{name}-{kind}.npy") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        write_json(place / f"{name}-{NAMES}", {"ids": part.ids, "class_names": part.class_names})
    write_manifest(place)
    return train, test


def _digest(benchmark: Benchmark, files: Sequence[Path]) -> str:
    """16 hexadecimal digits for what the decoded bytes depend on; Pillow's decoders change with its version."""
    try:
        stats = [(os.fspath(file.absolute()), file.stat()) for file in sorted(files)]
    except OSError as problem:
        raise unreadable(benchmark.name, problem) from problem
    facts = [FORMAT, PIL.__version__, benchmark.side, [(name, s.st_size, s.st_mtime_ns) for name, s in stats]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _problems(place: Path) -> list[str]:
    try:
        return [f"{problem.name}: {problem.reason}" for problem in verify(place)]
    except RunError as problem:
        return [str(problem)]


def _part(place: Path, name: str) -> Part:
    # "c": changes stay in memory. Read-only arrays would make torch warn.
    pixels = np.load(place / f"{name}-pixels.npy", mmap_mode="c", allow_pickle=False)
    truth = np.load(place / f"{name}-truth.npy", allow_pickle=False)
    names = json.loads((place / f"{name}-{NAMES}").read_text(encoding="utf-8"))
    return Part(pixels, truth, names["ids"], names["class_names"])
