"""The classifier in mode "auto": the labels choose its settings and what answers."""

import numpy as np
import pytest

import fewlabels as fl
from fewlabels.choosing import Auto
from fewlabels.errors import ConfigError, LabelError
from fewlabels.estimator import LabelPropagationClassifier
from tests.choosing.cases import keep_labels, make_blobs


@pytest.fixture
def task():
    rows, classes = make_blobs(200, spread=0.5)
    return rows, keep_labels(classes, 6)


def test_it_says_what_propagate_says(task):
    model, answer = LabelPropagationClassifier().fit(*task), fl.propagate(*task)
    assert np.array_equal(model.label_distributions_, answer.pseudo_labels.distribution)
    assert model.choice_ == answer.choice
    new = task[0][:20] + 0.05
    assert np.array_equal(model.predict_proba(new), fl.extend(answer, task[0], new).distribution)


def test_what_is_given_is_fixed(task):
    model = LabelPropagationClassifier(n_neighbors=7).fit(*task)
    assert {member.n_neighbors for member in model.choice_.members} == {7}
    assert {member.kind for member in model.choice_.members} == {"graph"}


def test_nothing_is_chosen_for_the_papers_settings_and_for_affinities(task):
    paper = LabelPropagationClassifier(mode="paper").fit(*task)
    assert paper.choice_ is None
    found = fl.propagate(*task, fl.GraphSettings())
    assert np.array_equal(paper.label_distributions_, found.pseudo_labels.distribution)
    affinity = np.maximum(task[0] @ task[0].T, 0)
    assert LabelPropagationClassifier(metric="precomputed").fit(affinity, task[1]).choice_ is None


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_a_saved_model_answers_as_before(task, tmp_path, metric):
    model = LabelPropagationClassifier(metric=metric).fit(*task)
    model.save(tmp_path / "m.npz")
    again = LabelPropagationClassifier.load(tmp_path / "m.npz")
    assert np.array_equal(again.transduction_, model.transduction_)
    new = task[0][:20] * 1.1
    assert np.array_equal(again.predict_proba(new), model.predict_proba(new))
    assert again.choice_ == model.choice_


def test_an_answer_without_a_graph_has_no_graph(task, monkeypatch):
    monkeypatch.setattr("fewlabels.estimator.classifier.Auto", LinearAuto)
    model = LabelPropagationClassifier().fit(*task)
    assert not hasattr(model, "graph_")
    assert model.predict(task[0][:3]).shape == (3,)


class LinearAuto(Auto):
    """Auto that chooses a linear head."""

    def __init__(self, **given):
        super().__init__(**given | {"answer": "linear"})


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_a_new_row_is_answered_alike_alone_and_among_others(task, metric):
    model = LabelPropagationClassifier(metric=metric).fit(*task)
    new = task[0][:30] * np.linspace(0.5, 2, 30)[:, None]
    alone = np.concatenate([model.predict_proba(new[at : at + 1]) for at in range(30)])
    np.testing.assert_allclose(model.predict_proba(new), alone, atol=1e-9)


def test_a_weight_is_so_many_copies(task):
    rows, labels = task
    labelled = np.flatnonzero(labels >= 0)
    weight = np.ones(200)
    weight[labelled[:5]] = 3
    extra = np.repeat(labelled[:5], 2)
    copied = LabelPropagationClassifier().fit(np.concatenate([rows, rows[extra]]), np.append(labels, labels[extra]))
    weighted = LabelPropagationClassifier().fit(rows, labels, sample_weight=weight)
    np.testing.assert_allclose(weighted.label_distributions_, copied.label_distributions_[:200], atol=1e-6)


def test_a_row_of_weight_zero_is_not_there(task):
    rows, labels = task
    weight = np.ones(200)
    weight[::9] = 0
    model = LabelPropagationClassifier().fit(rows, labels, sample_weight=weight)
    assert (model.transduction_[::9] == -1).all()
    assert not model.reached_[::9].any()
    alone = LabelPropagationClassifier().fit(rows[weight > 0], labels[weight > 0], sample_weight=weight[weight > 0])
    np.testing.assert_allclose(model.label_distributions_[weight > 0], alone.label_distributions_, atol=1e-9)


@pytest.fixture
def more(task):
    """Rows that get a label later, with their labels."""
    new = np.flatnonzero(task[1] < 0)[:4]
    return new, make_blobs(200, spread=0.5)[1][new]


def test_more_labels_choose_again_where_that_is_asked_for(task, more):
    rows, labels = task
    model = LabelPropagationClassifier().fit(rows, labels).add_labels(*more, choose_again=True)
    labels = labels.copy()
    labels[more[0]] = more[1]
    whole = LabelPropagationClassifier().fit(rows, labels)
    assert np.array_equal(model.label_distributions_, whole.label_distributions_)
    assert model.choice_.num_labels == 22


def test_more_labels_keep_what_was_chosen_and_say_so(task, more, tmp_path):
    model = LabelPropagationClassifier().fit(*task)
    before = [(member.name, round(member.share, 9)) for member in model.choice_.members]
    model.save(tmp_path / "model.npz")
    model.add_labels(*more)
    assert [(member.name, round(member.share, 9)) for member in model.choice_.members] == before
    assert (model.choice_.num_labels, model.choice_.num_held_out) == (22, 22)
    assert "kept from the choice of 18 labels" in model.choice_.reason
    assert np.array_equal(model.transduction_[more[0]], more[1])
    loaded = LabelPropagationClassifier.load(tmp_path / "model.npz").add_labels(*more)
    assert np.array_equal(loaded.label_distributions_, model.label_distributions_)


@pytest.mark.parametrize("kind", ["graph", "neighbors", "mean", "linear", "gaussian", "graph_linear"])
def test_every_kind_of_answer_can_be_kept(task, kind):
    rows, labels = task
    first = fl.propagate(rows, labels, Auto(answer=kind))
    again = fl.propagate(rows, labels, Auto(kept=first.choice))
    np.testing.assert_allclose(again.pseudo_labels.distribution, first.pseudo_labels.distribution, atol=1e-9)
    assert again.choice.error == first.choice.error


def test_rows_of_one_group_are_held_out_together(task):
    rows, labels = task
    groups = np.arange(labels.size).astype(str)
    given = np.flatnonzero(labels >= 0)
    groups[given] = np.where(np.arange(given.size) % 2, "left", "right")
    model = LabelPropagationClassifier().fit(rows, labels, groups=groups)
    assert model.choice_.num_folds == 2
    assert LabelPropagationClassifier().fit(rows, labels).choice_.num_folds > 2
    with pytest.raises(LabelError, match="FL-L23"):
        LabelPropagationClassifier().fit(rows, labels, groups=groups[1:])
    with pytest.raises(ConfigError, match="FL-C120"):
        LabelPropagationClassifier(mode="paper").fit(rows, labels, groups=groups)


def test_how_labels_were_drawn_can_be_said(task):
    model = LabelPropagationClassifier(labels_are="balanced").fit(*task)
    assert (model.choice_.prior, model.choice_.asked) == ("uniform", {"labels_are": "balanced"})
    for given in (
        LabelPropagationClassifier(labels_are="even"),
        LabelPropagationClassifier(mode="paper", labels_are="random"),
    ):
        with pytest.raises(ConfigError, match="FL-C120"):
            given.fit(*task)
