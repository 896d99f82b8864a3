"""Which rows are labelled: twenty draws, fixed by their seeds before anything was measured, and the folds of each."""

from __future__ import annotations

import numpy as np

from benchmarks.choosing.sets import Set

PER_CLASS, SEEDS = (1, 2, 5, 15, 50), tuple(range(20))
NUM_FOLDS = 3
ALWAYS = -1  # in no fold: always trained on


def enough_rows(data: Set, per_class: int) -> bool:
    """Whether half the rows stay unlabelled: of each class, or of all where labels are drawn like the data."""
    sizes = np.bincount(data.truth)
    rows = sizes.min() if data.draw == "balanced" else sizes.sum() // sizes.size
    return bool(rows >= 2 * per_class)


def draw_labels(data: Set, per_class: int, seed: int) -> np.ndarray:
    """(n,) int64: the truth of the labelled rows, else -1.

    "balanced": per_class rows of each class. "random": the same number altogether: one of each class, so that no class
    is unknown, and the rest from all rows alike.
    """
    rng = np.random.default_rng([seed, per_class])
    order, count = rng.permutation(data.truth.size), data.num_classes
    each = per_class if data.draw == "balanced" else 1
    chosen = np.concatenate([order[data.truth[order] == one][:each] for one in range(count)])
    if data.draw == "random":
        rest = order[~np.isin(order, chosen)]
        chosen = np.concatenate([chosen, rest[: per_class * count - count]])
    labels = np.full(data.truth.size, -1)
    labels[chosen] = data.truth[chosen]
    return labels


def draw_folds(given: np.ndarray, seed: int) -> np.ndarray | None:
    """(m,) int64, the fold of each label, classes shared out evenly; None where no class has two labels.

    given: (m,) labels >= 0. Two folds where no class has three labels. A class with one label is in no fold.
    """
    sizes = np.bincount(given)
    if sizes.max() < 2:
        return None
    folds = np.full(given.size, ALWAYS)
    rng = np.random.default_rng([seed, 1])
    for one in np.flatnonzero(sizes > 1):
        rows = rng.permutation(np.flatnonzero(given == one))
        folds[rows] = np.arange(rows.size) % min(NUM_FOLDS, int(sizes.max()))
    return folds
