"""sample_weight: so many copies of a row."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fewlabels.errors import LabelError, UnreachedWarning
from fewlabels.estimator import LabeledKFold, LabelPropagationClassifier

pytestmark = pytest.mark.filterwarnings("ignore::fewlabels.errors.UnreachedWarning")


@pytest.fixture
def task():
    rng = np.random.default_rng(1)
    truth = np.arange(60) % 3
    rows = rng.normal(size=(3, 8))[truth] + 0.8 * rng.normal(size=(60, 8))
    y = np.where(np.arange(60) < 15, truth, -1)
    return rows, y, rng.integers(0, 4, 60)


def model(**more):
    return LabelPropagationClassifier(**{"n_neighbors": 8, "tol": 1e-10, "precision": "double", "mode": "paper"} | more)


def test_a_weight_is_so_many_copies_of_a_row_labelled_or_not(task):
    rows, y, count = task
    weighted = model().fit(rows, y, sample_weight=count)
    repeated = model().fit(rows.repeat(count, axis=0), y.repeat(count))
    there = count > 0
    first = np.concatenate([[0], np.cumsum(count[there])[:-1]])
    assert np.allclose(weighted.label_distributions_[there], repeated.label_distributions_[first], atol=1e-6)
    assert np.allclose(weighted.predict_proba(rows), repeated.predict_proba(rows), atol=1e-6)


def test_a_common_factor_changes_nothing_and_ones_are_none(task):
    rows, y, _ = task
    plain = model().fit(rows, y).label_distributions_
    for factor in (1, 1e-9, 7):
        found = model().fit(rows, y, sample_weight=np.full(60, factor)).label_distributions_
        assert np.allclose(found, plain, atol=1e-7)


def test_a_heavier_label_reaches_further(task):
    rows, y, _ = task
    weight = np.where(y == 1, 5.0, 1.0)
    share = [model().fit(rows, y, sample_weight=w).label_distributions_[:, 1].mean() for w in (None, weight)]
    assert share[1] > share[0]


def test_a_row_of_weight_zero_is_not_there(task):
    rows, y, _ = task
    weight = np.ones(60)
    weight[[0, 40]] = 0
    with pytest.warns(UnreachedWarning, match="2 of 60"):
        found = model().fit(rows, y, sample_weight=weight)
    left = model().fit(rows[weight > 0], y[weight > 0])
    assert found.transduction_[[0, 40]].tolist() == [-1, -1]
    assert not found.reached_[[0, 40]].any()
    assert np.allclose(found.label_distributions_[weight > 0], left.label_distributions_, atol=1e-7)
    assert np.allclose(found.predict_proba(rows), left.predict_proba(rows), atol=1e-7)
    with pytest.raises(LabelError, match=r"FL-L43 .*weight zero; 1 such row \(40\)"):
        found.add_labels([40], [1])


@pytest.mark.parametrize(
    ("y", "marker"), [([0, 1], -1), (["a", "b"], ""), ([0.0, 1.0], np.nan), ([False, True], None), ([-1, 1], None)]
)
@pytest.mark.filterwarnings("ignore::fewlabels.errors.InputWarning")
def test_a_row_that_is_not_there_has_a_marker_of_its_kind_although_y_has_none(y, marker):
    rows = np.eye(2)[[0, 1, 0, 1, 0]] + 0.1 * np.arange(10).reshape(5, 2)
    found = model(n_neighbors=2).fit(rows, [*y, *y, y[0]], sample_weight=[1, 1, 1, 1, 0])
    last = found.transduction_[-1]
    assert last == marker or (marker != marker and last != last)
    assert found.transduction_[:4].tolist() == [*y, *y]


def test_a_class_whose_rows_all_have_weight_zero_is_no_class(task):
    rows, y, _ = task
    found = model().fit(rows, y, sample_weight=(y != 1).astype(float))
    assert found.classes_.tolist() == [0, 2]
    assert set(found.predict(rows)) == {0, 2}


def test_weights_count_on_a_given_affinity_too(task):
    rows, y, count = task
    weights = rbf_kernel(rows)
    there = count > 0
    found = model(metric="precomputed").fit(weights, y, sample_weight=count)
    left = model(metric="precomputed").fit(weights[np.ix_(there, there)], y[there], sample_weight=count[there])
    assert np.allclose(found.predict_proba(weights), left.predict_proba(weights[:, there]), atol=1e-7)


def test_weights_stay_when_labels_come_and_when_the_model_is_saved(task, tmp_path):
    rows, y, count = task
    count = count + 1
    more = y.copy()
    more[30] = 2
    found = model().fit(rows, y, sample_weight=count)
    found.save(tmp_path / "model.npz")
    whole = model().fit(rows, more, sample_weight=count)
    for one in (found, LabelPropagationClassifier.load(tmp_path / "model.npz")):
        assert one.add_labels([], []).reached_.all()
        assert np.allclose(one.add_labels([30], [2]).label_distributions_, whole.label_distributions_, atol=1e-6)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(59), r"FL-L43 sample_weight has shape \(59,\)"),
        (np.ones((60, 1)), "FL-L43 sample_weight has shape"),
        (["a"] * 60, "FL-L43 .*type <U1"),
        (np.where(np.arange(60) == 7, -1, 1), r"FL-L43 .*negative.*such row \(7\)"),
        (np.where(np.arange(60) == 7, np.nan, 1), r"FL-L43 .*NaN.*such row \(7\)"),
        (np.zeros(60), "FL-L43 every sample_weight is zero"),
    ],
)
def test_what_is_no_weight_is_refused(task, weight, message):
    with pytest.raises(LabelError, match=message):
        model().fit(task[0], task[1], sample_weight=weight)


def test_released_mode_has_no_weights(task):
    with pytest.raises(LabelError, match="FL-L43 sample_weight in released mode"):
        model(mode="released").fit(task[0], task[1], sample_weight=np.ones(60))


def test_zero_weight_on_every_labelled_row_is_no_label(task):
    with pytest.raises(LabelError, match="FL-L16"):
        model().fit(task[0], task[1], sample_weight=(task[1] == -1).astype(float))


def test_weights_pass_through_a_pipeline_and_a_search(task):
    rows, y, count = task
    name = "labelpropagationclassifier__sample_weight"
    pipeline = make_pipeline(StandardScaler(), model())
    alone = model().fit(StandardScaler().fit_transform(rows), y, sample_weight=count)
    found = pipeline.fit(rows, y, **{name: count})[-1]
    assert np.allclose(found.label_distributions_, alone.label_distributions_, atol=1e-9)
    search = GridSearchCV(pipeline, {"labelpropagationclassifier__gamma": [1.0, 3.0]}, cv=LabeledKFold(3))
    assert np.isfinite(search.fit(rows, y, **{name: count + 1}).cv_results_["mean_test_score"]).all()


def test_rows_of_no_weight_stand_alone_where_the_solver_has_cells_too():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=9500)
    rows = rng.normal(size=(4, 12))[truth] + 0.5 * rng.normal(size=(9500, 12))
    y = np.where(rng.random(9500) < 0.02, truth, -1)
    weight = np.ones(9500)
    weight[::7] = 0
    some = LabelPropagationClassifier(n_neighbors=10, mode="paper")
    with pytest.warns(UserWarning, match="FL-G1 no label reaches 1358 of 9500 rows"):
        some.fit(rows, y, sample_weight=weight)
    alone = LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(rows[weight > 0], y[weight > 0])
    assert not some.reached_[weight == 0].any()
    assert np.allclose(some.label_distributions_[weight > 0], alone.label_distributions_, atol=1e-4)
