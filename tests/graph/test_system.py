"""The propagation system of a graph: against dense solves, over other operators, and its unresolved nodes."""

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.errors import GraphError, InputWarning, LabelError, UnreachedWarning
from fewlabels.graph import Graph, GraphSettings, PropagationSystem, Solution, build_graph, propagate, spread
from fewlabels.graph import system as module
from tests.graph.cases import CASES, EQUAL_PAIR, LABELS, ROWS, clusters, island, path

SETTINGS = GraphSettings()


def system_of(rows, **settings):
    settings = GraphSettings(**{"n_neighbors": 10, **settings})
    return PropagationSystem(build_graph(rows, settings), settings)


def dense_inverse(system):
    w = system.graph.affinity.toarray().astype(float)
    inverse = np.linalg.inv(np.eye(len(w)) - system.settings.alpha * w)
    return inverse[system.graph.node][:, system.graph.node]


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("alpha", [0.5, 0.99, 0.999])
def test_it_solves_what_a_dense_solver_solves(alpha, precision):
    system = system_of(clusters(400, 3)[0], alpha=alpha, precision=precision)
    y = sp.csc_array(np.random.default_rng(0).random((400, 40)) * (np.random.default_rng(1).random((400, 40)) < 0.1))
    w = system.graph.affinity.toarray().astype(float)
    expected = np.linalg.solve(np.eye(400) - alpha * w, y.toarray())
    found = system.solve(y)
    assert found.converged.all()
    assert np.abs(found.x - expected).max() < 1e-4 * np.abs(expected).max()
    assert (system.solve(y, found.x, tol=1e-4).num_steps == 0).all()
    assert (system.solve(y, max_steps=2).num_steps <= 2).all()


@pytest.mark.parametrize("n", [90, 2400])  # float64, and float32 with the compiled solver
def test_one_system_gives_for_many_label_sets_what_spread_gives(n):
    rows, labels = clusters(n, 3)
    system = system_of(rows)
    for shift in range(3):
        found, expected = (
            system.spread(np.roll(labels, shift)),
            spread(system.graph, np.roll(labels, shift), system.settings),
        )
        assert found.z.tobytes() == expected.z.tobytes()
    with pytest.raises(LabelError, match="FL-L23"):
        system.spread(labels[1:])
    with pytest.raises(GraphError, match="FL-G12 start has shape"):
        system.spread(labels, start=np.zeros((3, 3)))


class Dense:
    """I - alpha W as a dense matrix: as little as an operator can be."""

    dtype = np.float64

    def __init__(self, graph, alpha):
        self.size = graph.affinity.shape[0]
        self.matrix = np.eye(self.size) - alpha * graph.affinity.toarray()
        self.asked = []

    def solve(self, label_matrix, *, tol, max_steps, start=None, on_progress=None):
        self.asked.append(label_matrix.shape)
        x, c = np.linalg.solve(self.matrix, label_matrix.toarray()), label_matrix.shape[1]
        return Solution(x, np.ones(c, np.int64), np.zeros(c), np.ones(c, bool), np.zeros(self.size))


def test_another_operator_takes_the_place_of_the_graphs_own():
    own = system_of(ROWS, tol=1e-12)
    operator = Dense(own.graph, 0.99)
    other = PropagationSystem(own.graph, own.settings, operator=operator)
    np.testing.assert_allclose(other.spread(LABELS).z, own.spread(LABELS).z, rtol=1e-8)
    labelled, asked = np.flatnonzero(LABELS >= 0), np.array([40, 70])
    found = list(other.inverse_rows(asked, labelled))
    np.testing.assert_allclose(found, dense_inverse(own)[asked][:, labelled], rtol=1e-8)
    assert operator.asked == [(90, 3), (90, 2)]


@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("name", ["clusters", "every row twice", "few neighbours"])
def test_inverse_rows_are_those_of_the_dense_inverse(name, precision, mode):
    rows, _, _, k = CASES[name]
    system = system_of(np.abs(rows), n_neighbors=k, precision=precision, mode=mode)
    everyone = np.arange(len(rows))
    found = np.array(list(system.inverse_rows(everyone, everyone)))
    np.testing.assert_allclose(found, dense_inverse(system), atol=2e-5)


@pytest.mark.parametrize("precision", ["single", "double"])
def test_where_hardly_anything_arrives_inverse_rows_are_exact(precision):
    """A path of 240: the far ends get less than the error of a usual solve from the middle, and the rest nothing."""
    system = system_of(path(240), n_neighbors=2, precision=precision)
    ends, asked = np.array([0, 120, 239]), np.array([120, 90, 20])
    expected = dense_inverse(system)[asked][:, ends]
    assert 1e-8 < expected[0, 0] < 1e-6
    found = np.array(list(system.inverse_rows(asked, ends)))
    np.testing.assert_allclose(found[0, [0, 2]], expected[0, [0, 2]], rtol=1e-3)
    assert found[0, 1] == pytest.approx(expected[0, 1], rel=1e-5)
    assert expected[2, 2] < 1e-8
    assert found[2, 2] == 0


def test_rows_that_are_not_connected_with_another_end_are_not_solved_anew(monkeypatch):
    rows, labels = island(ROWS, LABELS)
    system = system_of(rows, n_neighbors=5)
    monkeypatch.setattr(PropagationSystem, "exact", property(lambda self: pytest.fail("solved anew")))
    labelled = np.flatnonzero(labels >= 0)
    assert not next(system.inverse_rows(np.array([95]), labelled)).any()
    assert next(system.inverse_rows(np.array([95]), np.append(labelled, 95)))[-1] > 1


def test_warnings_point_at_the_line_that_asked():
    labels = np.full(90, -1)
    labels[[88, 89, 0, 1, 2]] = [0, 1, 0, 1, 2]
    settings = GraphSettings(n_neighbors=10)
    graph = build_graph(EQUAL_PAIR, settings)
    for ask in (
        lambda: propagate(EQUAL_PAIR, labels, settings),
        lambda: spread(graph, labels, settings),
        lambda: PropagationSystem(graph, settings).spread(labels),
    ):
        with pytest.warns(InputWarning, match="FL-G15") as caught:
            ask()
        assert caught[0].filename == __file__
    apart, few = island(ROWS, LABELS)
    with pytest.warns(UnreachedWarning, match="FL-G1") as caught:
        propagate(apart, few, GraphSettings(n_neighbors=5))
    assert caught[0].filename == __file__


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
    return Graph(node=np.arange(n), affinity=w, component=np.zeros(n, np.int64)), solution, y


def fill(graph, solution, y):
    return PropagationSystem(graph, SETTINGS).fill_unresolved(solution, y)


def every_ring_over_all(graph, solution, y):
    w, filled = graph.affinity.toarray(), np.maximum(solution.x, 0).astype(float)
    left = (filled.max(axis=1) == 0) | (solution.row_residual > module.UNRESOLVED * filled.max(axis=1))
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
    filled = fill(*case)
    assert filled.dtype == dtype
    assert np.allclose(filled, every_ring_over_all(*case), rtol=1e-5)
    assert filled.any(axis=1).all()


def test_the_work_grows_with_the_nodes_and_not_with_the_rings_times_the_nodes(monkeypatch):
    mix, counts = module._mix, []
    monkeypatch.setattr(module, "_mix", lambda w, *more: counts.append(w.shape[0]) or mix(w, *more))
    fill(*chain(2000, 1, np.float32))
    assert len(counts) > 1900
    assert sum(counts) < 2 * 2000


def test_a_component_without_a_label_stays_empty():
    graph, solution, y = chain(100, 1, np.float64)
    apart = sp.block_diag([graph.affinity, graph.affinity], format="csr")
    both = Graph(node=np.arange(200), affinity=sp.csr_array(apart), component=np.repeat([0, 1], 100))
    x = np.concatenate([solution.x, solution.x])
    noise = np.tile(solution.row_residual, 2)
    twice = Solution(x, solution.num_steps, solution.residual, solution.converged, noise)
    filled = fill(both, twice, sp.csc_array(sp.vstack([y, sp.csc_array(y.shape)])))
    assert filled[:100].any(axis=1).all()
    assert not filled[100:].any()
