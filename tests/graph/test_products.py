import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.graph import solver as module
from fewlabels.graph import threads as threads_module
from fewlabels.graph.solver import products
from fewlabels.graph.threads import num_threads


@pytest.fixture(params=[1, 2, 3, 7])
def threads(request, monkeypatch):
    monkeypatch.setattr(threads_module, "num_threads", lambda: request.param)
    monkeypatch.setattr(module, "SMALL", 0)


@pytest.mark.parametrize("columns", [1, 15, 16, 17, 50])
def test_the_bits_are_those_of_the_plain_product_for_any_number_of_threads(threads, columns):
    rng = np.random.default_rng(0)
    w = sp.random_array((300, 300), density=0.1, rng=rng, format="csr")
    x = rng.normal(size=(300, columns))
    with products(w) as times_w:
        assert np.array_equal(times_w(x), w @ x)
        assert np.array_equal(times_w(x[:, ::2]), w @ x[:, ::2])


@pytest.mark.parametrize("shape", [(1, 1), (3, 3)])
def test_empty_and_tiny_matrices(threads, shape):
    w = sp.csr_array(shape)
    with products(w) as times_w:
        assert np.array_equal(times_w(np.ones((shape[1], 2))), np.zeros((shape[0], 2)))


def test_all_entries_in_one_row(threads):
    w = sp.csr_array((np.ones(5), (np.full(5, 3), np.arange(5))), (6, 6))
    with products(w) as times_w:
        assert np.array_equal(times_w(np.eye(6)), w.toarray())


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("0", None), ("many", None), ("", None)])
def test_the_environment_caps_the_threads(monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert num_threads() == threads or (threads is None and num_threads() >= 1)
