"""leave_one_out: what all other labels say of a labelled row."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.data.benchmarks.digits import load_digits
from fewlabels.data.benchmarks.splits import draw_split
from fewlabels.errors import ConfigError, InputWarning, UnreachedWarning
from fewlabels.graph import (
    GraphSettings,
    PropagationSystem,
    build_graph,
    explain_rows,
    graph_from_affinity,
    leave_one_out,
    propagate,
    spread,
)
from tests.graph.cases import EQUAL_PAIR, clusters, island

SOLVED = {"max_steps": 2000, "tol": 1e-12, "allow_empty_classes": True}


def anew(graph, labels, row, settings):
    """(c,) the distribution of the row after propagating without its label."""
    without = labels.copy()
    without[row] = -1
    names = [str(number) for number in range(labels.max() + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreachedWarning)
        warnings.simplefilter("ignore", InputWarning)
        return spread(graph, without, settings, class_names=names).pseudo_labels


@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_dropping_the_label_and_propagating_anew(mode, seed):
    rng = np.random.default_rng(seed)
    rows, _ = clusters(n=150, classes=4, seed=seed, spread=0.8)
    labels = np.where(rng.random(150) < 0.2, rng.integers(0, 4, 150), -1)
    labels[:4] = range(4)
    settings = GraphSettings(n_neighbors=8, mode=mode, **SOLVED)
    propagation = propagate(rows, labels, settings)
    found = leave_one_out(propagation, labels, settings)
    np.testing.assert_array_equal(found.rows, np.flatnonzero(labels >= 0))
    for at, row in enumerate(found.rows):
        expected = anew(propagation.graph, labels, row, settings)
        np.testing.assert_allclose(found.distribution[at], expected.distribution[row], atol=1e-5)
        assert found.share[at] == found.distribution[at, labels[row]]


def test_float32_graphs_agree_with_propagating_anew_too():
    rows, labels = clusters(n=3000, classes=5, labels_per_class=4, spread=0.8)
    settings = GraphSettings(n_neighbors=10, allow_empty_classes=True)
    propagation = propagate(rows, labels, settings)
    found = leave_one_out(propagation, labels, settings, rows=[0, 7, 19])
    assert propagation.graph.affinity.dtype == np.float32
    for at, row in enumerate([0, 7, 19]):
        expected = anew(propagation.graph, labels, row, settings)
        np.testing.assert_allclose(found.distribution[at], expected.distribution[row], atol=1e-4)


def test_a_copy_of_a_row_keeps_its_say():
    labels = np.full(90, -1)
    labels[[88, 89, 0, 1, 2]] = [0, 1, 0, 1, 2]
    settings = GraphSettings(n_neighbors=10, **SOLVED)
    with pytest.warns(InputWarning, match="FL-G15"):
        propagation = propagate(EQUAL_PAIR, labels, settings)
    found = leave_one_out(propagation, labels, settings, rows=[88, 89])
    assert propagation.graph.node[88] == propagation.graph.node[89]
    np.testing.assert_array_equal(found.label, [1, 0])
    for at, row in enumerate([88, 89]):
        expected = anew(propagation.graph, labels, row, settings)
        np.testing.assert_allclose(found.distribution[at], expected.distribution[row], atol=1e-5)


def test_a_row_that_no_other_label_reaches_has_no_label_and_no_suspicion():
    rows, labels = island(*clusters())
    labels[95] = 0
    found = leave_one_out(propagate(rows, labels, GraphSettings(n_neighbors=5)), labels, GraphSettings(n_neighbors=5))
    lonely = found.rows == 95
    assert (found.label[lonely], found.certainty[lonely], found.judged[lonely]) == (-1, 0, False)
    assert found.suspicion[lonely] == -1
    assert found.judged[~lonely].all()


def test_the_only_example_of_a_class_is_not_judged():
    rows, labels = clusters(labels_per_class=1)
    labels[3] = 0
    settings = GraphSettings(n_neighbors=10)
    found = leave_one_out(propagate(rows, labels, settings), labels, settings)
    np.testing.assert_array_equal(found.judged, [True, False, False, True])
    np.testing.assert_array_equal(found.suspicion[[1, 2]], -1)
    assert found.suspicion[0] == pytest.approx(np.delete(found.distribution[0], 0).max() - found.share[0])


def test_a_class_of_many_labels_does_not_make_a_small_one_suspicious():
    rows, labels = clusters(classes=2, spread=0.6)
    labels[:] = np.where(np.arange(90) % 2, -1, 0)  # 45 of class 0, and of class 1 as many as it takes to be judged
    labels[[1, 3, 5]] = 1
    settings = GraphSettings(n_neighbors=20)
    found = leave_one_out(propagate(rows, labels, settings), labels, settings)
    assert (found.suspicion[found.given == 1] < 0).all()


def test_far_labels_on_a_path_are_still_told_apart():
    """The end of a path of 120 rows: what arrives from the other end is far below the solver's usual error."""
    angle = np.linspace(0, np.pi / 2, 120)
    rows = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    labels = np.full(120, -1)
    labels[[0, 30, 119]] = [0, 0, 1]
    settings = GraphSettings(n_neighbors=2, **SOLVED)
    propagation = propagate(rows, labels, settings)
    found = leave_one_out(propagation, labels, settings)
    np.testing.assert_array_equal(found.label, [0, 0, 0])
    expected = anew(propagation.graph, labels, 119, settings)
    np.testing.assert_allclose(found.distribution[2], expected.distribution[119], atol=1e-5)


def test_looks_at_the_least_supported_rows_where_there_are_too_many():
    rows, labels = clusters(labels_per_class=10)
    labels[3] = 1  # of class 0
    settings = GraphSettings(n_neighbors=10)
    found = leave_one_out(propagate(rows, labels, settings), labels, settings, most=4)
    assert found.rows.size == 4
    assert 3 in found.rows
    assert found.num_labelled == 30


@pytest.mark.parametrize("rows", [[50], [-1], [90]])
def test_rows_without_a_label_are_refused(rows):
    data, labels = clusters()
    settings = GraphSettings(n_neighbors=10)
    with pytest.raises(ConfigError, match="FL-C83"):
        leave_one_out(propagate(data, labels, settings), labels, settings, rows=rows)


def test_wrong_labels_among_the_digits_come_first():
    """Measured: AUROC of 0.98 and above with these seeds; 0.5 is chance."""
    digits = load_digits()
    rows = digits.pixels.reshape(len(digits.pixels), -1).astype(np.float32)
    truth = digits.truth
    settings = GraphSettings()
    graph = build_graph(rows, settings)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        labels = draw_split(truth, 20, rng)
        given = np.flatnonzero(labels >= 0)
        flipped = rng.choice(given, given.size // 20, replace=False)
        labels[flipped] = (labels[flipped] + rng.integers(1, 10, flipped.size)) % 10
        found = leave_one_out(spread(graph, labels, settings), labels, settings)
        wrong = np.isin(found.rows, flipped)
        ahead = found.suspicion[wrong][:, None] > found.suspicion[~wrong]
        assert ahead.mean() > 0.9


def test_one_system_serves_leave_one_out_and_explanations():
    rows, labels = clusters(n=300, classes=4, spread=0.8)
    settings = GraphSettings(n_neighbors=8)
    system = PropagationSystem(build_graph(rows, settings), settings)
    found = system.spread(labels)
    alone, together = leave_one_out(found, labels, settings), leave_one_out(found, labels, settings, system=system)
    np.testing.assert_array_equal(alone.suspicion, together.suspicion)
    assert explain_rows(found, labels, [200], settings, system=system)[0].influences == (
        explain_rows(found, labels, [200], settings)[0].influences
    )


def test_far_rows_are_solved_anew_with_the_weights_that_were_handed_in():
    """Also where they are float64, as in an affinity matrix, and the solver is asked to work in float32."""
    w = sp.diags_array([np.full(199, 1 / 3)] * 2, offsets=[-1, 1], shape=(200, 200)).tocsr()
    settings = GraphSettings(precision="single", **SOLVED | {"tol": 1e-6})
    system = PropagationSystem(graph_from_affinity(w), settings)
    inverse = np.linalg.inv(np.eye(200) - 0.99 * system.graph.affinity.toarray())
    found = next(system.inverse_rows(np.array([0]), np.array([110])))
    assert 1e-8 < inverse[0, 110] < 1e-5
    assert found[0] == pytest.approx(inverse[0, 110], rel=1e-9)
