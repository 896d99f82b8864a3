"""Answers for new points: the plain formula, whatever the blocks."""

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.graph import extend as inductive
from fewlabels.graph import unit_rows
from fewlabels.graph.extend import induce, induce_given
from tests.graph.cases import GRID, ROWS


def plain(queries, fitted, distribution, k, gamma):
    near = np.rint(queries.astype(float) @ fitted.astype(float).T * 2.0**40) / 2.0**40
    best = np.argsort(-near, axis=1, kind="stable")[:, :k]
    weight = np.maximum(np.take_along_axis(near, best, axis=1), 0) ** gamma
    weight[~weight.any(axis=1), 0] = 1
    return np.einsum("qk,qkc->qc", weight / weight.sum(axis=1, keepdims=True), distribution[best])


@pytest.fixture(params=["plain", "ties"])
def task(request):
    rows = unit_rows(ROWS if request.param == "plain" else GRID)
    return rows, np.random.default_rng(0).dirichlet(np.ones(3), len(rows))


@pytest.mark.parametrize("rows", [1, 7, 90, 1000])
@pytest.mark.parametrize("k", [1, 5, 90, 200])
def test_blocks_of_fitted_rows_change_nothing(task, rows, k, monkeypatch):
    fitted, distribution = task
    queries = np.concatenate([fitted[:30], -fitted[:5]])
    monkeypatch.setattr(inductive, "FITTED_ROWS", rows)
    monkeypatch.setattr(inductive, "BLOCK_BYTES", 32 * 90 * 7)
    found = induce(queries, fitted, distribution, k, 3.0)
    assert np.allclose(found.distribution, plain(queries, fitted, distribution, k, 3.0), atol=1e-12)


def test_the_length_of_a_query_cancels(task):
    fitted, distribution = task
    one = induce(fitted[:10], fitted, distribution, 5, 2.5).distribution
    assert np.allclose(
        induce(fitted[:10] * np.float32(0.25), fitted, distribution, 5, 2.5).distribution, one, atol=1e-9
    )


def test_a_lonely_query_gets_its_nearest_row_and_a_zero_one_the_mean():
    fitted, distribution = unit_rows(np.eye(2) + 0.1), np.array([[1.0, 0], [0, 1]])
    found = induce(unit_rows(np.array([[-1, -0.2], [0, 0], [1, 0]])), fitted, distribution, 1, 3)
    assert found.lonely.tolist() == [True, True, False]
    assert found.distribution.tolist() == [[0, 1], [0.5, 0.5], [1, 0]]


def test_affinities_weigh_the_rows_without_overflow():
    distribution = np.array([[1.0, 0], [0, 1], [0, 1]])
    weights = sp.csr_array([[1e308, 1e308, 0], [1e-308, 0, 3e-308], [0, 0, 0]])
    found = induce_given(weights, distribution)
    assert np.allclose(found.distribution, [[0.5, 0.5], [0.25, 0.75], [1 / 3, 2 / 3]])
    assert found.lonely.tolist() == [False, False, True]
