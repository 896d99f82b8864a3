"""Shares of the classes: matched to equal ones or to the labels', where that is known or the answer is near them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..graph.label_matrix import CheckedLabels
from .choose import Chosen
from .scores import Interval
from .settings import Auto, LabelsAre

Float = NDArray[np.float64]
Prior = Literal["uniform", "labels"]
EXPLAINED = 0.5  # times the error: difference from equal shares that the errors alone may cause
MOST_MOVED = 0.15  # share of the rows that the difference is, at most, however large the error
UNKNOWN_ERROR = 0.3  # with one label per class, where none can be held out
UNSEEN = 0.5  # labels that each class counts as having beside its own, where they are drawn like the data
UNKNOWN_COUNTS = 10.0  # labels that this counts as beside a few that could
ROUNDS = 200
LEAST_SCALE = 1e-4


def match_classes(
    distribution: Float, reached: NDArray[np.bool_], labels: CheckedLabels, chosen: Chosen, auto: Auto
) -> tuple[Prior | None, Float]:
    """What the shares of the classes are matched to, and the (c,) factors that do it; ones for None.

    distribution: (s, c) of a sample of rows. As many labels of each class say nothing of the shares, so equal ones are
    taken where the answer is nearly there by itself: it differs from them (total variation) by at most half of its
    cross-validated error, and by 0.15. Never a balance that the data do not have. Where the labels were drawn like the
    data, which nobody has to say where classes have different numbers of them, the fixed choice of few labels, in which
    every class counts the same, is multiplied by the labels' shares; with more labels the answer's own are left alone.
    """
    num_classes = labels.num_classes
    ones, equal = np.ones(num_classes), np.full(num_classes, 1 / num_classes)
    count = np.bincount(labels.label[labels.label != UNLABELED], minlength=num_classes)
    if not reached.any() or num_classes == 1 or auto.refinement is not None or (count == 0).any():
        return None, ones
    labels_are = auto.labels_are or detect_draw(count)
    if labels_are == "random":
        seen = count + UNSEEN
        return ("labels", seen / seen.max()) if chosen.is_fixed else (None, ones)
    if labels_are == "balanced":
        return "uniform", find_scale(distribution[reached], equal)
    error = chosen.measured.error
    expected = UNKNOWN_ERROR if error.value is None else (error.value * error.count + 0.5) / (error.count + 1)
    found = np.bincount(distribution[reached].argmax(axis=1), minlength=num_classes) / reached.sum()
    if np.abs(found - equal).sum() / 2 > min(EXPLAINED * expected, MOST_MOVED):
        return None, ones
    return "uniform", find_scale(distribution[reached], equal)


def expect_error(error: Interval) -> float:
    """The error of a fixed choice: of the held-out labels, and ten more of which three are wrong."""
    wrong = (error.value or 0.0) * error.count
    return (wrong + UNKNOWN_COUNTS * UNKNOWN_ERROR) / (error.count + UNKNOWN_COUNTS)


def detect_draw(count: NDArray[np.int64]) -> LabelsAre | None:
    """What the (c,) numbers of labels say of how they were drawn: "random" where they differ by more than one.

    As many of each class (but for one that was lost) say nothing: balanced data, or so many of each on purpose.
    """
    return "random" if count.max() - count.min() > 1 else None


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
