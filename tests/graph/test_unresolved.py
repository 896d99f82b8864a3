"""Nodes beyond the reach of the solver, ring by ring."""

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.graph import Graph, GraphSettings, Solution
from fewlabels.graph import unresolved as far

SETTINGS = GraphSettings()


def chain(length, width, dtype):
    """A path with rungs, `width` nodes broad, and two labels at one end that the solver has carried 20 nodes far."""
    n = length * width
    offsets = sorted({-width, -1, 1, width})
    w = sp.diags_array([0.3] * len(offsets), offsets=offsets, shape=(n, n)).tocsr().astype(dtype)
    y = sp.csc_array(([1.0, 2.0], ([0, 1], [0, 1])), shape=(n, 3))
    x = np.zeros((n, 3), dtype)
    x[:20] = np.random.default_rng(0).uniform(-0.1, 1, (20, 3))
    noise = np.zeros(n)
    noise[[1, 15]] = 1  # a labelled and an unlabelled one that are noise though not zero
    solution = Solution(x, np.ones(3, np.int64), np.zeros(3), np.ones(3, bool), noise)
    return Graph(np.arange(n), w, np.zeros(n, np.int64)), solution, y


def every_ring_over_all(graph, solution, y):
    w, filled = graph.affinity.toarray(), np.maximum(solution.x, 0).astype(float)
    left = (filled.max(axis=1) == 0) | (solution.row_residual > far.NOISE * filled.max(axis=1))
    filled[left] = 0
    while left.any():
        mass = filled.sum(axis=1, keepdims=True)
        mixed = w @ (filled / np.where(mass > 0, mass, 1)) + y.toarray()
        got = left & mixed.any(axis=1)
        filled[got] = mixed[got]
        left &= ~got
    return filled


@pytest.mark.parametrize(("width", "dtype"), [(1, np.float32), (3, np.float64)])
def test_rings_over_a_chain_give_what_rings_over_all_nodes_give(width, dtype):
    case = chain(600, width, dtype)
    filled = far.fill_far_nodes(*case, SETTINGS)
    assert filled.dtype == dtype
    assert np.allclose(filled, every_ring_over_all(*case), rtol=1e-5)
    assert filled.any(axis=1).all()


def test_the_work_grows_with_the_nodes_and_not_with_the_rings_times_the_nodes(monkeypatch):
    mix, counts = far._mix, []
    monkeypatch.setattr(far, "_mix", lambda w, *more: counts.append(w.shape[0]) or mix(w, *more))
    far.fill_far_nodes(*chain(2000, 1, np.float32), SETTINGS)
    assert len(counts) > 1900
    assert sum(counts) < 2 * 2000


def test_a_component_without_a_label_stays_empty():
    graph, solution, y = chain(100, 1, np.float64)
    apart = sp.block_diag([graph.affinity, graph.affinity], format="csr")
    both = Graph(np.arange(200), sp.csr_array(apart), np.repeat([0, 1], 100))
    x = np.concatenate([solution.x, solution.x])
    noise = np.tile(solution.row_residual, 2)
    twice = Solution(x, solution.num_steps, solution.residual, solution.converged, noise)
    filled = far.fill_far_nodes(both, twice, sp.csc_array(sp.vstack([y, sp.csc_array(y.shape)])), SETTINGS)
    assert filled[:100].any(axis=1).all()
    assert not filled[100:].any()
