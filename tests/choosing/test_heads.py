import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from fewlabels.choosing.heads import (
    ABSENT,
    NearestHead,
    coordinates,
    fit_gaussian,
    fit_logistic,
    fit_means,
    log_shares,
    rotate_back,
)
from tests.choosing.cases import make_blobs


class Shrunk(EmpiricalCovariance):
    """The inverse of d ((n - 1) S_hat + tr(S_hat) I)^-1 as a covariance."""

    def fit(self, rows, y=None):
        n, d = rows.shape
        self.covariance_ = (rows.T @ rows + np.trace(rows.T @ rows) / (n - 1) * np.eye(d)) / d
        return self


def split(**options):
    rows, classes = make_blobs(**options)
    rows = rows.astype(np.float64)
    return rows[:60], classes[:60], rows[60:]


def test_the_nearest_mean_is_scikit_learns():
    rows, classes, new = split(spread=0.8)
    expected = NearestCentroid().fit(rows, classes).predict(new)
    assert (fit_means(rows, classes, 3).scores(new).argmax(axis=1) == expected).all()


def test_the_nearest_row_is_scikit_learns():
    rows, classes, new = split(spread=0.8)
    expected = KNeighborsClassifier(1).fit(rows, classes).predict(new)
    head = NearestHead(rows=rows, classes=classes, num_classes=3)
    assert (head.scores(new).argmax(axis=1) == expected).all()
    nearest = ((new[:, None] - rows) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_allclose(head.scores(new).max(axis=1), -nearest, atol=1e-9)


@pytest.mark.parametrize("width", [8, 100])
def test_the_gaussian_head_is_linear_discriminant_analysis_with_its_covariance(width):
    rows, classes, new = split(width=width, spread=0.5)
    around = rows - np.stack([rows[classes == number].mean(axis=0) for number in range(3)])[classes]
    covariance = Shrunk().fit(around)
    theirs = LinearDiscriminantAnalysis("lsqr", priors=np.full(3, 1 / 3))
    theirs.covariance_estimator = _Given(covariance.covariance_)
    expected = theirs.fit(rows, classes).predict_log_proba(new)
    np.testing.assert_allclose(log_shares(fit_gaussian(rows, classes, 3).scores(new)), expected, rtol=1e-5, atol=1e-6)


class _Given(EmpiricalCovariance):
    """A covariance that is known already; scikit-learn asks for one of each class and weighs them."""

    def __init__(self, known=None):
        super().__init__()
        self.known = known

    def fit(self, rows, y=None):
        self.covariance_ = self.known
        return self


@pytest.mark.parametrize("weighted", [False, True])
def test_the_linear_head_is_scikit_learns_logistic_regression(weighted):
    rows, classes, new = split(spread=0.8)
    weight = np.random.default_rng(0).uniform(0.2, 2, 60) if weighted else np.ones(60)
    theirs = LogisticRegression(C=0.7, tol=1e-8, max_iter=1000).fit(rows, classes, sample_weight=weight)
    ours = fit_logistic(rows, np.eye(3)[classes], 1 / (0.7 * weight.sum()), weight=weight, most_steps=1000)
    np.testing.assert_allclose(np.exp(log_shares(ours.scores(new))), theirs.predict_proba(new), atol=2e-3)


def test_soft_targets_are_the_same_as_rows_that_are_there_twice():
    rows, classes, new = split(spread=0.8)
    soft = np.full((60, 3), 0.1) + 0.7 * np.eye(3)[classes]
    twice = fit_logistic(np.repeat(rows, 3, axis=0), np.tile(np.eye(3), (60, 1)), 0.01, weight=soft.ravel())
    once = fit_logistic(rows, soft, 0.01)
    np.testing.assert_allclose(log_shares(once.scores(new)), log_shares(twice.scores(new)), atol=5e-3)


def test_coordinates_give_the_heads_of_the_rows():
    rows, classes, new = split(width=100)
    centre, scale = rows.mean(axis=0), 2.0
    short, axes = coordinates((rows - centre) / scale)
    assert short.shape[1] <= 60
    for fit in (fit_means, lambda *of: fit_gaussian(*of, features=100)):
        head = rotate_back(fit(short, classes, 3), axes, centre, scale)
        expected = fit((rows - centre) / scale, classes, 3).scores((new - centre) / scale)
        np.testing.assert_allclose(log_shares(head.scores(new)), log_shares(expected), atol=1e-6)


def test_a_class_without_a_row_is_never_chosen():
    rows, classes, new = split()
    kept = classes != 1
    for fit in (fit_means, fit_gaussian):
        assert (fit(rows[kept], classes[kept], 3).scores(new).argmax(axis=1) != 1).all()
    head = NearestHead(rows=rows[kept], classes=classes[kept], num_classes=3)
    assert (head.scores(new)[:, 1] == ABSENT).all()


def test_with_one_row_a_class_the_gaussian_head_is_the_nearest_mean():
    rows = np.eye(3)
    assert np.array_equal(fit_gaussian(rows, np.arange(3), 3).weight, fit_means(rows, np.arange(3), 3).weight)
