"""The search in two stages: codes choose candidates, exact similarities rank them."""

import numpy as np
import pytest

from fewlabels.graph import GraphSettings, build_graph, comparable_rows, propagate, threads
from fewlabels.graph.compiled import SWITCH, instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.graph.compiled import _kernels, coded, codes, nearest
from fewlabels.graph.compiled.search import Points
from fewlabels.graph.recall import Goal
from tests.graph.cases import wide
from tests.graph.compiled.test_search import available

K = 20


@pytest.fixture(params=available())
def isa(request, monkeypatch):
    monkeypatch.setenv(SWITCH, request.param)
    return instructions()


def goal_of(n, recall=0.98, k=K):
    return Goal(k, recall, np.sort(np.random.default_rng(1).permutation(n)[:200]))


def search(rows, recall=0.98, k=K, previous=None):
    points = Points(rows, np.arange(len(rows)))
    with threads.Team() as team:
        return coded.search_coded(points, goal_of(len(rows), recall, k), 0, previous, team, lambda part: None)


def recall_of(found, rows, k=K):
    ordered = rows[found.order].astype(np.float64)
    near = ordered @ ordered.T
    np.fill_diagonal(near, -np.inf)
    best = np.argsort(-near, axis=1)[:, :k]
    return np.mean([np.isin(a, b).mean() for a, b in zip(best, found.index, strict=True)])


def random_codes(q, n, width, extreme=False, seed=0):
    rng = np.random.default_rng(seed)
    if extreme:
        return rng.choice([-127, 127], size=(q, width)).astype(np.int8), rng.choice([-127, 127], (n, width)).astype(
            np.int8
        )
    return rng.integers(-127, 128, (q, width)).astype(np.int8), rng.integers(-127, 128, (n, width)).astype(np.int8)


def products(queries, points, bias):
    shifted = 64 + ((points.astype(np.int64) + 1) >> 1)
    return queries.astype(np.int64) @ shifted.T + bias


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize(("q", "n", "width"), [(1, 1, 4), (7, 33, 12), (30, 100, 256), (13, 47, 1280)])
def test_sums_of_codes_are_exact_for_the_largest_of_them_too(isa, q, n, width, extreme):
    queries, points = random_codes(q, n, width, extreme)
    if extreme:
        points[0], queries[0] = 127, -127
        points[-1], queries[-1] = 127, 127
    bias = np.arange(n) * 1000 - 5000
    with threads.Team() as team:
        packed = codes.pack_codes(points, bias, team)
        found = np.empty((q, n), np.int32)
        _kernels.multiply_codes(queries, q, width, packed.panels, packed.bias, n, found)
        expected = products(queries, points, bias)
        assert np.array_equal(found, expected)
        best = codes.search_codes(queries, packed, min(n, 9), team)
    assert np.array_equal(best, np.argsort(-expected, axis=1, kind="stable")[:, : min(n, 9)])


@pytest.mark.parametrize(("n", "m", "w"), [(1, 1, 1), (9, 40, 7), (33, 65, 50)])
def test_products_of_matrices_have_the_same_bits_for_every_instruction_set(monkeypatch, n, m, w):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(n, m)).astype(np.float32), rng.normal(size=(m, w)).astype(np.float32)
    found = []
    for name in available():
        monkeypatch.setenv(SWITCH, name)
        instructions()
        with threads.Team() as team:
            found.append(codes.multiply(a, b, team))
    assert np.allclose(found[0], a.astype(np.float64) @ b, rtol=1e-13, atol=1e-13)
    assert all(np.array_equal(one, found[0]) for one in found)


def test_the_basis_is_orthonormal_and_holds_the_leading_directions():
    rows = wide(3000)
    with threads.Team() as team:
        sample = codes.round_rows(rows, rows.mean(axis=0), team)
        leading = codes.find_subspace(codes.multiply_columns(sample, team), 60, np.random.default_rng(0), team)
    centred = rows - rows.mean(axis=0)
    best = np.sort(np.linalg.eigvalsh(centred.T @ centred))[::-1][:60].sum()
    assert np.abs(leading.T @ leading - np.eye(60)).max() < 1e-4
    assert np.square(centred @ leading).sum() > 0.97 * best


@pytest.mark.parametrize("d", [128, 130, 257, 300, 511])
def test_the_recall_asked_for_is_reached_and_the_one_stated_is_true(isa, d):
    rows = wide(3000, d)
    found = search(rows)
    assert found.recall >= 0.98
    assert abs(recall_of(found, rows) - found.recall) < 0.01


def test_similarities_are_exact_and_lists_in_order(isa):
    rows = wide(2500)
    found = search(rows)
    ordered = rows[found.order].astype(np.float64)
    exact = np.einsum("nkd,nd->nk", ordered[found.index], ordered)
    assert np.abs(found.similarity - exact).max() < 6.1e-8
    assert (np.diff(found.similarity, axis=1) <= 0).all()
    assert (found.index != np.arange(2500)[:, None]).all()


def test_every_instruction_set_gives_the_same_lists_and_labels(monkeypatch):
    rows = wide(9000)
    labels = np.full(9000, -1)
    labels[:200] = np.arange(200) % 7
    found, told = [], []
    for name in available():
        monkeypatch.setenv(SWITCH, name)
        instructions()
        found.append(search(rows, 0.995))
        told.append(propagate(rows, labels).pseudo_labels.label)
    for one, label in zip(found, told, strict=True):
        for field in ("order", "groups", "index", "similarity"):
            assert np.array_equal(getattr(one, field), getattr(found[0], field))
        assert np.array_equal(label, told[0])


def test_bits_do_not_depend_on_threads(monkeypatch):
    rows, found = wide(4000), []
    for size in (1, 2, 4):
        monkeypatch.setattr(threads, "num_threads", lambda size=size: size)
        found.append(search(rows))
    for one in found[1:]:
        for field in ("order", "groups", "index", "similarity"):
            assert np.array_equal(getattr(one, field), getattr(found[0], field))
        assert one.recall == found[0].recall


@pytest.mark.parametrize(("n", "k"), [(60, 5), (300, 20), (1000, 20)])
def test_few_rows_fewer_than_the_basis_has_directions_are_searched(isa, n, k):
    rows = wide(n, 400)
    found = search(rows, 0.95, k)
    assert found is not None
    assert recall_of(found, rows, k) >= 0.94


def test_constant_columns_and_rows_of_low_rank_are_searched(isa):
    rng = np.random.default_rng(0)
    thin = np.concatenate([np.ones((3000, 300)), rng.normal(size=(3000, 8)) @ rng.normal(size=(8, 300))], axis=1)
    rows = comparable_rows(thin)
    found = search(rows, 0.9)
    assert found is None or recall_of(found, rows) >= 0.89


def test_rows_whose_codes_tell_nothing_are_left_to_the_search_in_one_stage(isa):
    rng = np.random.default_rng(0)
    near = comparable_rows(
        rng.normal(size=(10, 300))[rng.integers(10, size=9000)] + 1e-5 * rng.normal(size=(9000, 300))
    )
    assert search(near, 0.99) is None
    found = nearest.search_points(Points(near, np.arange(9000)), K, 0.99, 0)
    assert found.recall >= 0.98


def test_a_previous_graph_lends_its_clusters(isa):
    rows = wide(9000)
    settings = GraphSettings(n_neighbors=K, recall=0.98)
    first = build_graph(rows, settings)
    moved = comparable_rows(rows + 0.002 * np.random.default_rng(1).normal(size=rows.shape))
    again = search(moved, 0.98, previous=first)
    assert np.array_equal(again.groups, first.groups)
    assert abs(recall_of(again, moved) - again.recall) < 0.01
    assert again.recall >= 0.98


@pytest.mark.parametrize("width", [3, 6])
def test_codes_of_an_odd_width_are_refused(width):
    points, sums = np.zeros(640, np.uint8), np.zeros(64, np.int32)
    with pytest.raises(ValueError, match="multiple of 4"):
        _kernels.multiply_codes(np.zeros((1, width), np.int8), 1, width, points, sums, 1, sums)
