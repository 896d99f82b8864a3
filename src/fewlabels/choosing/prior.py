"""Shares of the classes: matched to equal ones or to the labels', where that is known or the answer is near them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..graph.label_matrix import CheckedLabels
from .choose import Chosen
from .settings import Auto

Float = NDArray[np.float64]
Prior = Literal["uniform", "labels"]
EXPLAINED = 0.5  # times the error: difference from equal shares that the errors alone may cause
MOST_MOVED = 0.15  # share of the rows that the difference is, at most, however large the error
UNKNOWN_ERROR = 0.3  # with one label per class, where none can be held out
ROUNDS = 200
LEAST_SCALE = 1e-4


def match_classes(
    distribution: Float, reached: NDArray[np.bool_], labels: CheckedLabels, chosen: Chosen, auto: Auto
) -> tuple[Prior | None, Float]:
    """What the shares of the classes are matched to, and the (c,) factors that do it; ones for None.

    distribution: (s, c) of a sample of rows. A label's class shares say nothing of the data's where n of each class
    were labelled, so equal shares are taken where the answer is nearly there by itself: its shares differ from equal
    ones (total variation) by at most half of its cross-validated error, and by 0.15. Never a balance that the data do
    not have.
    """
    num_classes = labels.num_classes
    ones, equal = np.ones(num_classes), np.full(num_classes, 1 / num_classes)
    given = labels.label[labels.label != UNLABELED]
    count = np.bincount(given, minlength=num_classes)
    if not reached.any() or num_classes == 1 or auto.refinement is not None or (count == 0).any():
        return None, ones
    if auto.labels_are == "random":
        return "labels", find_scale(distribution[reached], (count + 1) / (count + 1).sum())
    if auto.labels_are == "balanced":
        return "uniform", find_scale(distribution[reached], equal)
    error = chosen.measured.error
    expected = UNKNOWN_ERROR if error.value is None else (error.value * error.count + 0.5) / (error.count + 1)
    found = np.bincount(distribution[reached].argmax(axis=1), minlength=num_classes) / reached.sum()
    if np.abs(found - equal).sum() / 2 > min(EXPLAINED * expected, MOST_MOVED):
        return None, ones
    return "uniform", find_scale(distribution[reached], equal)


def find_scale(distribution: Float, shares: Float) -> Float:
    """(c,) factors, the largest 1, after which the mean of the rows, scaled to sum 1, has these shares (Sinkhorn)."""
    scale = np.ones(shares.size)
    for _ in range(ROUNDS):
        total = (distribution * (scale / (distribution @ scale)[:, None])).mean(axis=0)
        scale = scale * np.divide(shares, total, out=np.ones_like(total), where=total > 0)
        scale = np.maximum(scale / scale.max(), LEAST_SCALE)
        if np.abs(total - shares).max() < 1e-6:
            break
    return np.asarray(scale)
