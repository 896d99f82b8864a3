import numpy as np
import pytest

from fewlabels.insights.compute import auroc, bin_by_certainty, count_confusions


def test_auroc_is_the_share_of_pairs_in_which_the_right_row_is_more_certain():
    rng = np.random.default_rng(0)
    certainty, right = rng.integers(0, 8, 60) / 8, rng.random(60) < 0.6
    pairs = [(a > b) + 0.5 * (a == b) for a in certainty[right] for b in certainty[~right]]
    assert auroc(certainty, right) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("right", [True, False])
def test_auroc_is_unknown_where_all_are_right_or_all_are_wrong(right):
    assert auroc(np.array([0.1, 0.9]), np.array([right, right])) is None


def test_reliability_by_hand():
    found = bin_by_certainty(np.array([0.05, 0.15, 0.15, 1.0]), np.array([False, True, False, True]))
    assert found["count"] == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert found["right"] == [0, 0.5, *[None] * 7, 1]
    assert found["certainty"] == pytest.approx([0.05, 0.15, *[None] * 7, 1])
    assert found["ece"] == pytest.approx((0.05 + 2 * 0.35 + 0) / 4)
    assert found["auroc"] == pytest.approx(3.5 / 4)


def test_confusion_counts_true_classes_against_pseudo_labels_and_lists_mistakes_by_number():
    found = count_confusions(np.array([0, 1, 1, 1, -1, 0]), np.array([0, 0, 0, 1, 2, 2]), 3)
    assert found["counts"] == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]]
    assert found["pairs"] == [[0, 1, 2], [2, 0, 1], [2, -1, 1]]
    assert (found["num_rows"], found["num_wrong"]) == (6, 4)


def test_with_many_classes_only_the_most_confused_pairs_are_kept():
    truth = np.arange(300)
    found = count_confusions((truth + 1) % 300, truth, 300)
    assert found["counts"] is None
    assert found["pairs"][:2] == [[0, 1, 1], [1, 2, 1]]
    assert len(found["pairs"]) == 30


def test_without_rows_there_is_nothing_to_say():
    none = np.zeros(0, np.int64)
    assert bin_by_certainty(none.astype(float), none > 0) is None
    assert count_confusions(none, none, 3) is None
