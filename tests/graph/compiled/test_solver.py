"""The compiled solver against the dense solution, and against the plain one step for step."""

from contextlib import contextmanager

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.errors import ConfigError, ConvergenceWarning, GraphError, NumericsError
from fewlabels.graph import GraphSettings, PropagationSystem, build_graph, conjugate_gradients, propagate, threads
from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.graph.compiled import _kernels
from fewlabels.graph.compiled import solver as block_solver
from fewlabels.graph.compiled.solver import CompiledOperator, Finished, RowBlock, Vectors, solve_blocks
from fewlabels.graph.types import even_groups

ALPHA = 0.99


def problem(n=700, classes=5, alpha=ALPHA, seed=0):
    """W of a random graph of several blobs, and one-hot sources."""
    rng = np.random.default_rng(seed)
    blob = rng.integers(8, size=n)
    descriptors = rng.normal(size=(8, 6))[blob] + 0.4 * rng.normal(size=(n, 6))
    graph = build_graph(descriptors, GraphSettings(n_neighbors=8, precision="single"))
    rows = rng.choice(n, 4 * classes, replace=False)
    y = sp.csc_array((np.ones(rows.size), (rows, np.arange(rows.size) % classes)), (n, classes))
    groups = np.array([0, 3, 100, 101, 350, 350, 600, n])
    return graph, CompiledOperator(graph.affinity, alpha, groups), y


def dense(system, y):
    return np.linalg.solve(np.eye(y.shape[0]) - ALPHA * system.rows.w.toarray().astype(float), y.toarray())


def with_coarse(graph, system):
    return CompiledOperator(system.rows.w, ALPHA, system.rows.groups, graph.root_degree)


@pytest.mark.parametrize("classes", [1, 5, 8, 9, 17, 30, 32, 33, 70])
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("narrow_from", [0, 10**9])
def test_it_matches_the_dense_solve_and_says_how_well(monkeypatch, classes, coarse, narrow_from):
    monkeypatch.setattr(block_solver, "NARROW_FROM", narrow_from)
    graph, system, y = problem(classes=classes)
    system = with_coarse(graph, system) if coarse else system
    found = system.solve(y, tol=1e-5, max_steps=500)
    exact = dense(system, y)
    assert np.abs(found.x - exact).max() < 2e-3 * np.abs(exact).max()
    assert found.converged.all()
    left = y.toarray() - found.x + ALPHA * (system.rows.w.astype(float) @ found.x)
    assert np.allclose(
        found.residual, np.linalg.norm(left, axis=0) / np.linalg.norm(y.toarray(), axis=0), rtol=0.05, atol=3e-7
    )
    assert (found.residual < 1.2e-5).all()
    assert np.allclose(found.row_residual, np.abs(left).max(axis=1), atol=1e-6)


@pytest.mark.parametrize("max_steps", [1, 5, 20])
@pytest.mark.parametrize(("narrow_from", "near"), [(10**9, 1e-5), (0, 3e-3)])
def test_without_a_second_level_it_takes_the_steps_of_the_plain_solver(monkeypatch, max_steps, narrow_from, near):
    monkeypatch.setattr(block_solver, "NARROW_FROM", narrow_from)
    _, system, y = problem()
    found = system.solve(y, tol=1e-6, max_steps=max_steps)
    w = system.rows.w.astype(float)
    plain = conjugate_gradients(lambda x: x - ALPHA * (w @ x), y.toarray(), tol=1e-6, max_steps=max_steps)
    assert np.allclose(found.x, plain.x, atol=near)
    assert (found.num_steps == plain.num_steps).all()
    assert (found.converged == plain.converged).all()


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("coarse", [False, True])
def test_rounded_directions_cost_hardly_a_step(monkeypatch, tol, coarse):
    graph, system, y = problem(n=3000, classes=20)
    system = with_coarse(graph, system) if coarse else system
    exact = system.solve(y, tol=tol, max_steps=500)
    monkeypatch.setattr(block_solver, "NARROW_FROM", 0)
    rounded = system.solve(y, tol=tol, max_steps=500)
    assert rounded.converged.all()
    assert (rounded.num_steps <= 1 + 1.05 * exact.num_steps).all()


@pytest.mark.parametrize("width", [8, 16, 24, 32])
@pytest.mark.parametrize("scale", [1e-15, 1, 1e15])
def test_a_direction_is_the_residual_rounded_to_bfloat16_ties_to_even(width, scale):
    n, groups = 40, np.array([0, 7, 40])
    residual = (scale * np.random.default_rng(0).normal(size=(n, width))).astype(np.float32)
    residual.view(np.uint32)[::3] &= 0xFFFF8000  # half of these are ties
    direction, image, dots = np.zeros((n, width), np.uint16), np.empty_like(residual), np.empty((2, width))
    _kernels.turn(direction, residual, np.zeros(width, np.float32), None, None, n, 0, width, groups, 2, 0, 2)
    nothing = np.zeros(n + 1, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    _kernels.product(*nothing, n, 0, 0.99, direction, n, image, width, groups, 2, 0, 2, dots)
    bits = residual.view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    assert np.array_equal(image, rounded)
    assert np.allclose(dots.sum(axis=0), (rounded.astype(float) ** 2).sum(axis=0), rtol=1e-5, atol=0)


def test_the_two_level_preconditioner_takes_fewer_steps_where_labels_must_travel():
    length = 2000
    w = sp.diags_array([np.full(length - 1, 0.5), np.full(length - 1, 0.5)], offsets=[-1, 1], format="csr")
    w = sp.csr_array((w.data.astype(np.float32), w.indices.astype(np.int32), w.indptr.astype(np.int32)))
    groups = np.append(np.arange(0, length, 50), length)
    system, second = CompiledOperator(w, 0.999, groups), CompiledOperator(w, 0.999, groups, np.ones(length))
    y = sp.csc_array((np.ones(2), ([0, length - 1], [0, 1])), (length, 2))
    plain = system.solve(y, tol=1e-5, max_steps=2000)
    two_level = second.solve(y, tol=1e-5, max_steps=2000)
    assert (two_level.num_steps < 0.8 * plain.num_steps).all()
    assert two_level.converged.all()
    assert np.allclose(plain.x, two_level.x, atol=1e-3 * plain.x.max())


def test_a_class_without_sources_stays_zero_and_finished_ones_wait():
    _, system, y = problem()
    y = sp.csc_array(sp.hstack([y, sp.csc_array((y.shape[0], 1))]))
    found = system.solve(y, tol=1e-5, max_steps=500)
    assert not found.x[:, -1].any()
    assert (found.num_steps[-1], found.residual[-1], found.converged[-1]) == (0, 0, True)


def test_too_few_steps_are_told():
    _, system, y = problem()
    found = system.solve(y, tol=1e-6, max_steps=2)
    assert not found.converged.any()
    assert (found.num_steps == 2).all()
    assert (found.residual > 1e-3).all()


def test_near_the_answer_it_takes_few_steps():
    _, system, y = problem()
    answer = system.solve(y, tol=1e-6, max_steps=500)
    again = system.solve(y, tol=1e-4, max_steps=500, start=answer.x)
    assert (again.num_steps == 0).all()
    assert np.allclose(again.x, answer.x, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e30])
def test_the_size_of_the_sources_does_not_matter(scale):
    _, system, y = problem()
    plain, scaled = (system.solve(v, tol=1e-5, max_steps=500) for v in (y, sp.csc_array(y * scale)))
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
        answers.append(system.solve(y, tol=1e-6, max_steps=50).x)
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


class TwoHolders:
    """An operator whose rows two holders share, as workers of a cluster would: each has its own rows and their edges.

    Before each product a holder is sent the rows of the other's vectors that its edges lead to.
    """

    dtype = np.float32

    def __init__(self, whole, cut):
        self.size, self.inverse, self.blocks, self.near, self.ends = whole.size, whole.inverse, [], [], []
        rows = whole.rows
        for first, last in ((0, cut), (cut, rows.groups.size - 1)):
            begin, end = int(rows.groups[first]), int(rows.groups[last])
            part = rows.w[begin:end]
            near = np.union1d(np.arange(begin, end), part.indices)
            columns = np.searchsorted(near, part.indices).astype(np.int32)
            own = np.searchsorted(near, begin)
            self.blocks.append(
                RowBlock(
                    w=sp.csr_array((part.data, columns, part.indptr), (end - begin, near.size)),
                    alpha=rows.alpha,
                    groups=rows.groups[first : last + 1] - begin + own,
                    size=self.size,
                    shape=None if rows.shape is None else rows.shape[begin:end],
                )
            )
            self.near.append(near)
            self.ends.append((begin, end))

    def solve(self, label_matrix, *, tol, max_steps, start=None, on_progress=lambda share: None):
        @contextmanager
        def begin(b, scale, start):
            with threads.Team() as team:
                yield HeldVectors(self, team, b, scale, start)

        return solve_blocks(begin, label_matrix, tol=tol, max_steps=max_steps, start=start, on_progress=on_progress)


class HeldVectors:
    def __init__(self, held, team, b, scale, start):
        self.held = held
        self.parts = [
            Vectors(
                block,
                team,
                sp.csc_array(b.tocsr()[first:last]),
                scale,
                None if start is None else start[first:last],
                held.inverse,
            )
            for block, (first, last) in zip(held.blocks, held.ends, strict=True)
        ]
        self.width = self.parts[0].width
        if start is not None:
            for part, x in zip(self.parts, self.near_x(), strict=True):
                part.measure_residual(x)

    def near_x(self):
        whole = np.concatenate([part.x for part in self.parts])
        return [whole[near] for near in self.held.near]

    def advance(self, length):
        sums, coarse = zip(*(part.advance(length) for part in self.parts), strict=True)
        return np.concatenate(sums), None if coarse[0] is None else np.concatenate(coarse)

    def lift(self, coarse):
        return self.parts[0].lift(coarse)

    def turn(self, ratio, lift):
        at = 0
        for part in self.parts:
            num = part.rows.groups.size - 1
            part.turn(ratio, None if lift is None else lift[at : at + num])
            at += num

    def multiply(self):
        own = [part.direction[part.rows.groups[0] : part.rows.groups[-1]] for part in self.parts]
        whole = np.concatenate(own)
        for part, near in zip(self.parts, self.held.near, strict=True):
            part.direction[:] = whole[near]
        return np.concatenate([part.multiply() for part in self.parts])

    def finish(self):
        x, squares, residual, rows = zip(
            *(part.finish(near) for part, near in zip(self.parts, self.near_x(), strict=True)), strict=True
        )
        return Finished(np.concatenate(x), sum(squares), sum(residual), np.concatenate(rows))


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("narrow_from", [0, 10**9])
@pytest.mark.parametrize(("classes", "cut"), [(5, 1), (20, 3), (70, 5)])
def test_rows_held_by_two_give_the_bits_of_the_whole(monkeypatch, coarse, narrow_from, classes, cut):
    monkeypatch.setattr(block_solver, "NARROW_FROM", narrow_from)
    graph, whole, y = problem(n=700, classes=classes)
    whole = with_coarse(graph, whole) if coarse else whole
    two = TwoHolders(whole, cut)
    assert max(near.size for near in two.near) < 2 * 700
    assert two.blocks[1].groups[0] > 0
    start = np.random.default_rng(0).random((700, classes)).astype(np.float32)
    for guess in (None, start):
        one, other = (operator.solve(y, tol=1e-5, max_steps=60, start=guess) for operator in (whole, two))
        assert one.x.tobytes() == other.x.tobytes()
        assert one.row_residual.tobytes() == other.row_residual.tobytes()
        assert (one.num_steps == other.num_steps).all()
        assert (one.converged == other.converged).all()
        assert np.allclose(one.residual, other.residual, rtol=1e-12)


@pytest.mark.parametrize(("base", "first", "last"), [(3, 0, 2), (0, 1, 2), (0, 0, 3), (0, -1, 1), (0, 2, 1)])
def test_kernels_refuse_groups_whose_rows_their_arrays_do_not_hold(base, first, last):
    """Arrays of four rows from `base` on; groups of the rows 0 to 4 and 4 to 8."""
    n, groups = 4, np.array([0, 4, 8])
    direction, dots = np.zeros((8, 8), np.float32), np.zeros((2, 8))
    own, per_class = [np.zeros((n, 8), np.float32) for _ in range(3)], np.zeros(8, np.float32)
    nothing = np.zeros(n + 1, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)
    extent = (n, base, 8, groups, 2, first, last)
    for call in (
        lambda: _kernels.product(*nothing, n, base, 0.5, direction, 8, own[0], 8, groups, 2, first, last, dots),
        lambda: _kernels.advance(own[0], own[1], direction, own[2], per_class, None, *extent, dots, None),
        lambda: _kernels.turn(direction, own[0], per_class, None, None, *extent),
    ):
        with pytest.raises(ValueError, match=f"groups {first} to {last} of 2 are not among the 4 rows from {base} on"):
            call()


def test_a_system_over_rows_held_by_two_gives_the_bits_of_one_over_the_whole():
    graph, whole, _ = problem(n=700)
    whole, settings = with_coarse(graph, whole), GraphSettings(n_neighbors=8, precision="single")
    labels = np.full(700, -1)
    labels[::30] = np.arange(24) % 5
    one, two = (PropagationSystem(graph, settings, operator=operator) for operator in (whole, TwoHolders(whole, 3)))
    found, expected = two.spread(labels), one.spread(labels)
    assert found.z.tobytes() == expected.z.tobytes()
    assert found.pseudo_labels.certainty.tobytes() == expected.pseudo_labels.certainty.tobytes()


def test_sources_that_are_not_finite_are_refused():
    _, system, y = problem()
    y.data[y.indptr[2]] = np.nan
    with pytest.raises(NumericsError, match=r"FL-G9 .* classes \[2\]"):
        system.solve(y, tol=1e-6, max_steps=5)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    w = sp.csr_array(np.array([[0, 9.0], [9, 0]], np.float32))
    with pytest.raises(GraphError, match="FL-G11"):
        CompiledOperator(w, 0.99, even_groups(2)).solve(sp.csc_array(np.array([[1.0], [1]])), tol=1e-6, max_steps=9)


def test_large_graphs_are_solved_alike_by_both(monkeypatch):
    rng = np.random.default_rng(0)
    rows = np.tanh(rng.normal(size=(6, 20))[rng.integers(6, size=12_000)] + 0.8 * rng.normal(size=(12_000, 20)))
    labels = np.where(rng.random(12_000) < 0.01, rng.integers(0, 4, 12_000), -1)
    single = propagate(rows, labels, GraphSettings(n_neighbors=15))
    double = propagate(rows, labels, GraphSettings(n_neighbors=15, precision="double"))
    assert single.graph.search.num_probes > 0
    assert single.solution.num_steps.max() < double.solution.num_steps.max()  # two levels
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
