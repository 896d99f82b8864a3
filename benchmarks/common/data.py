"""The benchmark data: rows of three kinds, kept as .npy files that every method reads; 40 labels per class.

blobs: each class is four Gaussian blobs in 16 dimensions, bent through a random nonlinear map into 128, plus noise,
scaled to length 1. hidden40, hidden64, hidden100: five overlapping blobs a class in so many dimensions, each with less
variance than the one before, through one layer of tanh, with little noise; a row's neighbours lie in about as many
clusters (a third, of 24,000 rows) as those of real descriptors. Both are made block by block, each with a random
generator of its own, so memory does not grow with the rows. cifar10, cifar100
and mixtures are descriptors of photos (photos.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import photos

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "bench"  # ignored by git
RECIPE = 2  # part of the file names: raise it where the recipe below changes
LABELS_PER_CLASS, BLOBS_PER_CLASS, LOW, HIDDEN = 40, 4, 16, 64
APART = 2.5  # centres to a blob's width: about 95 % of 200,000 rows in 100 classes get the right label
HIDDEN_DIMENSIONS = {"hidden40": 40, "hidden64": 64, "hidden100": 100}
BLOBS_PER_HIDDEN_CLASS, BLOB_WIDTH, NOISE = 5, 1.5, 0.05
BLOCK = 25_000  # rows made at once: 25 MiB in float64 at 128 dimensions
SAMPLE, NEIGHBORS = 500, 50
QUERIES = 20  # rows compared with all others at once: 80 MiB at a million rows
BLOBS = "blobs"
KINDS = (BLOBS, *HIDDEN_DIMENSIONS, *photos.KINDS)


@dataclass(frozen=True)
class Case:
    """Which data: number of rows, of classes and of dimensions, and one of KINDS."""

    rows: int
    classes: int
    dimensions: int = 128
    seed: int = 0
    kind: str = BLOBS

    @property
    def name(self) -> str:
        return f"{self.kind}-{RECIPE}-{self.rows}x{self.dimensions}-c{self.classes}-seed{self.seed}"


@dataclass(frozen=True)
class Blobs:
    """rows: (n, d) float32 of length 1. labels: (n,) int64, -1 where unlabelled. truth: (n,) int64.

    sample: (s,) int64, rows drawn to check recall on. exact: (s, 50) int64, their true neighbours, nearest first.
    """

    rows: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    sample: np.ndarray
    exact: np.ndarray


PARTS = tuple(Blobs.__dataclass_fields__)


def path_of(case: Case, part: str, cache: Path) -> Path:
    return cache / f"{case.name}-{part}.npy"


def prepare(case: Case, cache: Path = CACHE) -> None:
    """Make the files of a case, unless they are there. Raises photos.Absent where it is of photos not described."""
    if path_of(case, "exact", cache).exists():  # the last one written
        return
    if case.rows < 2 * LABELS_PER_CLASS * case.classes:
        least = 2 * LABELS_PER_CLASS * case.classes
        raise SystemExit(f"{case.classes} classes with {LABELS_PER_CLASS} labels each need {least:,} rows or more")
    cache.mkdir(parents=True, exist_ok=True)
    truth = _write_rows(case, cache)
    rng = np.random.default_rng([case.seed, case.rows])
    labels = np.full(case.rows, -1)
    for number in range(case.classes):
        members = np.flatnonzero(truth == number)
        labels[rng.choice(members, LABELS_PER_CLASS, replace=False)] = number
    sample = np.sort(rng.choice(case.rows, min(SAMPLE, case.rows), replace=False))
    rows = np.load(path_of(case, "rows", cache), mmap_mode="r")
    _save(path_of(case, "truth", cache), truth)
    _save(path_of(case, "labels", cache), labels)
    _save(path_of(case, "sample", cache), sample)
    _save(path_of(case, "exact", cache), exact_neighbors(rows, sample, min(NEIGHBORS, case.rows - 1)))


def load(case: Case, cache: Path = CACHE) -> Blobs:
    """The data of a prepared case, in memory: what a method gets is an array like any user's."""
    return Blobs(*(np.load(path_of(case, part, cache)) for part in PARTS))


def exact_neighbors(rows: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """(q, k) the k rows with the largest inner product with each of rows[queries], without itself, nearest first."""
    found = np.empty((queries.size, k), np.int64)
    for start in range(0, queries.size, QUERIES):
        part = queries[start : start + QUERIES]
        near = rows[part] @ rows.T
        near[np.arange(part.size), part] = -np.inf
        ids = np.argpartition(near, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(near, ids, axis=1), axis=1)
        found[start : start + QUERIES] = np.take_along_axis(ids, order, axis=1)
    return found


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of the exact neighbours, (s, k), that are among those found, (s, k), of the same rows."""
    hits = sum(np.intersect1d(one, other).size for one, other in zip(found, exact, strict=True))
    return hits / exact.size


def _write_rows(case: Case, cache: Path) -> np.ndarray:
    """Write the rows block by block; returns the class of each."""
    if case.kind in photos.KINDS:
        rows, truth = photos.describe(case.kind, case.rows, case.classes, case.dimensions)
        _save(path_of(case, "rows", cache), rows / np.linalg.norm(rows, axis=1, keepdims=True))
        return truth
    truth = np.empty(case.rows, np.int64)
    target = path_of(case, "rows", cache)
    partial = target.with_suffix(f".{os.getpid()}.partial")
    out = np.lib.format.open_memmap(partial, "w+", np.float32, (case.rows, case.dimensions))
    draw = _blobs(case) if case.kind == BLOBS else _hidden(case)
    for number, start in enumerate(range(0, case.rows, BLOCK)):
        size = min(BLOCK, case.rows - start)
        rows, classes = draw(np.random.default_rng([case.seed, case.rows, number]), size)
        out[start : start + size] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        truth[start : start + size] = classes
    out.flush()
    os.replace(partial, target)
    return truth


Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]  # of so many rows, and of their classes


def _blobs(case: Case) -> Draw:
    """Blobs of few hidden dimensions, far apart."""
    rng = np.random.default_rng(case.seed)
    centres = rng.normal(size=(case.classes * BLOBS_PER_CLASS, LOW)) * APART
    bend = rng.normal(size=(LOW, HIDDEN)) * (8 / LOW) ** 0.5
    back = rng.normal(size=(HIDDEN, case.dimensions)) / 8

    def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        blob = rng.integers(len(centres), size=size)
        bent = np.tanh((centres[blob] + rng.normal(size=(size, LOW))) @ bend) @ back
        bent += 0.3 * rng.normal(size=bent.shape)
        return bent, blob % case.classes

    return draw


def _hidden(case: Case) -> Draw:
    """Overlapping blobs of many hidden dimensions, the variance of the j-th in proportion to 1 / j."""
    hidden = HIDDEN_DIMENSIONS[case.kind]
    rng = np.random.default_rng(case.seed)
    centres = rng.normal(size=(case.classes * BLOBS_PER_HIDDEN_CLASS, hidden))
    scale = np.arange(1, hidden + 1) ** -0.5
    scale *= (hidden / np.square(scale).sum()) ** 0.5 / BLOB_WIDTH
    bend = rng.normal(size=(hidden, case.dimensions)) / hidden**0.5

    def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        blob = rng.integers(len(centres), size=size)
        bent = np.tanh((centres[blob] + BLOB_WIDTH * rng.normal(size=(size, hidden))) * scale @ bend)
        bent += NOISE * rng.normal(size=bent.shape)
        return bent, blob % case.classes

    return draw


def _save(path: Path, array: np.ndarray) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.save(file, array)
    os.replace(partial, path)
