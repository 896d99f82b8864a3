"""Descriptors of class names pour into the rows that they are most alike to, as computed by hand."""

import numpy as np
import scipy.sparse as sp

from fewlabels.graph import GraphSettings, build_graph, comparable_rows, weigh_class_names
from fewlabels.graph.class_names import fade
from fewlabels.review.engine.incremental import Spreading

ROWS = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 1, 0]], np.float32)
NAMES = np.array([[1, 0, 0], [0, 0.6, 0.8]], np.float32)  # alike: 1, .8, 0 and 0, .36, .6


def test_sources_of_a_tiny_graph_are_those_computed_by_hand():
    source = weigh_class_names(ROWS, NAMES, n_neighbors=2, gamma=2.0).toarray()
    weight = np.array([[1, 0], [0.64, 0.1296], [0, 0.36]])
    expected = weight / np.sqrt(weight.sum(axis=1, keepdims=True) * weight.sum(axis=0))
    expected /= expected.sum(axis=0)
    np.testing.assert_allclose(source, expected, rtol=1e-6)
    np.testing.assert_allclose(source.sum(axis=0), 1)


def test_a_row_has_sources_of_its_nearest_names_alone():
    source = weigh_class_names(ROWS, NAMES, n_neighbors=1).toarray()
    assert (source > 0).tolist() == [[True, False], [True, False], [False, True]]


def test_a_row_alike_to_no_name_and_a_name_alike_to_no_row_have_none():
    source = weigh_class_names(
        np.vstack([ROWS, -ROWS[:1]]), np.vstack([NAMES, [[0, 0, -1]]]).astype(np.float32)
    ).toarray()
    assert not source[3].any()
    assert not source[:, 2].any()
    assert np.isfinite(source).all()


def test_names_spread_as_the_dense_solution_says_and_fade_as_labels_come():
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 40)
    rows = (3 * np.eye(5)[kinds] + rng.normal(size=(40, 5))).astype(np.float32)
    names = np.eye(5)[:2].astype(np.float32)
    settings = GraphSettings(n_neighbors=5, alpha=0.9, tol=1e-8)
    graph = build_graph(rows, settings)
    sources = weigh_class_names(comparable_rows(rows), names)
    spreading = Spreading(graph, settings, 2, balance=0.5, sources=sources)
    labels = np.full(40, -1)
    found = spreading.change(labels)
    inverse = np.linalg.inv(np.eye(graph.affinity.shape[0]) - 0.9 * sp.csr_array(graph.affinity).toarray())
    own = np.zeros((graph.affinity.shape[0], 2))
    own[graph.node] = sources.toarray()
    np.testing.assert_allclose(found.z, inverse @ own, rtol=1e-3, atol=1e-7)
    assert (found.pseudo_labels.label == kinds).mean() > 0.9
    labels[[0, 1, 2]] = kinds[[0, 1, 2]]
    count = np.bincount(kinds[:3], minlength=2)
    answers = np.zeros_like(own)
    answers[graph.node[:3], kinds[:3]] = 1 / np.sqrt(count[kinds[:3]])
    expected = inverse @ (answers + own * fade(count))
    np.testing.assert_allclose(spreading.change(labels).z, expected, rtol=1e-3, atol=1e-7)
    left = labels.copy()
    left[0] = -1
    without = Spreading(graph, settings, 2, balance=0.5, sources=sources).change(left).z[graph.node[0]]
    np.testing.assert_allclose(spreading.leave_own_out(np.array([0]))[0], without, rtol=1e-2, atol=1e-6)


def test_a_name_counts_as_one_label_and_a_tenth_beside_nine():
    np.testing.assert_allclose(fade(np.array([0, 1, 9])), [1, 0.5, 0.1])
