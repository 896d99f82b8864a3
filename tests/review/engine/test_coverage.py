"""The rows that are asked about before any class is known."""

import numpy as np
import pytest

from fewlabels.review.engine.coverage import cover


def clouds(sizes, seed=0, width=8):
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(sizes)), sizes)
    rows = 3 * np.eye(width)[kind] + 0.2 * rng.normal(size=(kind.size, width))
    order = rng.permutation(kind.size)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)[order], kind[order]


def ask(rows, count, asked=(), free=None):
    free = np.ones(len(rows), bool) if free is None else free
    return cover(rows, 0).order(np.array(asked, np.int64), free, count)


def test_the_first_rows_are_of_different_clouds():
    rows, kind = clouds([60] * 8)
    assert len(set(kind[ask(rows, 8)])) == 8


def test_the_largest_cloud_comes_first_and_small_ones_are_not_forgotten():
    rows, kind = clouds([300, 30, 30, 30])
    found = kind[ask(rows, 6)]
    assert found[0] == 0
    assert set(found) == {0, 1, 2, 3}


def test_what_was_asked_is_not_asked_again_nor_what_stands_beside_it():
    rows, kind = clouds([60] * 8)
    first = ask(rows, 4)
    free = np.ones(len(rows), bool)
    free[first] = False
    then = ask(rows, 4, first, free)
    assert not set(first) & set(then)
    assert set(kind[first]) | set(kind[then]) == set(range(8))


def test_the_same_rows_are_asked_about_in_the_same_order():
    rows, _ = clouds([60] * 4)
    np.testing.assert_array_equal(ask(rows, 20), ask(rows, 20))


@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_a_few_rows_or_copies_of_one_are_enough(count):
    assert ask(np.ones((count, 3), np.float32), 5).size >= 1


def test_rows_of_zeros_stand_for_nobody():
    rows, _ = clouds([40, 40])
    rows[:10] = 0
    assert not set(ask(rows, 50)) & set(range(10))
