"""Refinements: hand-worked answers, totals that match, and nothing at all where they are off."""

import json
import warnings
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp

from fewlabels.data.benchmarks.digits import load_digits
from fewlabels.data.benchmarks.splits import draw_split
from fewlabels.errors import ConfigError, ConvergenceWarning, FewlabelsWarning, InputWarning, UnreachedWarning
from fewlabels.graph import GraphSettings, Refined, Refinement, build_graph, graph_from_affinity, propagate, spread
from fewlabels.graph.refinement import (
    centre,
    clip_to_mean,
    deal_folds,
    estimate_root_degree,
    fit_temperature,
    match_prior,
    temper,
)
from fewlabels.graph.types import Graph
from tests.graph import reference
from tests.graph.cases import CASES, LABELS, ROWS, clusters, island

ONES = np.ones(3, np.int64)
COMBINATIONS = [
    Refinement(centre, prior, calibrate)
    for centre, prior, calibrate in product([False, True], [None, "labels", (1.0,)], [False, True])
    if centre or prior or calibrate
]


def propagated(rows, labels, k=10, refinement=None, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewlabelsWarning)
        return propagate(rows, labels, GraphSettings(n_neighbors=k, refinement=refinement or Refinement(), **more))


def wheel():
    """Weights by hand of five nodes, no two of one degree."""
    a = np.zeros((5, 5))
    for i, j, weight in [(0, 1, 4), (1, 2, 1), (2, 3, 2), (3, 4, 0.5), (4, 0, 1), (0, 2, 3)]:
        a[i, j] = a[j, i] = weight
    return a


def hand_made(a):
    return Graph(
        node=np.arange(len(a)), affinity=sp.csr_array(reference.normalized(a)), component=np.zeros(len(a), np.int64)
    )


@pytest.mark.parametrize("alpha", [0.5, 0.99, 0.9999])
def test_centred_sources_give_the_dense_solution_of_the_poisson_equation(alpha):
    a, labels = wheel(), np.array([0, -1, 1, 1, -1])
    degree = np.diag(a.sum(axis=1))
    onehot = np.eye(2)[labels] * (labels >= 0)[:, None]
    b = onehot - (labels >= 0)[:, None] * np.array([1 / 3, 2 / 3])
    assert np.allclose(b.sum(axis=0), 0)
    u = np.maximum(np.linalg.solve(degree - alpha * a, b) / [1 / 3, 2 / 3], 0)
    settings = GraphSettings(alpha=alpha, tol=1e-12, refinement=Refinement(centre_sources=True))
    found = spread(hand_made(a), labels, settings)
    assert np.allclose(found.pseudo_labels.distribution, u / u.sum(axis=1, keepdims=True), atol=1e-6)
    assert found.refined == Refined(centred=True)


def test_near_alpha_one_centred_sources_give_poisson_learning():
    a, labels = wheel(), np.array([0, -1, 1, 1, -1])
    laplacian = np.diag(a.sum(axis=1)) - a
    b = np.eye(2)[labels] * (labels >= 0)[:, None] - (labels >= 0)[:, None] * np.array([1 / 3, 2 / 3])
    u = np.linalg.lstsq(laplacian, b, rcond=None)[0]
    u -= (a.sum(axis=1) @ u) / a.sum()  # the solution whose mean, weighted by degree, is 0
    settings = GraphSettings(alpha=1 - 1e-7, tol=1e-15, refinement=Refinement(centre_sources=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # float64 cannot reach this tol
        found = spread(hand_made(a), labels, settings)
    found = found.solution.x / np.sqrt(a.sum(axis=1))[:, None]
    assert np.allclose(found[:, 0] / found.sum(axis=1), 1 / 3, atol=1e-5)  # the mean drowns the rest, uncentred
    settings = GraphSettings(alpha=1 - 1e-4, tol=1e-12, refinement=Refinement(centre_sources=True))
    near = spread(hand_made(a), labels, settings).pseudo_labels
    u = np.maximum(u / [1 / 3, 2 / 3], 0)
    assert np.allclose(near.distribution, u / u.sum(axis=1, keepdims=True), atol=1e-3)


def test_centring_by_hand():
    y = np.array([[1.0, 0], [1, 0], [0, 1], [0, 0]])  # the mean label is (2/3, 1/3)
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [2 / 3, 1 / 3], [0, 0]])
    relative = centre(shares, y)
    assert np.allclose(relative, [[9 / 11, 2 / 11], [3 / 7, 4 / 7], [0.5, 0.5], [0, 0]])
    assert np.allclose(clip_to_mean(relative, y), [[1, 0], [0, 1], [0.5, 0.5], [0, 0]])
    three = clip_to_mean(centre(np.array([[0.5, 0.4, 0.1]]), np.eye(3)), np.eye(3))
    assert np.allclose(three, [[(0.5 - 1 / 3) / (0.9 - 2 / 3), (0.4 - 1 / 3) / (0.9 - 2 / 3), 0]])
    empty = centre(np.array([[0.5, 0.5, 0]]), np.eye(3)[:2])
    assert np.allclose(empty, [[0.5, 0.5, 0]])


@pytest.mark.parametrize("more", [{"calibrate": True}, {"prior": "labels"}])
def test_centred_sources_alone_are_clipped_and_with_others_they_are_not(more):
    rows, labels = clusters(300, spread=1.0, labels_per_class=4)
    alone = propagated(rows, labels, refinement=Refinement(centre_sources=True)).pseudo_labels
    other = propagated(rows, labels, refinement=Refinement(centre_sources=True, **more)).pseudo_labels
    assert (alone.distribution == 0).any()
    assert (other.distribution > 0).all()
    if "calibrate" in more:
        assert (alone.label == other.label).all()


def test_degree_roots_are_those_of_the_degrees_up_to_a_factor_for_each_part():
    two = np.kron(np.diag([1, 7]), wheel())

    part, root = np.repeat([0, 1], 5), np.sqrt(two.sum(axis=1))
    ratio = estimate_root_degree(sp.csr_array(reference.normalized(two)), 0.99) / root
    for number in (0, 1):
        assert np.allclose(ratio[part == number], ratio[part == number][0], rtol=1e-4)


def test_class_totals_by_hand():
    said = np.array([[0.8, 0.2], [0.5, 0.5], [0, 0]])
    found, error = match_prior(said, np.array([0.5, 0.5]), ONES)
    # columns scaled by (1, 2): 8 : 4 = (2/3, 1/3) and 5 : 10 = (1/3, 2/3); the unreached row does not count
    assert np.allclose(found, [[2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 0]], atol=1e-6)
    assert error <= 1e-6


def test_a_node_of_several_rows_counts_as_often():
    said = np.array([[0.8, 0.2], [0.5, 0.5], [0.3, 0.7]])
    many = match_prior(said, np.array([0.3, 0.7]), np.array([3, 1, 2]))[0]
    copied = match_prior(np.repeat(said, [3, 1, 2], axis=0), np.array([0.3, 0.7]), np.ones(6, np.int64))[0]
    assert np.allclose(np.repeat(many, [3, 1, 2], axis=0), copied)


@pytest.mark.parametrize(
    ("said", "prior", "expected", "error"),
    [
        ([[1, 0], [1, 0]], [0.5, 0.5], [[1, 0], [1, 0]], 0.5),  # nobody can be of class 1
        ([[1, 0], [0.5, 0.5]], [0.2, 0.8], [[1, 0], [0, 1]], 0.3),  # one row can only be of class 0
        ([[0.9, 0.1], [1, 0]], [0, 1], [[0, 1], [1, 0]], 0.5),
        ([[0.5, 0.5, 0], [0.5, 0.5, 0]], [0.25, 0.25, 0.5], [[0.5, 0.5, 0], [0.5, 0.5, 0]], 0.5),
        ([[1, 0, 0], [1, 0, 0]], [0, 0.5, 0.5], [[1, 0, 0], [1, 0, 0]], 1),
        ([[0, 0], [0, 0]], [0.5, 0.5], [[0, 0], [0, 0]], 0.5),
    ],
)
def test_a_prior_out_of_reach_is_approached_and_the_rest_is_told(said, prior, expected, error):
    found, left = match_prior(np.array(said, float), np.array(prior, float), np.ones(2, np.int64))
    assert np.allclose(found, expected, atol=1e-3)
    assert left == pytest.approx(error, abs=1e-3)


def test_tempering_by_hand():
    said = np.array([[0.8, 0.2], [0.5, 0.5], [0, 0], [1, 0]])
    found = temper(said, 0.5)
    assert np.allclose(found[:3], [[0.64 / 0.68, 0.04 / 0.68], [0.5, 0.5], [0, 0]])
    assert found[3] == pytest.approx([1, 0], abs=1e-9)
    assert np.allclose(temper(said, 2)[0], [2 / 3, 1 / 3])


@pytest.mark.parametrize("temperature", [0.2, 1, 3])
def test_the_temperature_that_made_the_labels_is_found(temperature):
    rng = np.random.default_rng(0)
    true = rng.dirichlet([1, 1, 1], 20_000)
    drawn = (true.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1).clip(max=2)
    said = temper(true, 1 / temperature)  # as a model says it that is too sure, or not sure enough
    assert fit_temperature(said, np.eye(3)[drawn]) == pytest.approx(temperature, rel=0.1)


def test_four_right_labels_do_not_make_certain_of_everything():
    said = np.array([[0.6, 0.4]] * 2 + [[0.4, 0.6]] * 2)
    counts = np.array([[1, 0]] * 2 + [[0, 1]] * 2)
    sharp = temper(said, fit_temperature(said, counts))
    assert sharp.max() == pytest.approx(5 / 6, abs=1e-3)  # (4 + 1) / (4 + 2)


def test_each_labelled_node_is_held_out_once_and_never_a_whole_class():
    y = np.zeros((40, 2))
    y[:7, 0], y[7:10, 1] = 1, 2
    turn = deal_folds(y)
    assert (turn[10:] == -1).all()
    assert set(turn[:10]) == {0, 1, 2}
    for number in range(3):
        assert y[turn != number].sum(axis=0).all()
    y[8:10] = 0  # a class of one node keeps it
    assert deal_folds(y)[7] == -1
    assert (deal_folds(y)[:7] >= 0).all()
    assert deal_folds(np.eye(3)) is None


@pytest.mark.parametrize("prior", [(0.2, 0.3, 0.5), (0.6, 0.3, 0.1), "labels"])
@pytest.mark.parametrize(("centre", "calibrate"), [(False, False), (True, True)])
def test_class_totals_match_the_prior(prior, centre, calibrate):
    rows, labels = clusters(900, spread=1.0, labels_per_class=4)
    labels[:4] = -1
    result = propagated(rows, labels, refinement=Refinement(centre, prior, calibrate))
    shares = result.pseudo_labels.distribution.mean(axis=0)
    wanted = np.bincount(labels[labels >= 0]) / 8 if prior == "labels" else prior
    assert np.allclose(shares, wanted, atol=2e-6)
    assert result.refined.prior == pytest.approx(tuple(wanted))
    assert result.refined.prior_error <= 1e-6


@pytest.mark.parametrize("refinement", COMBINATIONS)
@pytest.mark.parametrize("name", CASES)
def test_every_case_gives_a_sound_result_with_every_combination(name, refinement):
    rows, labels, classes, k = CASES[name]
    if refinement.prior == (1.0,):  # stands for equal shares
        refinement = Refinement(refinement.centre_sources, (1 / classes,) * classes, refinement.calibrate)
    plain = propagated(rows, labels, k)
    result = propagated(rows, labels, k, refinement)
    found = result.pseudo_labels
    assert np.isfinite(found.distribution).all()
    assert np.allclose(found.distribution.sum(axis=1), 1, atol=1e-9)
    assert (found.distribution >= 0).all()
    assert ((found.certainty >= 0) & (found.certainty <= 1)).all()
    assert np.isfinite(found.class_weight).all()
    assert (found.reached == plain.pseudo_labels.reached).all()
    assert (found.label[~found.reached] == -1).all()
    assert (found.certainty[~found.reached] == 0).all()
    assert (found.label[labels >= 0] == labels[labels >= 0]).all()
    assert (found.certainty[labels >= 0] == 1).all()
    missed = ~plain.z.any(axis=1)
    assert not result.z[missed].any()


@pytest.mark.parametrize("name", CASES)
def test_off_is_the_same_to_the_bit(name):
    rows, labels, _, k = CASES[name]
    plain, off = propagated(rows, labels, k), propagated(rows, labels, k, Refinement())
    assert off.refined is None
    assert plain.z.tobytes() == off.z.tobytes()
    assert (plain.z == np.maximum(plain.solution.x, 0))[plain.z > 0.01].all()  # the solution itself, not shares
    for before, after in zip(asdict(plain.pseudo_labels).values(), asdict(off.pseudo_labels).values(), strict=True):
        assert np.asarray(before).tobytes() == np.asarray(after).tobytes()


def test_calibration_changes_certainty_and_no_label():
    rows, labels = clusters(600, spread=1.2, labels_per_class=10)
    plain = propagated(rows, labels)
    result = propagated(rows, labels, refinement=Refinement(calibrate=True))
    assert (plain.pseudo_labels.label == result.pseudo_labels.label).all()
    assert result.refined.num_held_out == 30
    shares = plain.pseudo_labels.distribution
    assert np.allclose(result.pseudo_labels.distribution, temper(shares, result.refined.temperature))
    entropy = -(result.pseudo_labels.distribution * np.log(result.pseudo_labels.distribution)).sum(axis=1)
    assert np.allclose(result.pseudo_labels.certainty[labels < 0], (1 - entropy / np.log(3))[labels < 0])


def test_calibrated_shares_say_how_often_they_are_right():
    rows, labels = clusters(3000, spread=1.2, labels_per_class=40)
    truth, asked = np.arange(3000) % 3, labels < 0
    gap = []
    for refinement in (Refinement(), Refinement(calibrate=True)):
        found = propagated(rows, labels, refinement=refinement).pseudo_labels
        gap.append(abs(found.distribution.max(axis=1)[asked].mean() - (found.label == truth)[asked].mean()))
    assert gap[1] < min(gap[0], 0.05)


def test_a_class_with_one_label_is_named_and_the_others_calibrate():
    labels = np.where(LABELS == 2, -1, LABELS)
    labels[np.flatnonzero(LABELS == 2)[0]] = 2
    settings = GraphSettings(n_neighbors=10, refinement=Refinement(calibrate=True))
    with pytest.warns(InputWarning, match=r"FL-C34 .*the other classes alone: class 2 \('rare'\) has one labelled row"):
        result = propagate(ROWS, labels, settings, class_names=["a", "b", "rare"])
    assert result.refined.num_held_out == (labels >= 0).sum() - 1


def test_where_every_class_has_one_label_nothing_is_calibrated_and_that_is_told():
    labels = np.where(np.arange(90) < 3, LABELS, -1)
    settings = GraphSettings(n_neighbors=10, refinement=Refinement(calibrate=True))
    with pytest.warns(InputWarning, match=r"FL-C34 certainty is not calibrated: class 0 and 2 other") as caught:
        result = propagate(ROWS, labels, settings)
    assert caught[0].filename == __file__
    assert result.refined == Refined()
    plain = propagated(ROWS, labels)
    assert np.allclose(result.pseudo_labels.distribution, plain.pseudo_labels.distribution)


def test_a_prior_that_cannot_be_met_is_told_with_the_class_and_the_numbers():
    rows, labels = island(ROWS, LABELS, 90)
    labels[-1] = 0  # the island is half of the rows, and of class 0 throughout
    settings = GraphSettings(n_neighbors=20, refinement=Refinement(prior=(0.2, 0.4, 0.4)))
    with pytest.warns(ConvergenceWarning, match=r"FL-C33 .* class 0 has 0\.5.* instead of 0.2") as caught:
        result = propagate(rows, labels, settings)
    assert caught[0].filename == __file__
    assert result.refined.prior_error == pytest.approx(0.3, abs=0.01)
    assert np.isfinite(result.pseudo_labels.distribution).all()


def test_a_prior_leaves_rows_out_of_reach_alone():
    rows, labels = island(ROWS, LABELS)
    result = propagated(rows, labels, 5, Refinement(True, (0.5, 0.3, 0.2), True))
    found = result.pseudo_labels
    assert not found.reached[90:].any()
    assert (found.distribution[90:] == 1 / 3).all()
    assert np.allclose(found.distribution[:90].mean(axis=0), [0.5, 0.3, 0.2], atol=2e-6)


def test_a_refined_solution_can_be_started_from():
    settings = GraphSettings(n_neighbors=10, refinement=Refinement(centre_sources=True))
    graph = build_graph(ROWS, settings)
    first = spread(graph, LABELS, settings)
    again = spread(graph, LABELS, settings, start=first.solution.x)
    assert again.solution.num_steps.max() <= 1
    assert np.allclose(first.z, again.z, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "code", "fragment"),
    [
        ({"centre_sources": 1}, "FL-C31", "centre_sources is 1, expected True or False"),
        ({"calibrate": None}, "FL-C31", "calibrate is None"),
        ({"prior": "even"}, "FL-C32", "prior is 'even', expected None, 'labels', 'uniform', or the share"),
        ({"prior": 0.5}, "FL-C32", "prior is 0.5, expected"),
        ({"prior": (0.5, "a")}, "FL-C32", "as numbers"),
        ({"prior": (True, 0)}, "FL-C32", "as numbers"),
        ({"prior": np.array(["a", "b"])}, "FL-C32", "as numbers"),
        ({"prior": np.eye(2)}, "FL-C32", "as numbers"),
        ({"prior": np.array([0.5, 0.6])}, "FL-C32", r"sum to 1, not 1.1"),
        ({"prior": (0.5, 0.6)}, "FL-C32", r"sum to 1, not 1.1"),
        ({"prior": (1.5, -0.5)}, "FL-C32", "from 0 up"),
        ({"prior": (float("nan"), 1.0)}, "FL-C32", "nan"),
        ({"prior": ()}, "FL-C32", "not 0"),
    ],
)
def test_a_refinement_that_cannot_be_is_refused(options, code, fragment):
    with pytest.raises(ConfigError, match=fragment) as caught:
        Refinement(**options)
    assert caught.value.code == code


@pytest.mark.parametrize("prior", [[0.2, 0.3, 0.5], np.array([0.2, 0.3, 0.5]), (np.float64(0.2), 0.3, 0.5)])
def test_a_prior_may_be_a_list_or_an_array_and_becomes_a_tuple_of_floats(prior):
    refinement = Refinement(prior=prior)
    assert refinement == Refinement(prior=(0.2, 0.3, 0.5))
    assert hash(refinement) == hash(Refinement(prior=(0.2, 0.3, 0.5)))
    assert json.dumps(asdict(refinement)["prior"]) == "[0.2, 0.3, 0.5]"


def test_a_uniform_prior_makes_all_classes_equally_large():
    rows, labels = clusters(900, spread=1.0, labels_per_class=4)
    labels[:4] = -1
    named = propagated(rows, labels, refinement=Refinement(prior="uniform"))
    told = propagated(rows, labels, refinement=Refinement(prior=(1 / 3, 1 / 3, 1 / 3)))
    assert named.refined.prior == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    np.testing.assert_array_equal(named.pseudo_labels.distribution, told.pseudo_labels.distribution)


def test_weights_of_zero_leave_nothing_to_refine():
    settings = GraphSettings(n_neighbors=10, refinement=Refinement(True, "labels", True))
    graph = build_graph(ROWS, settings)
    with pytest.warns(UnreachedWarning):
        found = spread(graph, LABELS, settings, weight=np.zeros(90))
    assert np.isfinite(found.pseudo_labels.distribution).all()
    assert not found.z.any()


@pytest.mark.parametrize("alpha", [0.99, 0.9999, 0.999999, 1 - 1e-8])
def test_centred_labels_mean_the_same_on_a_graph_that_was_handed_in(alpha):
    """Where degrees are only estimated, an error counts 1 / (1 - alpha) times."""
    digits = load_digits()
    rows = digits.pixels.reshape(len(digits.pixels), -1).astype(np.float32)
    labels = draw_split(digits.truth, 5, np.random.default_rng(0))
    settings = GraphSettings(n_neighbors=10, alpha=alpha, refinement=Refinement(centre_sources=True))
    graph = build_graph(rows, settings)
    own = spread(graph, labels, settings).pseudo_labels.label
    roots, handed = graph.root_degree, np.full(graph.affinity.shape[0], -1)
    handed[graph.node[labels >= 0]] = labels[labels >= 0]
    weights = sp.csr_array(sp.diags_array(roots) @ graph.affinity @ sp.diags_array(roots))
    for other in (graph_from_affinity((weights + weights.T) / 2), graph_from_affinity(graph.affinity, normalized=True)):
        found = spread(other, handed, settings).pseudo_labels.label[graph.node]
        assert (found == own).mean() > 0.999
    assert (own == digits.truth).mean() > 0.75


def test_near_alpha_one_degrees_that_cannot_be_estimated_are_told():
    """The largest eigenvalue is 0.99: there is no vector that this matrix keeps."""
    graph = graph_from_affinity(0.99 * reference.normalized(wheel()), normalized=True)
    labels = np.array([0, -1, 1, 1, -1])
    with pytest.warns(InputWarning, match=r"FL-G22 .*hand in the affinity before it is normalised") as caught:
        spread(graph, labels, GraphSettings(alpha=0.999999, refinement=Refinement(centre_sources=True)))
    assert caught[0].filename == __file__
    spread(graph, labels, GraphSettings(alpha=0.99, refinement=Refinement(centre_sources=True)))  # no warning


def test_settings_take_a_refinement_only_and_none_in_released_mode():
    with pytest.raises(ConfigError, match="FL-C31 refinement is 'poisson'"):
        GraphSettings(refinement="poisson")
    with pytest.raises(ConfigError, match=r"FL-C35 .*calibrate=True.* in released mode"):
        GraphSettings(mode="released", refinement=Refinement(calibrate=True))
    assert GraphSettings(mode="released").refinement == Refinement()


def test_a_prior_of_another_number_of_classes_is_refused():
    with pytest.raises(ConfigError, match="FL-C32 prior has the shares of 2 classes, and there are 3"):
        propagate(ROWS, LABELS, GraphSettings(n_neighbors=10, refinement=Refinement(prior=(0.5, 0.5))))
