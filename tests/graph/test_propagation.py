"""The whole graph core: every case against a dense float64 solve, and what must not matter."""

import hashlib
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings, strategies
from threadpoolctl import threadpool_limits

from fewlabels.errors import (
    ConvergenceWarning,
    EmbeddingError,
    FewlabelsWarning,
    GraphError,
    InputWarning,
    LabelError,
    UnreachedWarning,
)
from fewlabels.graph import GraphSettings, build_graph, propagate, spread
from tests.graph import reference
from tests.graph.cases import CASES, LABELS, ROWS, clusters, island, path

TIGHT = 1e-10


def propagated(rows, labels, k=10, **more):
    """propagate, with the warnings that the odd cases give switched off: they have tests of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewlabelsWarning)
        return propagate(rows, labels, GraphSettings(n_neighbors=k, **more))


def sound(result):
    """What holds for every result whatever came in."""
    found = result.pseudo_labels
    assert np.isfinite(found.distribution).all()
    assert np.allclose(found.distribution.sum(axis=1), 1, atol=1e-6)
    assert (found.distribution >= 0).all()
    assert ((found.certainty >= 0) & (found.certainty <= 1)).all()
    assert (found.label[found.reached] >= 0).all()
    assert (found.label[~found.reached] == -1).all()
    assert (found.certainty[~found.reached] == 0).all()
    assert np.isfinite(found.class_weight).all()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("alpha", [0.5, 0.99])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_every_case_matches_the_dense_solve(name, alpha, precision):
    rows, labels, classes, k = CASES[name]
    result = propagated(rows, labels, k, alpha=alpha, tol=TIGHT, precision=precision)
    sound(result)
    label, certainty, z, reached = reference.paper(rows, labels, classes, k, alpha=alpha)
    found = result.pseudo_labels
    assert (found.reached == (reached | (labels >= 0))).all()
    top = np.sort(z, axis=1)[:, ::-1]
    clear = (top[:, 0] - top[:, 1] > 1e-5 * top[:, 0]) if classes > 1 else np.ones(len(rows), bool)
    assert (found.label == label)[clear | ~reached].all()
    resolved = reached & (top[:, 0] > 1e-3 * TIGHT / 1e-5)  # beyond, values are below the solver's error, and filled
    assert np.abs(found.certainty - certainty)[resolved].max(initial=0) < 1e-4


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_every_case_gives_a_sound_result_in_both_modes(name, mode, precision):
    rows, labels, _, k = CASES[name]
    sound(propagated(np.abs(rows), labels, k, mode=mode, precision=precision))


@pytest.mark.parametrize("length", [30, 120, 300, 600])
def test_labels_travel_the_whole_of_a_path_and_meet_in_the_middle(length):
    labels = np.full(length, -1)
    labels[[0, -1]] = [0, 1]
    found = propagated(path(length), labels, 2).pseudo_labels
    assert found.reached.all()
    middle = length // 2
    assert (found.label[: middle - 1] == 0).all()
    assert (found.label[middle + 1 :] == 1).all()


def test_one_label_reaches_the_far_end_of_a_path():
    labels = np.full(400, -1)
    labels[0] = 0
    assert propagated(path(400), labels, 2).pseudo_labels.reached.all()


@pytest.mark.parametrize("name", ["clusters", "an island", "every row k times", "one zero row", "100 classes"])
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_does_not_matter(name, seed):
    rows, labels, _, k = CASES[name]
    order = np.random.default_rng(seed).permutation(len(rows))
    plain = propagated(rows, labels, k, tol=TIGHT).pseudo_labels
    mixed = propagated(rows[order], labels[order], k, tol=TIGHT).pseudo_labels
    assert np.allclose(plain.distribution[order], mixed.distribution, atol=1e-6)
    assert (plain.reached[order] == mixed.reached).all()


@pytest.mark.parametrize("name", ["clusters", "an island", "100 classes"])
def test_the_numbering_of_classes_does_not_matter(name):
    rows, labels, classes, k = CASES[name]
    swap = np.random.default_rng(0).permutation(classes)
    plain = propagated(rows, labels, k).pseudo_labels
    other = propagated(rows, np.where(labels >= 0, swap[labels], -1), k).pseudo_labels
    assert np.allclose(plain.distribution, other.distribution[:, swap], atol=1e-6)


@pytest.mark.parametrize("times", [2, 5, 20])
def test_copies_of_the_whole_data_set_change_nothing(times):
    plain = propagated(ROWS, LABELS).pseudo_labels
    copied = propagated(np.tile(ROWS, (times, 1)), np.tile(LABELS, times)).pseudo_labels
    assert np.allclose(np.tile(plain.distribution, (times, 1)), copied.distribution, atol=1e-9)
    assert (np.tile(plain.label, times) == copied.label).all()


def test_the_length_of_descriptors_does_not_matter():
    scaled = ROWS * np.random.default_rng(0).uniform(1e-30, 1e30, (90, 1))
    assert np.allclose(propagated(ROWS, LABELS).z, propagated(scaled, LABELS).z, atol=1e-5)


def test_an_island_changes_nothing_for_the_others():
    plain, wide = propagated(ROWS, LABELS, 5), propagated(*island(ROWS, LABELS), 5)
    assert (plain.pseudo_labels.label == wide.pseudo_labels.label[:90]).all()
    assert np.allclose(plain.pseudo_labels.certainty, wide.pseudo_labels.certainty[:90], atol=1e-9)
    assert wide.graph.num_components == plain.graph.num_components + 1


def test_threads_do_not_matter():
    rows, labels = clusters(2000, 5, 32, 4, 0.8)
    with threadpool_limits(1):
        one = propagated(rows, labels).pseudo_labels
    with threadpool_limits(2):
        two = propagated(rows, labels).pseudo_labels
    assert (one.label == two.label).all()
    assert np.allclose(one.certainty, two.certainty, atol=1e-6)


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_the_arguments_are_not_changed(mode):
    rows, labels = np.abs(ROWS).astype(np.float32), LABELS.copy()
    before = [hashlib.sha256(array.tobytes()).digest() for array in (rows, labels)]
    for array in (rows, labels):
        array.setflags(write=False)
    propagated(rows, labels, mode=mode)
    assert before == [hashlib.sha256(array.tobytes()).digest() for array in (rows, labels)]


def test_rows_that_no_label_reaches_are_counted_in_one_warning():
    rows, labels = island(*island(ROWS, LABELS, 12), 7)
    with pytest.warns(UnreachedWarning, match=r"FL-G1 no label reaches 19 of 109 rows, in 2 parts .*: 12, 7\)") as w:
        propagate(rows, labels, GraphSettings(n_neighbors=4))
    assert len(w) == 1


def test_a_solver_stopped_early_is_told_with_what_to_do():
    with pytest.warns(ConvergenceWarning, match=r"FL-G9 3 of 3 classes stopped at 2 steps .* raise max_steps"):
        propagate(ROWS, LABELS, GraphSettings(n_neighbors=10, max_steps=2))


def test_contradicting_labels_on_equal_rows_stay_and_their_neighbours_get_the_mix():
    rows, labels, _, k = CASES["contradicting labels on equal rows"]
    result = propagated(rows, labels, k)
    assert result.pseudo_labels.label[[88, 89]].tolist() == [1, 0]
    assert result.graph.node[88] == result.graph.node[89]
    assert (result.z[result.graph.node[88]][:2] > 0.9).all()


def test_equal_rows_share_a_node_in_paper_mode_only():
    rows, labels, _, k = CASES["every row twice"]
    assert len(set(propagated(rows, labels, k).graph.node)) == 90
    assert len(set(propagated(np.abs(rows), labels, k, mode="released").graph.node)) == 180


def test_a_labelled_zero_row_keeps_its_label_and_an_unlabelled_one_stays_unreached():
    rows, labels = ROWS.copy(), LABELS.copy()
    rows[[0, 50]] = 0
    found = propagated(rows, labels).pseudo_labels
    assert (found.label[0], found.certainty[0], found.reached[0]) == (LABELS[0], 1, True)
    assert (found.label[50], found.certainty[50], found.reached[50]) == (-1, 0, False)


def test_many_zero_rows_are_refused_unless_allowed():
    rows = np.concatenate([ROWS, np.zeros((11, 6))])
    labels = np.concatenate([LABELS, np.full(11, -1)])
    with pytest.raises(EmbeddingError, match="FL-E4 11 of 101 descriptors are all zeros") as caught:
        propagate(rows, labels, GraphSettings(n_neighbors=10))
    assert caught.value.rows == list(range(90, 101))
    assert (~propagated(rows, labels, max_zero_share=0.2).pseudo_labels.reached).sum() == 11


def test_a_class_without_a_label_is_an_error_that_names_it_or_gets_nothing():
    gap = np.where(LABELS == 1, -1, LABELS)
    with pytest.raises(LabelError, match=r"FL-L18 class 1 \('bee'\) has no labelled row"):
        propagate(ROWS, gap, class_names=["ant", "bee", "cat"])
    with pytest.raises(LabelError, match="FL-L18 class 1 has no"):
        propagate(ROWS, gap)
    with pytest.raises(LabelError, match=r"class 3 \('d'\) and 1 other classes have no"):
        propagate(ROWS, LABELS, class_names=["a", "b", "c", "d", "e"])
    found = propagated(ROWS, gap, allow_empty_classes=True).pseudo_labels
    assert set(found.label) == {0, 2}
    assert found.class_weight[1] == 0


def test_an_absurd_class_number_is_refused_without_room_for_so_many_classes():
    labels = LABELS.copy()
    labels[1] = 10**12
    with pytest.raises(LabelError, match="FL-L18 class 3 and 999999999996 other classes have no"):
        propagate(ROWS, labels)
    with pytest.raises(
        LabelError, match="FL-L40 labels range from -1 to 1000000000000, expected -1 to 9999999; 1 such"
    ):
        propagate(ROWS, labels, GraphSettings(allow_empty_classes=True))


def test_one_class_alone_is_warned_of():
    with pytest.warns(InputWarning, match="FL-L17"):
        found = propagate(ROWS, np.where(LABELS >= 0, 0, -1), GraphSettings(n_neighbors=10))
    assert (found.pseudo_labels.certainty == 1).all()


@pytest.mark.parametrize(
    ("labels", "code", "fragment"),
    [
        (np.full(90, -1), "FL-L16", "0 labelled of 90"),
        (LABELS[:80], "FL-L23", r"\(80,\).*90"),
        (LABELS[:, None], "FL-L23", r"\(90, 1\)"),
        (LABELS.astype(float), "FL-L22", "float64"),
        (np.array(["a"] * 90), "FL-L22", "<U1"),
        (LABELS == 0, "FL-L22", "bool"),
        (LABELS - 1, "FL-L40", "-2 to 1"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels, code, fragment):
    with pytest.raises(LabelError, match=fragment) as caught:
        propagate(ROWS, labels)
    assert caught.value.code == code


def test_the_largest_unsigned_label_is_not_taken_for_unlabelled():
    labels = np.where(LABELS < 0, 0, LABELS).astype(np.uint64)
    labels[5] = 2**64 - 1
    with pytest.raises(LabelError, match="FL-L18"):
        propagate(ROWS, labels)


def test_a_label_beyond_the_class_names_is_refused():
    with pytest.raises(LabelError, match="FL-L40 labels range from -1 to 2, expected -1 to 1"):
        propagate(ROWS, LABELS, class_names=["a", "b"])


def test_the_stages_are_named_as_they_start():
    stages = []
    propagate(ROWS, LABELS, GraphSettings(n_neighbors=10), on_progress=lambda stage, share: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["neighbors", "affinity", "solve", "pseudo_labels"]


@settings(max_examples=60)
@given(
    seed=strategies.integers(0, 10**6),
    sizes=strategies.lists(strategies.integers(2, 9), min_size=1, max_size=6),
    labelled=strategies.lists(strategies.booleans(), min_size=6, max_size=6),
    k=strategies.integers(1, 12),
)
def test_reached_is_exactly_what_is_connected_to_a_label(seed, sizes, labelled, k):
    rng = np.random.default_rng(seed)
    rows = np.zeros((sum(sizes), 2 * len(sizes)))
    labels = np.full(len(rows), -1)
    start = 0
    for number, size in enumerate(sizes):  # groups in directions of their own: no edges between them
        rows[start : start + size, 2 * number : 2 * number + 2] = rng.uniform(0.1, 1, (size, 2))
        if labelled[number] or number == 0:
            labels[start] = number % 2
        start += size
    labels[0] = 0
    result = propagated(rows, labels, k, allow_empty_classes=True)
    sound(result)
    part = reference.components(result.graph.affinity.toarray())[result.graph.node]
    assert (result.pseudo_labels.reached == np.isin(part, part[labels >= 0])).all()


@settings(max_examples=60)
@given(seed=strategies.integers(0, 10**6), n=strategies.integers(1, 40), d=strategies.integers(1, 5))
def test_odd_small_input_gives_a_sound_result(seed, n, d):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-2, 3, (n, d)) * 10.0 ** rng.integers(-30, 31, (n, 1))
    labels = np.where(rng.random(n) < 0.3, rng.integers(0, 3, n), -1)
    labels[0] = 0
    for mode in ("paper", "released"):
        sound(propagated(np.abs(rows), labels, 3, mode=mode, allow_empty_classes=True, max_zero_share=1.0))


def test_the_two_halves_give_what_the_whole_gives():
    whole = propagated(ROWS, LABELS)
    settings = GraphSettings(n_neighbors=10)
    halves = spread(build_graph(ROWS, settings), LABELS, settings)
    assert np.array_equal(halves.z, whole.z)
    assert np.array_equal(halves.pseudo_labels.certainty, whole.pseudo_labels.certainty)


@pytest.mark.parametrize("form", [sp.csr_array, sp.coo_matrix])
def test_a_graph_of_sparse_rows_is_that_of_the_same_dense_ones(form):
    settings = GraphSettings(n_neighbors=10)
    graph, dense = build_graph(form(ROWS), settings), build_graph(ROWS, settings)
    assert (graph.affinity != dense.affinity).nnz == 0
    assert graph.rows_digest == dense.rows_digest


def test_one_more_label_from_the_last_solution_takes_fewer_steps_to_the_same_answer():
    settings = GraphSettings(n_neighbors=10)
    graph = build_graph(ROWS, settings)
    before = spread(graph, LABELS, settings)
    more = LABELS.copy()
    more[np.flatnonzero(more < 0)[5]] = 1
    cold, warm = spread(graph, more, settings), spread(graph, more, settings, start=before.solution.x)
    assert warm.solution.num_steps.sum() < cold.solution.num_steps.sum()
    assert np.allclose(warm.z, cold.z, atol=1e-4)
    assert np.array_equal(warm.pseudo_labels.label, cold.pseudo_labels.label)


@pytest.mark.parametrize("shape", [(90, 1), (90, 4), (89, 3), (3,)])
def test_a_start_of_another_shape_is_refused(shape):
    graph = build_graph(ROWS, GraphSettings(n_neighbors=10))
    with pytest.raises(GraphError, match=r"FL-G12 start has shape .*, expected \(90, 3\)"):
        spread(graph, LABELS, start=np.zeros(shape))


@pytest.mark.parametrize(
    ("weight", "fragment"),
    [
        (np.ones(91), r"shape \(91,\)"),
        (np.ones((90, 1)), r"shape \(90, 1\)"),
        (np.where(np.arange(90) == 7, -1, 1), r"negative.*row \(7\)"),
        (np.where(np.arange(90) == 7, np.nan, 1), r"NaN.*row \(7\)"),
    ],
)
def test_a_weight_that_cannot_be_used_is_refused(weight, fragment):
    graph = build_graph(ROWS, GraphSettings(n_neighbors=10))
    with pytest.raises(LabelError, match="FL-L43 weight .*" + fragment):
        spread(graph, LABELS, weight=weight)


def test_a_result_is_shown_in_a_line():
    assert repr(propagated(ROWS, LABELS)) == "Propagation(90 rows, 90 reached, 90 nodes, 3 classes)"


def test_lists_are_taken_as_arrays_are():
    rows, labels = [[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]], [0, -1, 1, -1]
    found = propagate(rows, labels, GraphSettings(n_neighbors=1))
    assert found.pseudo_labels.label.tolist() == [0, 0, 1, 1]
