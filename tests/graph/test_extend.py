"""Answers for new points: the plain formula, whatever the blocks; and labels for new rows of a finished propagation."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits

from fewlabels.errors import EmbeddingError, GraphError, InputWarning, UnreachedWarning
from fewlabels.graph import (
    GraphSettings,
    Refinement,
    build_graph,
    comparable_rows,
    extend,
    extend_precomputed,
    graph_from_affinity,
    propagate,
    spread,
)
from fewlabels.graph import extend as extend_function
from fewlabels.graph.extend import Answers, mix_affinities, mix_neighbors
from tests.graph.cases import CONTRADICTING, EQUAL_PAIR, GRID, LABELS, ROWS, clusters, island

SETTINGS = GraphSettings(n_neighbors=10)


def answers(distribution, label=None):
    label = np.full(len(distribution), -1) if label is None else np.array(label)
    return Answers(row=np.arange(len(distribution)), distribution=distribution, label=label)


def plain(queries, fitted, distribution, k, gamma):
    near = np.rint(queries.astype(float) @ fitted.astype(float).T * 2.0**40) / 2.0**40
    best = np.argsort(-near, axis=1, kind="stable")[:, :k]
    weight = np.maximum(np.take_along_axis(near, best, axis=1), 0) ** gamma
    weight[~weight.any(axis=1), 0] = 1
    return np.einsum("qk,qkc->qc", weight / weight.sum(axis=1, keepdims=True), distribution[best])


@pytest.fixture(params=["plain", "ties"])
def task(request):
    rows = comparable_rows(ROWS if request.param == "plain" else GRID)
    return rows, np.random.default_rng(0).dirichlet(np.ones(3), len(rows))


@pytest.mark.parametrize("rows", [1, 7, 90, 1000])
@pytest.mark.parametrize("k", [1, 5, 90, 200])
def test_blocks_of_fitted_rows_change_nothing(task, rows, k, monkeypatch):
    fitted, distribution = task
    queries = np.concatenate([fitted[:30], -fitted[:5]])
    monkeypatch.setitem(extend_function.__globals__, "FITTED_ROWS", rows)
    monkeypatch.setitem(extend_function.__globals__, "BLOCK_BYTES", 32 * 90 * 7)
    found = mix_neighbors(queries, fitted, answers(distribution), k, 3.0)
    assert np.allclose(found.distribution, plain(queries, fitted, distribution, k, 3.0), atol=1e-12)


def test_the_length_of_a_query_cancels(task):
    fitted, distribution = task
    one, other = (
        mix_neighbors(fitted[:10] * np.float32(scale), fitted, answers(distribution), 5, 2.5) for scale in (1, 0.25)
    )
    assert np.allclose(one.distribution, other.distribution, atol=1e-9)


def test_a_query_like_no_row_gets_its_nearest_row_and_a_zero_one_the_mean():
    fitted, distribution = comparable_rows(np.eye(2) + 0.1), np.array([[1.0, 0], [0, 1]])
    found = mix_neighbors(comparable_rows(np.array([[-1, -0.2], [0, 0], [1, 0]])), fitted, answers(distribution), 1, 3)
    assert found.reached.tolist() == [False, False, True]
    assert found.distribution.tolist() == [[0, 1], [0.5, 0.5], [1, 0]]


def test_a_labelled_neighbour_counts_with_its_given_label(task):
    fitted, distribution = task
    label = np.where(np.arange(len(fitted)) % 7 == 0, np.arange(len(fitted)) % 3, -1)
    hard = distribution.copy()
    hard[label >= 0] = np.eye(3)[label[label >= 0]]
    found = mix_neighbors(fitted[:30], fitted, answers(distribution, label), 5, 3.0)
    assert np.allclose(found.distribution, plain(fitted[:30], fitted, hard, 5, 3.0), atol=1e-12)
    affinities = sp.csr_array(np.maximum(fitted[:30] @ fitted.T, 0).astype(float))
    by_affinity = mix_affinities(affinities, answers(distribution, label)).distribution
    expected = affinities @ hard
    assert np.allclose(by_affinity, expected / expected.sum(axis=1, keepdims=True), atol=1e-12)


def test_affinities_weigh_the_rows_without_overflow():
    distribution = np.array([[1.0, 0], [0, 1], [0, 1]])
    weights = sp.csr_array([[1e308, 1e308, 0], [1e-308, 0, 3e-308], [0, 0, 0]])
    found = mix_affinities(weights, answers(distribution))
    assert np.allclose(found.distribution, [[0.5, 0.5], [0.25, 0.75], [1 / 3, 2 / 3]])
    assert found.reached.tolist() == [True, True, False]


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
@pytest.mark.parametrize("refinement", [Refinement(), Refinement(calibrate=True, prior="labels")])
def test_new_rows_of_the_same_clusters_get_their_labels(metric, refinement):
    rows, labels = clusters(400)
    settings = replace(SETTINGS, metric=metric, refinement=refinement)
    found = extend(propagate(rows[:200], labels[:200], settings), rows[:200], rows[200:])
    assert np.mean(found.label == np.arange(200, 400) % 3) > 0.9
    assert found.reached.all()
    assert np.allclose(found.distribution.sum(axis=1), 1)
    assert ((found.certainty >= 0) & (found.certainty <= 1)).all()


@pytest.mark.filterwarnings("ignore:FL-G24")  # 10 neighbours, where each class has 6 rows
def test_digits_with_sixty_fitted_rows_are_no_worse_than_the_labels_alone_would_be():
    """At alpha = 0.99 the distributions of so small a graph say next to nothing: the labelled neighbours decide."""
    digits, truth = load_digits(return_X_y=True)
    right = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(truth))
        fitted, new = order[:60], order[60:]
        labels = np.full(60, -1)
        for digit in range(10):
            labels[np.flatnonzero(truth[fitted] == digit)[:1]] = digit
        result = propagate(digits[fitted], labels, replace(SETTINGS, allow_empty_classes=True))
        right.append(np.mean(extend(result, digits[fitted], digits[new]).label == truth[new]))
    assert np.mean(right) > 0.55


def test_many_label_sets_spread_over_one_graph_and_extend_with_its_own_settings():
    rows, labels = clusters(400)
    graph = build_graph(rows[:200], SETTINGS)
    by_default = extend(spread(graph, labels[:200]), rows[:200], rows[200:])
    asked = extend(propagate(rows[:200], labels[:200], SETTINGS), rows[:200], rows[200:], SETTINGS)
    assert np.allclose(by_default.distribution, asked.distribution, atol=1e-6)
    others = np.where(labels[:200] >= 0, labels[:200] % 2, -1)
    assert set(extend(spread(graph, others), rows[:200], rows[200:]).label) == {0, 1}


@pytest.mark.parametrize("change", ["one number", "two rows swapped", "one row less", "a column less", "other metric"])
def test_rows_that_the_propagation_was_not_made_of_are_refused(change):
    result, rows, settings = propagate(ROWS, LABELS, SETTINGS), ROWS.copy(), None
    if change == "one number":
        rows[50, 3] += 1e-5
    elif change == "two rows swapped":
        rows[[3, 60]] = rows[[60, 3]]
    elif change == "one row less":
        rows = rows[:-1]
    elif change == "a column less":
        rows = rows[:, :-1]
    else:
        settings = replace(SETTINGS, metric="inner_product")
    with pytest.raises(EmbeddingError, match=r"FL-E34 .*built of"):
        extend(result, rows, ROWS[:3], settings)


def test_the_same_rows_as_another_type_or_scaled_are_the_same_rows():
    result = propagate(ROWS.astype(np.float32), LABELS, SETTINGS)
    found = [extend(result, rows, ROWS[:5]) for rows in (ROWS.astype(np.float32), ROWS.astype(np.float32) * 2)]
    assert np.array_equal(found[0].distribution, found[1].distribution)


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (ROWS[:3, :-1], "E34"),
        (ROWS[0], "E9"),
        (ROWS[:0], "E8"),
        (ROWS[:3].astype(str), "E10"),
        (np.full((1, 6), np.nan), "E1"),
        (np.zeros((11, 6)), "E4"),
    ],
)
def test_new_rows_are_checked_as_propagate_checks_rows(new, code):
    with pytest.raises(EmbeddingError, match=f"FL-{code} "):
        extend(propagate(ROWS, LABELS, SETTINGS), ROWS, new)


def test_new_rows_that_no_label_reaches_have_no_label():
    rows, labels = island(ROWS, LABELS)
    with pytest.warns(UnreachedWarning):
        result = propagate(rows, labels, GraphSettings(n_neighbors=5, drop_bad_rows=True))
    away = np.zeros((3, rows.shape[1]))
    away[0, -2:], away[2] = 1, np.nan
    with pytest.warns(InputWarning, match="FL-E1"), pytest.warns(UnreachedWarning, match="FL-G1 .* 3 of 4 new rows"):
        found = extend(result, rows, np.concatenate([away, rows[:1]]))
    assert found.label.tolist() == [-1, -1, -1, LABELS[0]]
    assert found.certainty[:3].tolist() == [0, 0, 0]
    assert found.reached.tolist() == [False, False, False, True]
    assert np.allclose(found.distribution[:3], 1 / 3)


def test_equal_rows_with_different_labels_answer_with_their_mix():
    with pytest.warns(InputWarning, match="FL-G15"):
        result = propagate(EQUAL_PAIR, CONTRADICTING, SETTINGS)
    found = extend(result, EQUAL_PAIR, EQUAL_PAIR[88:89], GraphSettings(n_neighbors=1))
    assert np.allclose(found.distribution, result.pseudo_labels.distribution[88:89], atol=1e-12)


def test_released_mode_asks_the_distributions_alone():
    result = propagate(ROWS, LABELS, replace(SETTINGS, mode="released"))
    found = extend(result, ROWS, ROWS[:9], replace(SETTINGS, mode="released", n_neighbors=1))
    assert np.allclose(found.distribution, result.pseudo_labels.distribution[:9], atol=1e-12)


def test_a_graph_that_was_handed_in_is_extended_by_affinities():
    weights = np.maximum(comparable_rows(ROWS) @ comparable_rows(ROWS).T, 0).astype(float) ** 9
    np.fill_diagonal(weights, 0)
    result = spread(graph_from_affinity(weights[:60, :60]), LABELS[:60])
    found = extend_precomputed(result, weights[60:, :60])
    assert np.mean(found.label == np.arange(60, 90) % 3) > 0.9
    with pytest.raises(GraphError, match=r"FL-G16 .*extend_precomputed"):
        extend(result, ROWS[:60], ROWS[60:])
    with pytest.raises(GraphError, match=r"FL-G12 .*\(30, 59\), expected \(q, 60\)"):
        extend_precomputed(result, weights[60:, :59])
    with pytest.warns(UnreachedWarning):
        assert extend_precomputed(result, np.zeros((1, 60))).label.tolist() == [-1]
