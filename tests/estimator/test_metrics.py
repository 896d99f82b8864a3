"""How rows are compared: by cosine, by inner product, or by affinities that somebody else made."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import kneighbors_graph
from sklearn.utils import get_tags

from fewlabels.errors import ConfigError, GraphError, InputWarning
from fewlabels.estimator import LabeledKFold, LabelPropagationClassifier
from fewlabels.graph import GraphSettings, graph_from_affinity, propagate, spread


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    rows = rng.normal(size=(3, 6))[truth] + 0.3 * rng.normal(size=(90, 6))
    return rows, np.where(np.arange(90) < 12, truth, -1), truth


@pytest.fixture
def kernel(task):
    """A sparse affinity: rbf of the ten nearest, symmetric, with ones on the diagonal."""
    near = rbf_kernel(task[0], gamma=1.0)
    near[near < np.sort(near, axis=1)[:, -11, None]] = 0
    return sp.csr_array(np.maximum(near, near.T))


def model(**more):
    return LabelPropagationClassifier(**{"n_neighbors": 10, "mode": "paper"} | more)


def test_inner_products_are_those_of_propagate_and_of_new_points(task):
    rows, y, _ = task
    found = model(metric="inner_product").fit(rows, y)
    again = propagate(rows, y, GraphSettings(n_neighbors=10, metric="inner_product"))
    assert np.array_equal(found.label_distributions_, again.pseudo_labels.distribution)
    new = rows[5] * 1000
    near = rows @ new
    best = np.argsort(-near)[:10]
    weight = np.maximum(near[best], 0) ** 3
    said = found.label_distributions_.copy()
    said[y >= 0] = np.eye(3)[y[y >= 0]]  # labelled rows count with their label
    by_hand = weight @ said[best] / weight.sum()
    assert np.allclose(found.predict_proba([new, -new * 1e-9])[0], by_hand, atol=1e-6)


def test_a_given_affinity_is_spread_over_as_it_is(task, kernel):
    _, y, truth = task
    found = model(metric="precomputed").fit(kernel, y)
    plain = kernel - sp.diags_array(kernel.diagonal())
    graph = graph_from_affinity(plain)
    assert np.array_equal(found.label_distributions_, spread(graph, y).pseudo_labels.distribution)
    assert (found.transduction_ == truth).mean() > 0.9
    assert found.n_features_in_ == 90


def test_sparse_and_dense_affinities_say_the_same(task, kernel):
    _, y, truth = task
    one = model(metric="precomputed").fit(kernel, y)
    other = model(metric="precomputed").fit(kernel.toarray(), y)
    assert np.allclose(one.label_distributions_, other.label_distributions_, atol=1e-9)
    expected = kernel @ one.label_distributions_
    expected /= expected.sum(axis=1, keepdims=True)
    for form in (kernel, sp.coo_matrix(kernel), kernel.toarray()):
        assert np.allclose(one.predict_proba(form), expected, atol=1e-9)
    assert (one.predict(kernel[60:]) == truth[60:]).mean() > 0.9


def test_a_directed_graph_is_averaged_with_its_transpose_and_that_is_said(task):
    rows, y, _ = task
    directed = kneighbors_graph(rows, 5)
    with pytest.warns(InputWarning, match="FL-G11 .*not symmetric"):
        found = model(metric="precomputed").fit(directed, y)
    half = model(metric="precomputed").fit((directed + directed.T) / 2, y)
    assert np.allclose(found.label_distributions_, half.label_distributions_, atol=1e-9)


def test_a_point_without_affinity_to_any_reached_row_gets_the_class_shares(task, kernel):
    found = model(metric="precomputed").fit(kernel, task[1])
    with pytest.warns(InputWarning, match="FL-E33 1 points"):
        share = found.predict_proba(sp.csr_array((1, 90)))
    assert np.allclose(share, found.label_distributions_.mean(axis=0))


def test_what_is_no_affinity_is_refused_by_fit_and_by_predict(task, kernel):
    _, y, _ = task
    with pytest.raises(GraphError, match="FL-G12 an affinity of shape"):
        model(metric="precomputed").fit(kernel[:, :80], y)
    with pytest.raises(GraphError, match="FL-G11 Negative values"):
        model(metric="precomputed").fit(-kernel, y)
    found = model(metric="precomputed").fit(kernel, y)
    with pytest.raises(ValueError, match="80 features"):
        found.predict(kernel[:, :80])
    with pytest.raises(GraphError, match="FL-G11 Negative values"):
        found.predict(-kernel)


def test_an_affinity_is_cut_on_both_sides_by_cross_validation(task, kernel):
    _, y, _ = task
    folds = LabeledKFold(n_splits=4)
    for form in (kernel, kernel.toarray()):
        scores = cross_val_score(model(metric="precomputed"), form, y, cv=folds)
        assert scores.mean() > 0.8
    search = GridSearchCV(model(metric="precomputed"), {"alpha": [0.9, 0.99]}, cv=folds).fit(kernel, y)
    assert search.best_score_ > 0.8


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_a_model_of_each_metric_is_saved(task, metric, tmp_path):
    found = model(metric=metric, random_state=5, recall="exact").fit(task[0], task[1])
    found.save(tmp_path / "model.npz")
    loaded = LabelPropagationClassifier.load(tmp_path / "model.npz")
    assert loaded.get_params() == found.get_params()
    assert np.array_equal(loaded.predict_proba(task[0]), found.predict_proba(task[0]))


def test_a_model_of_a_given_affinity_is_saved_and_labelled_further(task, kernel, tmp_path):
    found = model(metric="precomputed").fit(kernel, task[1])
    found.save(tmp_path / "model.npz")
    loaded = LabelPropagationClassifier.load(tmp_path / "model.npz")
    assert loaded.n_features_in_ == 90
    assert np.array_equal(loaded.predict_proba(kernel), found.predict_proba(kernel))
    assert loaded.add_labels([50], [0]).transduction_[50] == 0


def test_tags_say_what_may_come():
    plain, given = get_tags(model()).input_tags, get_tags(model(metric="precomputed")).input_tags
    assert (plain.sparse, plain.pairwise, plain.positive_only) == (True, False, False)
    assert (given.sparse, given.pairwise, given.positive_only) == (True, True, True)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"metric": "euclidean"}, "FL-C27 metric is 'euclidean', expected one of cosine, inner_product, precomputed"),
        ({"precision": "half"}, "FL-C28"),
        ({"recall": 1.5}, "FL-C29"),
        ({"random_state": np.random.default_rng(0)}, "FL-C30"),
        ({"random_state": -1}, "FL-C30"),
    ],
)
def test_settings_out_of_range_are_refused_when_fitted(task, parameters, message):
    with pytest.raises(ConfigError, match=message):
        model(**parameters).fit(task[0], task[1])


def test_one_random_state_gives_one_answer_and_none_is_zero(task):
    answers = [model(random_state=seed).fit(task[0], task[1]).label_distributions_ for seed in (None, 0, 0)]
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[1], answers[2])
    assert clone(model(random_state=np.int64(3))).fit(task[0], task[1])
