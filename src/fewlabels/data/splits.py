"""Which rows are labelled, and which are held out for testing."""

from __future__ import annotations

import numpy as np

from ..conventions import UNLABELED
from ..errors import LabelError


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
