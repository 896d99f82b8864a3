"""Released mode gives what the released rules give: same labels, weights within 1e-6, in float32 within 2e-5."""

import numpy as np
import pytest

from fewlabels.errors import GraphError
from fewlabels.graph import GraphSettings, propagate
from tests.graph import reference
from tests.graph.cases import CASES, clusters

RELEASED = {"mode": "released"}


def agrees(rows, labels, num_classes, k, precision="double"):
    settings = GraphSettings(n_neighbors=k, precision=precision, **RELEASED)
    found = propagate(rows, labels, settings).pseudo_labels
    label, weight, class_weight = reference.released(rows, labels, num_classes, k)
    assert (found.label == label).all()
    assert np.abs(found.certainty - weight).max() < (1e-6 if precision == "double" else 2e-5)
    assert np.allclose(found.class_weight, class_weight, rtol=1e-6)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    ("n", "classes", "per_class", "k", "spread"), [(90, 3, 3, 10, 0.3), (120, 10, 1, 50, 0.6), (200, 2, 20, 7, 1.0)]
)
def test_on_random_clusters(seed, n, classes, per_class, k, spread, precision):
    rows, labels = clusters(n, classes, 8, per_class, spread, seed)
    agrees(np.abs(rows), labels, classes, k, precision)  # descriptors after a rectifier: no negative similarity


@pytest.mark.parametrize("precision", ["single", "double"])
def test_on_more_rows(precision):
    rows, labels = clusters(600, 5, 8, 4, 0.8)
    agrees(np.abs(rows), labels, 5, 20, precision)


@pytest.mark.parametrize("seed", range(6))
def test_with_negative_similarities_kept_and_unbalanced_labels(seed):
    rows, labels = clusters(100, 4, 5, 4, 0.4, seed)
    labels[2:8] = -1
    agrees(rows, labels, 4, 30)


def test_solved_classes_stop_early_like_the_others_would_alone():
    rows, labels = clusters(60, 3, 8, 2, 0.02)
    rows = np.abs(rows)
    found = propagate(rows, labels, GraphSettings(n_neighbors=5, **RELEASED))
    assert (found.solution.num_steps <= 20).all()
    agrees(rows, labels, 3, 5)


def test_the_cut_at_twenty_steps_is_no_news():
    rows, labels = clusters(300, 3, 8, 1, 0.8)
    found = propagate(np.abs(rows), labels, GraphSettings(n_neighbors=5, **RELEASED))  # a warning would be an error
    assert not found.solution.converged.all()


def test_where_the_released_code_gives_nan_for_all_it_names_what_is_wrong():
    rows = np.array([[1.0, 0], [0.9, 0.1], [0.9, -0.1], [0.8, 0.3], [-1, 0.05]])
    with pytest.raises(GraphError, match=r"FL-G4 negative degree.* use mode='paper'"):
        propagate(rows, np.array([0, 1, -1, -1, -1]), GraphSettings(n_neighbors=4, **RELEASED))


def test_an_island_leaves_the_others_as_the_released_code_has_them_without_it():
    rows, labels, classes, k = CASES["clusters"]
    rows = np.abs(rows)
    wide = np.zeros((len(rows) + 12, rows.shape[1] + 2))
    wide[:90, :-2], wide[90:, -2:] = rows, np.random.default_rng(0).uniform(0.5, 1, (12, 2))
    with pytest.warns(UserWarning, match="FL-G1 no label reaches 12 of 102"):
        found = propagate(wide, np.concatenate([labels, NO_LABELS]), GraphSettings(n_neighbors=k, **RELEASED))
    label, weight, _ = reference.released(rows, labels, classes, k)
    assert (found.pseudo_labels.label[:90] == label).all()
    assert np.abs(found.pseudo_labels.certainty[:90] - weight).max() < 1e-5
    assert (found.pseudo_labels.label[90:] == -1).all()


NO_LABELS = np.full(12, -1)


@pytest.mark.parametrize("n", [500, 9000])
def test_a_negative_degree_names_the_row_of_the_data(n):
    rng = np.random.default_rng(0)
    rows = np.abs(rng.normal(size=(n, 6))) + 0.1
    rows[:3], rows[n // 2] = 0, -1
    labels = np.where(np.arange(n) % 50 == 4, 0, -1)
    labels[10] = 1
    with pytest.raises(GraphError, match="FL-G4") as caught:
        propagate(rows, labels, GraphSettings(n_neighbors=5, **RELEASED))
    assert n // 2 in caught.value.rows
