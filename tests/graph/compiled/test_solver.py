"""The compiled solver against the dense solution, and against the plain one step for step."""

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.errors import ConfigError, ConvergenceWarning, GraphError, NumericsError
from fewlabels.graph import GraphSettings, build_graph, conjugate_gradients, propagate, threads
from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.graph.compiled import _kernels
from fewlabels.graph.compiled import solver as block_solver
from fewlabels.graph.compiled.solver import System, coarse_space, solve_blocks
from fewlabels.graph.types import even_groups


def problem(n=700, classes=5, alpha=0.99, seed=0):
    """W of a random graph of several blobs, and one-hot sources."""
    rng = np.random.default_rng(seed)
    blob = rng.integers(8, size=n)
    descriptors = rng.normal(size=(8, 6))[blob] + 0.4 * rng.normal(size=(n, 6))
    graph = build_graph(descriptors, GraphSettings(n_neighbors=8, precision="single"))
    rows = rng.choice(n, 4 * classes, replace=False)
    y = sp.csc_array((np.ones(rows.size), (rows, np.arange(rows.size) % classes)), (n, classes))
    groups = np.array([0, 3, 100, 101, 350, 350, 600, n])
    return graph, System(graph.affinity, alpha, groups), y


def dense(system, y):
    return np.linalg.solve(np.eye(y.shape[0]) - system.alpha * system.w.toarray().astype(float), y.toarray())


def with_coarse(graph, system):
    coarse = coarse_space(system.w, system.alpha, system.groups, graph.layout.root_degree)
    return System(system.w, system.alpha, system.groups, coarse)


@pytest.mark.parametrize("classes", [1, 5, 8, 9, 17, 30, 32, 33, 70])
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("narrow_from", [0, 10**9])
def test_it_matches_the_dense_solve_and_says_how_well(monkeypatch, classes, coarse, narrow_from):
    monkeypatch.setattr(block_solver, "NARROW_FROM", narrow_from)
    graph, system, y = problem(classes=classes)
    system = with_coarse(graph, system) if coarse else system
    found = solve_blocks(system, y, tol=1e-5, max_steps=500)
    exact = dense(system, y)
    assert np.abs(found.x - exact).max() < 2e-3 * np.abs(exact).max()
    assert found.converged.all()
    left = y.toarray() - found.x + system.alpha * (system.w.astype(float) @ found.x)
    assert np.allclose(
        found.residual, np.linalg.norm(left, axis=0) / np.linalg.norm(y.toarray(), axis=0), rtol=0.05, atol=3e-7
    )
    assert (found.residual < 1.2e-5).all()
    assert np.allclose(found.row_residual, np.abs(left).max(axis=1), atol=1e-6)


@pytest.mark.parametrize("max_steps", [1, 5, 20])
@pytest.mark.parametrize(("narrow_from", "near"), [(10**9, 1e-5), (0, 3e-3)])
def test_without_a_coarse_space_it_takes_the_steps_of_the_plain_solver(monkeypatch, max_steps, narrow_from, near):
    monkeypatch.setattr(block_solver, "NARROW_FROM", narrow_from)
    _, system, y = problem()
    found = solve_blocks(system, y, tol=1e-6, max_steps=max_steps)
    w = system.w.astype(float)
    plain = conjugate_gradients(lambda x: x - system.alpha * (w @ x), y.toarray(), tol=1e-6, max_steps=max_steps)
    assert np.allclose(found.x, plain.x, atol=near)
    assert (found.num_steps == plain.num_steps).all()
    assert (found.converged == plain.converged).all()


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("coarse", [False, True])
def test_rounded_directions_cost_hardly_a_step(monkeypatch, tol, coarse):
    graph, system, y = problem(n=3000, classes=20)
    system = with_coarse(graph, system) if coarse else system
    exact = solve_blocks(system, y, tol=tol, max_steps=500)
    monkeypatch.setattr(block_solver, "NARROW_FROM", 0)
    rounded = solve_blocks(system, y, tol=tol, max_steps=500)
    assert rounded.converged.all()
    assert (rounded.num_steps <= 1 + 1.05 * exact.num_steps).all()


@pytest.mark.parametrize("width", [8, 16, 24, 32])
@pytest.mark.parametrize("scale", [1e-15, 1, 1e15])
def test_a_direction_is_the_residual_rounded_to_bfloat16_ties_to_even(width, scale):
    n, groups = 40, np.array([0, 7, 40])
    residual = (scale * np.random.default_rng(0).normal(size=(n, width))).astype(np.float32)
    residual.view(np.uint32)[::3] &= 0xFFFF8000  # half of these are ties
    direction, image, dots = np.zeros((n, width), np.uint16), np.empty_like(residual), np.empty((2, width))
    _kernels.turn(direction, residual, np.zeros(width, np.float32), None, None, n, width, groups, 2, 0, 2)
    nothing = np.zeros(n + 1, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    _kernels.product(*nothing, n, 0.99, direction, image, width, groups, 2, 0, 2, dots)
    bits = residual.view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    assert np.array_equal(image, rounded)
    assert np.allclose(dots.sum(axis=0), (rounded.astype(float) ** 2).sum(axis=0), rtol=1e-5, atol=0)


def test_a_coarse_space_takes_fewer_steps_where_labels_must_travel():
    length = 2000
    w = sp.diags_array([np.full(length - 1, 0.5), np.full(length - 1, 0.5)], offsets=[-1, 1], format="csr")
    w = sp.csr_array((w.data.astype(np.float32), w.indices.astype(np.int32), w.indptr.astype(np.int32)))
    system = System(w, 0.999, np.append(np.arange(0, length, 50), length))
    y = sp.csc_array((np.ones(2), ([0, length - 1], [0, 1])), (length, 2))
    coarse = coarse_space(w, system.alpha, system.groups, np.ones(length))
    plain = solve_blocks(system, y, tol=1e-5, max_steps=2000)
    two_level = solve_blocks(System(w, system.alpha, system.groups, coarse), y, tol=1e-5, max_steps=2000)
    assert (two_level.num_steps < 0.8 * plain.num_steps).all()
    assert two_level.converged.all()
    assert np.allclose(plain.x, two_level.x, atol=1e-3 * plain.x.max())


def test_a_class_without_sources_stays_zero_and_finished_ones_wait():
    _, system, y = problem()
    y = sp.csc_array(sp.hstack([y, sp.csc_array((y.shape[0], 1))]))
    found = solve_blocks(system, y, tol=1e-5, max_steps=500)
    assert not found.x[:, -1].any()
    assert (found.num_steps[-1], found.residual[-1], found.converged[-1]) == (0, 0, True)


def test_too_few_steps_are_told():
    _, system, y = problem()
    found = solve_blocks(system, y, tol=1e-6, max_steps=2)
    assert not found.converged.any()
    assert (found.num_steps == 2).all()
    assert (found.residual > 1e-3).all()


def test_near_the_answer_it_takes_few_steps():
    _, system, y = problem()
    answer = solve_blocks(system, y, tol=1e-6, max_steps=500)
    again = solve_blocks(system, y, tol=1e-4, max_steps=500, start=answer.x)
    assert (again.num_steps == 0).all()
    assert np.allclose(again.x, answer.x, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e30])
def test_the_size_of_the_sources_does_not_matter(scale):
    _, system, y = problem()
    plain, scaled = (solve_blocks(system, v, tol=1e-5, max_steps=500) for v in (y, sp.csc_array(y * scale)))
    assert np.allclose(scaled.x / scale, plain.x, atol=1e-5)


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("narrow_from", [0, 10**9])
def test_the_number_of_threads_changes_no_bit(monkeypatch, coarse, narrow_from):
    monkeypatch.setattr(block_solver, "NARROW_FROM", narrow_from)
    graph, system, y = problem(n=3000, classes=20)
    system = with_coarse(graph, system) if coarse else system
    answers = []
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "num_threads", lambda count=count: count)
        answers.append(solve_blocks(system, y, tol=1e-6, max_steps=50).x)
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


def test_sources_that_are_not_finite_are_refused():
    _, system, y = problem()
    y.data[y.indptr[2]] = np.nan
    with pytest.raises(NumericsError, match=r"FL-G9 .* classes \[2\]"):
        solve_blocks(system, y, tol=1e-6, max_steps=5)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    w = sp.csr_array(np.array([[0, 9.0], [9, 0]], np.float32))
    with pytest.raises(GraphError, match="FL-G11"):
        solve_blocks(System(w, 0.99, even_groups(2)), sp.csc_array(np.array([[1.0], [1]])), tol=1e-6, max_steps=9)


def test_large_graphs_are_solved_alike_by_both(monkeypatch):
    rng = np.random.default_rng(0)
    rows = np.tanh(rng.normal(size=(6, 20))[rng.integers(6, size=12_000)] + 0.8 * rng.normal(size=(12_000, 20)))
    labels = np.where(rng.random(12_000) < 0.01, rng.integers(0, 4, 12_000), -1)
    single = propagate(rows, labels, GraphSettings(n_neighbors=15))
    double = propagate(rows, labels, GraphSettings(n_neighbors=15, precision="double"))
    assert single.graph.search.num_probes > 0
    assert single.solution.num_steps.max() < double.solution.num_steps.max()  # a coarse space
    assert single.solution.converged.all()
    assert (single.pseudo_labels.label == double.pseudo_labels.label).mean() > 0.9995
    assert np.abs(single.pseudo_labels.certainty - double.pseudo_labels.certainty).max() < 1e-3


def test_a_tolerance_beyond_float32_is_said_to_be_missed():
    rows, labels = np.random.default_rng(0).normal(size=(300, 4)), np.full(300, -1)
    labels[:4] = [0, 1, 0, 1]
    with pytest.warns(ConvergenceWarning, match=r"FL-G9 .* use precision='double'"):
        propagate(rows, labels, GraphSettings(n_neighbors=8, tol=1e-12, precision="single"))
    found = propagate(rows, labels, GraphSettings(n_neighbors=8, tol=1e-12))  # so few rows are solved in float64
    assert found.solution.converged.all()


def test_alpha_very_near_one_is_solved_in_float64():
    assert GraphSettings(alpha=1 - 1e-7).dtype(10**6) is np.float64
    with pytest.raises(ConfigError, match=r"FL-C2 .* needs precision='double'"):
        GraphSettings(alpha=1 - 1e-7, precision="single")
