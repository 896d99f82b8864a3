"""L-BFGS for smooth convex losses of many numbers, without BLAS.

SciPy's works on the same numbers with BLAS's threads, which wait for each other at every product of two vectors: of
128,100 numbers a step takes 9 ms of processor time on one thread, 130 ms on two of a busy machine. Sums here are
NumPy's pairwise ones, so that no bit depends on threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Loss = Callable[[Float], tuple[float, Float]]  # at a point: value and gradient
MEMORY = 10  # differences of points and gradients that are kept
LEAST_DECREASE, SLOPE_LEFT = 1e-3, 0.9  # of a step: the weak Wolfe conditions
MOST_TRIES = 20  # of a step's length


def minimize(loss: Loss, start: Float, most_steps: int, gradient_tol: float = 1e-5, value_tol: float = 1e-9) -> Float:
    """The point where a convex loss is least, or that of the last step.

    start: (p,). Ends where no number of the gradient is above gradient_tol, or a step gains less than value_tol of the
    loss. Two loops over the last ten differences (Nocedal 1980); lengths by the secant of the slope, within
    brackets (weak Wolfe conditions).
    """
    point = start.copy()
    value, gradient = loss(point)
    pairs: list[tuple[Float, Float, float]] = []  # of a step, the change of the gradient, and their product
    for _ in range(most_steps):
        if np.abs(gradient).max(initial=0) <= gradient_tol:
            break
        direction = _direct(gradient, pairs)
        first = 1.0 if pairs else min(1.0, 1 / float(np.sqrt(_dot(gradient, gradient))))
        found = _search(loss, point, value, gradient, direction, first)
        if found is None:
            break
        length, new_value, new_gradient = found
        step, change = length * direction, new_gradient - gradient
        bend = _dot(step, change)
        if bend > 1e-12 * _dot(change, change):
            pairs = [*pairs[1 - MEMORY :], (step, change, bend)]
        gain = value - new_value
        point, value, gradient = point + step, new_value, new_gradient
        if gain <= value_tol * max(abs(value), abs(value + gain), 1.0):
            break
    return point


def _dot(one: Float, other: Float) -> float:
    return float((one * other).sum())


def _direct(gradient: Float, pairs: list[tuple[Float, Float, float]]) -> Float:
    """Minus the gradient times the inverse Hessian that the pairs make believe."""
    direction = -gradient
    parts = []
    for step, change, bend in reversed(pairs):
        part = _dot(step, direction) / bend
        direction -= part * change
        parts.append(part)
    if pairs:
        _, change, bend = pairs[-1]
        direction *= bend / _dot(change, change)
    for (step, change, bend), part in zip(pairs, reversed(parts), strict=True):
        direction += (part - _dot(change, direction) / bend) * step
    return direction


def _search(
    loss: Loss, point: Float, value: float, gradient: Float, direction: Float, length: float
) -> tuple[float, float, Float] | None:
    """A length with enough decrease and a slope that has eased, its value and gradient; None where nothing is gained.

    point, value, gradient: where the step begins.
    """
    slope = _dot(gradient, direction)
    low, low_slope, high = 0.0, slope, np.inf
    best: tuple[float, float, Float] | None = None
    for _ in range(MOST_TRIES):
        found, there = loss(point + length * direction)
        now = _dot(there, direction)
        enough = found <= value + LEAST_DECREASE * length * slope
        if enough and now >= SLOPE_LEFT * slope:
            return length, found, there
        flat = low + (length - low) * low_slope / (low_slope - now) if now > low_slope else np.inf
        if enough:
            best, low, low_slope = (length, found, there), length, now
        else:
            high = length
        most = 10 * low if high == np.inf else high - 0.1 * (high - low)
        length = min(max(flat, low + 0.1 * (min(high, 10 * length) - low)), most)
    return best
