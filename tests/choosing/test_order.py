"""The same answer whatever the number of threads, the order of the rows, and how many rows there are."""

import importlib
import os

import numpy as np
import pytest
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from fewlabels.choosing import Auto, propagate
from fewlabels.choosing.rows import pick_rows
from fewlabels.errors import UnreachedWarning
from fewlabels.graph import GraphSettings
from fewlabels.graph.threads import num_threads
from tests.choosing.cases import keep_labels, make_blobs

whole = importlib.import_module("fewlabels.choosing.propagate")  # the module; the name is the function


def test_one_two_and_four_threads_give_the_same_bits_of_labels_and_choice(monkeypatch):
    rows, classes = make_blobs(300, 4, 24, spread=0.4)
    labels, found = keep_labels(classes, 12), []
    for threads in (1, 2, 4):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=threads: set(range(cores)), raising=False)
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        assert num_threads() == threads
        with threadpool_limits(threads):
            found.append(propagate(rows, labels))
    for other in found[1:]:
        assert other.choice == found[0].choice
        for name in ("label", "certainty", "distribution"):
            assert np.array_equal(getattr(other.pseudo_labels, name), getattr(found[0].pseudo_labels, name))


@pytest.mark.parametrize("per_class", [2, 8])
def test_digits_in_another_order_get_the_same_labels_and_the_same_choice(per_class):
    digits = load_digits()
    rows, classes = digits.data[:300], digits.target[:300]
    labels, order = keep_labels(classes, per_class), np.random.default_rng(2).permutation(300)
    one, other = propagate(rows, labels), propagate(rows[order], labels[order])
    assert np.array_equal(one.pseudo_labels.label[order], other.pseudo_labels.label)
    names = [[member.name for member in answer.choice.members] for answer in (one, other)]
    assert names[0] == names[1]
    shares = [[member.share for member in answer.choice.members] for answer in (one, other)]
    np.testing.assert_allclose(*shares, rtol=1e-3)
    assert one.choice.error == other.choice.error


@pytest.fixture
def choice_of_many(monkeypatch):
    """Above 200 rows everyone chooses on a sample, and above 100 there are fewer candidates."""
    monkeypatch.setattr(whole, "CHOICE_ROWS", 200)
    for name in ("propagate", "candidates", "choose"):
        monkeypatch.setattr(importlib.import_module(f"fewlabels.choosing.{name}"), "MANY_ROWS", 100)


@pytest.mark.usefixtures("choice_of_many")
@pytest.mark.parametrize("auto", [Auto(), Auto(answer="gaussian"), Auto(answer="graph_linear")])
def test_of_very_many_rows_a_sample_chooses_and_all_are_answered_in_any_order(auto):
    rows, classes = make_blobs(600, spread=0.2)
    labels, order = keep_labels(classes, 6), np.random.default_rng(1).permutation(600)
    one, other = propagate(rows, labels, auto), propagate(rows[order], labels[order], auto)
    assert one.pseudo_labels.label.size == 600
    assert (one.pseudo_labels.label == classes)[labels < 0].mean() > 0.95
    assert np.array_equal(one.pseudo_labels.label[order], other.pseudo_labels.label)
    assert [member.name for member in one.choice.members] == [member.name for member in other.choice.members]
    assert one.choice.num_held_out == 18
    assert np.array_equal(np.sort(one.suspicion().rows), np.flatnonzero(labels >= 0))  # numbers of all rows


def test_the_sample_is_the_same_rows_in_any_order_with_every_labelled_one_among_them():
    rows, _ = make_blobs(600)
    order = np.random.default_rng(1).permutation(600)
    labelled = np.arange(0, 600, 40)
    one = pick_rows(rows, labelled, 200, 7)
    other = pick_rows(rows[order], np.sort(np.argsort(order)[labelled]), 200, 7)
    assert one.size == 200
    assert np.isin(labelled, one).all()
    assert np.array_equal(np.sort(order[other]), one)
    assert not np.array_equal(pick_rows(rows, labelled, 200, 8), one)


@pytest.mark.usefixtures("choice_of_many")
def test_bad_rows_and_rows_of_zeros_are_left_out_of_the_choice_of_very_many_too():
    rows, classes = make_blobs(600, spread=0.2)
    labels = keep_labels(classes, 6)
    free = np.flatnonzero(labels < 0)
    rows[free[:5]], rows[free[5:9]], rows[np.flatnonzero(labels >= 0)[0]] = np.nan, 0, np.nan
    with pytest.warns(match="FL-(E1|G1)"):
        answer = propagate(rows, labels, Auto(base=GraphSettings(drop_bad_rows=True)))
    found = answer.pseudo_labels
    assert (found.label[free[:9]] == -1).all()
    assert (found.label[free[9:]] == classes[free[9:]]).mean() > 0.95
    assert np.isfinite(found.distribution).all()
    assert answer.choice.num_labels == 17


def test_equal_rows_and_rows_of_a_group_are_never_on_two_sides():
    rows, classes = make_blobs(300)
    labels = keep_labels(classes, 20)
    given = np.flatnonzero(labels >= 0)
    copies = given[labels[given] == 0][:8]
    rows[copies] = rows[copies[0]]
    groups = np.arange(300)
    together = given[labels[given] == 1][:9]
    groups[together] = together[0]
    seen = {}

    def spy(*arguments):
        seen["labelled"] = hold_out(*arguments)
        return seen["labelled"]

    hold_out = whole.hold_out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "hold_out", spy)
        propagate(rows, labels, groups=groups)
    labelled = seen["labelled"]
    fold = dict(zip(labelled.row.tolist(), labelled.fold.tolist(), strict=True))
    assert len({fold[int(row)] for row in copies}) == 1
    assert len({fold[int(row)] for row in together}) == 1
    assert len(set(fold.values())) == 10


def test_equal_rows_of_two_classes_share_a_fold_and_stay_contradictions():
    rows, classes = make_blobs(300)
    labels = keep_labels(classes, 10)
    first, second = np.flatnonzero(labels == 0)[0], np.flatnonzero(labels == 1)[0]
    rows[second] = rows[first]
    with pytest.warns(match="FL-G15"):
        answer = propagate(rows, labels)
    assert answer.pseudo_labels.label[first] == 0
    assert answer.pseudo_labels.label[second] == 1


def test_every_class_with_one_label_but_one_is_answered_and_only_that_one_is_scored():
    rows, classes = make_blobs(300, spread=0.2)
    labels = keep_labels(classes, 1)
    labels[np.flatnonzero(classes == 0)[:20]] = 0
    answer = propagate(rows, labels)
    assert set(answer.measured.classes.tolist()) == {0}
    assert (answer.pseudo_labels.label == classes)[labels < 0].mean() > 0.8
    assert np.isfinite(answer.pseudo_labels.distribution).all()


def test_a_bad_row_with_a_label_loses_it_and_the_others_choose():
    rows, classes = make_blobs()
    labels = keep_labels(classes, 5)
    bad = np.flatnonzero(labels == 1)[:2]
    rows[bad, 3] = np.inf
    with pytest.warns((UserWarning, UnreachedWarning), match="FL-"):
        answer = propagate(rows, labels, Auto(base=GraphSettings(drop_bad_rows=True)))
    assert answer.choice.num_labels == 13
    assert (answer.pseudo_labels.label[bad] == -1).all()
