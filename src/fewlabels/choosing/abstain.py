"""Abstaining: the certainty below which a row is better left to a person, by the held-out labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConfigError
from .scores import HELD_OUT, Interval, wilson

if TYPE_CHECKING:
    from .combine import Measured


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


def find_threshold(measured: Measured | None, wanted: float) -> Threshold:
    """The least probability at which the held-out labels above it have an error of at most `wanted`.

    Errors are counted as (errors + wanted) / (kept + 1): one more label, of which the wanted share is wrong, so that a
    handful of right ones prove nothing. Raises ConfigError (C122) for a share that is not between 0 and 1.
    """
    if not 0 < wanted < 1:
        raise ConfigError("C122", f"an error of {wanted!r} is asked for, expected a share between 0 and 1")
    needed = math.ceil(1 / wanted) - 1
    if measured is None or measured.classes.size == 0:
        return Threshold(1.0, 0.0, wilson(0, 0), False, "no label could be held out: nothing is known of the error")
    probability, found = np.exp(measured.logs.max(axis=1)), measured.logs.argmax(axis=1)
    order = np.argsort(-probability, kind="stable")
    wrong = np.cumsum(found[order] != measured.classes[order])
    count = np.arange(1, order.size + 1)
    last = np.append(probability[order][1:] < probability[order][:-1], True)  # equal ones are kept or left together
    good = np.flatnonzero(last & ((wrong + wanted) / (count + 1) <= wanted))
    if order.size < needed:
        reason = f"{order.size} held-out labels cannot show an error of {wanted:g}: that takes at least {needed}"
        return Threshold(1.0, 0.0, wilson(0, 0), False, reason)
    if not good.size:
        reason = f"even the most certain of {order.size} held-out labels are wrong more often than {wanted:g}"
        return Threshold(1.0, 0.0, wilson(0, 0), False, reason)
    at = int(good[-1])
    kept = (at + 1) / order.size
    share = float(probability[order[at]]) if at + 1 < order.size else 0.0
    error = wilson(float(wrong[at]), at + 1, HELD_OUT)
    supported = at + 1 >= needed
    reason = f"rows with a probability of {share:.3f} and more: {100 * kept:.0f} % of {order.size} held-out labels"
    return Threshold(share, kept, error, supported, reason)
