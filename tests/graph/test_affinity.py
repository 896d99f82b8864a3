import numpy as np
import pytest

from fewlabels.errors import GraphError, InputWarning
from fewlabels.graph import Neighbors, affinity, comparable_rows, nearest_neighbors, normalize
from tests.graph import reference
from tests.graph.cases import CASES, ROWS

ENOUGH = [name for name, (rows, *_, k) in CASES.items() if len(rows) > k + 1]


def built(rows, k, gamma=3.0, **more):
    return affinity(nearest_neighbors(comparable_rows(rows), k), gamma, **more)


@pytest.mark.parametrize("name", ENOUGH)
@pytest.mark.parametrize("gamma", [1.0, 2.5, 3.0])
def test_it_is_the_dense_graph_up_to_a_factor(name, gamma):
    rows, *_, k = CASES[name]
    w, dense = built(rows, k, gamma).toarray(), reference.graph(reference.unit(rows), k, gamma, clip=True)
    assert np.allclose(w / max(w.max(), 1e-300), dense / max(dense.max(), 1e-300), atol=1e-6)
    assert (w == w.T).all()
    assert (w.diagonal() == 0).all()
    assert (w >= 0).all()


@pytest.mark.parametrize("name", ENOUGH)
def test_normalised_it_has_eigenvalues_between_minus_one_and_one(name):
    rows, *_, k = CASES[name]
    eigenvalues = np.linalg.eigvalsh(normalize(built(rows, k)).toarray())
    assert eigenvalues.min() >= -1 - 1e-9
    assert eigenvalues.max() <= 1 + 1e-9


def test_an_isolated_row_stays_zero():
    rows = ROWS.copy()
    rows[7] = 0
    w = normalize(built(rows, 5)).toarray()
    assert not w[7].any()
    assert np.isfinite(w).all()


def test_a_mutual_pair_counts_twice():
    lists = Neighbors(np.array([[1], [0], [1]]), np.array([[0.5], [0.5], [0.25]], np.float32))
    assert affinity(lists, 1.0).toarray().tolist() == [[0, 2, 0], [2, 0, 0.5], [0, 0.5, 0]]


def test_negative_similarities_are_clipped_or_kept_with_their_sign():
    lists = Neighbors(np.array([[1], [0]]), np.array([[-0.5], [-0.5]], np.float32))
    assert affinity(lists, 3.0).nnz == 0
    assert affinity(lists, 3.0, clip_negative=False).toarray().tolist() == [[0, -2], [-2, 0]]


def test_a_negative_degree_is_an_error_that_names_the_rows():
    lists = Neighbors(np.array([[1], [0], [0]]), np.array([[-0.5], [-0.5], [0.1]], np.float32))
    with pytest.raises(GraphError, match="FL-G4 negative degree") as caught:
        normalize(affinity(lists, 3.0, clip_negative=False))
    assert caught.value.rows == [0, 1]


def test_weights_do_not_underflow_together_at_a_large_power():
    lists = Neighbors(np.array([[1], [0]]), np.array([[0.001], [0.001]], np.float32))
    assert np.allclose(normalize(affinity(lists, 200.0)).toarray(), [[0, 1], [1, 0]])


def test_a_row_whose_edges_underflow_is_warned_of():
    lists = Neighbors(np.array([[1], [0], [1]]), np.array([[0.9], [0.9], [1e-5]], np.float32))
    with pytest.warns(InputWarning, match="FL-G14 1 rows .* smaller gamma"):
        assert affinity(lists, 100.0).nnz == 2
