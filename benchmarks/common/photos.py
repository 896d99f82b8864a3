"""Descriptors of photos as benchmark data: of a network that people use, 1,280 numbers wide.

cifar10, cifar100: the first 10,000 training and 2,000 test photos through the default backbone, from
build/descriptors/SET-lite0-160.npz, or the folder FEWLABELS_DESCRIPTORS, where `make descriptors` has written them.
Beyond 12,000 rows all 50,000 training photos, from SET-lite0-160-whole.npz (`python -m benchmarks.describe.sets
--whole`).
mixtures: the same of CIFAR-10, and beyond its 12,000 rows not photos but mixtures of the descriptors of a photo, of one
of its 30 nearest neighbours and of one of that one's, with shares from a Dirichlet distribution (2, 1, 1): 0.6 of their
weighted mean and 0.4 of a row whose every number is one of the three's, drawn by the same shares. So are the rows as
sparse, as long-tailed and about as close to each other as real ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

CIFAR10, MIXTURES = "cifar10", "mixtures"
KINDS = (CIFAR10, "cifar100", MIXTURES)
FOLDER = Path(os.environ.get("FEWLABELS_DESCRIPTORS", Path(__file__).parents[2] / "build" / "descriptors"))
NEAREST, SHARES, OF_MEANS = 30, (2, 1, 1), 0.6
BLOCK = 5000  # mixtures made at once
FEW = 12_000  # photos in the smaller file


class Absent(Exception):
    """The descriptors of these photos are not there, or there are fewer than asked for: says what to do."""


def describe(kind: str, rows: int, classes: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, d) float32 descriptors and (rows,) int64 classes of the first photos. Raises Absent."""
    name = CIFAR10 if kind == MIXTURES else kind
    whole = kind != MIXTURES and rows > FEW
    path = FOLDER / f"{name}-lite0-160{'-whole' if whole else ''}.npz"
    if not path.is_file():
        how = f"python -m benchmarks.describe.sets --whole --sets {name}" if whole else "make descriptors"
        raise Absent(f"{path} is not there: {how}")
    with np.load(path) as found:
        values = np.concatenate([found["train"], found["test"]]).astype(np.float32)
        truth = np.concatenate([found["train_labels"], found["test_labels"]]).astype(np.int64)
        num_classes = len(found["class_names"])
    if kind == MIXTURES and rows > len(values):
        values, truth = mix(values, truth, rows)
    if rows > len(values) or (classes, dimensions) != (num_classes, values.shape[1]):
        has = f"{len(values):,} rows of {values.shape[1]:,} numbers and {num_classes} classes"
        raise Absent(f"{path} has {has}, not {rows:,} of {dimensions:,} and {classes}")
    return values[:rows], truth[:rows]


def mix(values: np.ndarray, truth: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The values, and so many mixtures of neighbours that there are `rows`; a mixture has its first photo's class."""
    from benchmarks.common import ours

    near = ours.neighbors(values, NEAREST, 0.9)
    rng = np.random.default_rng(0)
    found, classes = [values], [truth]
    for size in np.diff([*range(len(values), rows, BLOCK), rows]):
        first = rng.integers(len(values), size=size)
        second = near[first, rng.integers(NEAREST, size=size)]
        third = near[second, rng.integers(NEAREST, size=size)]
        shares = rng.dirichlet(SHARES, size=size).astype(np.float32).cumsum(axis=1)[:, :, None]
        one, two, three = values[first], values[second], values[third]
        mean = shares[:, 0] * one + (shares[:, 1] - shares[:, 0]) * two + (1 - shares[:, 1]) * three
        drawn = rng.random(one.shape, np.float32)
        either = np.where(drawn < shares[:, 0], one, np.where(drawn < shares[:, 1], two, three))
        found.append(np.float32(OF_MEANS) * mean + np.float32(1 - OF_MEANS) * either)
        classes.append(truth[first])
    return np.concatenate(found), np.concatenate(classes)
