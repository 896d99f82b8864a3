import numpy as np

from fewlabels.choosing.folds import deal_folds, group_copies
from tests.choosing.cases import make_blobs


def deal(rows, classes, groups=None, usual=0.5, most=10):
    return deal_folds(rows, classes, group_copies(rows, usual, groups), most)


def test_folds_do_not_depend_on_the_order_of_the_rows():
    rows, classes = make_blobs(120)
    order = np.random.default_rng(1).permutation(120)
    assert np.array_equal(deal(rows, classes)[order], deal(rows[order], classes[order]))


def test_each_fold_has_its_share_of_each_class():
    rows, classes = make_blobs(120)
    fold = deal(rows, classes, usual=0.0)
    for number in range(3):
        size = np.bincount(fold[classes == number], minlength=10)
        assert size.max() - size.min() <= 1


def test_few_labels_are_left_out_one_by_one():
    rows, classes = make_blobs(20)
    assert np.unique(deal(rows, classes, usual=0.0)).size == 20


def test_equal_rows_share_a_fold():
    rows, classes = make_blobs(100)
    rows[50:60] = rows[:10]
    fold = deal(rows, classes, usual=0.0)
    assert np.array_equal(fold[50:60], fold[:10])


def test_minus_zero_is_zero():
    rows, classes = make_blobs(60)
    rows[:2, 0] = 0.0, -0.0
    rows[1, 1:] = rows[0, 1:]
    fold = deal(rows, classes, usual=0.0)
    assert fold[0] == fold[1]


def test_a_burst_of_near_copies_shares_a_fold():
    rows, classes = make_blobs(100, width=32)
    burst = rows[0] + 1e-3 * np.random.default_rng(0).normal(size=(4, 32)).astype(np.float32)
    rows, classes = np.concatenate([rows, burst]), np.append(classes, [classes[0]] * 4)
    fold = deal(rows, classes, usual=0.3)
    assert np.unique(fold[[0, 100, 101, 102, 103]]).size == 1
    assert np.unique(fold).size == 10


def test_narrow_descriptors_are_not_taken_for_near_copies():
    angle = np.linspace(0, 1, 100)
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    assert np.unique(group_copies(rows, 0.5)).size == 100


def test_given_groups_share_a_fold():
    rows, classes = make_blobs(100)
    groups = np.arange(100) // 4
    fold = deal(rows, classes, groups)
    assert all(np.unique(fold[groups == group]).size == 1 for group in range(25))
