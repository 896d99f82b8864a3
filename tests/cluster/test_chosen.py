"""Settings that the labels choose: the choice and the answer of one machine."""

import warnings

import numpy as np
import pytest

from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

import fewlabels as fl
from fewlabels.choosing import Auto
from fewlabels.cluster import auto as cluster_auto
from fewlabels.cluster.engine import InProcess
from fewlabels.cluster.propagate import propagate_parts
from fewlabels.errors import UnreachedWarning
from fewlabels.graph import GraphSettings
from tests.cluster import cases

BASE = GraphSettings(recall=0.97)


@pytest.fixture
def sampled(small, monkeypatch):
    """2,600 rows are more than the choice is made on."""
    import sys

    monkeypatch.setattr(sys.modules["fewlabels.choosing.propagate"], "CHOICE_ROWS", 1500)
    monkeypatch.setattr(cluster_auto, "CHOICE_ROWS", 1500)


def labelled_blobs(per_class, odd=False):
    rows, labels = cases.odd_blobs() if odd else cases.blobs()
    truth = np.full(len(rows), -1)
    rng = np.random.default_rng(5)
    home = np.random.default_rng(0)
    home.normal(size=(40, 12))
    truth = home.integers(0, 40, len(rows)) % 4
    labels[:] = -1
    for number in range(4):
        labels[rng.choice(np.flatnonzero(truth == number), per_class, replace=False)] = number
    if odd:
        labels[100:160] = -1
    rows *= np.random.default_rng(2).uniform(0.5, 2, (len(rows), 1)).astype(np.float32)  # lengths say something
    return rows, labels


def both(tmp_path, rows, labels, auto, partitions=3):
    task = cases.save(tmp_path, rows, labels, settings=auto.base, auto=auto)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreachedWarning)
        found = propagate_parts(task, InProcess(2), tmp_path / "work", partitions=partitions)
        single = fl.propagate(rows, labels, auto, class_names=task.class_names)
    return task, found, single


def same_as(task, found, single):
    table, labels = cases.read_table(task.out), single.pseudo_labels
    assert found["choice"]["members"] == single.choice.to_json()["members"]
    assert found["choice"] == single.choice.to_json()
    names = [task.class_names[label] if label >= 0 else None for label in labels.label]
    assert table["label"] == names
    assert np.array_equal(np.array(table["certainty"], np.float32), labels.certainty.astype(np.float32))
    assert table["reached"] == labels.reached.tolist()


@pytest.mark.parametrize(
    ("per_class", "odd", "asked"),
    [
        (1, False, {}),
        (3, True, {}),
        (12, False, {}),
        (12, True, {"answer": "graph"}),
        (8, True, {"answer": "linear"}),
        (8, False, {"answer": "neighbors"}),
        (8, False, {"answer": "graph_linear"}),
        (8, True, {"n_neighbors": 7}),
    ],
)
def test_the_labels_choose_the_same_and_the_answer_has_the_same_bits(sampled, tmp_path, per_class, odd, asked):
    rows, labels = labelled_blobs(per_class, odd)
    same_as(*both(tmp_path, rows, labels, Auto(base=BASE, **asked)))


def test_where_all_rows_are_chosen_on_the_lists_are_those_of_the_choice(small, tmp_path):
    rows, labels = labelled_blobs(10)
    same_as(*both(tmp_path, rows, labels, Auto(base=BASE)))
