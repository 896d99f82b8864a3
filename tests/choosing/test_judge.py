import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from fewlabels.choosing import propagate
from fewlabels.choosing.scores import expected_calibration_error
from fewlabels.graph import GraphSettings
from fewlabels.graph import propagate as graph_propagate
from fewlabels.graph.influence import leave_one_out
from tests.choosing.cases import keep_labels, make_blobs


def flip(labels, classes, share=0.1, seed=0):
    """The labels, a share of them wrong, and which."""
    rng, given = np.random.default_rng(seed), np.flatnonzero(labels >= 0)
    wrong = rng.choice(given, round(share * given.size), replace=False)
    flipped = labels.copy()
    num_classes = classes.max() + 1
    flipped[wrong] = (labels[wrong] + rng.integers(1, num_classes, wrong.size)) % num_classes
    return flipped, np.isin(np.arange(labels.size), wrong)


def test_wrong_labels_of_digits_are_found_no_worse_than_by_the_graph_alone():
    digits = load_digits()
    rows, classes = digits.data[:900], digits.target[:900]
    labels, wrong = flip(keep_labels(classes, 20), classes)
    found = propagate(rows, labels).suspicion()
    today = leave_one_out(graph_propagate(rows, labels, GraphSettings()), labels, GraphSettings())
    ours = roc_auc_score(wrong[found.rows], found.suspicion)
    assert ours > 0.95
    assert ours >= roc_auc_score(wrong[today.rows], today.suspicion) - 0.01


def test_the_suspicion_list_begins_with_the_most_suspicious_and_says_what_the_others_say():
    rows, classes = make_blobs(400, spread=0.25)
    labels, wrong = flip(keep_labels(classes, 15), classes)
    found = propagate(rows, labels).suspicion()
    assert (np.diff(found.suspicion) <= 0).all()
    assert np.array_equal(np.sort(found.rows), np.flatnonzero(labels >= 0))
    assert np.array_equal(found.given, labels[found.rows])
    first = found.rows[: wrong.sum()]
    assert wrong[first].mean() > 0.7
    assert (found.label[: wrong.sum()] == classes[first]).mean() > 0.7


def test_the_only_label_of_a_class_is_not_judged():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 6)
    labels[np.flatnonzero(labels == 2)[1:]] = -1
    found = propagate(rows, labels).suspicion()
    assert 2 not in found.given
    assert propagate(rows, keep_labels(classes, 1)).suspicion().rows.size == 0


@pytest.mark.parametrize("per_class", [2, 20])
def test_the_gaps_of_the_reliability_diagram_add_up_to_the_calibration_error(per_class):
    rows, classes = make_blobs(600, spread=0.5)
    answer = propagate(rows, keep_labels(classes, per_class))
    found = answer.reliability()
    for bins, error in (
        (found.before, answer.choice.calibration_before),
        (found.after, answer.choice.calibration_after),
    ):
        count = answer.choice.num_held_out
        assert sum(one.count for one in bins) == count
        assert sum(one.count * abs(one.probability - one.right) for one in bins) / count == pytest.approx(error)
        assert all(one.low <= one.probability <= one.high for one in bins)
    assert expected_calibration_error(answer.measured.before, answer.measured.classes) == pytest.approx(
        answer.choice.calibration_before
    )


def test_without_a_label_that_could_be_held_out_the_diagram_is_empty():
    rows, classes = make_blobs()
    found = propagate(rows, keep_labels(classes, 1)).reliability()
    assert (found.before, found.after) == ((), ())
