import numpy as np
import pytest
from scipy.sparse.linalg import cg

from fewlabels.errors import GraphError, NumericsError
from fewlabels.graph import conjugate_gradients


def system(n=60, alpha=0.99, seed=0):
    """(I - alpha W) of a random weighted graph, and four right-hand sides."""
    rng = np.random.default_rng(seed)
    w = np.triu(rng.random((n, n)) * (rng.random((n, n)) < 0.1), 1)
    w = w + w.T + np.diag(np.full(n - 1, 0.1), 1) + np.diag(np.full(n - 1, 0.1), -1)
    degree = w.sum(axis=1)
    return np.eye(n) - alpha * w / np.sqrt(degree[:, None] * degree[None]), rng.normal(size=(n, 4))


def solved(a, b, tol=1e-10, max_steps=1000, **more):
    return conjugate_gradients(lambda x: a @ x, b, tol=tol, max_steps=max_steps, **more)


@pytest.mark.parametrize("alpha", [0.1, 0.9, 0.99, 0.9999])
@pytest.mark.parametrize("seed", range(5))
def test_it_matches_the_dense_solve_and_says_that_it_converged(alpha, seed):
    a, b = system(alpha=alpha, seed=seed)
    solution = solved(a, b)
    exact = np.linalg.solve(a, b)
    assert np.allclose(solution.x, exact, rtol=1e-5, atol=1e-7 * np.abs(exact).max())
    assert solution.converged.all()
    true = np.linalg.norm(b - a @ solution.x, axis=0) / np.linalg.norm(b, axis=0)
    assert np.allclose(solution.residual, true, rtol=1e-2, atol=1e-15)
    assert (true <= 1.001e-10).all()


@pytest.mark.parametrize("max_steps", [1, 3, 20])
def test_it_takes_the_steps_of_scipy(max_steps):
    a, b = system()
    solution = solved(a, b, tol=1e-6, max_steps=max_steps)
    for column in range(4):
        theirs, info = cg(a, b[:, column], rtol=1e-6, atol=0, maxiter=max_steps)
        assert np.allclose(solution.x[:, column], theirs, rtol=1e-9, atol=1e-12)
        assert solution.converged[column] or info == max_steps
        assert solution.num_steps[column] <= max_steps


def test_finished_columns_are_frozen_while_others_go_on():
    a, b = system()
    b[:, 1] = 0
    b[:, 2] = np.linalg.eigh(a)[1][:, 5]  # an eigenvector: one step
    solution = solved(a, b)
    assert solution.num_steps[1] == 0
    assert solution.num_steps[2] <= 2
    assert solution.num_steps[0] > 10
    assert not solution.x[:, 1].any()
    assert solution.residual[1] == 0
    alone = solved(a, b[:, [0]])
    assert np.allclose(solution.x[:, 0], alone.x[:, 0], rtol=1e-12)
    assert solution.num_steps[0] == alone.num_steps[0]


def test_too_few_steps_are_told():
    a, b = system()
    solution = solved(a, b, max_steps=1)
    assert not solution.converged.any()
    assert (solution.num_steps == 1).all()
    assert (solution.residual > 1e-3).all()


def test_starting_from_the_answer_takes_no_step_and_near_it_few():
    a, b = system()
    answer = solved(a, b, tol=1e-12).x
    assert (solved(a, b, tol=1e-6, start=answer).num_steps == 0).all()
    near = answer + 1e-4 * np.random.default_rng(0).normal(size=answer.shape)
    assert (solved(a, b, tol=1e-6, start=near).num_steps < solved(a, b, tol=1e-6).num_steps).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-100, 1e100, 1e300])
def test_the_size_of_the_right_hand_side_does_not_matter(scale):
    a, b = system()
    solution = solved(a, b * scale)
    assert solution.converged.all()
    assert np.allclose(solution.x / scale, solved(a, b).x, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_right_hand_side_that_is_not_finite_is_refused_by_class(value):
    a, b = system()
    b[3, 2] = value
    with pytest.raises(NumericsError, match=r"FL-G9 .* right-hand side of classes \[2\]"):
        solved(a, b)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    with pytest.raises(GraphError, match="FL-G11"):
        solved(np.diag([1.0, -1.0]), np.ones((2, 1)))


def test_arguments_are_not_changed():
    a, b = system()
    b.setflags(write=False)
    start = np.zeros_like(b)
    start.setflags(write=False)
    solved(a, b, start=start)
