"""The graph, asked the same in another way, answers the same; no finite input gives NaN or a warning of NumPy."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fewlabels.errors import EmbeddingError, InputWarning, UnreachedWarning
from fewlabels.estimator import LabelPropagationClassifier
from tests.faults import relations
from tests.faults.lanes import size
from tests.faults.relations import ODD, RELATIONS, demand_same, is_clear, made, plain

cases = st.builds(made, st.integers(0, 2**32), st.frozensets(st.sampled_from(ODD)))
draws = st.builds(np.random.default_rng, st.integers(0, 2**32))


def examples(suite, share):
    """So many of this relation that all together are 2,000 in the lane. share: of these."""
    return settings(
        max_examples=size(suite, 2000 * share // 100, 1000 * share),
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )


def held(relation, solve, case, rng):
    """The relation, with every warning an error but those that are promised."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for promised in (UnreachedWarning, InputWarning):
            warnings.simplefilter("ignore", promised)
        relation(solve, case, rng)


@pytest.mark.lane("F12")
@pytest.mark.parametrize("name", RELATIONS)
def test_a_relation_holds(name, tally):
    seen = []

    @examples(10, 9)
    @given(cases, draws)
    def whatever(case, rng):
        assume(is_clear(case))
        seen.append(1)
        held(RELATIONS[name], plain, case, rng)

    try:
        whatever()
    finally:
        tally(len(seen))


@pytest.mark.lane("F12")
def test_the_graph_in_torch_agrees(tally):
    cuda = pytest.importorskip("fewlabels.graph.cuda")
    seen = []

    def agrees(solve, case, rng):
        expected = solve(case.rows, case.labels, case.settings)
        found = cuda.propagate(case.rows, case.labels, case.settings, device="cpu").pseudo_labels
        demand_same(found, expected)

    @examples(5, 5)
    @given(cases, draws)
    def whatever(case, rng):
        assume(is_clear(case) and len(case.rows) > case.settings.n_neighbors)
        seen.append(1)
        held(agrees, plain, case, rng)

    whatever()
    tally(len(seen))


def fitted(rows, labels, given):
    model = LabelPropagationClassifier(
        n_neighbors=given.n_neighbors, gamma=given.gamma, alpha=given.alpha, recall="exact"
    )
    return model.fit(rows, labels)


def estimator_agrees(solve, case, rng):
    """Rows in another order, classes renamed and all scaled at once: the same answer, finite, for seen and new rows."""
    names = rng.permutation(np.array(["ant", "bee", "cat", "dog", "elk"])[: case.num_classes])
    order, factor = rng.permutation(len(case.rows)), 10.0 ** rng.integers(-30, 31)
    one = fitted(case.rows, case.labels, case.settings)
    other = fitted(case.rows[order] * factor, np.where(case.labels < 0, -1, case.labels)[order], case.settings)
    named = fitted(case.rows, np.where(case.labels < 0, "", names[case.labels]).astype(object), case.settings)
    back = np.searchsorted(named.classes_, names)
    assert np.abs(other.label_distributions_[np.argsort(order)] - one.label_distributions_).max() < relations.CLOSE
    assert np.abs(named.label_distributions_[:, back] - one.label_distributions_).max() < relations.CLOSE
    chances = one.predict_proba(rng.normal(size=(5, case.rows.shape[1])))
    assert np.isfinite(chances).all()
    assert np.abs(chances.sum(axis=1) - 1).max() < 1e-6


@pytest.mark.lane("F12")
def test_the_estimator_keeps_the_relations_too(tally):
    seen = []

    @examples(8, 5)
    @given(cases, draws)
    def whatever(case, rng):
        assume(is_clear(case))
        seen.append(1)
        held(estimator_agrees, plain, case, rng)

    whatever()
    tally(len(seen))


# Faulty graphs


def unreached_get_the_first_class(rows, labels, given):
    found = plain(rows, labels, given)
    return replace(found, label=np.maximum(found.label, 0), reached=np.ones(len(rows), bool))


def copies_are_kept_apart(rows, labels, given):
    return plain(rows, labels, replace(given, mode="released", max_steps=1000))


def lengths_overflow(rows, labels, given):
    """Lengths in float32, as a plain recipe takes them."""
    single = rows.astype(np.float32)
    with np.errstate(all="ignore"):
        length = np.sqrt((single * single).sum(axis=1, keepdims=True))
        single = np.nan_to_num(single / np.where(length > 0, length, 1))
    return plain(single, labels, given)


def earlier_rows_count_more(rows, labels, given):
    found = plain(rows, labels, given)
    weight = 1 + np.linspace(0, 0.1, len(rows))[:, None] * np.arange(found.distribution.shape[1])
    tilted = found.distribution * weight
    return replace(found, distribution=tilted / tilted.sum(axis=1, keepdims=True))


def nan_for_what_no_label_reaches(rows, labels, given):
    found = plain(rows, labels, given)
    return replace(found, distribution=np.where(found.reached[:, None], found.distribution, np.nan))


FAULTY = [
    (unreached_get_the_first_class, "reached is connected"),
    (copies_are_kept_apart, "everything twice"),
    (lengths_overflow, "everything scaled"),
    (earlier_rows_count_more, "rows in another order"),
    (earlier_rows_count_more, "classes in another order"),
    (nan_for_what_no_label_reaches, "an island beside"),
]


@pytest.mark.lane("F12", faulty=True)
@pytest.mark.parametrize(("solve", "name"), FAULTY, ids=lambda one: getattr(one, "__name__", one))
def test_a_faulty_graph_is_found(solve, name):
    for seed in range(40):
        case = made(seed, frozenset(ODD[seed % 3 : seed % 3 + 2]))
        try:
            if is_clear(case):
                held(RELATIONS[name], solve, case, np.random.default_rng(seed))
        except (AssertionError, RuntimeWarning, EmbeddingError):
            return
    pytest.fail("nobody saw it")
