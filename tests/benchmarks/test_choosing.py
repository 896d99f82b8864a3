"""The comparison of benchmarks/choosing: fair draws and folds, peers that do what their names say, paired gaps."""

import json
import re
import sys
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.semi_supervised import LabelSpreading

from benchmarks.choosing import chart, measure, tables
from benchmarks.choosing.graphs import poisson_inverse, poisson_labels, spread_labels, spreading_inverse
from benchmarks.choosing.labels import ALWAYS, draw_folds, draw_labels, enough_rows
from benchmarks.choosing.peers import gaussian_labels, projected
from benchmarks.choosing.results import Figures
from benchmarks.choosing.sets import SOURCES, Set, long_tailed, read_set
from benchmarks.choosing.task import Ready, Task
from tests import ROOT


def groups(count=3, each=40, d=6, seed=0, draw="balanced"):
    """Gaussian blobs that overlap a little."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(count), each)
    rows = 2 * rng.normal(size=(count, d))[truth] + rng.normal(size=(truth.size, d))
    return Set(rows.astype(np.float32), truth, directions=False, draw=draw)


def task_of(data, per_class=5, seed=0):
    labels = draw_labels(data, per_class, seed)
    return Task(Ready(data), labels, draw_folds(labels[labels >= 0], seed))


def test_a_balanced_draw_has_as_many_labels_of_each_class_and_they_are_true():
    data = groups()
    labels = draw_labels(data, 5, seed=3)
    assert np.bincount(labels[labels >= 0]).tolist() == [5, 5, 5]
    assert (labels[labels >= 0] == data.truth[labels >= 0]).all()
    assert (labels == draw_labels(data, 5, seed=3)).all()
    assert (labels != draw_labels(data, 5, seed=4)).any()


def test_a_draw_like_the_data_has_as_many_labels_altogether_and_one_of_each_class_at_least():
    full = groups(count=4, each=60)
    rare = np.r_[0:60, 60:120, 120:180, 180:183]
    data = Set(full.rows[rare], full.truth[rare], False, "random")
    for seed in range(10):
        sizes = np.bincount(draw_labels(data, 5, seed)[draw_labels(data, 5, seed) >= 0], minlength=4)
        assert sizes.sum() == 20
        assert sizes.min() >= 1


def test_a_cell_is_left_out_where_less_than_half_the_rows_would_stay_unlabelled():
    assert enough_rows(groups(each=40), 20)
    assert not enough_rows(groups(each=40), 21)


def test_a_long_tail_falls_to_a_tenth():
    sizes = np.bincount(long_tailed(groups(count=5, each=100), "balanced").truth)
    assert sizes[0] == 100
    assert sizes[-1] == 10
    assert (np.diff(sizes) < 0).all()


def test_folds_share_out_each_class_and_leave_single_labels_alone():
    folds = draw_folds(np.array([0, 0, 0, 0, 1, 1, 1, 2]), seed=0)
    assert sorted(folds[:4]) == [0, 0, 1, 2]
    assert sorted(folds[4:7]) == [0, 1, 2]
    assert folds[7] == ALWAYS
    assert draw_folds(np.array([0, 1, 2]), seed=0) is None
    assert set(draw_folds(np.array([0, 0, 1, 1]), seed=0)) == {0, 1}


def test_the_candidate_with_most_held_out_labels_right_is_chosen_and_the_first_of_equals():
    task = task_of(groups())
    says = {"wrong": -1, "none": -1, "zero": 0}

    def predict(name, known, asked):
        assert not set(known) & set(asked)
        return np.full(asked.size, says[name])

    assert task.choose(["wrong", "zero", "none"], predict) == "zero"
    assert task.choose(["none", "wrong"], predict) == "none"


@pytest.mark.parametrize("alpha", [0.2, 0.9])
def test_the_closed_form_labels_as_scikit_learn_s_label_spreading_does(alpha):
    data = groups()
    task = task_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = LabelSpreading(kernel="knn", n_neighbors=7, alpha=alpha, max_iter=5000, tol=1e-10)
        theirs = theirs.fit(data.rows, task.labels).transduction_
    inverse = spreading_inverse(data.rows, 7, alpha)
    assert (spread_labels(inverse, task.rows, task.given, np.arange(data.truth.size)) == theirs).all()


def test_the_closed_form_labels_as_graphlearning_s_poisson_learning_does():
    graphlearning = pytest.importorskip("graphlearning")
    data = groups()
    task = task_of(data)
    weights = graphlearning.weightmatrix.knn(data.rows, 10)
    theirs = graphlearning.ssl.poisson(weights).fit_predict(task.rows, task.given)
    ours = poisson_labels(poisson_inverse(weights), task.rows, task.given, np.arange(data.truth.size))
    assert np.mean(ours == theirs) >= 0.98  # a thousandth of each degree is added here


def test_the_gaussian_head_is_the_shrunk_covariance_s():
    data = groups(d=20)
    task = task_of(data)
    x, given = data.rows[task.rows].astype(np.float64), task.given
    means = np.stack([x[given == one].mean(axis=0) for one in range(3)])
    apart = x - means[given]
    shrunk = apart.T @ apart + (apart**2).sum() / (len(x) - 1) * np.eye(20)
    weights = 20 * means @ np.linalg.inv(shrunk)
    expected = (data.rows @ weights.T - (weights * means).sum(axis=1) / 2 + np.log(1 / 3)).argmax(axis=1)
    assert (gaussian_labels(data.rows, task.rows, given, np.arange(len(data.rows))) == expected).all()


def test_logistic_regression_in_the_space_of_the_labelled_rows_is_the_same():
    data = groups(d=50)
    task = task_of(data)
    here, everywhere = projected(task, "raw")
    assert here.shape == (15, 15)
    x = task.ready.features["raw"]
    fits = [
        LogisticRegression(tol=1e-8, max_iter=5000).fit(known, task.given).predict_proba(all_rows)
        for known, all_rows in ((here, everywhere), (x[task.rows], x))
    ]
    np.testing.assert_allclose(*fits, atol=1e-4)


def test_rows_without_a_label_count_as_wrong_and_labelled_rows_do_not_count():
    truth, found = np.array([0, 0, 0, 1]), np.array([0, 0, -1, 1])
    assert measure.rates(found, truth, np.array([False, True, True, True])) == (66.667, 75.0)


def line(seed, **accuracies):
    figures = {name.replace("_", " "): [value, value, 0.1] for name, value in accuracies.items()}
    shape = {"rows": 1797, "features": 64, "classes": 10, "smallest": 174, "largest": 183}
    about = {"recipe": measure.RECIPE, "commit": "abc", "cpu": "one", "shape": shape}
    return {"set": "digits", "per_class": 5, "seed": seed, "methods": figures, **about}


LINES = [line(0, auto=90, paper=80, nearest_mean=91), line(1, auto=94, paper=80, nearest_mean=97)]


def test_differences_are_paired_over_the_draws_that_both_have():
    figures = Figures([*LINES, line(2, auto=50)])
    gap = figures.best_peer(("digits", 5), "accuracy")
    assert (gap.other, gap.mean, gap.draws) == ("nearest mean", -2, 2)
    assert gap.error == pytest.approx(1)


def test_draws_of_auto_by_earlier_code_do_not_mix_with_those_of_the_last():
    later = {**line(0, auto=70), "commit": "def"}
    assert Figures([*LINES, later]).draws(("digits", 5), "auto", "accuracy").tolist() == [70]


def test_the_table_names_losses_and_the_chart_draws(tmp_path, monkeypatch):
    results = tmp_path / "choosing.jsonl"
    worse = [line(seed, auto=90 + seed / 10, nearest_mean=93) for seed in range(3)]
    results.write_text("\n".join(json.dumps(one) for one in worse))
    monkeypatch.setattr(sys, "argv", ["tables", "--results", str(results)])
    tables.main()
    text = results.with_suffix(".md").read_text()
    assert "beyond the standard error in 1: digits at 5 (-2.9, nearest mean)." in text
    monkeypatch.setattr(sys, "argv", ["chart", "--results", str(results), "--output", str(tmp_path)])
    chart.main()
    assert (tmp_path / "choosing.svg").stat().st_size > 0


def test_a_run_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    results = tmp_path / "choosing.jsonl"
    base = ["measure", "--sets", "wine", "--per-class", "2", "--results", str(results)]
    methods = ["--methods", "nearest mean", "Gaussian head"]
    for more in (["--seeds", "0", *methods], ["--seeds", "0", "1", *methods], ["--seeds", "0", "1", *methods]):
        monkeypatch.setattr(sys, "argv", [*base, *more])
        measure.main()
    found = [json.loads(text) for text in results.read_text().splitlines()]
    assert [one["seed"] for one in found] == [0, 1]
    assert set(found[0]["methods"]) == {"nearest mean", "Gaussian head"}
    assert all(0 < figures[0] <= 100 for one in found for figures in one["methods"].values())


def test_every_table_comes_with_standardised_columns_and_every_image_as_it_is():
    wine, digits = read_set("wine"), read_set("digits")
    np.testing.assert_allclose(wine.rows.std(axis=0), 1, rtol=1e-5)
    assert digits.rows.max() == 16
    assert SOURCES["digits"].kind == "images"


def test_every_package_whose_data_are_read_is_pinned_by_its_hash():
    lines = (ROOT / "benchmarks" / "choosing" / "packages.txt").read_text().splitlines()
    packages = [text for text in lines if not text.startswith(("#", "--"))]
    assert len(packages) == 5
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", text) for text in packages)
