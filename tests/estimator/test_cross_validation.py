"""Cross-validation that compares labelled rows only, whatever the splitter."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fewlabels.errors import InputWarning, LabelError
from fewlabels.estimator import LabeledKFold, LabelPropagationClassifier, labeled_scorer


@pytest.fixture
def task():
    rng = np.random.default_rng(0)
    truth = np.arange(120) % 3
    rows = rng.normal(size=(3, 10))[truth] + 0.4 * rng.normal(size=(120, 10))
    return rows, np.where(rng.permutation(120) < 30, truth, -1), truth


def pipeline(**more):
    return make_pipeline(
        StandardScaler(), PCA(5), LabelPropagationClassifier(**{"n_neighbors": 10, "mode": "paper"} | more)
    )


def test_score_leaves_unlabelled_rows_out(task):
    rows, y, _ = task
    model = LabelPropagationClassifier(n_neighbors=10).fit(rows, y)
    known = y != -1
    expected = (model.predict(rows[known]) == y[known]).mean()
    assert model.score(rows, y) == expected
    assert model.score(pd.DataFrame(rows), pd.Series(y)) == expected
    assert model.score(rows.tolist(), [label if label >= 0 else None for label in y]) == expected
    weight = np.arange(120.0)
    right = model.predict(rows) == y
    assert model.score(rows, y, weight) == pytest.approx((right * weight)[known].sum() / weight[known].sum())


def test_any_splitter_scores_labelled_rows_only(task):
    rows, y, _ = task
    scores = cross_val_score(pipeline(), rows, y, cv=KFold(4, shuffle=True, random_state=0))
    assert scores.mean() > 0.8
    assert cross_val_score(pipeline(), rows, y, cv=LabeledKFold(4)).mean() > 0.8


@pytest.mark.parametrize("scoring", ["accuracy", "balanced_accuracy", "f1_macro", "neg_log_loss"])
def test_other_scores_through_the_scorer(task, scoring):
    rows, y, _ = task
    folds = LabeledKFold(5)
    search = GridSearchCV(
        pipeline(), {"labelpropagationclassifier__gamma": [1.0, 3.0]}, scoring=labeled_scorer(scoring), cv=folds
    ).fit(rows, y)
    plain = GridSearchCV(pipeline(), {"labelpropagationclassifier__gamma": [1.0, 3.0]}, scoring=scoring, cv=folds)
    assert search.best_score_ == pytest.approx(plain.fit(rows, y).best_score_)  # these folds have labelled rows only
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_class_of_minus_one_is_scored_where_it_is_a_class():
    rows, y = np.eye(2)[[0, 1, 0, 1]] + 0.1, np.array([-1, 1, -1, 1])
    with pytest.warns(InputWarning, match="FL-L20"):
        model = LabelPropagationClassifier(n_neighbors=1).fit(rows, y)
    assert model.score(rows, -y) == 0
    assert labeled_scorer()(model, rows, y) == 1


def test_a_fold_of_ones_and_unlabelled_rows_is_no_problem_of_two_classes(task):
    rows, y, _ = task
    model = LabelPropagationClassifier(n_neighbors=10).fit(rows, y)
    part = (y == 1) | (y == -1)
    assert model.score(rows[part], y[part]) > 0.8


def test_nothing_to_score_is_an_error(task):
    model = LabelPropagationClassifier(n_neighbors=10).fit(task[0], task[1])
    with pytest.raises(LabelError, match="FL-L16 0 labelled of 5 rows to score"):
        model.score(task[0][:5], [-1] * 5)


def test_the_scorer_can_be_sent_to_other_processes(task):
    scorer = pickle.loads(pickle.dumps(labeled_scorer("f1_macro", unlabeled=-1)))
    assert scorer(pipeline().fit(task[0], task[1]), task[0], task[1]) > 0.8


def test_predictions_of_left_out_folds(task):
    rows, y, truth = task
    found = cross_val_predict(pipeline(), rows, y, cv=KFold(4, shuffle=True, random_state=0))
    assert (found == truth).mean() > 0.8
