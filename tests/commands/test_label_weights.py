"""What explains and reviews a run counts labels as the run's answer did."""

import numpy as np
import pytest

from fewlabels.choosing import Auto, Choice, propagate
from fewlabels.choosing.propagate import weigh_by_degree
from fewlabels.commands.answers import find_label_weight
from fewlabels.graph import GraphSettings, PropagationSystem, explain_rows
from fewlabels.graph.label_matrix import CheckedLabels
from fewlabels.insights.compute import _check_labels, compute_insights
from fewlabels.review.engine.engine import Engine
from fewlabels.review.items import Items
from tests.choosing.cases import keep_labels, make_blobs

pytestmark = pytest.mark.filterwarnings("ignore:FL-G24")


@pytest.fixture
def answer():
    """A graph's answer whose labels count by degree: unequal numbers of labels in groups of unequal density."""
    values, classes = make_blobs(200, spread=0.5)
    labels = keep_labels(classes, 6)
    labels[np.flatnonzero(labels == 2)[1:]] = -1
    first = propagate(values, labels, Auto(n_neighbors=8, alpha=0.99)).choice
    member = {"kind": "graph", "n_neighbors": 8, "alpha": 0.99, "by_degree": True}
    kept = Choice.from_json(first.to_json() | {"members": [member]})
    found = propagate(values, labels, Auto(n_neighbors=8, alpha=0.99, kept=kept, labels_are="random"))
    return values, labels, found


def test_the_strongest_class_of_an_explanation_is_the_label_of_the_graph(answer):
    _, labels, found = answer
    graph = found.propagation
    assert found.parts[0].member.by_degree
    weight = find_label_weight(found, labels)
    why = explain_rows(graph, labels, range(200), graph.graph.settings, weight=weight)
    shares = np.array([one.class_shares for one in why])
    expected = graph.z[graph.graph.node] / graph.z[graph.graph.node].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=1e-4)
    plain = explain_rows(graph, labels, range(200), graph.graph.settings)
    assert np.abs(np.array([one.class_shares for one in plain]) - expected).max() > 0.01


def test_a_review_without_answers_says_what_the_graph_of_the_run_says(answer):
    values, labels, found = answer
    graph = found.propagation
    items = Items(
        ids=[str(at) for at in range(200)],
        class_names=["ant", "bee", "cat"],
        given=labels,
        descriptors=values,
        settings=graph.graph.settings,
        by_degree=True,
    )
    engine = Engine(items)
    np.testing.assert_array_equal(engine.propagation.pseudo_labels.label, graph.pseudo_labels.label)
    np.testing.assert_allclose(
        engine.propagation.pseudo_labels.distribution, graph.pseudo_labels.distribution, atol=1e-3
    )
    np.testing.assert_allclose(engine.why(0).class_shares, graph.pseudo_labels.distribution[0], atol=1e-3)


def test_leaving_a_label_out_is_solving_without_it(answer):
    values, labels, found = answer
    part, graph = found.parts[0], found.propagation.graph
    shown = compute_insights(found, values, labels, graph.settings, lambda row: (str(row), None))
    checked = _check_labels(found, labels, GraphSettings())
    assert shown.values["suspicious"]["num_contradicted"] == (checked.suspicion > 0).sum()
    assert part.member.by_degree
    system = PropagationSystem(graph, graph.settings)
    for number, row in enumerate(checked.rows):
        if not checked.judged[number]:
            assert labels[row] == 2  # the only label of its class
            continue
        left = labels.copy()
        left[row] = -1
        weighed = weigh_by_degree(graph, CheckedLabels(left, 3), np.ones(left.size))
        solved, _ = system.spread_by(system.solve, weighed)
        expected = found.judge_mass(solved.z[graph.node[[row]]])[0]
        np.testing.assert_allclose(checked.distribution[number], expected, atol=1e-4)
        assert checked.label[number] == expected.argmax()
