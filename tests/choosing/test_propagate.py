import json

import numpy as np
import pytest

from fewlabels.choosing import Auto, Choice, propagate
from fewlabels.errors import ConfigError, InputWarning, LabelError, UnreachedWarning
from fewlabels.graph import GraphSettings
from fewlabels.graph import propagate as graph_propagate
from tests.choosing.cases import keep_labels, make_blobs, make_rings


def accuracy(answer, classes, labels):
    asked = labels < 0
    return (answer.pseudo_labels.label == classes)[asked].mean()


def test_where_a_graph_is_needed_it_answers():
    rows, classes = make_rings()
    labels = keep_labels(classes, 15)
    answer = propagate(rows, labels)
    assert accuracy(answer, classes, labels) > 0.97
    assert sum(member.share for member in answer.choice.members if member.kind == "graph") > 0.5


def test_where_a_linear_head_is_as_good_the_reason_says_so():
    rows, classes = make_blobs(600, 3, 64, spread=0.25)
    labels = keep_labels(classes, 20)
    answer = propagate(rows, labels)
    assert accuracy(answer, classes, labels) > 0.9
    assert "head" in answer.choice.reason or "mean" in answer.choice.reason


@pytest.mark.parametrize("per_class", [1, 2, 5])
def test_few_labels_are_answered(per_class):
    rows, classes = make_blobs()
    labels = keep_labels(classes, per_class)
    answer = propagate(rows, labels)
    assert accuracy(answer, classes, labels) > 0.8
    assert (answer.choice.candidates == ()) == (per_class < 3)
    given = labels >= 0
    assert np.array_equal(answer.pseudo_labels.label[given], labels[given])
    assert (answer.pseudo_labels.certainty[given] == 1).all()
    np.testing.assert_allclose(answer.pseudo_labels.distribution.sum(axis=1), 1)


def test_the_order_of_the_rows_changes_nothing():
    rows, classes = make_blobs()
    labels, order = keep_labels(classes, 6), np.random.default_rng(1).permutation(classes.size)
    one, other = propagate(rows, labels), propagate(rows[order], labels[order])
    assert [member.name for member in one.choice.members] == [member.name for member in other.choice.members]
    np.testing.assert_allclose(
        one.pseudo_labels.distribution[order], other.pseudo_labels.distribution, rtol=1e-3, atol=1e-5
    )


def test_hidden_labels_reach_nothing():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 5)
    one = propagate(rows, labels)
    other = propagate(rows, np.where(labels >= 0, labels, -1))
    assert np.array_equal(one.pseudo_labels.distribution, other.pseudo_labels.distribution)


@pytest.mark.parametrize("kind", ["graph", "neighbors", "mean", "linear", "gaussian", "graph_linear"])
def test_a_given_answer_is_the_answer(kind):
    rows, classes = make_blobs()
    labels = keep_labels(classes, 8)
    answer = propagate(rows, labels, Auto(answer=kind, most_members=1))
    assert [member.kind for member in answer.choice.members] == [kind]
    assert accuracy(answer, classes, labels) > 0.8
    assert answer.needs_rows == (kind == "graph")


def test_given_settings_are_kept_and_the_rest_is_chosen():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 8)
    given = propagate(rows, labels, Auto(n_neighbors=7)).choice
    assert {candidate.member.n_neighbors for candidate in given.candidates} == {7}
    assert len({candidate.member.alpha for candidate in given.candidates}) > 1
    both = propagate(rows, labels, Auto(n_neighbors=7, alpha=0.8)).choice
    assert [(member.n_neighbors, member.alpha) for member in both.members] == [(7, 0.8)]
    assert both.error.count == labels[labels >= 0].size


@pytest.mark.parametrize("name", ["paper", "released"])
def test_by_name_nothing_is_chosen_and_nothing_changes(name):
    rows, classes = make_blobs()
    labels = keep_labels(classes, 4)
    found = propagate(rows, labels, name)
    expected = graph_propagate(rows, labels, GraphSettings(mode=name))
    assert np.array_equal(found.z, expected.z)
    assert np.array_equal(found.pseudo_labels.certainty, expected.pseudo_labels.certainty)


def test_a_row_of_zeros_gets_no_label_and_its_label_counts_for_nobody():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 5)
    free, taken = np.flatnonzero(labels < 0)[0], np.flatnonzero(labels == 0)[0]
    rows[free] = rows[taken] = 0
    with pytest.warns(UnreachedWarning, match="FL-G1"):
        answer = propagate(rows, labels)
    assert answer.pseudo_labels.label[free] == -1
    assert not answer.pseudo_labels.reached[free]
    assert answer.pseudo_labels.label[taken] == 0
    assert answer.choice.num_labels == 14


def test_a_row_that_no_label_reaches_has_a_label_where_a_head_answers_and_none_from_a_graph():
    rows, classes = make_blobs(200, 2, 4)
    far = np.zeros((60, 8), np.float32)
    far[:, 4:] = np.abs(np.random.default_rng(0).normal(size=(60, 4)))
    rows = np.concatenate([np.pad(rows, ((0, 0), (0, 4))), far])
    labels = np.append(keep_labels(classes, 8), np.full(60, -1))
    with pytest.warns(UnreachedWarning, match="FL-G1"):
        answer = propagate(rows, labels, Auto(answer="graph", n_neighbors=5))
    assert (answer.pseudo_labels.label[200:] == -1).all()
    assert propagate(rows, labels, Auto(answer="gaussian")).pseudo_labels.reached.all()


def test_bad_rows_are_left_out_where_that_is_allowed():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 5)
    bad = np.flatnonzero(labels < 0)[:3]
    rows[bad] = np.nan
    auto = Auto(base=GraphSettings(drop_bad_rows=True))
    with pytest.warns(match="FL-(E1|G1)"):
        answer = propagate(rows, labels, auto)
    assert (answer.pseudo_labels.label[bad] == -1).all()
    assert np.isfinite(answer.pseudo_labels.distribution).all()


def test_a_class_with_one_label_takes_part_and_is_not_scored():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 6)
    labels[np.flatnonzero(labels == 2)[1:]] = -1
    answer = propagate(rows, labels)
    assert answer.choice.num_labels == 13
    assert answer.choice.num_held_out == 12
    assert (answer.pseudo_labels.label == 2).sum() > 20


def test_one_class_is_answered_with_the_warning_of_today():
    rows, _ = make_blobs(50)
    labels = np.full(50, -1)
    labels[:3] = 0
    with pytest.warns(InputWarning, match="FL-L17"):
        answer = propagate(rows, labels)
    assert (answer.pseudo_labels.label == 0).all()


def test_a_label_without_weight_counts_for_nobody():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 5)
    weight = np.ones(classes.size)
    dropped = np.flatnonzero(labels == 1)[:2]
    weight[dropped] = 0
    without = labels.copy()
    without[dropped] = -1
    one, other = propagate(rows, labels, weight=weight), propagate(rows, without)
    assert [member.name for member in one.choice.members] == [member.name for member in other.choice.members]


def test_the_choice_goes_into_json_and_back():
    rows, classes = make_blobs()
    for per_class in (1, 6):
        choice = propagate(rows, keep_labels(classes, per_class)).choice
        assert Choice.from_json(json.loads(json.dumps(choice.to_json(), allow_nan=False))) == choice


def test_new_rows_get_the_answers_of_the_old_ones():
    rows, classes = make_blobs(400)
    labels = keep_labels(classes[:300], 10)
    answer = propagate(rows[:300], labels)
    found = answer.extend(rows[300:], rows[:300])
    assert (found.label == classes[300:]).mean() > 0.85
    np.testing.assert_allclose(found.distribution.sum(axis=1), 1)
    head = propagate(rows[:300], labels, Auto(answer="linear"))
    assert (head.extend(rows[300:]).label == classes[300:]).mean() > 0.85
    np.testing.assert_allclose(
        head.extend(rows[:300]).distribution, head.pseudo_labels.distribution, rtol=1e-5, atol=1e-7
    )


def test_a_graph_asks_for_the_old_rows():
    rows, classes = make_blobs()
    answer = propagate(rows, keep_labels(classes, 5), Auto(n_neighbors=5))
    with pytest.raises(ConfigError, match="FL-C121"):
        answer.extend(rows[:5])


@pytest.mark.parametrize(
    "options",
    [{"answer": "forest"}, {"labels_are": "even"}, {"most_members": 0}, {"base": GraphSettings(mode="released")}],
)
def test_what_cannot_be_asked_is_refused(options):
    with pytest.raises(ConfigError, match="FL-C120"):
        Auto(**options)


def test_an_unknown_name_weights_of_another_length_and_groups_of_another_length_are_refused():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 5)
    with pytest.raises(ConfigError, match="FL-C120"):
        propagate(rows, labels, "best")
    with pytest.raises(ConfigError, match="FL-C120"):
        propagate(rows, labels, "paper", groups=classes)
    with pytest.raises(LabelError, match="FL-L43"):
        propagate(rows, labels, weight=np.ones(3))
    with pytest.raises(LabelError, match="FL-L23"):
        propagate(rows, labels, groups=np.ones(3))


def test_equal_shares_are_matched_only_where_the_answer_is_near_them():
    rows, classes = make_blobs(600, spread=0.4, shares=[0.6, 0.3, 0.1])
    labels = keep_labels(classes, 8)
    assert propagate(rows, labels).choice.prior is None
    even = propagate(rows, labels, Auto(labels_are="balanced"))
    assert even.choice.prior == "uniform"
    np.testing.assert_allclose(even.pseudo_labels.distribution.mean(axis=0), 1 / 3, atol=1e-3)
    assert propagate(rows, labels, Auto(labels_are="random")).choice.prior is None


def test_few_labels_of_different_numbers_count_as_drawn_like_the_data():
    """Their shares are a prior then, and nobody has to say so; with as many of each class they say nothing."""
    rows, classes = make_blobs(600, spread=0.4, shares=[0.6, 0.3, 0.1])
    labels, counts = np.full(classes.size, -1), [4, 1, 1]
    for number, count in enumerate(counts):
        labels[np.flatnonzero(classes == number)[:count]] = number
    drawn, even = propagate(rows, labels), propagate(rows, labels, Auto(labels_are="balanced"))
    assert (drawn.choice.prior, even.choice.prior) == ("labels", "uniform")
    np.testing.assert_allclose(drawn.choice.class_scale, [1, 1 / 3, 1 / 3])
    assert propagate(rows, keep_labels(classes, 2)).choice.prior != "labels"


@pytest.mark.parametrize("spread", [0.2, 0.3])
def test_few_labels_drawn_like_the_data_do_not_let_the_largest_class_run_over_the_others(spread):
    rows, classes = make_blobs(600, spread=spread, shares=[0.8, 0.1, 0.1])
    labels, counts = np.full(classes.size, -1), [6, 1, 1]
    for number, count in enumerate(counts):
        labels[np.flatnonzero(classes == number)[:count]] = number
    found = propagate(rows, labels).pseudo_labels.label
    assert all((found == classes)[classes == number].mean() > 0.9 for number in range(3))


def test_an_answer_that_no_label_calibrates_is_supposed_to_be_right_seven_times_of_ten():
    rows, classes = make_blobs()
    answer = propagate(rows, keep_labels(classes, 1), Auto(labels_are="random"))
    unlabelled = ~answer.labeled & answer.pseudo_labels.reached
    assert answer.choice.error.value is None
    assert abs(answer.pseudo_labels.distribution[unlabelled].max(axis=1).mean() - 0.7) < 0.02
