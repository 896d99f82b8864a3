"""What held-out labels say of log-probabilities: temperature, loss, errors, calibration, intervals, thresholds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from .heads import log_shares

Float = NDArray[np.float64]
TEMPERATURES = (0.01, 100.0)
LEAST_LOG = math.log(1e-6)  # smaller shares of a graph are the solver's error; no held-out label counts as less likely
BINS = 10
HALVINGS = 20
Z95 = 1.959964
HELD_OUT = 0.5  # independent observations that a held-out label is worth: all are answered from nearly the same others


def logs_of_shares(mass: NDArray[np.floating]) -> Float:
    """(q, c) log-probabilities of mass from 0 up; uniform where a row has none, shares below 1e-6 count as 1e-6."""
    largest = mass.max(axis=1, keepdims=True)
    scaled = np.divide(mass, largest, out=np.ones(mass.shape), where=largest > 0)
    scaled = np.maximum(scaled / scaled.sum(axis=1, keepdims=True), math.exp(LEAST_LOG))
    return log_shares(np.log(scaled))


def temper(logs: Float, temperature: float) -> Float:
    """Log-probabilities to the power 1 / temperature: below 1 it sharpens, above it flattens."""
    if temperature == 1:
        return np.asarray(np.maximum(logs, 10 * LEAST_LOG))
    return log_shares(np.maximum(logs / temperature, 10 * LEAST_LOG))


def fit_temperature(logs: Float, classes: NDArray[np.int64], weight: Float | None = None) -> float:
    """The temperature from 0.01 to 100 with the least log loss on held-out labels.

    logs: (h, c). classes: (h,). weight: (h,), 1 if None. As Platt had it, h labels are taken to be right with
    probability (h + 1) / (h + 2) only: a few rows that are all right are no reason to be certain of everything.
    """
    h, c = logs.shape
    if h == 0 or c == 1:
        return 1.0
    share = np.ones(h) if weight is None else weight
    wrong = 1 / (share.sum() + 2) / (c - 1)
    at = (np.arange(h), classes)

    largest, found, powers = logs.max(axis=1, keepdims=True), np.empty_like(logs), np.empty_like(logs)

    def loss(log_power: float) -> float:
        temperature = math.exp(-log_power)  # `temper` without an array of its own for each step
        np.maximum(np.divide(logs, temperature, out=found), 10 * LEAST_LOG, out=found)
        np.subtract(found, np.maximum(largest / temperature, 10 * LEAST_LOG), out=found)
        np.subtract(found, np.log(np.exp(found, out=powers).sum(axis=1, keepdims=True)), out=found)
        return float(-(share * (found[at] * (1 - c * wrong) + wrong * found.sum(axis=1))).sum())

    low, high = (math.log(1 / temperature) for temperature in TEMPERATURES[::-1])
    return math.exp(-float(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-3}).x))


def suppose_temperature(logs: Float, certain: float) -> float:
    """The temperature from 0.01 to 100 at which the largest probability is `certain` on the mean of (q, c) rows.

    For answers that no held-out label calibrates: their order stays, and what they are taken for is a supposition.
    """
    if not logs.size or logs.shape[1] == 1:
        return 1.0
    low, high = map(math.log, TEMPERATURES)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if float(np.exp(temper(logs, math.exp(middle)).max(axis=1)).mean()) > certain:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


def log_losses(logs: Float, classes: NDArray[np.int64]) -> Float:
    """(h,) minus the log-probability of each row's class, at most -log 1e-6."""
    return np.asarray(np.minimum(-logs[np.arange(classes.size), classes], -LEAST_LOG))


def expected_calibration_error(logs: Float, classes: NDArray[np.int64]) -> float | None:
    """Mean difference of probability and share of right rows over ten bins of equal width; None without rows."""
    if not classes.size:
        return None
    probability, right = np.exp(logs.max(axis=1)), logs.argmax(axis=1) == classes
    at = np.minimum((probability * BINS).astype(int), BINS - 1)
    gap = np.bincount(at, probability - right, BINS)
    return float(np.abs(gap).sum() / classes.size)


@dataclass(frozen=True)
class Interval:
    """A share with a 95 % interval. value: None where nothing was counted. count: what it was measured on."""

    value: float | None
    low: float
    high: float
    count: int


def wilson(num_errors: float, count: int, counts_as: float = 1.0) -> Interval:
    """Wilson's 95 % interval of a share; from 0 to 1 where nothing was counted.

    counts_as: independent observations that each of the `count` is worth; below 1 the interval is wider.
    """
    if count == 0:
        return Interval(None, 0.0, 1.0, 0)
    share, z2, number = num_errors / count, Z95**2, count * counts_as
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = Z95 / (1 + z2 / number) * math.sqrt(share * (1 - share) / number + z2 / (4 * number**2))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), count)


def balanced_error(found: NDArray[np.int64], classes: NDArray[np.int64]) -> float | None:
    """Mean over the classes of the share of their rows that got another label; None where there is no row."""
    if not classes.size:
        return None
    count = np.bincount(classes)
    wrong = np.bincount(classes, found != classes, count.size)
    return float((wrong[count > 0] / count[count > 0]).mean())
