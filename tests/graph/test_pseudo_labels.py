import numpy as np
import pytest

from fewlabels.graph import pseudo_labels, rows
from fewlabels.graph.settings import PAPER, RELEASED

NONE = np.full(4, -1)


def test_labels_and_certainties_by_hand():
    z = np.array([[1.0, 1, 2], [0, 5, 0], [3, 3, 3], [0.5, -9, 0.5]])
    found = pseudo_labels(z, NONE, PAPER)
    assert found.label.tolist() == [2, 1, 0, 0]
    entropy = [1.5 * np.log(2), 0, np.log(3), np.log(2)]
    assert np.allclose(found.certainty, 1 - np.array(entropy) / np.log(3))
    assert np.allclose(found.distribution[3], [0.5, 0, 0.5])
    assert found.num_tied == 2


def test_released_mode_divides_by_the_largest_certainty_and_balances_classes_to_mean_one():
    z = np.array([[4.0, 1], [3, 1], [1, 4], [1, 1]])
    paper, released = (pseudo_labels(z, NONE, rules) for rules in (PAPER, RELEASED))
    assert np.allclose(released.certainty, paper.certainty / paper.certainty.max())
    assert released.class_weight.tolist() == [4 / 2 / 3, 4 / 2 / 1]
    assert paper.class_weight.tolist() == [1 / 3, 1]


@pytest.mark.parametrize("rules", [PAPER, RELEASED])
def test_labelled_rows_keep_their_label_with_certainty_one(rules):
    z = np.array([[9.0, 1], [1, 9], [0, 0], [1, 1]])
    found = pseudo_labels(z, np.array([1, -1, 0, -1]), rules)
    assert found.label.tolist() == [1, 1, 0, 0]
    assert found.certainty[[0, 2]].tolist() == [1, 1]
    assert found.reached.all()


@pytest.mark.parametrize("rules", [PAPER, RELEASED])
def test_one_row_without_mass_spoils_no_other(rules):
    z = np.array([[0.0, 0], [2, 1], [-3, -1], [1, 3]])
    found = pseudo_labels(z, NONE, rules)
    assert found.label.tolist() == [-1, 0, -1, 1]
    assert found.reached.tolist() == [False, True, False, True]
    assert found.certainty[[0, 2]].tolist() == [0, 0]
    assert found.distribution[[0, 2]].tolist() == [[0.5, 0.5]] * 2
    assert np.isfinite(found.certainty).all()


@pytest.mark.parametrize("rules", [PAPER, RELEASED])
def test_nothing_reached_at_all_is_all_unlabelled(rules):
    found = pseudo_labels(np.zeros((4, 3)), NONE, rules)
    assert (found.label == -1).all()
    assert not found.certainty.any()
    assert not found.class_weight.any()


def test_with_one_class_there_is_nothing_to_doubt():
    found = pseudo_labels(np.array([[3.0], [1e-9], [0], [1]]), NONE, PAPER)
    assert found.certainty.tolist() == [1, 1, 0, 1]


def test_a_class_that_nobody_has_weighs_nothing():
    found = pseudo_labels(np.array([[1.0, 0, 0]] * 4), NONE, RELEASED)
    assert found.class_weight.tolist() == [1 / 3, 0, 0]


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-100, 1e100, 1e308])
def test_the_size_of_a_row_does_not_matter(scale):
    found = pseudo_labels(np.array([[scale, 0]] * 4), NONE, PAPER)
    assert found.certainty.tolist() == [1] * 4
    assert found.distribution.tolist() == [[1, 0]] * 4


def test_blocks_of_rows_give_what_all_rows_at_once_give(monkeypatch):
    z = np.random.default_rng(0).integers(-1, 3, (200, 5)).astype(np.float32)
    before, whole = z.copy(), pseudo_labels(z, np.full(200, -1), PAPER)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 7 * 5 * 8)  # seven rows
    parts = pseudo_labels(z, np.full(200, -1), PAPER)
    assert np.array_equal(parts.certainty, whole.certainty)
    assert parts.num_tied == whole.num_tied > 0
    assert parts.distribution.dtype == np.float32
    assert np.array_equal(z, before)
