"""Descriptors of odd types, and rows that are equal."""

import numpy as np
import pytest

from fewlabels.graph import comparable_rows, rows


def first_and_group(values):
    """Rows by hand: the first of each group, and the group of each; all-zero rows are not equal to each other."""
    seen = {}
    leader = [seen.setdefault(tuple(row.tolist()) if row.any() else at, at) for at, row in enumerate(values)]
    return np.unique(leader, return_inverse=True)


@pytest.mark.parametrize("collide", ["none", "all", "some"])
def test_equal_rows_are_found_whatever_their_hashes(collide, monkeypatch):
    values = np.random.default_rng(0).integers(0, 2, (300, 6)).astype(np.float32) * np.float32(-0.5)
    assert np.signbit(values[values == 0]).any()
    values[::3] += 0  # no negative zeros here
    if collide == "all":
        monkeypatch.setattr(rows, "hash_rows", lambda values: np.zeros(len(values), np.uint64))
    if collide == "some":
        monkeypatch.setattr(rows, "hash_rows", lambda values: (values[:, 0] != 0).astype(np.uint64))
    monkeypatch.setattr(rows, "BLOCK_BYTES", 1000)
    found, expected = rows.distinct_rows(values, values.any(axis=1)), first_and_group(values)
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()
    assert found[0].size < 100


def test_rows_that_are_all_zero_stay_apart():
    first, group = rows.distinct_rows(np.zeros((4, 3), np.float32), np.zeros(4, bool))
    assert first.tolist() == group.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_extended_precision_and_unaligned_memory_give_the_same_rows(metric):
    plain = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    memory = np.zeros(plain.nbytes + 1, np.uint8)
    unaligned = memory[1:].view(np.float32).reshape(plain.shape)
    unaligned[:] = plain
    assert not unaligned.flags.aligned
    expected = comparable_rows(plain, metric)
    assert np.allclose(comparable_rows(plain.astype(np.longdouble), metric), expected, rtol=1e-6)
    assert np.allclose(comparable_rows(unaligned, metric), expected, rtol=1e-6)


def test_unaligned_memory_does_not_go_to_the_kernels():
    unaligned = np.zeros(25, np.uint8)[1:].view(np.float32).reshape(2, 3)
    assert not rows._fits_kernels(unaligned)
