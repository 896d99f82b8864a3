"""The live estimate: a random sample within the queue, and an interval that keeps its promise."""

import numpy as np
import pytest

from fewlabels.graph import GraphSettings, build_graph
from fewlabels.review.engine.engine import Engine
from fewlabels.review.engine.estimate import SLOT, draw_order, estimate_share, find_sample, interleave, wilson_interval
from fewlabels.review.engine.state import RowQuery
from fewlabels.review.items import Items
from tests.review.review_items import NAMES, items_of


@pytest.mark.parametrize(
    ("count", "num", "low", "high"),
    [(0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (8, 10, 0.4902, 0.9433), (1, 1, 0.2065, 1)],
)
def test_wilsons_interval_is_that_of_the_tables(count, num, low, high):
    assert wilson_interval(count, num) == pytest.approx((low, high), abs=1e-4)


def test_without_a_sampled_answer_there_is_no_estimate():
    found = estimate_share(np.zeros(0, bool))
    assert (found.num, found.percent, found.low, found.high) == (0, None, None, None)


def test_every_fifth_place_of_the_queue_is_the_next_of_the_sample():
    queue, sample = np.arange(100), np.random.default_rng(0).permutation(100)
    mixed = interleave(queue, sample)
    assert sorted(mixed) == list(range(100))
    assert mixed[0] == 0
    seen, places = [], mixed[:50].tolist()
    for row in sample.tolist():
        at = places.index(row) if row in places else None
        if at is not None and at % SLOT == SLOT - 1:
            seen.append(row)
    assert len(seen) == 10
    assert [places.index(row) for row in seen] == [4, 9, 14, 19, 24, 29, 34, 39, 44, 49]


def test_the_sample_is_the_answered_head_of_the_order_whoever_asked_for_it():
    order, answered = np.array([3, 1, 4, 0, 2]), np.zeros(5, bool)
    assert find_sample(order, answered, ()).tolist() == []
    answered[[3, 1, 0]] = True
    assert find_sample(order, answered, ()).tolist() == [3, 1]
    assert find_sample(order, answered, {4}).tolist() == [3, 1, 0]  # 4 was skipped
    assert find_sample(order, np.ones(5, bool), ()).tolist() == order.tolist()


def test_the_random_order_has_every_row_without_a_given_label_and_no_chance_in_it():
    given = np.where(np.arange(50) < 6, 1, -1)
    order = draw_order(given, 0)
    assert sorted(order) == list(range(6, 50))
    np.testing.assert_array_equal(order, draw_order(given, 0))


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_a_sampled_answer_counts_against_what_the_graph_says_without_it(mode):
    items = items_of(spread=0.9, mode=mode, max_steps=1000)
    engine, right = Engine(items, {}), []
    rows = draw_order(items.given, 0)[:12]
    engine.answer({int(row): int(items.truth[row]) for row in rows}, 1)
    for row in rows:
        without = Engine(items, {int(r): int(items.truth[r]) for r in rows if r != row}, engine.graph)
        right.append(without.state.label[row] == items.truth[row])
    found = engine.estimate()
    assert (found.num, found.right) == (12, sum(right))


def _reviewed(seed, graph, truth, rows):
    """The estimate after 60 answers from the queue, and the true share of right labels that it speaks of."""
    rng = np.random.default_rng(seed)
    given = np.full(truth.size, -1)
    for label in range(3):
        given[rng.choice(np.flatnonzero(truth == label), 3, replace=False)] = label
    settings = GraphSettings(n_neighbors=12, seed=seed)
    ids = [str(row) for row in range(truth.size)]
    items = Items(ids=ids, class_names=NAMES, given=given, descriptors=rows, settings=settings)
    engine = Engine(items, {}, graph)
    for page in range(6):
        ask = engine.select(RowQuery(), 0, 10)[0]
        engine.answer({int(row): int(truth[row]) for row in ask}, page + 1)
    unanswered = engine.labels < 0
    return engine.estimate(), 100 * float((engine.state.label == truth)[unanswered].mean())


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """40 simulated reviews; 95 % are promised. 33 of 40 or fewer would come about 3 times in 1,000 honest trials."""
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    rows = rng.normal(size=(3, 6))[truth] + 0.85 * rng.normal(size=(300, 6))
    graph = build_graph(rows, GraphSettings(n_neighbors=12))
    found = [_reviewed(seed, graph, truth, rows) for seed in range(40)]
    assert sum(estimate.low <= share <= estimate.high for estimate, share in found) > 33
    assert all(estimate.num >= 12 for estimate, _ in found)
