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


@pytest.mark.parametrize(
    "refinement",
    [
        fl.Refinement(centre_sources=True),
        fl.Refinement(prior="uniform"),
        fl.Refinement(centre_sources=True, prior=(0.4, 0.3, 0.2, 0.1)),
    ],
    ids=["centred", "prior", "both"],
)
def test_refinements_have_the_bits_of_one_machine(small, tmp_path, refinement):
    rows, labels = labelled_blobs(3, odd=True)
    settings = GraphSettings(n_neighbors=10, recall=0.97, refinement=refinement)
    task = cases.save(tmp_path, rows, labels, settings=settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreachedWarning)
        found = propagate_parts(task, InProcess(2), tmp_path / "work", partitions=3)
        single = cases.on_one_machine(task, rows)
    names = [task.class_names[label] if label >= 0 else None for label in single.pseudo_labels.label]
    table = cases.read_table(task.out)
    assert table["label"] == names
    assert np.array_equal(np.array(table["certainty"], np.float32), single.pseudo_labels.certainty.astype(np.float32))
    assert found["refined"]["prior_error"] == single.refined.prior_error
    assert found["solver"]["steps"] == single.solution.num_steps.tolist()


def test_a_temperature_agrees_to_the_tolerance_of_the_solver(small, tmp_path):
    rows, labels = labelled_blobs(5)
    settings = GraphSettings(n_neighbors=10, recall=0.97, refinement=fl.Refinement(calibrate=True))
    task = cases.save(tmp_path, rows, labels, settings=settings)
    found = propagate_parts(task, InProcess(2), tmp_path / "work", partitions=3)
    single = cases.on_one_machine(task, rows)
    assert found["refined"]["temperature"] == pytest.approx(single.refined.temperature, rel=1e-3)
    certainty = np.array(cases.read_table(task.out)["certainty"])
    assert np.abs(certainty - single.pseudo_labels.certainty).max() < 1e-3


def test_a_refinement_that_is_given_is_that_of_the_chosen_graph(small, tmp_path):
    rows, labels = labelled_blobs(8)
    same_as(*both(tmp_path, rows, labels, Auto(base=BASE, refinement=fl.Refinement(centre_sources=True))))


def test_a_refinement_of_too_many_rows_is_refused(small, tmp_path, monkeypatch):
    from fewlabels.cluster import demands
    from fewlabels.errors import StorageError

    monkeypatch.setattr(demands, "MOST_REFINED", 1000)
    rows, labels = cases.blobs()
    settings = GraphSettings(n_neighbors=10, recall=0.97, refinement=fl.Refinement(calibrate=True))
    task = cases.save(tmp_path, rows, labels, settings=settings)
    with pytest.raises(StorageError, match=r"FL-G21 a refinement of 2,600 rows and 4 classes"):
        propagate_parts(task, InProcess(2), tmp_path / "work")
