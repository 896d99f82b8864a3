"""The engine of a review: answers in, labels, queue and reasons out."""

from dataclasses import replace

import numpy as np
import pytest

from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings, Refinement, explain, propagate
from fewlabels.review.engine.engine import Engine
from fewlabels.review.engine.state import SOURCES, RowQuery
from fewlabels.review.items import Items
from tests.graph.cases import path
from tests.review.review_items import NAMES, items_of


def fresh(items, labels, settings=None):
    return propagate(items.descriptors, labels, settings or items.settings, class_names=NAMES).pseudo_labels


def test_without_answers_the_engine_says_what_propagate_says():
    items = items_of()
    engine = Engine(items, {})
    expected = fresh(items, items.given)
    np.testing.assert_array_equal(engine.state.label, expected.label)
    np.testing.assert_allclose(engine.state.certainty, expected.certainty, atol=1e-5)
    assert engine.state.version == 0


@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("n", [300, 2400])  # float64, and float32 with the compiled solver
def test_many_answers_one_by_one_end_where_a_fresh_propagation_does(mode, n):
    items = items_of(n, mode=mode, max_steps=1000, allow_empty_classes=True)
    engine, rng = Engine(items, {}), np.random.default_rng(1)
    labels = items.given.copy()
    for version in range(1, 151):
        row, label = int(rng.integers(n)), int(rng.integers(-1, 3))
        engine.answer({row: label}, version)
        labels[row] = label if label >= 0 else items.given[row]
    expected = fresh(items, labels)
    np.testing.assert_array_equal(engine.labels, labels)
    np.testing.assert_allclose(engine.state.certainty, expected.certainty, atol=1e-4)
    sure = np.sort(expected.distribution, axis=1)
    sure = sure[:, -1] - sure[:, -2] > 1e-4
    np.testing.assert_array_equal(engine.state.label[sure], expected.label[sure])


def test_answers_at_once_and_one_by_one_are_the_same():
    items, answers = items_of(), {20: 1, 40: 0, 2: 1, 77: 2}
    engine = Engine(items, {})
    for version, (row, label) in enumerate(answers.items(), 1):
        engine.answer({row: label}, version)
    np.testing.assert_allclose(engine.state.certainty, Engine(items, answers).state.certainty, atol=1e-5)


def test_refinements_are_kept_in_a_review():
    items = items_of(refinement=Refinement(prior=(0.5, 0.3, 0.2)))
    engine = Engine(items, {})
    engine.answer({50: 2}, 1)
    labels = items.given.copy()
    labels[50] = 2
    np.testing.assert_array_equal(engine.state.label, fresh(items, labels).label)


def test_moved_names_the_rows_whose_label_changed():
    items = items_of(spread=0.9)
    engine = Engine(items, {})
    before = engine.state
    moved = engine.answer({30: (before.label[30] + 1) % 3}, 7)
    changed = np.flatnonzero(before.label != engine.state.label)
    assert sorted(moved.rows) == changed.tolist()
    assert moved.rows.size == changed.size > 0
    np.testing.assert_array_equal(moved.before, before.label[moved.rows])
    np.testing.assert_array_equal(moved.after, engine.state.label[moved.rows])
    assert (moved.version, engine.state.version, moved.seconds > 0) == (7, 7, True)
    assert before.label[30] != engine.state.label[30]  # the snapshot from before is as it was


def test_an_answer_corrects_a_given_label_and_can_be_taken_back():
    engine = Engine(items_of(), {})
    before = engine.state
    engine.answer({0: 2}, 1)
    assert (engine.state.label[0], SOURCES[engine.state.source[0]]) == (2, "answered")
    engine.answer({0: -1}, 2)
    assert (engine.state.label[0], SOURCES[engine.state.source[0]]) == (0, "given")
    np.testing.assert_allclose(engine.state.certainty, before.certainty, atol=1e-5)


@pytest.mark.parametrize("changes", [{300: 0}, {-1: 0}, {0: 3}, {0: -3}])
def test_answers_for_what_does_not_exist_change_nothing(changes):
    engine = Engine(items_of(), {})
    with pytest.raises(ConfigError, match="FL-C87"):
        engine.answer(changes | {5: 1}, 1)
    assert engine.labels[5] == engine.items.given[5]


def test_all_answers_may_be_taken_back_where_nothing_was_given():
    items = items_of(labelled=0)
    engine = Engine(items, {4: 1})
    assert engine.state.reached.all()
    engine.answer({4: -1}, 1)
    assert not engine.state.reached.any()
    assert (engine.state.label == -1).all()
    assert engine.select(RowQuery(), 0, 10)[1] == 300


def test_the_queue_holds_every_row_that_nobody_labelled_once():
    engine = Engine(items_of(), {10: 1, 0: 2})
    rows, total = engine.select(RowQuery(leave_out=[11, 12]), 0, 1000)
    assert sorted(rows) == sorted(set(range(6, 300)) - {10, 11, 12})
    assert total == rows.size
    page = engine.select(RowQuery(leave_out=[11, 12]), 60, 60)[0]
    np.testing.assert_array_equal(page, rows[60:120])


def test_rows_that_no_label_reaches_head_the_queue_by_the_size_of_their_part():
    items = items_of(n=90)
    wide = np.zeros((90 + 40, 10))
    wide[:90, :6] = items.descriptors
    rng = np.random.default_rng(3)
    wide[90:102, 6:8] = rng.uniform(0.5, 1, (12, 2))
    wide[102:, 8:] = rng.uniform(0.5, 1, (28, 2))
    given = np.concatenate([items.given, np.full(40, -1)])
    ids, settings = [str(i) for i in range(130)], GraphSettings(n_neighbors=8)
    engine = Engine(Items(ids=ids, class_names=NAMES, given=given, descriptors=wide, settings=settings), {})
    assert (engine.state.label[90:] == -1).all()
    component = engine.graph.component[engine.graph.node]
    parts, sizes = np.unique(component[90:], return_counts=True)
    head = engine.select(RowQuery(), 0, parts.size)[0]
    assert parts.size >= 2
    assert sorted(component[head]) == parts.tolist()
    by_part = dict(zip(parts.tolist(), sizes.tolist(), strict=True))
    assert [by_part[part] for part in component[head].tolist()] == sorted(sizes.tolist(), reverse=True)
    moved = engine.answer({int(head[0]): 1}, 1)
    assert np.flatnonzero(component == component[head[0]]).tolist() == sorted(set(moved.rows) & set(range(90, 130)))


def test_a_page_of_the_queue_is_not_one_clump():
    """A third of the rows lie in one doubtful heap between two classes; plain scores fill the page with them."""
    rng = np.random.default_rng(0)
    centres = np.array([[1, 0, 0.0], [0, 1, 0], [0.7, 0.7, 0], [0, 0, 1]])
    where = rng.permutation(np.repeat(np.arange(4), 100))
    rows = centres[where] + 0.15 * rng.normal(size=(400, 3))
    given = np.full(400, -1)
    for label, heap in enumerate((0, 1, 3)):
        given[np.flatnonzero(where == heap)[:2]] = label
    ids, settings = [str(i) for i in range(400)], GraphSettings(n_neighbors=15)
    engine = Engine(Items(ids=ids, class_names=NAMES, given=given, descriptors=rows, settings=settings), {})
    page = engine.select(RowQuery(class_name=None, min_certainty=0.0), 0, 20)[0]
    by_score = np.argsort(-np.where(given < 0, engine.state.score, -1), kind="stable")[:20]
    node, w = engine.graph.node, engine.graph.affinity

    def edges_within(rows):
        return (w[node[rows]][:, node[rows]] > 0).sum()

    assert edges_within(page) < edges_within(by_score) / 2


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (RowQuery(order="row", source="given"), range(6)),
        (RowQuery(order="row", source="answered"), [10]),
        (RowQuery(order="row", text="ID29"), [29, *range(290, 300)]),
        (RowQuery(order="row", text="row 7 of"), [7]),
        (RowQuery(order="row", only=[5, 3, 290]), [3, 5, 290]),
        (RowQuery(order="row", only=[5, 3], leave_out=[3]), [5]),
    ],
)
def test_filters_let_through_what_they_name(wanted, expected):
    assert Engine(items_of(), {10: 1}).select(wanted, 0, 1000)[0].tolist() == list(expected)


def test_orders_by_certainty_and_filters_by_class_and_certainty():
    engine = Engine(items_of(), {})
    state = engine.state
    rows = engine.select(RowQuery(order="doubtful", class_name="b"), 0, 1000)[0]
    assert (state.label[rows] == 1).all()
    assert (np.diff(state.certainty[rows]) >= 0).all()
    rows, total = engine.select(RowQuery(order="certain", min_certainty=0.01, max_certainty=0.5), 0, 1000)
    assert total == ((state.certainty >= 0.01) & (state.certainty <= 0.5)).sum() > 0
    assert (np.diff(state.certainty[rows]) <= 0).all()


@pytest.mark.parametrize("wanted", [RowQuery(order="best"), RowQuery(class_name="z"), RowQuery(source="mine")])
def test_an_unknown_order_class_or_source_is_refused(wanted):
    with pytest.raises(ConfigError, match="FL-C87"):
        Engine(items_of(), {}).select(wanted, 0, 10)


def test_a_wrong_given_label_is_the_most_suspicious():
    items = items_of(labelled=60, spread=0.3)
    given = items.given.copy()
    given[33] = (given[33] + 1) % 3
    engine = Engine(replace(items, given=given, truth=None, texts={}), {})
    rows, total = engine.select(RowQuery(order="suspicious"), 0, 5)
    assert rows[0] == 33
    assert total == 60


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_why_names_the_labelled_rows_and_neighbours_that_decided(mode):
    items = items_of(mode=mode, max_steps=1000)
    engine = Engine(items, {9: 0})
    why = engine.why(100)
    inverse = np.linalg.inv(np.eye(300) - items.settings.alpha * engine.graph.affinity.toarray())
    labelled = np.flatnonzero(engine.labels >= 0)
    mass = inverse[engine.graph.node[100], engine.graph.node[labelled]]
    if mode == "released":
        mass = mass / np.bincount(engine.labels[labelled])[engine.labels[labelled]]
    expected = dict(zip(labelled.tolist(), mass / mass.sum(), strict=True))
    assert sum(one.share for one in why.influences) == pytest.approx(1)
    for one in why.influences:
        assert one.label == engine.labels[one.row]
        assert one.share == pytest.approx(expected[one.row], abs=1e-4)
    assert why.label == why.distribution.argmax() == engine.state.label[100]
    assert why.distribution.sum() == pytest.approx(1)
    assert why.edges[0].share == max(edge.share for edge in why.edges)
    edges = engine.graph.affinity[[engine.graph.node[100]]].indices
    assert all(engine.graph.node[edge.row] in edges for edge in why.edges)


@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("n", [300, 2400])  # float64, and float32 with the compiled solver
def test_why_says_what_explain_says_of_a_propagation(mode, n):
    items = items_of(n, mode=mode, max_steps=1000)
    engine = Engine(items)
    told = explain(propagate(items.descriptors, items.given, items.settings), items.given, 100, items.settings)
    why = engine.why(100)
    for name in ("row", "label", "given", "copies", "component_size", "component_labels", "resolved", "influences"):
        assert getattr(why, name) == getattr(told, name), name
    assert [(edge.row, edge.weight, edge.label) for edge in why.edges] == [
        (edge.row, edge.weight, edge.label) for edge in told.edges
    ]
    np.testing.assert_array_equal(why.class_shares, told.class_shares)


def test_why_tells_far_labels_apart_as_explain_does():
    """What arrives in the middle of a path is less than the solver's error, unless the row is solved anew."""
    given = np.full(240, -1)
    given[[0, 239]] = [0, 1]
    items = Items(
        ids=[str(i) for i in range(240)],
        class_names=("a", "b"),
        given=given,
        descriptors=path(240),
        settings=GraphSettings(n_neighbors=2),
    )
    told = explain(propagate(items.descriptors, given, items.settings), given, 110, items.settings)
    why = Engine(items).why(110)
    assert why.influences == told.influences
    assert [one.row for one in why.influences] == [0, 239]
    inverse = np.linalg.inv(np.eye(240) - 0.99 * Engine(items).graph.affinity.toarray())
    node = Engine(items).graph.node
    mass = inverse[node[110], node[[0, 239]]]
    np.testing.assert_allclose([one.share for one in why.influences], mass / mass.sum(), rtol=1e-4)


REFINEMENTS = [Refinement(), Refinement(prior="labels"), Refinement(centre_sources=True)]


@pytest.mark.filterwarnings("ignore:FL-C33")  # of a prior that so few rows cannot meet
@pytest.mark.parametrize(
    ("n", "k", "refinement"), [*((1500, 5, refinement) for refinement in REFINEMENTS), (8000, 50, Refinement())]
)
def test_a_queue_opens_where_most_rows_are_beyond_the_solvers_steps(n, k, refinement):
    """Points on an arc, two labels at one end: more than half of the nodes have no mass before they are filled."""
    given = np.full(n, -1)
    given[:2] = [0, 1]
    settings = GraphSettings(n_neighbors=k, refinement=refinement)
    engine = Engine(
        Items(
            ids=[str(i) for i in range(n)], class_names=("a", "b"), given=given, descriptors=path(n), settings=settings
        )
    )
    assert np.isfinite(engine.state.score).all()
    rows, total = engine.select(RowQuery())
    assert total == n - 2
    engine.answer({int(rows[0]): 1}, 1)
    assert np.isfinite(engine.state.score).all()


def test_why_of_a_row_that_no_label_reaches_says_nothing():
    engine = Engine(items_of(labelled=0), {})
    why = engine.why(3)
    assert (why.label, why.certainty, why.influences, why.resolved) == (-1, 0, (), False)
    with pytest.raises(ConfigError, match="FL-C87"):
        engine.why(300)


def test_copies_of_a_row_are_asked_for_once_before_the_others():
    items = items_of(n=60)
    twice = np.repeat(items.descriptors, 2, axis=0)
    ids, given = [str(i) for i in range(120)], np.repeat(items.given, 2)
    engine = Engine(replace(items, ids=ids, given=given, descriptors=twice, truth=None, texts={}), {})
    rows = engine.select(RowQuery(min_certainty=0.0), 0, 54)[0]
    assert np.unique(engine.graph.node[rows]).size == 54
