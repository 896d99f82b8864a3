"""What held-out labels say of the given ones, and of how far certainties can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .combine import Measured
from .scores import BINS

Float = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """Labelled rows by how little the labels of the other folds agree with theirs, most suspicious first.

    rows: (h,) int64, those that could be held out: a class with one label says nothing of it. given: (h,) their labels.
    label: (h,) int64, what the other folds say. suspicion: (h,) float64, 1 - the calibrated held-out probability of the
    given label.
    """

    rows: NDArray[np.int64]
    given: NDArray[np.int64]
    label: NDArray[np.int64]
    suspicion: Float


def suspect(measured: Measured) -> Suspicion:
    """Labelled rows, most suspicious first; rows of equal suspicion by number."""
    doubt = 1 - np.exp(measured.logs[np.arange(measured.row.size), measured.classes])
    order = np.lexsort((measured.row, -doubt))
    return Suspicion(
        rows=measured.row[order],
        given=measured.classes[order],
        label=measured.logs[order].argmax(axis=1),
        suspicion=doubt[order],
    )


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Held-out labels whose largest probability is from `low` up to `high`.

    count: how many there are. probability: its mean. right: share of them that got their label.
    """

    low: float
    high: float
    count: int
    probability: float
    right: float


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Bins of a reliability diagram, those with a label in them alone: before calibration, and after."""

    before: tuple[Bin, ...]
    after: tuple[Bin, ...]


def make_reliability(measured: Measured) -> Reliability:
    """Ten bins of equal width; their weighted gaps add up to the expected calibration error."""
    return Reliability(
        before=_make_bins(measured.before, measured.classes), after=_make_bins(measured.logs, measured.classes)
    )


def _make_bins(logs: Float, classes: NDArray[np.int64]) -> tuple[Bin, ...]:
    if not classes.size:
        return ()
    probability, right = np.exp(logs.max(axis=1)), logs.argmax(axis=1) == classes
    at = np.minimum((probability * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            count=int((at == number).sum()),
            probability=float(probability[at == number].mean()),
            right=float(right[at == number].mean()),
        )
        for number in np.unique(at).tolist()
    )
