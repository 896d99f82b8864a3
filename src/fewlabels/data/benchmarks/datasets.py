"""The benchmark data sets of the paper as plain arrays, from whatever form they lie in."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL

from ...errors import ConfigError, ImageError, InputWarning, RunError, shown, warn
from ...storage.durable import MANIFEST, make_folder, verify, write_file, write_json, write_manifest
from ..images.read import Progress, read_colour
from ..images.sources import Source, open_source, pixel_source
from ..paths import local_path, unreadable
from ..tables.files import part_files
from .cifar_files import Part, find_cifar, read_cifar
from .facts import BENCHMARKS, Benchmark
from .hub import hub_repository, open_hub

DATA_FOLDER = "FEWLABELS_DATA"  # names the folder that has a folder of the data set's name
SPLITS = ("splits", "labels")  # folders beside the images that may hold released splits
TRAIN_FOLDERS = ("train", "train+val")  # the second: the released code's own layout


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images with their truth. Training gets no more of it than the labels that `few_labels` chooses.

    pixels, test_pixels: (n, h, w, 3) uint8. truth, test_truth: (n,) int64 from 0 up. class_names: of these numbers.
    ids: n texts, unique, "class/file" where the source is a folder of images.
    splits: the folder of released splits that lies beside the images, if one does.
    place: what `load_dataset` opens again: the absolute path of its folder, or "hub:owner/name"; None where unknown.
    """

    benchmark: Benchmark
    pixels: np.ndarray
    truth: np.ndarray
    test_pixels: np.ndarray
    test_truth: np.ndarray
    class_names: list[str]
    ids: list[str]
    splits: Path | None = None
    place: str | None = None

    @property
    def name(self) -> str:
        return self.benchmark.name


def load_dataset(
    benchmark: str | Benchmark,
    source: str | os.PathLike[str] | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """cifar10, cifar100 or mini-imagenet, whole, or an error: images and classes are counted.

    source: a folder, "hub", or "hub:owner/name"; None: the folder of that name in the one that FEWLABELS_DATA names.
    A folder holds train-*.parquet and test-*.parquet as on the hub, or CIFAR's own files (for Python or binary), or
    train/<class>/* and test/<class>/*; mini-imagenet may say validation or val instead of test.
    Images of another size are cut to their centred square and resized.
    cache: a folder in which decoded images are kept: they are then read in a fraction of the time.
    progress(iterable, total) is laid around each walk over image files, such as tqdm.
    Raises ConfigError C54 for an unknown name, C55 where there is no source, C56 for the hub out of reach; ImageError
    I30, I39 for a folder without such files, I42 for a wrong number of images or classes, and those of `read_images`
    and `read_cifar`.
    """
    wanted = _find_benchmark(benchmark)
    place = _find_place(source, wanted)
    repository = hub_repository(place, wanted)
    found = _on_hub(repository, wanted, progress) if repository else _in_folder(place, wanted, progress)
    train, test = (
        found.read() if cache is None or not found.files else keep_decoded(cache, wanted, found.files, found.read)
    )
    again = f"hub:{repository}" if repository else os.path.abspath(place)
    return replace(_check_whole(train, test, wanted, place, found.splits), place=again)


def training_images(benchmark: str | Benchmark, source: str | os.PathLike[str] | None = None) -> Source:
    """The training images of a benchmark, to be opened one by one, with the ids of `load_dataset`; nothing is counted.

    Raises what `load_dataset` raises where it finds no data set.
    """
    wanted = _find_benchmark(benchmark)
    place = _find_place(source, wanted)
    if repository := hub_repository(place, wanted):
        return open_hub(repository, wanted)[0]
    folder = local_path(place, ImageError, "I30")
    if cifar := find_cifar(folder, wanted):
        train, _ = read_cifar(*cifar, wanted)
        return pixel_source(train.pixels, train.ids)
    if found := _parquet_patterns(folder, wanted) or _image_folders(folder, wanted):
        return open_source(found[0])
    raise _nothing_found(folder, wanted)


@dataclass(frozen=True)
class _Found:
    """read: gives (train, test). files: what takes so long to read that it is worth keeping. splits: as in Dataset."""

    read: Callable[[], tuple[Part, Part]]
    files: list[Path]
    splits: Path | None = None


def _on_hub(repository: str, benchmark: Benchmark, progress: Progress | None) -> _Found:
    *sources, files = open_hub(repository, benchmark)
    return _Found(lambda: _read_both(sources, benchmark, progress, [f"hub:{repository}"] * 2), files)


def _in_folder(place: str | os.PathLike[str], benchmark: Benchmark, progress: Progress | None) -> _Found:
    folder = local_path(place, ImageError, "I30")
    if not folder.is_dir():
        raise ImageError("I39", "a file", where=folder, do="name the folder that holds the data set")
    splits = next((folder / name for name in SPLITS if (folder / name).is_dir()), None)
    if cifar := find_cifar(folder, benchmark):
        return _Found(lambda: read_cifar(*cifar, benchmark), [], splits)
    if patterns := _parquet_patterns(folder, benchmark):
        files = [file for pattern in patterns for file in pattern.parent.glob(pattern.name)]
        return _Found(
            lambda: _read_both([open_source(p) for p in patterns], benchmark, progress, patterns), files, splits
        )
    if folders := _image_folders(folder, benchmark):
        files = [file for part in folders for file in part.rglob("*") if file.is_file()]
        return _Found(
            lambda: _read_both([open_source(p) for p in folders], benchmark, progress, folders), files, splits
        )
    raise _nothing_found(folder, benchmark)


def _read_both(
    sources: Sequence[Source], benchmark: Benchmark, progress: Progress | None, places: Sequence[object]
) -> tuple[Part, Part]:
    train, test = (_read_part(s, benchmark, progress, place) for s, place in zip(sources, places, strict=True))
    return train, test


def _find_benchmark(benchmark: str | Benchmark) -> Benchmark:
    if isinstance(benchmark, Benchmark):
        return benchmark
    if benchmark not in BENCHMARKS:
        raise ConfigError("C54", f"unknown data set {benchmark!r}", do=f"there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[benchmark]


def _find_place(source: str | os.PathLike[str] | None, benchmark: Benchmark) -> str | os.PathLike[str]:
    if source is not None:
        return source
    if folder := os.environ.get(DATA_FOLDER):
        return Path(folder) / benchmark.name
    do = f"name its folder, or 'hub', or set {DATA_FOLDER} to the folder that holds {benchmark.name}/"
    raise ConfigError("C55", f"where is {benchmark.name}?", do=do)


def _parquet_patterns(folder: Path, benchmark: Benchmark) -> tuple[Path, Path] | None:
    """Patterns of the training and test files; in the folder, or, as in copies of repositories, in one within it."""
    for place in (folder, *(path for path in _entries(folder) if path.is_dir())):
        names = [path.name for path in part_files(place)]
        for test in benchmark.test_names:
            if all(any(name.startswith(f"{part}-") for name in names) for part in ("train", test)):
                return place / "train-*.parquet", place / f"{test}-*.parquet"
    return None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as problem:
        raise unreadable(folder, problem) from problem


def _image_folders(folder: Path, benchmark: Benchmark) -> tuple[Path, Path] | None:
    train = next((folder / name for name in TRAIN_FOLDERS if (folder / name).is_dir()), None)
    test = next((folder / name for name in benchmark.test_names if (folder / name).is_dir()), None)
    return (train, test) if train and test else None


def _nothing_found(folder: Path, benchmark: Benchmark) -> ImageError:
    names = [path.name for path in _entries(folder)][:5]
    tests = " or ".join(benchmark.test_names)
    what = f"no {benchmark.name} that can be read; the folder holds {', '.join(map(shown, names)) or 'nothing'}"
    do = (
        f"expected train-*.parquet and {tests}-*.parquet, or train/<class>/* and {tests}/<class>/*, or the unpacked "
        "files of CIFAR's authors"
    )
    return ImageError("I39", what, where=folder, do=do)


def _read_part(source: Source, benchmark: Benchmark, progress: Progress | None, where: object) -> Part:
    images = read_colour(source, benchmark.side, progress, where)
    names = images.class_names or sorted({name for name in images.names if name is not None})
    number = {name: code for code, name in enumerate(names)}
    if missing := [id for id, name in zip(images.ids, images.names, strict=True) if name is None]:
        do = "every image of a benchmark needs its class"
        raise ImageError("I42", "images without a class", where=where, rows=missing, do=do)
    truth = np.array([number[name] for name in images.names if name is not None], np.int64)
    return Part(images.pixels, truth, images.ids, names)


def _check_whole(train: Part, test: Part, benchmark: Benchmark, where: object, splits: Path | None) -> Dataset:
    """Raises ImageError I42 unless there are as many images of each class as the benchmark has."""
    if train.class_names != test.class_names:
        odd = sorted(set(train.class_names) ^ set(test.class_names)) or ["another order"]
        raise ImageError("I42", "training and test images have different classes", where=where, rows=odd)
    for part, name, total in ((train, "training", benchmark.num_train), (test, "test", benchmark.num_test)):
        counts = np.bincount(part.truth, minlength=len(part.class_names))
        each = total // benchmark.num_classes
        if len(counts) != benchmark.num_classes or counts.min() != each or counts.max() != each:
            low, high = int(counts.min()), int(counts.max())
            found = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            what = f"{found} {name} images in each of {len(counts)} classes"
            expected = f"{benchmark.name} has {each:,} in each of {benchmark.num_classes}"
            do = "is it whole, and the right data set?"
            raise ImageError("I42", f"{what}; {expected}", where=where, do=do)
    return Dataset(
        benchmark=benchmark,
        pixels=train.pixels,
        truth=train.truth,
        test_pixels=test.pixels,
        test_truth=test.truth,
        class_names=train.class_names,
        ids=train.ids,
        splits=splits,
    )


FORMAT = 1
NAMES = "names.json"

Parts = tuple[Part, Part]


def keep_decoded(
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
            return _load_part(place, "train"), _load_part(place, "test")
        what = f"FL-I44 damaged copy of decoded images at {place} ({problems[0]}); it is made again"
        warn(InputWarning(what))
    train, test = read()
    make_folder(place)
    (place / MANIFEST).unlink(missing_ok=True)  # until the last file is there, the folder counts as not whole
    for part, name in ((train, "train"), (test, "test")):
        for array, kind in ((part.pixels, "pixels"), (part.truth, "truth")):
            with write_file(place / f"{name}-{kind}.npy") as file:
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


def _load_part(place: Path, name: str) -> Part:
    # "c": changes stay in memory. Read-only arrays would make torch warn.
    pixels = np.load(place / f"{name}-pixels.npy", mmap_mode="c", allow_pickle=False)
    truth = np.load(place / f"{name}-truth.npy", allow_pickle=False)
    names = json.loads((place / f"{name}-{NAMES}").read_text(encoding="utf-8"))
    return Part(pixels, truth, names["ids"], names["class_names"])
