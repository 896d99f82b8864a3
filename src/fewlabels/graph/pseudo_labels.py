"""The solution Z -> a label, a certainty and a class weight for every row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from .rows import blocks
from .settings import Rules


@dataclass(frozen=True, kw_only=True)
class PseudoLabels:
    """What propagation says of each of n rows, over c classes.

    label: (n,) int64. Labelled rows keep their label; -1 where no label reaches.
    certainty: (n,) float64 in [0, 1]: 1 on labelled rows, 1 - entropy / log c elsewhere, 0 where no label reaches.
    distribution: (n, c) in the type of the solution, rows sum to 1; uniform where no label reaches.
    class_weight: (c,) float64, inverse population of each class; 0 for a class that nobody has.
    reached: (n,) bool.
    num_tied: rows whose two largest entries are equal; they get the smaller class number.
    """

    label: NDArray[np.int64]
    certainty: NDArray[np.float64]
    distribution: NDArray[np.floating]
    class_weight: NDArray[np.float64]
    reached: NDArray[np.bool_]
    num_tied: int


def distributions(z: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Rows of Z with negatives clipped, scaled to sum 1, and which rows had any mass.

    z: (n, c). Rows without mass become uniform.
    """
    positive = np.maximum(z, 0)
    largest = positive.max(axis=1, keepdims=True)
    has_mass = largest[:, 0] > 0
    largest[~has_mass] = 1
    positive /= largest  # tiny rows first to scale 1, so that their sum does not underflow
    positive[~has_mass] = 1
    positive /= positive.sum(axis=1, keepdims=True)
    return positive, has_mass


def certainties(distribution: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) 1 - H / log c of each row, in [0, 1]. With one class there is nothing to doubt: 1.

    Paper, eq. 11; released code lp/db_semisuper.py:319-320.
    """
    num_classes = distribution.shape[1]
    if num_classes == 1:
        return np.ones(distribution.shape[0])
    entropy = np.empty(distribution.shape[0])
    for part in blocks(distribution):
        shares = distribution[part]
        logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
        entropy[part] = -np.einsum("nc,nc->n", shares, logs)
    certainty: NDArray[np.float64] = np.clip(1 - entropy / np.log(num_classes), 0, 1)
    return certainty


def class_weights(label: NDArray[np.int64], num_classes: int, rules: Rules) -> NDArray[np.float64]:
    """(c,) inverse number of rows of each class, labelled and pseudo-labelled; 0 for a class that nobody has.

    The released code multiplies by n / c (lp/db_semisuper.py:335-337), so that the mean over the rows is 1.
    """
    population = np.bincount(label[label != UNLABELED], minlength=num_classes).astype(np.float64)
    weight = np.divide(1, population, out=np.zeros(num_classes), where=population > 0)
    return weight * (label.size / num_classes) if rules.balanced_class_weight else weight


def _tied(distribution: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(n,) whether the largest entry of a row occurs in it twice."""
    tied = np.empty(distribution.shape[0], bool)
    for part in blocks(distribution):
        shares = distribution[part]
        tied[part] = (shares == shares.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return tied


def pseudo_labels(
    z: NDArray[np.floating], labels: NDArray[np.int64], rules: Rules, largest: float | None = None
) -> PseudoLabels:
    """Read labels, certainties and class weights off the solution.

    z: (n, c) solution; a row without positive entries counts as not reached, unless it is labelled.
    labels: (n,) int64, -1 where unlabelled. largest: certainty of all rows, where these are a part; None: of these.
    """
    distribution, has_mass = distributions(z)
    given = labels != UNLABELED
    reached = has_mass | given
    certainty = np.where(has_mass, certainties(distribution), 0)
    largest = certainty.max(initial=0) if largest is None else largest
    if rules.divide_by_largest and largest > 0:
        certainty = certainty / largest
    label = np.where(has_mass, distribution.argmax(axis=1), UNLABELED)
    num_tied = int((_tied(distribution) & has_mass & ~given).sum())
    label[given], certainty[given] = labels[given], 1
    return PseudoLabels(
        label=label,
        certainty=certainty,
        distribution=distribution,
        class_weight=class_weights(label, z.shape[1], rules),
        reached=reached,
        num_tied=num_tied,
    )
