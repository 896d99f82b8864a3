"""Heads: classifiers of single rows, fitted to labelled rows alone or to all rows with weights.

A head gives scores (q, c), from which `log_shares` makes log-probabilities. All heads are unchanged by a rotation of
the rows, so with fewer rows than features they may be fitted in `coordinates`, as many numbers a row as there are rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ..graph.blas import one_blas_thread
from ..graph.threads import Team, even_ranges
from .lbfgs import minimize

Float = NDArray[np.float64]
ABSENT = -1e3  # score of a class that no row was labelled with
BLOCK = 16384  # rows scored at once
PART, MOST_PARTS = 1024, 16  # rows of a part of a sum that stay in a core's cache, unless there would be too many parts


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """Scores rows @ weight + bias. weight: (d, c) float64. bias: (c,) float64."""

    weight: Float
    bias: Float

    def scores(self, rows: NDArray[np.floating]) -> Float:
        """(q, c) float64 scores of (q, d) rows."""
        product = rows @ self.weight.astype(rows.dtype, copy=False)
        return np.asarray(product.astype(np.float64) + self.bias)


@dataclass(frozen=True, kw_only=True)
class NearestHead:
    """Scores minus the squared distance to the nearest labelled row of each class, times `power`.

    rows: (l, d) labelled rows. classes: (l,) int64. num_classes: c.
    """

    rows: NDArray[np.floating]
    classes: NDArray[np.int64]
    num_classes: int
    power: float = 1.0

    def scores(self, rows: NDArray[np.floating]) -> Float:
        """(q, c) float64 scores of (q, d) rows; ABSENT for a class without a labelled row."""
        own = np.einsum("ld,ld->l", self.rows, self.rows, dtype=np.float64)
        order = np.argsort(self.classes, kind="stable")
        present, first = np.unique(self.classes[order], return_index=True)
        found = np.full((len(rows), self.num_classes), ABSENT)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            near = 2 * (part @ self.rows[order].T.astype(part.dtype, copy=False)).astype(np.float64) - own[order]
            near -= np.einsum("qd,qd->q", part, part, dtype=np.float64)[:, None]
            found[start : start + len(part), present] = self.power * np.maximum.reduceat(near, first, axis=1)
        return found


Head = LinearHead | NearestHead


def log_shares(scores: Float) -> Float:
    """(q, c) scores -> log-probabilities: the log of the softmax."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.asarray(shifted)


def coordinates(rows: Float) -> tuple[Float, Float]:
    """Rows in as few numbers as their rank: (l, r) coordinates and the (d, r) orthonormal axes they are along.

    rows: (l, d). coordinates @ axes.T are the rows again. With more rows than features nothing is gained, and the axes
    are those of the features.
    """
    if len(rows) >= rows.shape[1]:
        return rows, np.eye(rows.shape[1])
    strength, left = np.linalg.eigh(rows @ rows.T)
    kept = strength > 1e-10 * max(float(strength.max(initial=0)), 1e-300)
    axes = rows.T @ (left[:, kept] / np.sqrt(strength[kept]))
    return left[:, kept] * np.sqrt(strength[kept]), axes


def rotate_back(head: LinearHead, axes: Float, centre: Float, scale: float) -> LinearHead:
    """The head for rows as they are, from one for coordinates of (rows - centre) / scale along the axes."""
    weight = axes @ head.weight / scale
    return LinearHead(weight=weight, bias=head.bias - centre @ weight)


def class_means(rows: Float, classes: NDArray[np.int64], num_classes: int) -> tuple[Float, NDArray[np.bool_]]:
    """(c, d) mean row of each class, zeros where it has none, and (c,) which have one."""
    count = np.bincount(classes, minlength=num_classes)
    total = np.zeros((num_classes, rows.shape[1]))
    np.add.at(total, classes, rows)
    return total / np.maximum(count, 1)[:, None], count > 0


def fit_means(rows: Float, classes: NDArray[np.int64], num_classes: int) -> LinearHead:
    """Nearest class mean: scores -|x - mu_c|^2, up to what all classes share."""
    means, present = class_means(rows, classes, num_classes)
    return _absent_last(LinearHead(weight=2 * means.T, bias=-np.einsum("cd,cd->c", means, means)), present)


def fit_gaussian(rows: Float, classes: NDArray[np.int64], num_classes: int, features: int | None = None) -> LinearHead:
    """One Gaussian for each class, with a shared covariance shrunk by its trace; in closed form.

    S = d ((n - 1) S_hat + tr(S_hat) I)^-1, S_hat the covariance of the n rows around the means of their classes;
    w_c = S mu_c, b_c = log pi_c - mu_c' S mu_c / 2 with equal pi_c. (Kubokawa and Srivastava's shrinkage; used for
    heads on frozen descriptors by Wang et al., ICLR 2024.) Where all rows stand on their class means, the nearest mean.
    rows: (n, d); by Woodbury's identity where d > n. features: d of the rows that these are coordinates of.
    """
    means, present = class_means(rows, classes, num_classes)
    around = rows - means[classes]
    n, d = rows.shape
    shrink = float(np.einsum("nd,nd->", around, around)) / max(n - 1, 1)
    if shrink <= 1e-12 * float(np.einsum("nd,nd->", rows, rows)):
        return fit_means(rows, classes, num_classes)
    if d > n:
        inner = cho_factor(around @ around.T + shrink * np.eye(n))
        whitened = (means - cho_solve(inner, around @ means.T).T @ around) / shrink
    else:
        whitened = cho_solve(cho_factor(around.T @ around + shrink * np.eye(d)), means.T).T
    weight = (features or d) * whitened.T
    bias = -0.5 * np.einsum("cd,dc->c", means, weight)
    return _absent_last(LinearHead(weight=weight, bias=bias), present)


def fit_logistic(
    rows: NDArray[np.floating],
    targets: NDArray[np.floating],
    penalty: float,
    *,
    weight: Float | None = None,
    most_steps: int = 100,
) -> LinearHead:
    """Multinomial logistic regression by L-BFGS: the mean cross-entropy plus penalty / 2 times |W|^2.

    rows: (n, d). targets: (n, c) shares, one-hot for given labels. weight: (n,) what each row counts, 1 if None.
    Begins at zero. scikit-learn's C is 1 / (penalty * n) here; the bias is free, as there.
    """
    share = np.full(len(rows), 1 / len(rows)) if weight is None else weight / weight.sum()
    wanted = share.astype(rows.dtype)[:, None] * targets.astype(rows.dtype, copy=False)
    d, c = rows.shape[1], targets.shape[1]
    with one_blas_thread(), Team() as team:
        loss = CrossEntropy(rows=rows, wanted=wanted, mass=wanted.sum(axis=1), penalty=penalty, team=team)
        found = minimize(loss, np.zeros((d + 1) * c), most_steps).reshape(d + 1, c)
    return LinearHead(weight=found[:d].copy(), bias=found[d].copy())


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """The loss of `fit_logistic` at a point and its gradient: parts of the rows on the team's threads, summed in order.

    rows: (n, d). wanted: (n, c) targets times what each row counts. mass: (n,) their sums.
    """

    rows: NDArray[np.floating]
    wanted: NDArray[np.floating]
    mass: NDArray[np.floating]
    penalty: float
    team: Team

    def __call__(self, flat: Float) -> tuple[float, Float]:
        table = flat.reshape(self.rows.shape[1] + 1, -1)
        weight, bias = table[:-1].astype(self.rows.dtype), table[-1].astype(self.rows.dtype)
        parts = even_ranges(len(self.rows), min(MOST_PARTS, -(-len(self.rows) // PART)))
        values, slopes = np.zeros(len(parts)), np.empty((len(parts), *table.shape), self.rows.dtype)

        def work(first: int, last: int) -> None:
            for number in range(first, last):
                values[number] = self._of_part(slice(*parts[number]), weight, bias, slopes[number])

        self.team.each(work, even_ranges(len(parts), len(parts)))
        gradient = slopes.sum(axis=0, dtype=np.float64)
        gradient[:-1] += self.penalty * table[:-1]
        return float(values.sum()) + 0.5 * self.penalty * float((table[:-1] ** 2).sum()), gradient.ravel()

    def _of_part(
        self, part: slice, weight: NDArray[np.floating], bias: NDArray[np.floating], slope: NDArray[np.floating]
    ) -> float:
        """The loss of some rows; their gradient goes into slope, (d + 1, c)."""
        rows, wanted, mass = self.rows[part], self.wanted[part], self.mass[part]
        scores = rows @ weight
        scores += bias
        scores -= scores.max(axis=1, keepdims=True)
        value = -float(np.einsum("nc,nc->", wanted, scores, dtype=np.float64))
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        value += float((mass * np.log(total)).sum(dtype=np.float64))
        scores *= (mass / total)[:, None]
        scores -= wanted
        np.matmul(rows.T, scores, out=slope[:-1])
        slope[-1] = scores.sum(axis=0)
        return value


def _absent_last(head: LinearHead, present: NDArray[np.bool_]) -> LinearHead:
    """The head with a score for classes without a row that no other is below."""
    return replace(head, bias=np.where(present, head.bias, ABSENT))
