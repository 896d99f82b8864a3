"""Abstaining: the certainty below which a row is better left to a person, by the held-out labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from .scores import HELD_OUT, Interval, wilson

if TYPE_CHECKING:
    from .combine import Measured

MOST_POINTS = 200  # of a curve that is kept in a file
DOUBTED = 40.0  # labels that the probabilities themselves count as, beside those that were held out


@dataclass(frozen=True)
class Threshold:
    """Answer rows whose largest probability is at least `probability`; abstain from the others.

    kept: share of the held-out labels that are answered. error: of those, with its interval. supported: whether the
    labels can tell: about 1 / wanted held-out labels must be kept to see one error, else the threshold is a guess.
    reason: one sentence.
    """

    probability: float
    kept: float
    error: Interval
    supported: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What held-out labels say of answering only rows that are at least so probable.

    probability: (p,) float64, falling. kept, wrong: (p,) int64, held-out labels that are at least so probable, and
    those of them that were wrong; the last `kept` is their number.
    """

    probability: NDArray[np.float64]
    kept: NDArray[np.int64]
    wrong: NDArray[np.int64]

    @property
    def num_held_out(self) -> int:
        return int(self.kept[-1]) if self.kept.size else 0

    def find_threshold(self, wanted: float) -> Threshold:
        """The least probability at which the held-out labels above it have an error of at most `wanted`.

        Errors are counted as (errors + wanted) / (kept + 1): one more label, of which the wanted share is wrong, so
        that a handful of right ones prove nothing. And DOUBTED more labels count, of which as many are wrong as their
        probabilities say: among many places to cut there is always one above which few are wrong by luck. For the same
        reason it takes twice as many labels to show an error above a cut as without one.
        Raises ConfigError (C122) for a share that is not between 0 and 1.
        """
        if not 0 < wanted < 1:
            raise ConfigError("C122", f"an error of {wanted!r} is asked for, expected a share between 0 and 1")
        needed, count = math.ceil(1 / wanted) - 1, self.num_held_out
        if count == 0:
            return Threshold(1.0, 0.0, wilson(0, 0), False, "no label could be held out: nothing is known of the error")
        if count < needed:
            reason = f"{count} held-out labels cannot show an error of {wanted:g}: that takes at least {needed}"
            return Threshold(1.0, 0.0, wilson(0, 0), False, reason)
        good = np.flatnonzero(self._expected_errors(wanted) <= wanted)
        if not good.size:
            reason = f"even the most certain of {count} held-out labels are wrong more often than {wanted:g}"
            return Threshold(1.0, 0.0, wilson(0, 0), False, reason)
        at = int(good[-1])
        kept = int(self.kept[at])
        share = float(self.probability[at]) if kept < count else 0.0
        needed = needed if kept == count else 2 * needed
        error = wilson(float(self.wrong[at]), kept, HELD_OUT)
        reason = f"probability of {share:.3f} and more: {kept} of {count} held-out labels"
        if kept < needed:
            reason = f"only {kept} of {count} held-out labels are so certain, and such an error takes {needed} to show"
        return Threshold(share, kept / count, error, kept >= needed, reason)

    def _expected_errors(self, wanted: float) -> NDArray[np.float64]:
        """(p,) error above each probability: the larger of two estimates, see `find_threshold`."""
        doubt = np.cumsum((1 - self.probability) * np.diff(self.kept, prepend=0)) / self.kept
        counted = (self.wrong + wanted) / (self.kept + 1)
        return np.maximum(counted, (self.wrong + DOUBTED * doubt) / (self.kept + DOUBTED))

    def thin(self, most: int) -> Curve:
        """At most so many points of it, the last one among them, with the same counts."""
        if len(self.kept) <= most:
            return self
        at = np.unique(np.linspace(0, len(self.kept) - 1, most).round().astype(np.int64))
        return Curve(probability=self.probability[at], kept=self.kept[at], wrong=self.wrong[at])


def describe_curve(curve: Curve) -> dict[str, list[float]]:
    """The curve at up to 200 points as plain lists, which go into JSON and come back."""
    thin = curve.thin(MOST_POINTS)
    return {name: getattr(thin, name).tolist() for name in ("probability", "kept", "wrong")}


def unpack_curve(found: Mapping[str, Any]) -> Curve:
    """What `describe_curve` made. Raises ValueError for counts that contradict each other."""
    kept, wrong = np.array(found["kept"], np.int64), np.array(found["wrong"], np.int64)
    if (np.diff(kept, prepend=0) <= 0).any() or (np.diff(wrong, prepend=0) < 0).any() or (wrong > kept).any():
        raise ValueError("held_out has counts that contradict each other")
    return Curve(probability=np.array(found["probability"], np.float64), kept=kept, wrong=wrong)


def measure_curve(logs: NDArray[np.float64], classes: NDArray[np.int64]) -> Curve:
    """The curve of held-out labels. logs: (h, c) log-probabilities of rows that were held out. classes: (h,) labels."""
    if not classes.size:
        none = np.empty(0, np.int64)
        return Curve(probability=np.empty(0), kept=none, wrong=none)
    probability, found = np.exp(logs.max(axis=1)), logs.argmax(axis=1)
    order = np.argsort(-probability, kind="stable")
    wrong = np.cumsum(found[order] != classes[order])
    falling = probability[order]
    last = np.flatnonzero(np.append(falling[1:] < falling[:-1], True))  # equal ones are kept or left together
    return Curve(probability=falling[last], kept=last + 1, wrong=wrong[last])


def is_sure(probability: NDArray[np.float64], threshold: Threshold) -> NDArray[np.bool_]:
    """Whether each largest probability is high enough; none is where the held-out labels cannot tell."""
    return (probability >= threshold.probability) & threshold.supported


def find_threshold(measured: Measured | None, wanted: float) -> Threshold:
    """As Curve.find_threshold, of what was measured; None where nothing was. Raises ConfigError (C122)."""
    if measured is None:
        return measure_curve(np.empty((0, 1)), np.empty(0, np.int64)).find_threshold(wanted)
    return measure_curve(measured.logs, measured.classes).find_threshold(wanted)
