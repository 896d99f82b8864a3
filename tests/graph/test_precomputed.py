"""Graphs that somebody else made: the answers of a dense solve, and refusal of what is no graph."""

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.errors import GraphError, InputWarning, UnreachedWarning
from fewlabels.graph import (
    GraphSettings,
    comparable_rows,
    graph_from_affinity,
    graph_from_neighbors,
    nearest_neighbors,
    spread,
)
from fewlabels.graph import precomputed as given
from fewlabels.graph.build import add_lone_nodes, build_graph_of_rows
from tests.graph import reference
from tests.graph.cases import ROWS, clusters

LABELS = clusters()[1]
SETTINGS = GraphSettings(n_neighbors=10, tol=1e-10, precision="double")


@pytest.fixture
def weights():
    """(90, 90) dense, symmetric, zero diagonal; every row has ten neighbours or more."""
    return reference.graph(reference.unit(ROWS), 10, 3, clip=True)


def dense_answer(w, labels, alpha=0.99):
    y = np.eye(labels.max() + 1)[labels] * (labels >= 0)[:, None]
    z = np.linalg.solve(np.eye(len(w)) - alpha * reference.normalized(w), y)
    return z / z.sum(axis=1, keepdims=True)


def test_a_graph_handed_in_keeps_its_degrees_and_lone_nodes_have_none(weights):
    graph = graph_from_affinity(7 * weights)
    degree = weights.sum(axis=1) / weights.max()
    np.testing.assert_allclose(graph.root_degree**2, degree)
    np.testing.assert_allclose(add_lone_nodes(graph, 2).root_degree ** 2, [*degree, 0, 0])
    assert graph_from_affinity(graph.affinity, normalized=True).root_degree is None


def distribution(graph):
    return spread(graph, LABELS, SETTINGS).pseudo_labels.distribution


FORMATS = {
    "csr array": sp.csr_array,
    "csr matrix": sp.csr_matrix,
    "csc array": sp.csc_array,
    "coo array": sp.coo_array,
    "lil matrix": sp.lil_matrix,
    "dense": np.asarray,
    "Fortran": np.asfortranarray,
    "read-only float32": lambda w: frozen(sp.csr_array(w.astype(np.float32))),
}


def frozen(w):
    for array in (w.data, w.indices, w.indptr):
        array.flags.writeable = False
    return w


@pytest.mark.parametrize("container", FORMATS.values(), ids=FORMATS)
def test_weights_in_any_format_give_the_answer_of_a_dense_solve(weights, container):
    graph = graph_from_affinity(container(weights))
    assert graph.node.tolist() == list(range(90))
    assert np.allclose(graph.affinity.toarray(), reference.normalized(weights), atol=1e-7)
    assert np.allclose(distribution(graph), dense_answer(weights, LABELS), atol=1e-6)


def test_a_common_factor_of_the_weights_changes_nothing(weights):
    plain = graph_from_affinity(weights).affinity.toarray()
    for factor in (1e-200, 1e300):
        assert np.allclose(graph_from_affinity(weights * factor).affinity.toarray(), plain, atol=1e-12)


def test_whole_numbers_and_truth_values_are_weights():
    ring = np.roll(np.eye(6, dtype=bool), 1, axis=0)
    ring |= ring.T
    expected = graph_from_affinity(ring.astype(float)).affinity.toarray()
    assert expected[0, 1] == pytest.approx(0.5)
    for kind in (bool, np.int32, np.uint8):
        assert (graph_from_affinity(sp.csr_array(ring.astype(kind))).affinity.toarray() == expected).all()


def test_the_argument_is_not_changed(weights):
    w = sp.csr_array(weights + np.eye(90))
    before = [part.copy() for part in (w.data, w.indices, w.indptr)]
    with pytest.warns(InputWarning, match="FL-G12 90 rows have an edge to themselves"):
        graph_from_affinity(w)
    assert all(np.array_equal(one, other) for one, other in zip(before, (w.data, w.indices, w.indptr), strict=True))


def test_self_loops_go_duplicates_add_up_and_zeros_are_no_edges():
    row, column = [0, 1, 0, 1, 2, 2, 3], [1, 0, 1, 0, 2, 3, 2]
    w = sp.coo_array(([1.0, 1.0, 2.0, 2.0, 5.0, 0.0, 0.0], (row, column)), (4, 4))
    with pytest.warns(InputWarning, match="FL-G12 1 rows"):
        graph = graph_from_affinity(w)
    assert graph.affinity.nnz == 2
    assert graph.degree.tolist() == [1, 1, 0, 0]
    assert graph.num_components == 3


def test_unsorted_indices_are_sorted_first():
    w = sp.csr_array((np.array([1.0, 2, 1, 2]), np.array([2, 1, 0, 0]), np.array([0, 2, 3, 4])), (3, 3))
    w = sp.csr_array((w.data[[0, 1, 3, 2]], w.indices, w.indptr), w.shape)
    assert graph_from_affinity(w).affinity.has_sorted_indices


def test_an_isolated_row_is_not_reached(weights):
    weights[50], weights[:, 50] = 0, 0
    with pytest.warns(UnreachedWarning, match="no label reaches 1 of 90"):
        found = spread(graph_from_affinity(weights), LABELS, SETTINGS).pseudo_labels
    assert np.flatnonzero(~found.reached).tolist() == [50]


def test_the_order_of_rows_does_not_matter(weights):
    order = np.random.default_rng(0).permutation(90)
    turned = graph_from_affinity(weights[np.ix_(order, order)])
    found = spread(turned, LABELS[order], SETTINGS).pseudo_labels.distribution
    assert np.allclose(found, distribution(graph_from_affinity(weights))[order], atol=1e-6)


def test_rounding_is_no_asymmetry_and_is_averaged_away(weights):
    rough = weights * (1 + 1e-9 * np.random.default_rng(0).normal(size=weights.shape))
    w = graph_from_affinity(rough).affinity
    assert abs(w - w.T).max() < 1e-15


@pytest.mark.parametrize("scale", [1, 1e-9])
def test_asymmetry_is_refused_naming_the_worst_pair_however_small_the_weights(weights, scale):
    """A small part of the graph is judged by its own weights."""
    edge = np.argwhere(weights)[17]
    tiny = np.zeros((93, 93))
    tiny[:90, :90], tiny[90:, 90:] = weights, scale * (1 - np.eye(3))
    tiny[91, 92] *= 1.01
    with pytest.raises(GraphError, match=r"FL-G11 .*W\[91, 92\] is .*W\[92, 91\] is .*\(W \+ W.T\) / 2"):
        graph_from_affinity(tiny)
    weights[tuple(edge)] = 0
    with pytest.raises(GraphError, match=rf"W\[({edge[0]}, {edge[1]}|{edge[1]}, {edge[0]})\] is 0,"):
        graph_from_affinity(weights)


def test_an_asymmetric_kernel_matrix_can_be_repaired(weights):
    half = sp.csr_array(np.triu(weights) + np.eye(90))
    with pytest.warns(InputWarning, match=r"FL-G11 .*\(W \+ W.T\) / 2 is taken"):
        graph = graph_from_affinity(half, repair=True)
    assert np.allclose(graph.affinity.toarray(), reference.normalized(weights), atol=1e-12)


def test_a_normalised_affinity_is_taken_as_it_is(weights):
    w = reference.normalized(weights)
    assert np.allclose(graph_from_affinity(w, normalized=True).affinity.toarray(), w, atol=1e-15)
    with pytest.raises(GraphError, match=r"FL-G12 .*eigenvalue of at least"):
        graph_from_affinity(1.001 * w, normalized=True)
    with pytest.raises(GraphError, match=r"FL-G12 .*eigenvalue of at least"):
        graph_from_affinity(weights, normalized=True)


@pytest.mark.parametrize(
    ("w", "message"),
    [
        (np.ones((3, 4)), r"FL-G12 an affinity of shape \(3, 4\)"),
        (np.ones(3), r"FL-G12 an affinity of shape \(3,\)"),
        (sp.csr_array((0, 0)), r"FL-G12 an affinity of shape \(0, 0\)"),
        (np.array([[0, 1j], [1j, 0]]), "FL-G12 .*type complex128"),
        (np.array([["a"]]), "FL-G12"),
        (np.array([[0, np.nan], [1, 0]]), r"FL-G12 NaN or infinity in the affinity; 1 such row \(0\)"),
        (sp.csc_array([[0, np.inf], [np.inf, 0]]), r"FL-G12 NaN or infinity in the affinity; 2 such rows \(0, 1\)"),
        (np.array([[0, 1, 0], [1, 0, -2], [0, -2, 0]]), r"FL-G11 Negative values .*2 such rows \(1, 2\)"),
    ],
)
def test_what_is_no_affinity_is_refused(w, message):
    with pytest.raises(GraphError, match=message):
        graph_from_affinity(w)


@pytest.mark.parametrize("bad", [7, -1])
def test_row_numbers_that_overflowed_are_refused_before_compiled_code_sees_them(bad):
    w = sp.csr_array(np.ones((3, 3)) - np.eye(3))
    w.indices[2] = bad
    with pytest.raises(GraphError, match="FL-G12 a sparse matrix that is not valid"):
        graph_from_affinity(w)


def test_wide_row_numbers_are_narrowed_and_too_many_edges_refused(weights, monkeypatch):
    w = sp.csr_array(weights)
    w.indices, w.indptr = w.indices.astype(np.int64), w.indptr.astype(np.int64)
    graph = graph_from_affinity(w)
    assert graph.affinity.indices.dtype == np.int32
    assert np.allclose(graph.affinity.toarray(), reference.normalized(weights), atol=1e-12)
    monkeypatch.setattr(given, "MOST_EDGES", 10)
    with pytest.raises(GraphError, match=f"FL-G12 {w.nnz:,} edges, at most 10"):
        graph_from_affinity(w)


@pytest.fixture
def lists():
    found = nearest_neighbors(comparable_rows(ROWS), 10)
    return found.index, found.similarity


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_lists_of_neighbours_give_the_graph_of_the_rows(lists, mode):
    settings = GraphSettings(n_neighbors=10, mode=mode)
    graph, whole = graph_from_neighbors(*lists, settings), build_graph_of_rows(comparable_rows(ROWS), settings)
    assert np.allclose(graph.affinity.toarray(), whole.affinity.toarray()[np.ix_(whole.node, whole.node)], atol=1e-6)


def test_own_number_order_and_padding_do_not_matter(lists):
    index, similarity = lists
    plain = graph_from_neighbors(index, similarity).affinity.toarray()
    own = np.arange(90)[:, None]
    padding = np.full((90, 2), -1)
    wide = np.concatenate([padding, index[:, ::-1], own], axis=1)
    nan = np.full((90, 2), np.nan)
    near = np.concatenate([nan, similarity[:, ::-1], np.full((90, 1), np.inf)], axis=1)
    found = graph_from_neighbors(wide.astype(np.int32), near).affinity.toarray()
    assert np.allclose(found, plain, atol=1e-12)


@pytest.mark.parametrize(
    ("index", "similarity", "message"),
    [
        ([[1], [2]], [[0.5], [0.5]], r"FL-G12 a neighbour that is no row; 1 such row \(1\)"),
        ([[1], [-2]], [[0.5], [0.5]], r"FL-G12 a neighbour that is no row; 1 such row \(1\)"),
        ([[1], [0]], [[0.5], [np.nan]], r"FL-G12 NaN or infinity among the similarities; 1 such row \(1\)"),
        ([[1], [0]], [[0.5], [1e300]], r"FL-G12 NaN or infinity among the similarities; 1 such row \(1\)"),
        ([[1, 1], [0, -1]], [[0.5, 0.4], [0.5, 0]], r"FL-G12 a neighbour named twice; 1 such row \(0\)"),
        ([[1], [0]], [[0.5]], r"FL-G12 neighbours of shape \(2, 1\) and similarities of shape \(1, 1\)"),
        ([1, 0], [0.5, 0.5], r"FL-G12 neighbours of shape \(2,\)"),
        (np.empty((0, 3), int), np.empty((0, 3)), r"FL-G12 neighbours of shape \(0, 3\)"),
        ([[1.0], [0.0]], [[0.5], [0.5]], "FL-G12 neighbours of type float64"),
        ([[1], [0]], [["a"], ["b"]], "FL-G12 .*similarities of type <U1"),
    ],
)
def test_what_are_no_neighbours_is_refused(index, similarity, message):
    with pytest.raises(GraphError, match=message):
        graph_from_neighbors(index, similarity)


def test_a_row_of_padding_is_isolated():
    graph = graph_from_neighbors([[1], [0], [-1]], [[0.5], [0.5], [0.0]])
    assert graph.degree.tolist() == [1, 1, 0]
