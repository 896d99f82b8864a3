"""Why a row got its label: against the dense inverse of the system."""

from dataclasses import replace

import numpy as np
import pytest

from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings, explain, explain_rows, graph_from_affinity, propagate, spread
from tests.graph.cases import CASES, LABELS, ROWS, island, path

pytestmark = pytest.mark.filterwarnings("ignore::fewlabels.errors.FewlabelsWarning")


def dense_shares(found, labels, row, alpha):
    """{labelled row: share} by the definition."""
    w, node = found.graph.affinity.toarray().astype(np.float64), found.graph.node
    inverse = np.linalg.inv(np.eye(len(w)) - alpha * w)
    mass = {int(other): inverse[node[row], node[other]] for other in np.flatnonzero(labels >= 0)}
    total = sum(mass.values())
    return {other: value / total for other, value in mass.items() if value > 0} if total > 0 else {}


def explained(case, row, **settings):
    rows, labels, num_classes, k = CASES[case]
    settings = GraphSettings(n_neighbors=k, **settings)
    found = propagate(rows, labels, settings, class_names=[str(i) for i in range(num_classes)])
    return found, labels, explain(found, labels, row, settings, descriptors=rows)


@pytest.mark.parametrize("alpha", [0.5, 0.99])
@pytest.mark.parametrize("case", sorted(CASES))
def test_influences_are_those_of_the_dense_inverse(case, alpha):
    row = len(CASES[case][0]) // 2
    found, labels, why = explained(case, row, alpha=alpha)
    expected = dense_shares(found, labels, row, alpha)
    strongest = sorted(expected.items(), key=lambda item: -item[1])[:10]
    if not why.resolved:
        assert not why.influences
        return
    np.testing.assert_allclose(
        [one.share for one in why.influences], [share for _, share in strongest], rtol=1e-3, atol=1e-6
    )
    for one in why.influences:
        assert one.share == pytest.approx(expected[one.row], rel=1e-3, abs=1e-6)
        assert one.label == labels[one.row]
    assert why.class_shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("case", ["clusters", "every row twice", "contradicting labels on equal rows", "one class"])
def test_the_sum_of_each_class_is_the_distribution_of_the_row(case):
    found, _, why = explained(case, 70)
    np.testing.assert_allclose(why.class_shares, found.pseudo_labels.distribution[70], atol=1e-5)
    np.testing.assert_array_equal(why.distribution, found.pseudo_labels.distribution[70])
    assert (why.label, why.given) == (found.pseudo_labels.label[70], False)
    assert why.certainty == found.pseudo_labels.certainty[70]


def test_edges_are_the_strongest_of_the_graph_with_their_similarity():
    found, _, why = explained("clusters", 70)
    w, node = found.graph.affinity.toarray(), found.graph.node
    weights = w[node[70], node]
    expected = np.sort(weights[np.arange(90) != 70])[::-1][:10]
    np.testing.assert_allclose([edge.weight for edge in why.edges], expected)
    for edge in why.edges:
        assert edge.weight == pytest.approx(weights[edge.row])
        assert edge.share == pytest.approx(edge.weight / w[node[70]].sum())
        cosine = ROWS[70] @ ROWS[edge.row] / np.linalg.norm(ROWS[70]) / np.linalg.norm(ROWS[edge.row])
        assert edge.similarity == pytest.approx(cosine, rel=1e-5)
        assert edge.label == found.pseudo_labels.label[edge.row]
        assert edge.certainty == found.pseudo_labels.certainty[edge.row]


def test_without_descriptors_there_are_edges_without_similarity():
    rows, labels, _, k = CASES["clusters"]
    settings = GraphSettings(n_neighbors=k)
    why = explain(propagate(rows, labels, settings), labels, 70, settings)
    assert [edge.similarity for edge in why.edges] == [None] * 10


def test_rows_that_share_a_node_share_their_explanation():
    rows, labels, _, _ = CASES["every row twice"]
    settings = GraphSettings(n_neighbors=5)
    found = propagate(rows, labels, settings)
    one, other = explain_rows(found, labels, [100, 101], settings)
    assert (one.copies, other.copies) == (2, 2)
    assert one.influences == other.influences
    assert one.edges == other.edges
    assert all(edge.copies == 2 for edge in one.edges)
    labelled_copy = explain(found, np.where(np.arange(len(labels)) == 101, 0, labels), 100, settings)
    assert labelled_copy.influences[0].row == 101


def test_a_row_that_no_label_reaches_says_so_with_the_size_of_its_part():
    rows, labels = island(ROWS, LABELS)
    settings = GraphSettings(n_neighbors=5)
    why = explain(propagate(rows, labels, settings), labels, len(rows) - 1, settings)
    assert (why.label, why.certainty, why.component_size, why.component_labels) == (-1, 0, 12, 0)
    assert (why.resolved, why.influences, why.class_shares.tolist()) == (False, (), [0, 0, 0])
    assert len(why.edges) > 0


def test_a_labelled_row_is_given_and_counts_itself_first():
    _, _, why = explained("clusters", 0)
    assert (why.given, why.label, why.certainty) == (True, 0, 1)
    assert why.influences[0].row == 0


def test_a_row_too_far_from_every_label_is_not_resolved():
    rows, labels = path(1500), np.full(1500, -1)
    labels[0] = 0
    settings = GraphSettings(n_neighbors=2, alpha=0.5)
    why = explain(propagate(rows, labels, settings), labels, 1499, settings)
    assert (why.label, why.component_labels) == (0, 1)
    assert (why.resolved, why.influences) == (False, ())


def test_released_mode_weighs_each_class_by_its_size():
    rows, labels, _, k = CASES["one label against many"]
    settings = GraphSettings(n_neighbors=k, mode="released")
    found = propagate(rows, labels, settings)
    exact = propagate(rows, labels, GraphSettings(n_neighbors=k, mode="released", max_steps=500))
    why = explain(found, labels, 85, settings)
    np.testing.assert_allclose(why.class_shares, exact.pseudo_labels.distribution[85], atol=1e-5)


def test_an_isolated_row_has_no_edges():
    _, _, why = explained("one zero row", 40)
    assert (why.edges, why.influences, why.component_size) == ((), (), 1)


@pytest.mark.parametrize(("factor", "expected"), [([0, 0], [0, 0]), ([1, -1], [0.5, -0.5])])
def test_shares_of_edges_are_finite_where_their_weights_sum_to_nothing(factor, expected):
    weights = np.zeros((3, 3))
    weights[0, 1:] = weights[1:, 0] = 1
    graph, labels = graph_from_affinity(weights), np.array([-1, 0, 1])
    found = spread(graph, labels, GraphSettings())
    w = found.graph.affinity.copy()
    w.data = w.data * np.concatenate([factor, factor])  # entries that are stored and 0, or below 0
    why = explain(replace(found, graph=replace(graph, affinity=w)), labels, 0)
    assert [edge.share for edge in why.edges] == expected


@pytest.mark.parametrize("row", [-1, 90])
def test_a_row_that_is_not_there_is_refused(row):
    with pytest.raises(ConfigError, match=f"FL-C42 row {row} .* rows 0 to 89"):
        explained("clusters", row)
