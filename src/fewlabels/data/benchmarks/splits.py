"""Which images of a benchmark are labelled: by the split files that came with the paper, else by a draw."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ...conventions import UNLABELED
from ...errors import ConfigError, InputWarning, LabelError, warn
from ...randomness import generator
from ..paths import first_bytes
from .datasets import Dataset

LARGEST_SPLIT = 1 << 24  # bytes of a split file; 50,000 lines of the released ones have about 1.5 million
ROW = re.compile(r"\d{1,9}")
NAMED_ROW = re.compile(r"(\d{1,9})_.+")  # 42399_airplane.png: the row in the order of the training files


@dataclass(frozen=True)
class Split:
    """labels: (n,) int64, -1 where the label is hidden. origin: "released" or "drawn". file: of a released split."""

    labels: np.ndarray
    origin: Literal["released", "drawn"]
    number: int
    file: Path | None = None


def few_labels(dataset: Dataset, num_labels: int, split: int) -> Split:
    """The labels of one split: of the released file of this number where there is one, else drawn with it as seed.

    A drawn split has as many labels of each class. Raises ConfigError C57 for a number of labels or a split that
    cannot be, LabelError L41, and what `read_split` raises.
    """
    if num_labels < 1 or split < 0:
        raise ConfigError("C57", f"{num_labels} labels of split {split}; expected at least 1, and a split from 0 up")
    if dataset.splits is not None and (file := find_split_file(dataset.splits, num_labels, split)):
        return Split(read_split(file, dataset, num_labels), "released", split, file)
    each, rest = divmod(num_labels, len(dataset.class_names))
    if rest:
        what = f"{num_labels} labels cannot be shared out evenly among {len(dataset.class_names)} classes"
        raise ConfigError("C57", what, do="ask for a multiple, or put a split file beside the images")
    return Split(draw_split(dataset.truth, each, generator(split, "few labels", num_labels)), "drawn", split)


def find_split_file(folder: Path, num_labels: int, split: int) -> Path | None:
    """The file of a split: 500/10.txt, or, as in the released code, 500_balanced_labels/10.txt (00.txt to 09.txt)."""
    names = (str(num_labels), f"{num_labels}_balanced_labels")
    places = (folder / name / f"{number}.txt" for name in names for number in (split, f"{split:02}"))
    return next((place for place in places if place.is_file()), None)


def read_split(file: Path, dataset: Dataset, num_labels: int) -> np.ndarray:
    """(n,) int64: the truth of the rows that a split file names, -1 elsewhere.

    A line is a row number, counted from 0 in the order of the training files, or, as in the released code,
    "42399_airplane.png airplane" or "image_10281.JPEG n01532829": a file and its class.
    Raises LabelError L50 for a line that names no image, or one twice, or not its class; L51 unless there are
    num_labels; L18 where a class has none. Warns (L52) where some classes have more than others.
    """
    rows = np.array(_read_rows(file, dataset), np.int64)
    repeated, counts = np.unique(rows, return_counts=True)
    if twice := [f"row {row}" for row in repeated[counts > 1]]:
        raise LabelError("L50", "images that occur twice", where=file, rows=twice, do="each once")
    if len(rows) != num_labels:
        do = "the name of its folder says how many there are: is it whole, and in the right place?"
        raise LabelError("L51", f"{len(rows)} images, {num_labels} expected", where=file, do=do)
    labels = np.full(len(dataset.truth), UNLABELED, np.int64)
    labels[rows] = dataset.truth[rows]
    _check_classes(np.bincount(labels[rows], minlength=len(dataset.class_names)), file, dataset)
    return labels


def _check_classes(counts: np.ndarray, file: Path, dataset: Dataset) -> None:
    doubt = "is it for images in this order?"
    if empty := [dataset.class_names[code] for code in np.flatnonzero(counts == 0)]:
        raise LabelError("L18", "classes without a labelled image", where=file, rows=empty, do=doubt)
    if counts.min() < counts.max():
        what = f"FL-L52 {counts.min()} to {counts.max()} labels in each class at {file}; expected as many of each"
        warn(InputWarning(f"{what}; {doubt}"))


def _read_rows(file: Path, dataset: Dataset) -> list[int]:
    place = {id: row for row, id in enumerate(dataset.ids)}
    rows: list[int] = []
    for number, line in enumerate(_read_lines(file), 1):
        words = line.split()
        if not words:
            continue
        row = _parse_row(words, place)
        if row is None or row >= len(dataset.truth) or len(words) > 2:
            what = f"{line.strip()!r} names none of the {len(dataset.truth):,} images"
            raise LabelError("L50", what, where=f"{file}:{number}", do="a row number from 0, or 'file class'")
        name = dataset.class_names[dataset.truth[row]]
        if len(words) == 2 and words[1] != name:
            what = f"image {words[0]} is said to be {words[1]!r} and is {name!r}"
            raise LabelError("L50", what, where=f"{file}:{number}", do="is the split for images in this order?")
        rows.append(row)
    return rows


def _parse_row(words: list[str], place: dict[str, int]) -> int | None:
    if ROW.fullmatch(words[0]):
        return int(words[0])
    if len(words) < 2:
        return place.get(words[0])
    if (row := place.get(f"{words[1]}/{words[0]}", place.get(words[0]))) is not None:
        return row
    named = NAMED_ROW.fullmatch(words[0])
    return int(named[1]) if named else None


def _read_lines(file: Path) -> list[str]:
    content = first_bytes(file, LARGEST_SPLIT + 1)
    if len(content) > LARGEST_SPLIT:
        raise LabelError("L50", f"more than {LARGEST_SPLIT:,} bytes", where=file, do="is it a split file?")
    return content.decode("utf-8", "replace").splitlines()


def draw_split(truth: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Labels of a balanced draw: `per_class` random rows of each class keep theirs, all others get -1.

    truth: (n,) integers from 0 up. Returns (n,) int64.
    Raises LabelError (L41) where a class has fewer rows.
    """
    counts = np.bincount(truth)
    if counts.min() < per_class:
        raise LabelError(
            "L41", f"class {counts.argmin()} has {counts.min()} rows, and {per_class} labels per class were asked for"
        )
    labels = np.full(truth.shape, UNLABELED, np.int64)
    for number in range(counts.size):
        rows = rng.choice(np.flatnonzero(truth == number), per_class, replace=False)
        labels[rows] = number
    return labels
