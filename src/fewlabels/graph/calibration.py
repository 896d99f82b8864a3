"""A temperature for distributions, fitted on held-out labels.

Distributions: (m, c) float64, rows that sum to 1, all zeros where no label reaches; such rows stay zeros.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Float = NDArray[np.float64]

NOISE = 1e-6  # shares below this are the solver's error, not news
MOST_FOLDS = 5
TEMPERATURES = (0.01, 100.0)


def tempered(distribution: Float, temperature: float) -> Float:
    """Distributions to the power 1 / temperature, rows to sum 1; below 1 it sharpens, above it flattens.

    Shares below 1e-6 count as 1e-6: smaller ones are noise, and zero to any power is zero.
    """
    reached = distribution.any(axis=1)
    result = np.zeros_like(distribution)
    result[reached] = np.exp(_log_powers(distribution[reached], 1 / temperature))
    return result


def fitted_temperature(distribution: Float, counts: Float) -> float:
    """The temperature from 0.01 to 100 with the least log loss on held-out labels.

    distribution: (h, c) of held-out rows. counts: (h, c) how many labels of each class a row has.
    As Platt had it, N labels are taken to be right with probability (N + 1) / (N + 2) only: a few rows that are all
    right are no reason to be certain of everything.
    """
    num_labels, num_classes = counts.sum(), counts.shape[1]
    wrong = 1 / (num_labels + 2) / max(num_classes - 1, 1)
    target = counts * (1 - num_classes * wrong) + wrong * counts.sum(axis=1, keepdims=True)

    def loss(log_power: float) -> float:
        return float(-(target * _log_powers(distribution, math.exp(log_power))).sum())

    low, high = (math.log(1 / temperature) for temperature in TEMPERATURES[::-1])
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return math.exp(-float(found.x))


def folds(y: Float) -> NDArray[np.int64] | None:
    """(m,) the turn in which a labelled node is held out, -1 for others; None where a class has one node only.

    Up to five turns, and no more than the rarest class has nodes; the nodes of each class take turns in their order.
    """
    labelled = np.flatnonzero(y.any(axis=1))
    own = y[labelled].argmax(axis=1)
    size = np.bincount(own)
    rarest = int(size[size > 0].min())
    if rarest < 2:
        return None
    turn = np.full(y.shape[0], -1, np.int64)
    for number in np.flatnonzero(size):
        turn[labelled[own == number]] = np.arange(size[number]) % min(MOST_FOLDS, rarest)
    return turn


def _log_powers(distribution: Float, power: float) -> Float:
    """log of the distributions to a power, rows scaled to sum 1."""
    logs = power * np.log(np.maximum(distribution, NOISE))
    logs -= logs.max(axis=1, keepdims=True)
    scaled: Float = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return scaled
