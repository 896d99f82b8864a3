"""An engine that begins with no label: classes that grow, the graph that the labels choose, previews and stopping."""

import numpy as np
import pytest

from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings
from fewlabels.review.engine.engine import CALM_ANSWERS, Engine
from fewlabels.review.engine.live import open_live
from fewlabels.review.engine.state import RowQuery
from fewlabels.review.items import Items
from fewlabels.review.store.classes import ClassChange, ClassList
from fewlabels.review.store.values import NONE_OF_THESE

TRUTH = np.random.default_rng(0).integers(0, 3, 240)


def begin(spread=0.8):
    rng = np.random.default_rng(1)
    rows = 2 * rng.normal(size=(3, 6))[TRUTH] + spread * rng.normal(size=(240, 6))
    items = Items(ids=[str(row) for row in range(240)], class_names=(), given=np.full(240, -1), descriptors=rows)
    return Engine(items, {}, classes=ClassList(), live=open_live(rows, GraphSettings()))


def make(engine, *names):
    classes = engine.classes
    for number, name in enumerate(names, 1):
        classes = classes.replaced(classes.carry_out(ClassChange("class", name), number))
    return classes


def answer_by_queue(engine, count):
    for number in range(count):
        row = int(engine.select(RowQuery(), 0, 5)[0][4 if number % 5 == 4 else 0])
        engine.answer({row: int(TRUTH[row])}, number + 2)


def test_nothing_has_a_label_until_two_classes_have_one():
    engine = begin()
    assert not engine.state.reached.any()
    engine.answer({0: 0}, 1, make(engine, "a", "b", "c"))
    assert engine.state.reached.sum() == 1
    other = int(np.flatnonzero(TRUTH[0] != TRUTH)[0])
    engine.answer({other: 1}, 2)
    assert engine.state.reached.sum() > 200
    with pytest.raises(ConfigError, match="FL-C87"):
        begin().why(0)


def test_the_first_questions_are_of_all_kinds_and_every_fifth_is_drawn():
    engine = begin()
    found = engine.select(RowQuery(), 0, 10)[0]
    assert set(TRUTH[found]) == {0, 1, 2}
    np.testing.assert_array_equal(found[[4, 9]], engine._order[[0, 1]])


def test_a_class_that_comes_late_is_a_new_column_and_changes_no_other_number():
    engine = begin()
    rows = [int(np.flatnonzero(kind == TRUTH)[0]) for kind in range(3)]
    engine.answer({rows[0]: 0, rows[1]: 1}, 1, make(engine, "a", "b"))
    before = engine.state.label.copy()
    engine.answer({}, 2, make(engine, "c"))
    np.testing.assert_array_equal(engine.state.label, before)
    engine.answer({rows[2]: 2}, 3)
    assert np.mean(engine.state.label == TRUTH) > 0.8


def test_a_merge_moves_the_rows_of_one_class_to_the_other_and_back():
    engine = begin()
    engine.answer({row: int(TRUTH[row]) for row in range(30)}, 1, make(engine, "a", "b", "c"))
    before, classes = engine.state.label.copy(), engine.classes
    merged = classes.replaced(classes.carry_out(ClassChange("merge", key="c", into="a"), 5))
    engine.answer({}, 2, merged)
    assert set(engine.state.label) == {0, 1}
    engine.answer({}, 3, classes)
    np.testing.assert_array_equal(engine.state.label, before)


def test_the_labels_choose_the_graph_and_what_that_moves_is_no_answers_doing():
    engine = begin(spread=1.6)
    engine.answer({}, 1, make(engine, "a", "b", "c"))
    answer_by_queue(engine, 40)
    assert engine.prepare_choice() is not None
    assert engine.prepare_choice() is None  # not again for the same labels
    engine.live._chosen_at = 0
    choice = engine.prepare_choice()()
    version, settings = engine.state.version, engine.live.settings
    if engine.adopt(choice):
        assert engine.live.settings != settings
        assert "chosen by" in engine.said
    assert engine.state.version == version
    assert choice.num_held_out > 30


def test_many_answers_one_by_one_end_where_all_at_once_do():
    engine = begin()
    engine.answer({}, 1, make(engine, "a", "b", "c"))
    answer_by_queue(engine, 60)
    again = Engine(
        engine.items, {row: int(n) for row, n in enumerate(engine.labels) if n >= 0}, None, engine.classes, engine.live
    )
    np.testing.assert_allclose(engine.state.certainty, again.state.certainty, atol=1e-4)
    assert np.mean(engine.state.label == again.state.label) > 0.99


def test_a_preview_is_what_the_answer_then_moves():
    engine = begin(spread=1.6)
    engine.answer({row: int(TRUTH[row]) for row in range(6)}, 1, make(engine, "a", "b", "c"))
    rows = list(range(50, 80))
    told, before = engine.imagine(rows, 1), engine.state.label.copy()
    np.testing.assert_array_equal(engine.state.label, before)
    engine.answer(dict.fromkeys(rows, 1), 2)
    others = np.flatnonzero(engine.state.label != before)
    assert sum(count for _, _, count in told) == np.setdiff1d(others, rows).size > 0


def test_a_row_of_none_of_the_classes_counts_as_wrong_in_the_estimate():
    engine = begin()
    engine.answer({}, 1, make(engine, "a", "b", "c"))
    answer_by_queue(engine, 50)
    before = engine.estimate()
    row = int(engine.select(RowQuery(), 0, 5)[0][4])
    engine.answer({row: NONE_OF_THESE}, 99)
    after = engine.estimate()
    assert after.num > before.num
    assert after.num - after.right == before.num - before.right + 1


def test_answers_that_move_nothing_are_told_as_such():
    engine = begin(spread=0.1)
    engine.answer({row: int(TRUTH[row]) for row in range(60)}, 1, make(engine, "a", "b", "c"))
    assert not engine.is_calm
    answer_by_queue(engine, CALM_ANSWERS + 2)
    assert engine.is_calm


def test_balanced_labels_are_those_of_a_propagation_with_such_weights():
    engine = begin()
    labels = np.where(np.arange(240) < 20, TRUTH, -1)
    engine.answer({row: int(TRUTH[row]) for row in range(20)}, 1, make(engine, "a", "b", "c"))
    count = np.bincount(labels[labels >= 0])
    weight = np.where(labels >= 0, count[labels] ** -engine.live.balance, 1.0)
    expected = engine._spreading.system.spread(labels, weight=weight)
    np.testing.assert_allclose(engine.propagation.z, expected.z, atol=1e-4)


def test_a_class_that_loses_its_only_label_has_no_row_any_more():
    engine = begin()
    rows = [int(np.flatnonzero(kind == TRUTH)[0]) for kind in range(3)]
    engine.answer({row: kind for kind, row in enumerate(rows)}, 1, make(engine, "a", "b", "c"))
    assert (engine.state.label == 2).any()
    engine.answer({rows[2]: -1}, 2)
    assert not (engine.state.label == 2).any()
    assert not engine._spreading.x[:, 2].any()
