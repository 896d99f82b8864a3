"""Refinements of a propagation, all off by default: centred sources, a class prior, calibrated certainty.

They work on distributions: (m, c) float64, rows that sum to 1, all zeros where no label reaches; such rows stay zeros.
In this order: centred sources, then the temperature, then the prior, so that class totals hold at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import LinearOperator, cg

from ..errors import ConfigError, ConvergenceWarning, InputWarning, warn
from .settings import Refinement
from .solver import Solution

Float = NDArray[np.float64]
MOST_ROUNDS, PATIENCE = 1000, 20  # of matching the prior; given up where PATIENCE rounds bring less than 1 %
PRIOR_ERROR = 1e-6  # largest difference of a class total from the prior that counts as matched
LEAST_SCALE = 1e-30
LEAST_SHARE = 1e-6  # smaller ones are the solver's error, not news
MOST_FOLDS = 5
TEMPERATURES = (0.01, 100.0)
NEAR_ONE = 0.999  # the share at which the vector that W keeps is a thousand times larger than the others
LEAST_ROOT = 1e-3
KEPT_WITHIN = 0.01  # of 1 - alpha: how far W may move an estimate of that vector


@dataclass(frozen=True)
class Refined:
    """What was applied to a propagation, and how it went.

    centred: whether the mean label was taken away.
    prior: (c,) the class shares that were asked for; None if none were.
    prior_error: largest difference of a class's share from it at the end; 0 without a prior.
    temperature: the power 1 / temperature was put on the distributions; None if they are as they came.
    num_held_out: labels that it was fitted on.
    """

    centred: bool = False
    prior: tuple[float, ...] | None = None
    prior_error: float = 0.0
    temperature: float | None = None
    num_held_out: int = 0


class Answer(NamedTuple):
    """z: (m, c), refined. filled: (m, c) before that, as `solve` gave it. refined: None where nothing was applied."""

    solution: Solution
    filled: NDArray[np.floating]
    z: NDArray[np.floating]
    refined: Refined | None


def refine(
    solve: Callable[[sp.csc_array, NDArray[np.floating] | None], tuple[Solution, NDArray[np.floating]]],
    label_matrix: sp.csc_array,
    start: NDArray[np.floating] | None,
    refinement: Refinement,
    root_degree: Callable[[], Float],
    num_rows: NDArray[np.int64],
    name_class: Callable[[int], str] = "class {}".format,
) -> Answer:
    """Solve, and refine what comes; without refinement, or without a label, exactly what `solve` says.

    solve: (Y, start) -> the solution, and Z >= 0, (m, c). root_degree: gives the (m,) square roots of the degrees,
    called where they are needed. num_rows: (m,) rows that share each node. name_class: for messages.
    z holds the refined distributions. Raises ConfigError (C32) for a prior of another number of classes.
    Warns where the prior cannot be matched (C33) and where there are too few labels to calibrate (C34).
    """
    if refinement == Refinement() or label_matrix.nnz == 0:
        solution, z = solve(label_matrix, start)
        return Answer(solution, z, z, None)
    y = label_matrix.toarray()
    prior = _resolve_prior(refinement, y)
    scale = _raise_above_zero(root_degree())[:, None] if refinement.centre_sources else 1.0

    def spread(y_of_turn: Float, start: NDArray[np.floating] | None) -> tuple[Solution, NDArray[np.floating], Float]:
        solution, filled = solve(sp.csc_array(y_of_turn / scale), start)
        shares = scale_rows(np.asarray(filled, np.float64))
        return solution, filled, centre(shares, y_of_turn) if refinement.centre_sources else shares

    solution, filled, z = spread(y, start)
    temperature, num_held_out, error = None, 0, 0.0
    if refinement.calibrate:
        temperature, num_held_out = _calibrate(lambda y_of_turn: spread(y_of_turn, solution.x)[2], y, name_class)
    if temperature is not None:
        z = temper(z, temperature)
    elif refinement.centre_sources and prior is None:  # neither a temperature nor a prior gives to shares of zero
        z = clip_to_mean(z, y)
    if prior is not None:
        z, error = match_prior(z, prior, num_rows)
        _warn_of_unmatched(z, prior, num_rows, error)
    asked = None if prior is None else tuple(prior.tolist())
    return Answer(solution, filled, z, Refined(refinement.centre_sources, asked, error, temperature, num_held_out))


def estimate_root_degree(w: sp.csr_array, alpha: float) -> Float:
    """(m,) square roots of the degrees, up to a factor for each component: the vector v > 0 with W v = v.

    W = D^-1/2 A D^-1/2 no longer says what D was, but D^1/2 1 is the one positive vector that it keeps. Found by
    inverse iteration from ones. The nearer alpha is to 1, the more an error of v counts: 1 / (1 - alpha) times.
    InputWarning (G22) where W moves the estimate by more than 1 % of 1 - alpha, for alpha above 0.999.
    """
    size, near = w.shape[0], max(NEAR_ONE, alpha)
    system = LinearOperator((size, size), matvec=lambda x: x - near * (w @ x), dtype=np.float64)
    v, most_steps, enough = np.ones(size), 300, 1e-5
    if near > NEAR_ONE:
        most_steps, enough = 5000, min(enough, KEPT_WITHIN * (1 - alpha) / 10)
    for _ in range(10):
        v = cg(system, v, x0=v / (1 - near), rtol=1e-6, atol=0, maxiter=most_steps)[0] * (1 - near)
        v = _raise_above_zero(v)
        image = w @ v
        moved = float(np.linalg.norm((image - v)[image > 0]) / np.linalg.norm(v))
        if moved <= enough:
            break
    if near > NEAR_ONE and moved > KEPT_WITHIN * (1 - alpha):
        what = f"the degrees of a graph that was handed in normalised can be estimated to {moved:.0e} only, and with"
        do = "lower alpha, or hand in the affinity before it is normalised"
        warn(InputWarning(f"FL-G22 {what} alpha {alpha:g} centred sources need {KEPT_WITHIN * (1 - alpha):.0e}: {do}"))
    return np.asarray(v / v.max())


def _raise_above_zero(roots: Float) -> Float:
    """Entries below a thousandth of the largest are raised to it: labels are divided by them."""
    largest = roots.max()
    return np.asarray(np.maximum(roots, LEAST_ROOT * largest if largest > 0 else 1))


def centre(shares: Float, y: Float) -> Float:
    """Poisson's classes from the plain answer: (m, c) distributions divided by the mean label, rows to sum 1.

    Poisson learning (Calder, Cook, Thorpe, Slepcev, ICML 2020) solves L u = sum_i (y_i - mean) delta_i with L = D - A,
    and takes the class with the largest u_j / mean_j where all classes are taken to be equally large.
    Ours is I - alpha W = D^-1/2 (D - alpha A) D^-1/2, so (D - alpha A) U = B has the solution U = D^-1/2 Z of
    (I - alpha W) Z = D^-1/2 B: labels are divided by the roots of the degrees. The system is linear, and the columns
    of Z add up to the answer t to the row sums of B. So centring those gives Z - t mean' = t (shares - mean'),
    row by row, and no second solve is needed: u_j / mean_j orders the classes as shares_j / mean_j does. At alpha = 1
    Z is infinite, and this is what stays finite.

    y: (m, c) label matrix; a class without a label stays without a share.
    """
    mean = y.sum(axis=0) / y.sum()
    return scale_rows(np.divide(shares, mean, out=np.zeros_like(shares), where=mean > 0))


def clip_to_mean(relative: Float, y: Float) -> Float:
    """The positive part of u_j / mean_j, rows to sum 1, from `centre`: only classes above the mean label have a share.

    This is far more certain than `centre`. A row that says no more than the mean (all rows, with one class) stays as
    it is.
    """
    mean = y.sum(axis=0) / y.sum()
    above = np.maximum(relative - (relative @ mean)[:, None], 0)
    clear = above.max(axis=1) > LEAST_SHARE
    return np.where(clear[:, None], scale_rows(above), relative)


def match_prior(distribution: Float, prior: Float, num_rows: NDArray[np.int64]) -> tuple[Float, float]:
    """The distributions that meet a class prior, and the largest difference of a class's share from it.

    Columns are scaled, and rows to sum 1, until the classes' shares of the reached rows are the prior (Sinkhorn).
    num_rows: (m,) weight of each row. prior: (c,), sums to 1; what it gives to a class that no row has is shared out.
    A prior that the distributions cannot meet is approached until that brings no more: the error says how far.
    """
    reached = distribution.any(axis=1)
    p = distribution[reached]
    possible = p.any(axis=0)
    weight = num_rows[reached] / num_rows[reached].sum()
    if not (prior * possible).any():
        return distribution, float(np.abs(weight @ p - prior).max())
    target = prior * possible / (prior * possible).sum()
    scale, errors = np.ones(prior.size), []
    for _ in range(MOST_ROUNDS):
        totals = scale * ((weight / (p @ scale)) @ p)
        errors.append(np.abs(totals - target).max())
        if errors[-1] <= PRIOR_ERROR / 10 or (len(errors) > PATIENCE and errors[-1] > 0.99 * errors[-1 - PATIENCE]):
            break
        scale *= np.divide(target, totals, out=np.ones_like(target), where=totals > 0)
        scale = np.maximum(scale / scale[possible].max(), LEAST_SCALE)
    result = np.zeros_like(distribution)
    result[reached] = scale_rows(p * scale)
    return result, float(np.abs(weight @ result[reached] - prior).max())


def _calibrate(
    spread: Callable[[Float], Float], y: Float, name_class: Callable[[int], str]
) -> tuple[float | None, int]:
    """The temperature, and how many labels it was fitted on; (None, 0) where none can be held out.

    A class with one labelled node always keeps it; a warning names such classes.
    """
    turn = deal_folds(y)
    _warn_of_single_labels(y, name_class, calibrates=turn is not None)
    if turn is None:
        return None, 0
    said, counts = [], []
    for number in range(turn.max() + 1):
        out = turn == number
        found = spread(np.where(out[:, None], 0, y))
        out &= found.any(axis=1)
        said.append(found[out])
        counts.append(y[out])
    held_out = np.concatenate(counts)
    if held_out.size == 0 or held_out.shape[1] == 1:  # held-out rows are out of reach of the others, or of one class
        return None, 0
    return fit_temperature(np.concatenate(said), held_out), int(held_out.sum())


def _warn_of_single_labels(y: Float, name_class: Callable[[int], str], *, calibrates: bool) -> None:
    single = np.flatnonzero((y > 0).sum(axis=0) == 1)
    if not single.size:
        return
    how = "is calibrated by the labels of the other classes alone" if calibrates else "is not calibrated"
    more = f" and {single.size - 1} other classes have" if single.size > 1 else " has"
    what = f"FL-C34 certainty {how}: {name_class(int(single[0]))}{more} one labelled row, which cannot be held out"
    warn(InputWarning(f"{what}; label two or more of each class"))


def _resolve_prior(refinement: Refinement, y: Float) -> Float | None:
    if refinement.prior is None:
        return None
    if refinement.prior == "uniform":
        return np.full(y.shape[1], 1 / y.shape[1])
    prior = y.sum(axis=0) / y.sum() if refinement.prior == "labels" else np.array(refinement.prior, np.float64)
    if prior.size != y.shape[1]:
        raise ConfigError("C32", f"prior has the shares of {prior.size} classes, and there are {y.shape[1]}")
    return prior


def scale_rows(z: Float) -> Float:
    """Rows scaled to sum 1, tiny ones without underflow; rows of zeros stay zeros. z: (m, c), not negative."""
    largest = z.max(axis=1, keepdims=True)
    scaled = np.divide(z, largest, out=np.zeros_like(z), where=largest > 0)
    total = np.maximum(scaled.sum(axis=1, keepdims=True), 1)  # a row with mass sums to 1 or more by now
    return np.asarray(scaled / total)


def _warn_of_unmatched(z: Float, prior: Float, num_rows: NDArray[np.int64], error: float) -> None:
    if error <= PRIOR_ERROR:
        return
    shares = num_rows[z.any(axis=1)] @ z[z.any(axis=1)] / max(num_rows[z.any(axis=1)].sum(), 1)
    worst = int(np.abs(shares - prior).argmax())
    warn(
        ConvergenceWarning(
            f"FL-C33 the class totals do not match the prior: class {worst} has {shares[worst]:.4g} of the rows "
            f"instead of {prior[worst]:.4g}; some rows can be of few classes only, so correct the prior, or raise "
            "n_neighbors"
        )
    )


def temper(distribution: Float, temperature: float) -> Float:
    """Distributions to the power 1 / temperature, rows to sum 1; below 1 it sharpens, above it flattens.

    Shares below 1e-6 count as 1e-6: smaller ones are noise, and zero to any power is zero.
    """
    reached = distribution.any(axis=1)
    result = np.zeros_like(distribution)
    result[reached] = np.exp(_log_powers(distribution[reached], 1 / temperature))
    return result


def fit_temperature(distribution: Float, counts: Float) -> float:
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


def deal_folds(y: Float) -> NDArray[np.int64] | None:
    """(m,) the turn in which a labelled node is held out, -1 for others; None where every class has one node at most.

    Up to five turns, and no more than the rarest class has nodes; the nodes of each class take turns in their order.
    The node of a class that has no other is never held out.
    """
    labelled = np.flatnonzero(y.any(axis=1))
    own = y[labelled].argmax(axis=1)
    size = np.bincount(own)
    several = np.flatnonzero(size > 1)
    if not several.size:
        return None
    rarest = int(size[several].min())
    turn = np.full(y.shape[0], -1, np.int64)
    for number in several:
        turn[labelled[own == number]] = np.arange(size[number]) % min(MOST_FOLDS, rarest)
    return turn


def _log_powers(distribution: Float, power: float) -> Float:
    """log of the distributions to a power, rows scaled to sum 1."""
    logs = power * np.log(np.maximum(distribution, LEAST_SHARE))
    logs -= logs.max(axis=1, keepdims=True)
    scaled: Float = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    return scaled
