"""Relations that hold between two answers of the graph, whatever the data: the same asked in another way.

`Case` is a small data set with everything odd that a number can ask for. A relation takes a solver, (rows, labels,
settings) -> PseudoLabels, a case and a source of draws, and asserts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.csgraph import connected_components

from fewlabels.graph import GraphSettings, comparable_rows, nearest_neighbors, propagate
from fewlabels.graph.pseudo_labels import PseudoLabels

Solve = Callable[[np.ndarray, np.ndarray, GraphSettings], PseudoLabels]
CLOSE = (
    2e-4  # between distributions: the solver's tolerance is 1e-6 of |Y|, and alpha 0.99 makes it a hundred times more
)
TIED = 10 * CLOSE


@dataclass(frozen=True)
class Case:
    """rows: (n, d). labels: (n,), -1 where unlabelled; every class has one."""

    rows: np.ndarray
    labels: np.ndarray
    settings: GraphSettings

    @property
    def num_classes(self) -> int:
        return int(self.labels.max()) + 1


def made(seed: int, odd: frozenset[str] = frozenset()) -> Case:
    """A case from a number. odd: some of ODD, put in beside what the number asks for."""
    rng = np.random.default_rng(seed)
    n, d, c = rng.integers(12, 60), rng.integers(2, 9), rng.integers(1, 5)
    truth = rng.integers(0, c, n)
    rows = rng.normal(size=(c, d))[truth] + rng.choice([0.1, 0.5, 2]) * rng.normal(size=(n, d))
    labels = np.full(n, -1)
    labels[:c] = np.arange(c)
    labels[c : 2 * c] = np.arange(c) if n >= 2 * c else -1
    if "negative" in odd:
        rows[::3] *= -1
    if "copies" in odd:
        rows[2 * c :: 4] = rows[2 * c]
    if "zeros" in odd:
        rows[-min(3, n - 2 * c) :] = 0
    if "far" in odd:
        rows, labels = with_island(rows, labels, rng)
    if "lengths apart" in odd:
        rows = rows * 10.0 ** rng.integers(-20, 20, (len(rows), 1))
    k, gamma = int(rng.integers(2, 15)), float(rng.choice([1, 3, 3, 6]))
    alpha = float(rng.choice([0.5, 0.9, 0.99]))
    return Case(
        rows, labels, GraphSettings(n_neighbors=k, gamma=gamma, alpha=alpha, precision="double", recall="exact")
    )


ODD = ("negative", "copies", "zeros", "far", "lengths apart")


def with_island(rows, labels, rng):
    """With a group of rows at the end that shares no direction with the others, and has no label."""
    size, d = 4, rows.shape[1]
    wide = np.zeros((len(rows) + size, d + 2))
    wide[:-size, :d] = rows
    wide[-size:, d:] = rng.uniform(0.5, 1, (size, 2))
    return wide, np.concatenate([labels, np.full(size, -1)])


def plain(rows, labels, settings) -> PseudoLabels:
    return propagate(rows, labels, settings).pseudo_labels


def demand_sound(found: PseudoLabels) -> None:
    """All finite, distributions sum to 1, a row without a label has certainty 0, and the other way round no label."""
    for values in (found.certainty, found.distribution, found.class_weight):
        assert np.isfinite(values).all()
    assert np.abs(found.distribution.sum(axis=1) - 1).max() < 1e-6
    assert ((found.certainty >= 0) & (found.certainty <= 1)).all()
    assert (found.reached == (found.label >= 0)).all()
    assert (found.certainty[~found.reached] == 0).all()


def demand_same(found: PseudoLabels, expected: PseudoLabels, rows=slice(None), tolerance: float = CLOSE) -> None:
    """The same for these rows of `found` as for all of `expected`, but for ties, which rounding settles."""
    for one in (found, expected):
        demand_sound(one)
    top = np.sort(expected.distribution, axis=1)[:, ::-1]
    clear = np.ones(len(top), bool) if top.shape[1] == 1 else top[:, 0] - top[:, 1] > max(TIED, 10 * tolerance)
    assert (found.reached[rows] == expected.reached).all()
    assert (found.label[rows] == expected.label)[clear | ~expected.reached].all()
    assert np.abs(found.distribution[rows] - expected.distribution).max() < tolerance


def is_clear(case: Case) -> bool:
    """Whether nothing hangs on the last bit: no row has its k-th and its next neighbour equally near, where the order
    of rows decides, and no neighbour is at a right angle but for rounding, where an edge is there or is not.
    """
    units = np.unique(comparable_rows(case.rows).round(7), axis=0)
    k = min(case.settings.n_neighbors, len(units) - 1)
    similarity = np.maximum(np.sort(units @ units.T - 4 * np.eye(len(units)), axis=1)[:, ::-1], 0)
    near, next_one = similarity[:, :k], similarity[:, k : k + 1]
    faint = (near > 0) & (near < 1e-3)
    tied = (near[:, -1:] > 0) & (near[:, -1:] - next_one < 1e-5)
    return not faint.any() and (k == len(units) - 1 or not tied.any())


def rows_in_another_order(solve: Solve, case: Case, rng) -> None:
    order = rng.permutation(len(case.rows))
    found = solve(case.rows[order], case.labels[order], case.settings)
    demand_same(found, solve(case.rows, case.labels, case.settings), np.argsort(order))


def classes_in_another_order(solve: Solve, case: Case, rng) -> None:
    name = rng.permutation(case.num_classes)
    there = solve(case.rows, np.where(case.labels < 0, -1, name[case.labels]), case.settings)
    back = np.argsort(name)
    found = replace(
        there, label=np.where(there.label < 0, -1, back[there.label]), distribution=there.distribution[:, name]
    )
    demand_same(found, solve(case.rows, case.labels, case.settings))


def everything_twice(solve: Solve, case: Case, rng) -> None:
    """Zero rows have no direction and are not copies of each other, which changes nothing: nothing reaches them."""
    n, labels = len(case.rows), np.concatenate([case.labels, np.full(len(case.rows), -1)])
    found = solve(np.concatenate([case.rows, case.rows]), labels, case.settings)
    expected = solve(case.rows, case.labels, case.settings)
    demand_same(found, expected, slice(0, n))
    nonzero = case.rows.any(axis=1)
    assert np.abs(found.distribution[n:] - expected.distribution)[nonzero].max() < CLOSE


def everything_scaled(solve: Solve, case: Case, rng) -> None:
    """By 1e-30 to 1e30; in float32 by a power of two, which rounds nothing."""
    found = solve(case.rows * 10.0 ** rng.integers(-30, 31), case.labels, case.settings)
    demand_same(found, solve(case.rows, case.labels, case.settings))
    single, factor = case.rows.astype(np.float32), np.float32(2.0 ** rng.integers(-60, 61))
    found = solve(single * factor, case.labels, case.settings)
    demand_same(found, solve(single, case.labels, case.settings))


def each_row_scaled(solve: Solve, case: Case, rng) -> None:
    factors = 10.0 ** rng.integers(-30, 31, (len(case.rows), 1))
    expected = solve(case.rows, case.labels, case.settings)
    demand_same(solve(case.rows * factors, case.labels, case.settings), expected)


def an_island_beside(solve: Solve, case: Case, rng) -> None:
    expected = solve(case.rows, case.labels, case.settings)
    rows, labels = with_island(case.rows, case.labels, rng)
    found = solve(rows, labels, case.settings)
    demand_same(found, expected, slice(0, len(case.rows)))
    assert (found.label[len(case.rows) :] == -1).all()
    assert (found.distribution[len(case.rows) :] == 1 / case.num_classes).all()


def reached_is_connected(solve: Solve, case: Case, rng) -> None:
    """A row has a label exactly where the graph, found by another way, connects it with a labelled row."""
    units = comparable_rows(case.rows)
    found, n = nearest_neighbors(np.unique(units, axis=0), case.settings.n_neighbors), len(case.rows)
    _, place = np.unique(units, axis=0, return_inverse=True)
    joined = np.zeros((found.index.shape[0],) * 2, bool)
    sources, ranks = np.nonzero(found.similarity > 0)
    joined[sources, found.index[sources, ranks]] = True
    _, component = connected_components(joined, directed=False)
    component = component[place.ravel()[:n]]
    zero = ~units.any(axis=1)
    component[zero] = component.max() + 1 + np.arange(zero.sum())
    with_label = np.unique(component[case.labels >= 0])
    answer = solve(case.rows, case.labels, case.settings)
    demand_sound(answer)
    assert (answer.reached == np.isin(component, with_label)).all()


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})


def two_threads(solve: Solve, case: Case, rng) -> None:
    """To the bit."""
    answers = []
    for threads in ("1", "2"):
        with environment("OMP_NUM_THREADS", threads):
            answers.append(solve(case.rows, case.labels, case.settings))
    assert answers[0].distribution.tobytes() == answers[1].distribution.tobytes()
    assert (answers[0].label == answers[1].label).all()


def without_kernels(solve: Solve, case: Case, rng) -> None:
    as_float32 = case.rows.astype(np.float32)
    with environment("FEWLABELS_KERNELS", "off"):
        expected = solve(as_float32, case.labels, case.settings)
    demand_same(solve(as_float32, case.labels, case.settings), expected)


def in_single_precision(solve: Solve, case: Case, rng) -> None:
    expected = solve(case.rows, case.labels, case.settings)
    demand_same(solve(case.rows, case.labels, replace(case.settings, precision="single")), expected, tolerance=2e-3)


RELATIONS = {
    name.__name__.replace("_", " "): name
    for name in (
        rows_in_another_order,
        classes_in_another_order,
        everything_twice,
        everything_scaled,
        each_row_scaled,
        an_island_beside,
        reached_is_connected,
        two_threads,
        without_kernels,
        in_single_precision,
    )
}
