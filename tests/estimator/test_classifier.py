import json
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.exceptions
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from fewlabels.errors import ConvergenceWarning, EmbeddingError, InputWarning, LabelError, RunError, UnreachedWarning
from fewlabels.estimator import LabeledKFold, LabelPropagationClassifier
from fewlabels.graph import GraphSettings, Refinement, propagate

CLASSES = np.array(["ant", "bee", "cat"])


@pytest.fixture
def task():
    """180 rows around three centres, four of each labelled; the truth as text."""
    rng = np.random.default_rng(0)
    truth = np.arange(180) % 3
    rows = rng.normal(size=(3, 12))[truth] + 0.5 * rng.normal(size=(180, 12))
    y = np.full(180, "", CLASSES.dtype)
    y[:12] = CLASSES[truth[:12]]
    return rows, y, CLASSES[truth]


def fitted(task, **more):
    return LabelPropagationClassifier(**{"n_neighbors": 10, "mode": "paper"} | more).fit(task[0], task[1])


def same(one, other, atol=0.0):
    assert one.classes_.tolist() == other.classes_.tolist()
    assert one.transduction_.tolist() == other.transduction_.tolist()
    assert np.allclose(one.label_distributions_, other.label_distributions_, rtol=0, atol=atol)
    assert np.allclose(one.certainty_, other.certainty_, rtol=0, atol=atol)
    assert (one.reached_ == other.reached_).all()


def test_it_says_what_propagate_says(task):
    rows, y, truth = task
    model = fitted(task)
    codes = np.array([{"": -1, "ant": 0, "bee": 1, "cat": 2}[label] for label in y])
    found = propagate(rows, codes, GraphSettings(n_neighbors=10))
    assert model.transduction_.tolist() == CLASSES[found.pseudo_labels.label].tolist()
    assert np.array_equal(model.label_distributions_, found.pseudo_labels.distribution)
    assert np.array_equal(model.certainty_, found.pseudo_labels.certainty)
    assert np.array_equal(model.n_steps_, found.solution.num_steps)
    assert (model.transduction_ == truth).mean() > 0.9


def test_new_points_get_the_mix_of_their_neighbours(task):
    rows, y, truth = task
    y = np.asarray(y)
    model = fitted(task)
    new = rows + 0.01 * np.random.default_rng(1).normal(size=rows.shape)
    share = model.predict_proba(new)
    assert np.allclose(share.sum(axis=1), 1)
    assert (model.predict(new) == truth).mean() > 0.9
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    near = units @ (new[7] / np.linalg.norm(new[7]))
    best = np.argsort(-near)[:10]
    weight = np.maximum(near[best], 0) ** 3
    said = model.label_distributions_.copy()
    said[:12] = np.eye(3)[np.searchsorted(CLASSES, task[1][:12])]  # labelled rows count with their label
    by_hand = (weight[:, None] * said[best]).sum(axis=0) / weight.sum()
    assert np.allclose(share[7], by_hand, atol=1e-6)


def test_a_point_like_no_other_is_said_and_gets_the_nearest():
    model = LabelPropagationClassifier(n_neighbors=1, mode="paper").fit(np.eye(3)[[0, 0, 1, 1]] + 0.01, [0, 0, 1, 1])
    with pytest.warns(InputWarning, match="FL-E33 2 points"):
        share = model.predict_proba([[-1, -0.2, 0], [0, 0, 0]])
    assert share[0].tolist() == [0, 1]  # the given label of the nearest
    assert share[1] == pytest.approx([0.5, 0.5])


@pytest.mark.filterwarnings("ignore:FL-G24")  # 10 neighbours, where each class has 6 rows
@pytest.mark.parametrize("kind", ["cosine", "precomputed"])
def test_with_few_fitted_rows_new_points_follow_their_labelled_neighbours(kind):
    """Sixty digits, one of each labelled: at alpha = 0.99 the distributions of so small a graph are next to equal."""
    digits, truth = load_digits(return_X_y=True)
    scores = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(truth))
        fit, new = order[:60], order[60:]
        y = np.full(60, -1)
        for digit in range(10):
            y[np.flatnonzero(truth[fit] == digit)[:1]] = digit
        theirs = LabelSpreading(kernel="knn", n_neighbors=10).fit(digits[fit], y).score(digits[new], truth[new])
        if kind == "precomputed":
            near = cosine_similarity(digits, digits[fit]) ** 3
            near[near < -np.sort(-near, axis=1)[:, 10:11]] = 0
            rows, others = np.maximum(near[fit], near[fit].T), near[new]
        else:
            rows, others = digits[fit], digits[new]
        ours = LabelPropagationClassifier(n_neighbors=10, mode="paper", metric=kind).fit(rows, y)
        scores.append((ours.score(others, truth[new]), theirs))
    ours, theirs = np.mean(scores, axis=0)
    assert ours > 0.55
    assert ours > theirs - 0.01


def test_rows_that_no_label_reaches_keep_the_marker():
    angle = np.linspace(0, 1, 6)
    plane = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rows = np.block([[plane, np.zeros((6, 2))], [np.zeros((6, 2)), plane]])
    with pytest.warns(UnreachedWarning, match="FL-G1 no label reaches"):
        model = LabelPropagationClassifier(n_neighbors=2, mode="paper").fit(rows, ["a", *[""] * 4, "b", *[""] * 6])
    assert set(model.transduction_[:6]) == {"a", "b"}
    assert model.transduction_[6:].tolist() == [""] * 6
    assert model.certainty_[6:].tolist() == [0] * 6
    assert not model.reached_[6:].any()


def test_more_labels_give_what_fitting_with_them_gives(task):
    rows, y, truth = task
    model = fitted(task, tol=1e-6)
    more = y.copy()
    more[100:105] = truth[100:105]
    more[3] = ""
    model.add_labels([100, 101, 102, 103, 104, 3], [*truth[100:105], ""])
    same(model, fitted((rows, more, truth), tol=1e-6), atol=1e-4)


def test_more_labels_cost_fewer_steps_and_no_graph(task, monkeypatch):
    model = fitted(task)
    first = model.n_steps_.sum()
    monkeypatch.setattr("fewlabels.estimator.classifier.build_graph_of_rows", None)
    assert model.add_labels([100], [task[2][100]]).n_steps_.sum() < first


def test_a_new_class_may_come_with_more_labels(task):
    model = fitted(task).add_labels(np.array([50]), ["aphid"], allow_new_classes=True)
    assert model.classes_.tolist() == ["ant", "aphid", "bee", "cat"]
    assert model.transduction_[50] == "aphid"
    assert model.label_distributions_.shape == (180, 4)


def test_a_label_that_is_no_class_is_refused_and_changes_nothing(task):
    model, fresh = fitted(task), fitted(task)
    with pytest.raises(
        LabelError, match=r"FL-L34 'crow' is none of the classes 'ant', 'bee', 'cat'; 2 such rows \(7, 9\)"
    ):
        model.add_labels([9, 8, 7], ["crow", "ant", "crow"])
    same(model, fresh)


@pytest.mark.parametrize(
    ("rows", "y", "message"),
    [([180], ["ant"], "FL-L15"), ([-1], ["ant"], "FL-L15"), ([0, 1], ["ant"], "FL-L23"), ([0.5], ["ant"], "FL-L23")],
)
def test_labels_for_rows_that_are_not_there(task, rows, y, message):
    with pytest.raises(LabelError, match=message):
        fitted(task).add_labels(rows, y)


@pytest.mark.parametrize(
    "labels", [["a", "b", ""], [0, 1, -1], [0.0, 1.0, np.nan], ["a", "b", None], [True, False, None]]
)
def test_a_saved_model_is_the_same_when_loaded(task, tmp_path, labels):
    y = np.array([labels[{"": 2, "ant": 0, "bee": 1, "cat": 1}[label]] for label in task[1]], object)
    model = fitted((task[0], y if None in labels else y.astype(type(labels[0])), task[2]), gamma=2.0)
    model.save(tmp_path / "model.npz")
    loaded = LabelPropagationClassifier.load(tmp_path / "model.npz")
    same(model, loaded)
    assert loaded.get_params() == model.get_params()
    assert np.array_equal(loaded.predict_proba(task[0][:20]), model.predict_proba(task[0][:20]))
    assert loaded.add_labels([50], [labels[0]]).transduction_[50] == labels[0]


def test_columns_of_a_table_are_known_by_name_also_after_loading(task, tmp_path):
    table = pd.DataFrame(task[0], columns=[f"column {number}" for number in range(12)])
    model = fitted((table, task[1], task[2]))
    assert model.feature_names_in_.tolist() == table.columns.tolist()
    model.save(tmp_path / "model.npz")
    loaded = LabelPropagationClassifier.load(tmp_path / "model.npz")
    assert loaded.feature_names_in_.tolist() == table.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(table[table.columns[::-1]])


def test_a_file_of_parts_that_do_not_belong_together_is_refused(task, tmp_path):
    path = tmp_path / "model.npz"
    fitted(task).save(path)
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files}
    for name, change in (
        ("codes", parts["codes"][:-1]),
        ("node", parts["node"] + 1),
        ("w_indices", -parts["w_indices"]),
    ):
        np.savez(path, **(parts | {name: change}))
        with pytest.raises(RunError, match="FL-K2"):
            LabelPropagationClassifier.load(path)


def rewritten(path, change):
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files}
    facts = change(json.loads(parts.pop("facts").tobytes()))
    np.savez(path, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **parts)


def test_a_file_of_the_first_format_is_read_and_one_of_a_later_format_is_not(task, tmp_path):
    path = tmp_path / "model.npz"
    model = fitted(task)
    model.save(path)
    new = ("metric", "recall", "precision", "random_state")
    rewritten(
        path,
        lambda facts: {
            **{name: facts[name] for name in ("classes", "dtype", "marker", "num_tied")},
            "format": 1,
            "parameters": {name: value for name, value in facts["parameters"].items() if name not in new},
        },
    )
    same(model, LabelPropagationClassifier.load(path))
    rewritten(path, lambda facts: facts | {"format": 4})
    with pytest.raises(RunError, match="FL-K6 model of format 4"):
        LabelPropagationClassifier.load(path)


def test_damaged_and_foreign_files_are_refused(task, tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(RunError, match="FL-K4"):
        LabelPropagationClassifier.load(path)
    fitted(task).save(path)
    whole = path.read_bytes()
    for damage in (b"", b"x", whole[:1000], whole[:-100], whole[:2000] + b"\0" * 50 + whole[2050:]):
        path.write_bytes(damage)
        with pytest.raises(RunError, match="FL-K2"):
            LabelPropagationClassifier.load(path)
    np.savez(path, other=np.arange(3))
    with pytest.raises(RunError, match="FL-K2"):
        LabelPropagationClassifier.load(path)
    np.savez(path, facts=np.array([{"a": 1}], object))
    with pytest.raises(RunError, match="FL-K2"):
        LabelPropagationClassifier.load(path)


def test_equal_rows_are_one_neighbour_of_a_new_point():
    rows = np.array([[1, 0.5], *[[1.0, 0]] * 9, [0.2, 1], [0, 1]])
    y = [0, 0, *[-1] * 8, 1, 1]
    found = LabelPropagationClassifier(n_neighbors=2, mode="paper").fit(rows, y)
    once = LabelPropagationClassifier(n_neighbors=2, mode="paper").fit(rows[[0, 1, 10, 11]], [0, 0, 1, 1])
    assert np.allclose(found.predict_proba([[0.5, 0.6]]), once.predict_proba([[0.5, 0.6]]), atol=1e-5)


def test_bad_rows_are_named(task):
    rows = task[0].copy()
    rows[17, 3] = np.nan
    with pytest.raises(EmbeddingError, match=r"FL-E1 .*such row \(17\)"):
        fitted((rows, *task[1:]))


def test_it_works_in_a_pipeline_and_a_search_that_scores_labelled_rows(task):
    rows, y, _ = task
    pipeline = make_pipeline(StandardScaler(), LabelPropagationClassifier(n_neighbors=10, mode="paper"))
    folds = LabeledKFold(n_splits=4)
    assert cross_val_score(pipeline, rows, y, cv=folds).shape == (4,)
    search = GridSearchCV(pipeline, {"labelpropagationclassifier__gamma": [1.0, 3.0]}, cv=folds).fit(rows, y)
    assert search.best_score_ > 0.8
    assert (search.predict(rows) == task[2]).mean() > 0.9


def test_it_clones():
    model = LabelPropagationClassifier(gamma=2.0, metric="inner_product", random_state=3)
    assert clone(model).get_params() == model.get_params()


def test_folds_have_every_unlabelled_row_in_training_and_none_in_test(task):
    rows, y, _ = task
    seen = []
    for train, test in LabeledKFold(n_splits=4, shuffle=True, random_state=0).split(rows, y):
        assert (y[test] != "").all()
        assert set(train) | set(test) == set(range(180))
        assert not set(train) & set(test)
        assert sorted(set(y[test])) == CLASSES.tolist()
        seen += test.tolist()
    assert sorted(seen) == list(range(12))


def test_more_folds_than_labels_of_a_class_are_refused(task):
    with pytest.raises(LabelError, match="FL-L41 5 folds, and a class with 4 labels"):
        next(LabeledKFold(n_splits=5).split(task[0], task[1]))


@pytest.mark.parametrize("labels", [["a", "b", ""], ["a", "b", None], [0, 1, -1], [0.0, 1.0, np.nan]])
def test_labels_given_and_taken_back_leave_everything_as_it_was(task, labels):
    y = [labels[{"": 2, "ant": 0, "bee": 1, "cat": 1}[label]] for label in task[1]]
    model = fitted((task[0], y, task[2]), tol=1e-6)
    fresh = clone(model).fit(task[0], y)
    model.add_labels([50, 51], [labels[0], labels[1]]).add_labels([50, 51], [labels[2], labels[2]])
    same(model, fresh, atol=1e-4)
    assert model.classes_.dtype == fresh.classes_.dtype
    assert model.transduction_.dtype == fresh.transduction_.dtype


def test_a_model_of_a_pandas_column_with_missing_labels_is_saved(task, tmp_path):
    y = pd.Series(task[1], dtype="string").replace("", pd.NA)
    model = fitted((task[0], y, task[2]))
    model.save(tmp_path / "model.npz")
    loaded = LabelPropagationClassifier.load(tmp_path / "model.npz")
    same(model, loaded)
    assert loaded.add_labels([0], [None]).transduction_.shape == (180,)


@pytest.mark.filterwarnings("ignore:FL-C33")  # the clusters are too clear for another prior
@pytest.mark.parametrize("refinement", [Refinement(calibrate=True), Refinement(True, (0.2, 0.3, 0.5))])
def test_a_refinement_is_applied_and_saved(task, tmp_path, refinement):
    plain, model = fitted(task), fitted(task, refinement=refinement)
    assert not np.allclose(plain.label_distributions_, model.label_distributions_)
    model.save(tmp_path / "model.npz")
    loaded = LabelPropagationClassifier.load(tmp_path / "model.npz")
    assert loaded.refinement == refinement
    same(model, loaded)
    assert clone(model).refinement == refinement


ARC = np.stack([np.cos(np.linspace(0, 1, 400)), np.sin(np.linspace(0, 1, 400))], axis=1)
ENDS = np.where(np.arange(400) < 1, 0, np.where(np.arange(400) > 398, 1, -1))


@pytest.mark.parametrize("category", [ConvergenceWarning, sklearn.exceptions.ConvergenceWarning])
@pytest.mark.parametrize(
    ("more", "code"),
    [({"max_steps": 2}, "FL-G9"), ({"refinement": Refinement(prior=(0.999, 0.001))}, "FL-C33")],
)
def test_filters_of_scikit_learn_and_of_fewlabels_both_know_a_solution_cut_short(more, code, category):
    model = LabelPropagationClassifier(n_neighbors=5, mode="paper", **more)
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=category)
        with pytest.raises(category, match=code):
            model.fit(ARC, ENDS)
    with warnings.catch_warnings(action="error"):
        warnings.simplefilter("ignore", category=category)
        model.fit(ARC, ENDS)


def test_a_solution_cut_short_is_told_at_the_call_of_fit_and_of_add_labels():
    model = LabelPropagationClassifier(n_neighbors=5, mode="paper", max_steps=2)
    with pytest.warns(ConvergenceWarning, match="FL-G9") as caught:
        model.fit(ARC, ENDS).add_labels([200], [1])
    assert [one.filename for one in caught] == [__file__] * 2
