"""W by counting sorts is what SciPy's sums give, rounded once."""

import numpy as np
import pytest

from fewlabels.errors import GraphError, InputWarning
from fewlabels.graph import Neighbors, affinity, comparable_rows, normalize, threads
from fewlabels.graph.compiled import instructions
from fewlabels.graph.neighbors import search_neighbors
from fewlabels.graph.types import ClusteredNeighbors
from tests.graph.cases import CASES, ROWS

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.graph.compiled.affinity import make_affinity


def lists(index, near):
    index, near = np.array(index, np.int32), np.array(near, np.float32)
    return ClusteredNeighbors(
        order=np.arange(len(index)), groups=np.array([0, len(index)]), index=index, similarity=near, recall=1.0
    )


def both(found, gamma=3.0, clip=True):
    plain = affinity(Neighbors(found.index, found.similarity), gamma, clip_negative=clip)
    return make_affinity(found, gamma, clip_negative=clip), (normalize(plain), np.sqrt(plain.sum(axis=1)))


def same(fast, plain):
    (w, root_degree), (expected, expected_root) = fast, plain
    assert w.data.dtype == np.float32
    assert w.indices.dtype == np.int32
    assert w.has_canonical_format
    assert np.array_equal(w.indptr, expected.indptr)
    assert np.array_equal(w.indices, expected.indices)
    assert np.allclose(w.data, expected.data, rtol=1e-6, atol=0)
    assert (w != w.T).nnz == 0
    scale = root_degree.max() / max(expected_root.max(), 1e-300)
    assert np.allclose(root_degree, expected_root * scale, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name, (rows, *_, k) in CASES.items() if len(rows) > k])
@pytest.mark.parametrize("gamma", [1.0, 2.5, 3.0])
def test_every_case_gives_the_same_matrix(name, gamma):
    rows, *_, k = CASES[name]
    units = comparable_rows(rows)
    same(*both(search_neighbors(units, np.flatnonzero(units.any(axis=1)), k, recall="exact", seed=0), gamma))


def test_with_negative_similarities_kept():
    found = search_neighbors(comparable_rows(ROWS), np.arange(90), 40, recall="exact", seed=0)
    same(*both(found, 3.0, clip=False))


def test_a_mutual_pair_counts_twice_and_padding_not_at_all():
    w, root_degree = make_affinity(
        lists([[1, -1], [0, 2], [-1, -1]], [[0.5, 0], [0.5, 0.25], [0, 0]]), 1.0, clip_negative=True
    )
    assert np.allclose(root_degree**2, np.array([2, 2.5, 0.5]))
    assert np.allclose(
        w.toarray(), np.array([[0, 2, 0], [2, 0, 0.5], [0, 0.5, 0]]) / np.sqrt(np.outer([2, 2.5, 0.5], [2, 2.5, 0.5]))
    )


def test_a_large_power_does_not_underflow_where_it_is_relative():
    w, _ = make_affinity(lists([[1], [0]], [[0.001], [0.001]]), 200.0, clip_negative=True)
    assert np.allclose(w.toarray(), [[0, 1], [1, 0]])


def test_a_row_whose_edges_underflow_is_warned_of():
    with pytest.warns(InputWarning, match="FL-G14 1 rows .* smaller gamma"):
        assert make_affinity(lists([[1], [0], [1]], [[0.9], [0.9], [1e-5]]), 100.0, clip_negative=True)[0].nnz == 2


def test_a_negative_degree_is_an_error_that_names_the_rows():
    with pytest.raises(GraphError, match="FL-G4 negative degree") as caught:
        make_affinity(lists([[1], [0], [0]], [[-0.5], [-0.5], [0.1]]), 3.0, clip_negative=False)
    assert caught.value.rows == [0, 1]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_threads_do_not_matter(monkeypatch, count):
    found = search_neighbors(comparable_rows(ROWS), np.arange(90), 7, recall="exact", seed=0)
    one, _ = make_affinity(found, 3.0, clip_negative=True)
    monkeypatch.setattr(threads, "num_threads", lambda: count)
    other, _ = make_affinity(found, 3.0, clip_negative=True)
    assert np.array_equal(one.data, other.data)
    assert np.array_equal(one.indices, other.indices)
