import numpy as np
import pytest

from fewlabels.choosing import Auto, propagate
from fewlabels.choosing.scores import expected_calibration_error, fit_temperature, temper, wilson
from fewlabels.errors import ConfigError
from tests.choosing.cases import keep_labels, make_blobs


def test_the_temperature_recovers_the_one_that_was_put_on():
    rng = np.random.default_rng(0)
    logs = np.log(rng.dirichlet(np.ones(4), 5000))
    classes = np.array([rng.choice(4, p=np.exp(row)) for row in logs])
    assert fit_temperature(temper(logs, 0.4), classes) == pytest.approx(2.5, rel=0.1)


def test_calibrated_certainties_are_nearer_to_the_truth():
    rows, classes = make_blobs(1500, 4, 16, spread=0.5)
    labels = keep_labels(classes, 25)
    choice = propagate(rows, labels).choice
    assert choice.calibration_after < choice.calibration_before
    assert choice.calibration_after < 0.15


def test_the_calibration_error_of_certain_and_right_rows_is_zero():
    assert expected_calibration_error(np.log(np.eye(3) + 1e-30), np.arange(3)) == pytest.approx(0)


@pytest.mark.parametrize(("errors", "count", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_the_interval_is_wilsons(errors, count, low, high):
    found = wilson(errors, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_of_held_out_labels_is_that_of_half_as_many():
    rows, classes = make_blobs(300, spread=0.6)
    error = propagate(rows, keep_labels(classes, 8)).choice.error
    half = wilson(error.value * 12, 12)
    assert error.count == 24
    assert (error.low, error.high) == pytest.approx((half.low, half.high))


def test_the_error_is_right_on_the_mean_over_draws():
    rows, classes = make_blobs(800, 3, 8, spread=0.55)
    differences = []
    for seed in range(8):
        labels = keep_labels(classes, 15, seed)
        answer = propagate(rows, labels)
        truth = (answer.pseudo_labels.label != classes)[labels < 0].mean()
        differences.append(answer.choice.error.value - truth)
        assert answer.choice.error.low <= answer.choice.error.value <= answer.choice.error.high
    assert abs(np.mean(differences)) < 0.06


def test_the_threshold_gives_the_error_that_was_asked_for():
    rows, classes = make_blobs(1500, 3, 8, spread=0.55)
    errors = []
    for seed in range(6):
        labels = keep_labels(classes, 40, seed)
        answer = propagate(rows, labels)
        found = answer.threshold(0.05)
        kept = (labels < 0) & (answer.pseudo_labels.distribution.max(axis=1) >= found.probability)
        assert found.supported
        assert 0.2 < kept[labels < 0].mean() < 1
        errors.append((answer.pseudo_labels.label != classes)[kept].mean())
    assert abs(np.mean(errors) - 0.05) < 0.03


def test_a_threshold_that_the_labels_cannot_support_says_so():
    rows, classes = make_blobs()
    few = propagate(rows, keep_labels(classes, 4)).threshold(0.05)
    assert not few.supported
    assert "at least 19" in few.reason
    assert not propagate(rows, keep_labels(classes, 1)).threshold(0.5).supported


@pytest.mark.parametrize("wanted", [0, 1, -0.1])
def test_an_error_that_is_no_share_is_refused(wanted):
    rows, classes = make_blobs()
    with pytest.raises(ConfigError, match="FL-C122"):
        propagate(rows, keep_labels(classes, 4)).threshold(wanted)


@pytest.mark.parametrize("auto", [Auto(), Auto(answer="gaussian")])
def test_rows_of_a_class_that_nobody_labelled_are_the_farthest(auto):
    rows, classes = make_blobs(400, 4, 32, spread=0.15)
    labels = keep_labels(classes, 5)
    labels[classes == 3] = -1
    far = propagate(rows, labels, auto).far_rows(0.2)
    assert (classes[far] == 3).mean() > 0.95
    assert (labels[far] < 0).all()
