"""The compiled search: all pairs and by clusters, for every instruction set of this machine."""

import numpy as np
import pytest

from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings, build_graph, comparable_rows, nearest_neighbors, threads
from fewlabels.graph.compiled import SWITCH, instructions

if instructions():
    from fewlabels.graph.compiled import clusters
    from fewlabels.graph.compiled import nearest as points
    from fewlabels.graph.compiled.search import Points, symmetrize

pytestmark = pytest.mark.skipif(instructions() is None, reason="the compiled kernels are not installed")


def available():
    from fewlabels.graph.compiled import _kernels

    now = _kernels.instructions()
    found = []
    for name in ("plain", "avx2", "avx512", "avx512vnni"):
        try:
            found.append(_kernels.instructions(name))
        except ValueError:
            continue
    _kernels.instructions(now)
    return found


@pytest.fixture(params=available() if instructions() else [])
def isa(request, monkeypatch):
    monkeypatch.setenv(SWITCH, request.param)
    return request.param


def bent(n, d=24, seed=0, blobs=30):
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(blobs, 6))[rng.integers(blobs, size=n)] + 0.5 * rng.normal(size=(n, 6))
    return comparable_rows(np.tanh(centre @ rng.normal(size=(6, d))) + 0.1 * rng.normal(size=(n, d)))


def brute(rows, k):
    near = rows.astype(np.float64) @ rows.T.astype(np.float64)
    np.fill_diagonal(near, -np.inf)
    return near, np.sort(near, axis=1)[:, ::-1][:, :k]


def nearest(rows, k, recall="exact", members=None, seed=0):
    members = np.arange(len(rows)) if members is None else members
    return points.search_points(Points(rows, members), k, recall, seed)


@pytest.mark.parametrize(
    ("n", "d", "k"), [(2, 1, 1), (17, 3, 5), (100, 24, 99), (700, 5, 1), (900, 33, 50), (500, 300, 70), (700, 8, 400)]
)
def test_all_pairs_give_the_nearest_in_order(isa, n, d, k):
    rows = comparable_rows(np.random.default_rng(n).normal(size=(n, d)))
    found = nearest(rows, k)
    near, best = brute(rows, k)
    assert np.allclose(found.similarity, best, atol=1e-6)
    assert np.allclose(np.take_along_axis(near, found.index.astype(int), axis=1), best, atol=1e-6)
    assert (found.index != np.arange(n)[:, None]).all()
    assert all(len(set(row)) == k for row in found.index.tolist())
    assert (found.recall, found.num_probes) == (1, 0)


def test_equal_similarities_go_to_the_smaller_place(isa):
    rows = comparable_rows(np.repeat(np.eye(3), 40, axis=0))
    found = nearest(rows, 5)
    for i, row in enumerate(found.index.tolist()):
        start = i // 40 * 40
        assert row == [j for j in range(start, start + 6) if j != i][:5]


def test_both_sides_of_a_pair_see_the_same_bits(isa):
    rows = bent(600)
    found = nearest(rows, 599)
    dense = np.zeros((600, 600), np.float32)
    np.put_along_axis(dense, found.index.astype(int), found.similarity, axis=1)
    assert (dense == dense.T).all()


def test_what_is_searched_in_float64_and_in_float32_is_the_same_up_to_near_ties():
    rows = bent(1500)
    wide = nearest_neighbors(rows, 20)
    narrow = nearest(rows, 20)
    assert (wide.index == narrow.index).mean() > 0.999
    assert np.allclose(wide.similarity, narrow.similarity, atol=1e-6)


@pytest.fixture
def small_clusters(monkeypatch):
    monkeypatch.setattr(points, "EXACT_UP_TO", 500)


@pytest.mark.parametrize("recall", [0.8, 0.95, 0.99, 0.999])
def test_clusters_find_at_least_the_share_asked_for_and_say_how_much(isa, small_clusters, recall):
    rows = bent(3000)
    found = nearest(rows, 15, recall)
    exact = nearest(rows, 15)
    of_row = found.order[found.index], exact.order[exact.index]
    true = {int(row): set(near) for row, near in zip(exact.order, of_row[1].tolist(), strict=True)}
    share = np.mean(
        [len(true[int(row)] & set(near)) / 15 for row, near in zip(found.order, of_row[0].tolist(), strict=True)]
    )
    assert share == pytest.approx(found.recall, abs=0.03)
    assert found.recall >= recall
    assert 0 < found.num_probes < found.groups.size - 1


def test_clusters_hold_every_row_once_and_stand_together(small_clusters):
    rows = bent(3000)
    found = nearest(rows, 15, 0.9)
    assert (np.sort(found.order) == np.arange(3000)).all()
    assert found.groups[0] == 0
    assert found.groups[-1] == 3000
    assert (np.diff(found.groups) >= 0).all()
    assert (found.index != np.arange(3000)[:, None]).all()
    assert ((found.index >= 0) & (found.index < 3000)).all()
    assert all(len(set(row)) == 15 for row in found.index.tolist())
    within = [
        rows[found.order[a:b]] @ rows[found.order[a:b]].T for a, b in zip(found.groups, found.groups[1:], strict=False)
    ]
    assert np.mean([block.mean() for block in within if block.size]) > (rows @ rows.T).mean() + 0.2


@pytest.mark.parametrize("recall", [0.95, "exact"])
def test_neither_threads_nor_chance_matter(small_clusters, monkeypatch, recall):
    rows = bent(2500)
    answers = []
    for count in (1, 2, 5, 2):
        monkeypatch.setattr(threads, "num_threads", lambda count=count: count)
        answers.append(nearest(rows, 12, recall))
    for other in answers[1:]:
        assert np.array_equal(answers[0].order, other.order)
        assert np.array_equal(answers[0].index, other.index)
        assert np.array_equal(answers[0].similarity, other.similarity)
    assert not np.array_equal(answers[0].order, nearest(rows, 12, recall, seed=1).order)


def in_rounds(rows, monkeypatch, *rounds):
    """The answer after so many probes in each round."""
    number, seen = iter(rounds), iter([clusters.Share(0, 0)] * (len(rounds) - 1) + [clusters.Share(1, 0)])
    monkeypatch.setattr(clusters, "choose_num_probes", lambda rank, recall, done: next(number))
    monkeypatch.setattr(clusters, "measure_recall", lambda index, truth: next(seen))
    return nearest(rows, 15, 0.9)


def test_rounds_of_probes_find_what_one_round_finds_and_nothing_twice(small_clusters, monkeypatch):
    rows = bent(3000)
    once, thrice = in_rounds(rows, monkeypatch, 9), in_rounds(rows, monkeypatch, 2, 5, 9)
    assert np.array_equal(once.order, thrice.order)
    assert all(len(set(row)) == 15 for row in thrice.index.tolist())
    assert (thrice.similarity >= once.similarity - 1e-6).all()
    assert (once.index == thrice.index).mean() > 0.99


def test_only_members_are_searched_and_found(small_clusters):
    rows = bent(2000)
    members = np.flatnonzero(np.arange(2000) % 3 != 0)
    some, alone = nearest(rows, 9, 0.95, members), nearest(rows[members], 9, 0.95)
    assert np.array_equal(some.order, alone.order)
    assert np.array_equal(some.index, alone.index)


def test_what_one_side_found_the_other_is_told():
    index = np.array([[1, 2], [2, 3], [3, 0], [0, 1]], np.int32)
    near = np.array([[0.9, 0.8], [0.7, 0.6], [0.5, 0.4], [0.9, 0.3]], np.float32)
    with threads.Team() as team:
        symmetrize((index, near), team)
    assert index.tolist() == [[1, 3], [0, 2], [1, 3], [0, 2]]
    assert np.allclose(near, [[0.9, 0.9], [0.9, 0.7], [0.7, 0.5], [0.9, 0.5]])


def test_a_list_that_is_not_full_takes_what_it_is_told():
    index = np.array([[1, 2], [-1, -1], [0, -1]], np.int32)
    near = np.array([[0.9, 0.8], [0, 0], [0.8, 0]], np.float32)
    with threads.Team() as team:
        symmetrize((index, near), team)
    assert index.tolist() == [[1, 2], [0, -1], [0, -1]]


def test_a_public_search_by_clusters_is_in_the_numbers_of_rows(small_clusters):
    rows = bent(3000)
    rows[[7, 1000]] = 0
    found = nearest_neighbors(rows, 10, recall=0.9)
    assert (found.index[[7, 1000]] == -1).all()
    i = np.arange(3000)[:, None]
    alive = found.index >= 0
    assert np.allclose(
        np.einsum("nkd,nkd->nk", rows[i.repeat(10, 1)], rows[found.index])[alive], found.similarity[alive], atol=1e-6
    )
    assert 0.9 <= found.recall < 1


def test_progress_ends_at_the_whole(small_clusters):
    seen = []
    settings = GraphSettings(n_neighbors=10)
    build_graph(bent(2500), settings, on_progress=lambda stage, share: seen.append((stage, share)))
    for stage in ("neighbors", "affinity"):
        shares = [share for name, share in seen if name == stage]
        assert shares[-1] == pytest.approx(1)
        assert all(0 <= share <= 1 for share in shares)


def test_the_graph_says_how_its_neighbours_were_found(small_clusters):
    exact = build_graph(bent(2500), GraphSettings(n_neighbors=10, recall="exact")).search
    some = build_graph(bent(2500), GraphSettings(n_neighbors=10, recall=0.95)).search
    assert (exact.recall, exact.num_probes, exact.n_neighbors) == (1, 0, 10)
    assert some.recall >= 0.95
    assert 0 < some.num_probes < some.num_clusters


def edges(graph):
    """Pairs of rows."""
    return set(zip(*graph.affinity[graph.node][:, graph.node].nonzero(), strict=True))


def nudged(rows, seed=0):
    return rows + 0.01 * np.random.default_rng(seed).normal(size=rows.shape)


def test_the_clusters_of_the_previous_graph_are_used_again(small_clusters, monkeypatch):
    rows, settings = bent(3000), GraphSettings(n_neighbors=10)
    first, cold = build_graph(rows, settings), build_graph(nudged(rows), settings)
    monkeypatch.setattr(points, "make_centres", None)
    again = build_graph(nudged(rows), settings, previous=first)
    assert again.search.recall >= 0.99
    assert 0 < again.search.num_probes < cold.search.num_probes
    assert again.search.num_clusters == first.search.num_clusters
    assert len(edges(cold) & edges(again)) > 0.97 * len(edges(cold))


def test_rows_that_move_on_and_on_are_found_each_time(small_clusters):
    rows, settings = bent(3000), GraphSettings(n_neighbors=10)
    graph = build_graph(rows, settings)
    for step in range(12):
        rows = nudged(rows, step)
        graph = build_graph(rows, settings, previous=graph)
    true = build_graph(rows, GraphSettings(n_neighbors=10, recall="exact"))
    assert len(edges(true) & edges(graph)) > 0.98 * len(edges(true))


def test_repeated_and_empty_rows_and_features_may_come_and_go(small_clusters):
    rows, settings = bent(3000), GraphSettings(n_neighbors=10)
    repeated = rows.copy()
    repeated[:40], repeated[50:55] = rows[40], 0
    for before, after in ((rows, repeated), (repeated, rows), (repeated, repeated), (rows[:, :-3], rows)):
        again = build_graph(after, settings, previous=build_graph(before, settings))
        cold = build_graph(after, settings)
        assert again.num_components == cold.num_components
        assert len(edges(cold) & edges(again)) > 0.97 * len(edges(cold))


def test_a_few_rows_that_had_no_neighbours_get_theirs(small_clusters):
    rows, settings = bent(3000), GraphSettings(n_neighbors=10)
    empty = rows.copy()
    empty[[7, 700, 1500]] = 0
    again = edges(build_graph(rows, settings, previous=build_graph(empty, settings)))
    true = {pair for pair in edges(build_graph(rows, settings)) if pair[0] in (7, 700, 1500)}
    assert len(true & again) > 0.8 * len(true)


@pytest.mark.parametrize("which", ["other rows", "the same rows in another order", "fewer rows"])
def test_a_previous_graph_that_says_nothing_changes_nothing(small_clusters, which):
    rows, settings = bent(3000), GraphSettings(n_neighbors=10)
    others = {"other rows": bent(3000)[::-1] ** 2, "fewer rows": bent(2500)}
    order = np.random.default_rng(0).permutation(3000)
    again = build_graph(rows, settings, previous=build_graph(others.get(which, rows[order]), settings))
    alone = build_graph(rows, settings)
    assert np.array_equal(again.node, alone.node)
    assert np.array_equal(again.affinity.data, alone.affinity.data)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_by_inner_product_some_rows_may_be_shorter_by_far(small_clusters, scale):
    rows = bent(3000).astype(np.float64)
    rows[::20] *= scale
    graph = build_graph(rows, GraphSettings(n_neighbors=10, metric="inner_product", recall=0.9))
    assert graph.search.recall >= 0.9 or graph.search.num_probes == 0
    assert np.isfinite(graph.affinity.data).all()


def test_where_clusters_say_nothing_all_pairs_are_compared(small_clusters):
    rows = comparable_rows(np.random.default_rng(0).normal(size=(1500, 100)))
    found = nearest(rows, 10, 0.999)
    assert (found.recall, found.num_probes) == (1, 0)
    exact = nearest(rows, 10)
    assert np.array_equal(np.sort(found.similarity, axis=None), np.sort(exact.similarity, axis=None))


def test_a_switch_that_names_no_instructions_is_refused(monkeypatch):
    monkeypatch.setenv(SWITCH, "AVX9")
    with pytest.raises(ConfigError, match=r"FL-C36 FEWLABELS_KERNELS is 'AVX9'"):
        instructions()
    monkeypatch.setenv(SWITCH, "")
    assert instructions() is not None
    monkeypatch.setenv(SWITCH, "off")
    assert instructions() is None


@pytest.mark.parametrize("d", [1, 7, 16, 33, 128, 301])
def test_a_similarity_is_the_float64_sum_rounded_once(isa, d):
    rows = comparable_rows(np.random.default_rng(d).normal(size=(300, d)) + 0.5)
    found = nearest(rows, 40)
    exact = np.einsum("nkd,nd->nk", rows[found.index].astype(np.float64), rows.astype(np.float64))
    assert np.abs(found.similarity - exact).max() < 6.1e-8


@pytest.mark.parametrize("recall", ["exact", 0.95])
def test_every_instruction_set_gives_the_same_similarities(monkeypatch, recall):
    rows = bent(9000 if recall == 0.95 else 3000, 100)
    found = []
    for name in available():
        monkeypatch.setenv(SWITCH, name)
        instructions()
        found.append(nearest(rows, 50, recall))
    for other in found[1:]:
        assert np.array_equal(other.index, found[0].index)
        assert np.array_equal(other.similarity, found[0].similarity)


def test_near_copies_are_ordered_by_what_float32_sums_cannot_tell(isa):
    rng = np.random.default_rng(0)
    rows = comparable_rows(rng.normal(size=(1, 200)) + 3e-4 * rng.normal(size=(400, 200)))
    found = nearest(rows, 20)
    near = rows.astype(np.float64) @ rows.T.astype(np.float64)
    np.fill_diagonal(near, -np.inf)
    worst_taken = np.take_along_axis(near, found.index, axis=1).min(axis=1)
    np.put_along_axis(near, found.index, -np.inf, axis=1)
    assert (near.max(axis=1) <= worst_taken + 6.1e-8).all()


def test_rows_outside_the_table_are_refused(isa):
    from fewlabels.graph.compiled import _kernels

    rows, number = np.ones((3, 2), np.float32), np.zeros((1, 1), np.int32)
    members = np.array([0, 3])
    with pytest.raises(ValueError, match="members name rows"):
        _kernels.rank_rows(rows[:1], 1, 2, rows, 3, members, 2, number, 1, 1, number, np.zeros((1, 1), np.float32))
