"""The data sets of benchmarks/accuracy/measure.py: name -> descriptors and truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy.descriptors import CACHE

NUM_ROWS, NUM_CLASSES, BLOBS_PER_CLASS, LOW, HIDDEN, DIMENSIONS = 10_000, 10, 4, 8, 64, 128
TAIL = 20  # rows of the largest class over rows of the smallest


@dataclass(frozen=True)
class Set:
    """rows: (n, d) float32, as they come. truth: (n,) int64."""

    rows: np.ndarray
    truth: np.ndarray


def blobs(sizes: np.ndarray, seed: int = 0) -> Set:
    """Classes of four Gaussian blobs in 8 dimensions, bent by a random map into 128, plus noise.

    Four blobs of each class in 8 dimensions, bent into 128, with sizes[i] rows of class i.
    """
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    blob = truth + len(sizes) * rng.integers(BLOBS_PER_CLASS, size=truth.size)
    centres = rng.normal(size=(len(sizes) * BLOBS_PER_CLASS, LOW)) * 1.5
    low = centres[blob] + rng.normal(size=(truth.size, LOW))
    bent = np.tanh(low @ rng.normal(size=(LOW, HIDDEN))) @ rng.normal(size=(HIDDEN, DIMENSIONS)) / 8
    rows = bent + 0.3 * rng.normal(size=bent.shape)
    order = rng.permutation(truth.size)
    return Set(rows[order].astype(np.float32), truth[order])


def balanced_blobs() -> Set:
    return blobs(np.full(NUM_CLASSES, NUM_ROWS // NUM_CLASSES))


def long_tailed_blobs() -> Set:
    share = TAIL ** -np.linspace(0, 1, NUM_CLASSES)
    return blobs(np.round(NUM_ROWS * share / share.sum()).astype(np.int64))


def digits() -> Set:
    from sklearn.datasets import load_digits

    found = load_digits()
    return Set(found.data.astype(np.float32), found.target.astype(np.int64))


def cifar10() -> Set:
    if not CACHE.exists():
        raise SystemExit(f"no {CACHE}: run benchmarks/accuracy/descriptors.py first")
    with np.load(CACHE) as found:
        return Set(found["descriptors"], found["truth"])


SETS: dict[str, Callable[[], Set]] = {
    "digits": digits,
    "cifar10": cifar10,
    "blobs": balanced_blobs,
    "long-tailed blobs": long_tailed_blobs,
}
