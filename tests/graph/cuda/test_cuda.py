"""The graph core in torch gives what the CPU's gives: on torch's CPU device everywhere, on a GPU where there is one."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from fewlabels import graph as host
from fewlabels.errors import (
    ConfigError,
    ConvergenceWarning,
    EmbeddingError,
    FewlabelsWarning,
    GraphError,
    InputWarning,
    LabelError,
    NumericsError,
    StorageError,
    UnreachedWarning,
)
from fewlabels.graph import GraphSettings, comparable_rows
from fewlabels.graph.rows import distinct_rows
from tests.graph import reference
from tests.graph.cases import CASES, LABELS, ROWS, clusters, island, path

torch = pytest.importorskip("torch")
from fewlabels.graph import cuda  # noqa: E402
from fewlabels.graph.cuda import candidates as cuda_candidates  # noqa: E402
from fewlabels.graph.cuda import graph as cuda_graph  # noqa: E402
from fewlabels.graph.cuda import neighbors as cuda_neighbors  # noqa: E402
from fewlabels.graph.cuda import rows as cuda_rows  # noqa: E402
from fewlabels.graph.cuda import solver as cuda_solver  # noqa: E402

EXACT = {"precision": "double", "recall": "exact"}
ENOUGH = [name for name, (rows, *_, k) in CASES.items() if len(rows) > k and (rows != 0).any(axis=1).all()]


def quiet(function, *arguments, **more):
    """The odd cases give warnings, which have tests of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewlabelsWarning)
        return function(*arguments, **more)


def dense(graph):
    """W between rows: the numbers of the nodes are the graph's own affair."""
    return graph.affinity.toarray()[graph.node][:, graph.node]


def agree(found, expected, tolerance=1e-5):
    """Labels are equal but where the exact answer is a tie, which rounding settles."""
    top = np.sort(expected.distribution, axis=1)[:, ::-1]
    tied = expected.reached & (top[:, 1] > top[:, 0] - 1e-9) if top.shape[1] > 1 else np.zeros(len(top), bool)
    assert (found.label == expected.label)[~tied].all()
    assert (found.reached == expected.reached).all()
    assert np.abs(found.distribution - expected.distribution).max() < tolerance
    assert np.abs(found.certainty - expected.certainty).max() < tolerance
    assert tied.any() or np.allclose(found.class_weight, expected.class_weight)


@pytest.mark.parametrize("name", ENOUGH)
def test_the_neighbours_are_those_of_the_definition(name, device):
    rows, *_, k = CASES[name]
    units = comparable_rows(rows)
    found = cuda.nearest_neighbors(units, k, device=device)
    assert (found.index == reference.neighbours(units, k)).all()
    assert (found.index == host.nearest_neighbors(units, k).index).all()
    assert np.abs(found.similarity - host.nearest_neighbors(units, k).similarity).max() < 1e-6


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
@pytest.mark.parametrize("kind", ["random", "crowded", "few values", "lengths apart"])
def test_many_rows_have_the_neighbours_of_the_definition(kind, metric, device):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 12))
    if kind == "crowded":  # more rows within float32 errors of each other than are fetched
        rows = rows[np.arange(3000) % 20] + 1e-7 * rows
    elif kind == "few values":
        rows = np.sign(rows) * (np.abs(rows) > 0.7)
        rows[~rows.any(axis=1)] = 1
    elif kind == "lengths apart":
        rows *= 10.0 ** rng.integers(-12, 3, (3000, 1))
    comparable = comparable_rows(rows, metric)
    found = cuda.nearest_neighbors(comparable, 15, device=device)
    near = np.rint(comparable.astype(np.float64) @ comparable.astype(np.float64).T * 2.0**40)
    np.fill_diagonal(near, -np.inf)
    assert (found.index == np.argsort(-near, axis=1, kind="stable")[:, :15]).all()


def test_long_input_goes_in_blocks_and_by_groups_of_columns(device, monkeypatch):
    rows = comparable_rows(np.random.default_rng(1).normal(size=(2500, 8)))
    whole = cuda.nearest_neighbors(rows, 5, device=device)
    for name in (cuda_rows, cuda_neighbors):
        monkeypatch.setattr(name, "block_bytes", lambda device: 2_000_000)
    blocked = cuda.nearest_neighbors(rows, 5, device=device)
    for name in (cuda_candidates, cuda_neighbors):
        monkeypatch.setattr(name, "GROUP", 1)
    plain = cuda.nearest_neighbors(rows, 5, device=device)
    for found in (blocked, plain):
        assert (found.index == whole.index).all()
        assert (found.similarity == whole.similarity).all()


@pytest.mark.parametrize(("n", "k"), [(1, 0), (2, 1), (5, 4)])
def test_with_too_few_rows_all_others_are_neighbours_and_a_warning_says_so(n, k, device):
    with pytest.warns(InputWarning, match=f"FL-E7 n_neighbors is 50, and a row has only {k} others"):
        assert cuda.nearest_neighbors(comparable_rows(ROWS[:n]), 50, device=device).index.shape == (n, k)


def test_a_zero_row_has_no_neighbours_and_is_nobodys(device):
    rows = ROWS.copy()
    rows[[3, 50]] = 0
    found = cuda.nearest_neighbors(comparable_rows(rows), 10, device=device)
    assert (found.index[[3, 50]] == -1).all()
    assert not np.isin(np.delete(found.index, [3, 50], axis=0), [-1, 3, 50]).any()


@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("name", CASES)
def test_every_case_agrees_with_the_host(name, mode, device):
    rows, labels, _, k = CASES[name]
    rows = np.abs(rows) if mode == "released" else rows
    settings = GraphSettings(n_neighbors=k, mode=mode, tol=1e-10, **EXACT)
    found = quiet(cuda.propagate, rows, labels, settings, device=device)
    expected = quiet(host.propagate, rows, labels, settings)
    assert np.allclose(dense(found.graph), dense(expected.graph), atol=1e-7)
    assert found.graph.num_components == expected.graph.num_components
    agree(found.pseudo_labels, expected.pseudo_labels)
    if mode == "released":
        assert (found.solution.num_steps == expected.solution.num_steps).all()
    assert (found.solution.converged == expected.solution.converged).all()


@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("name", ["clusters", "an island", "one zero row", "every row twice", "100 classes"])
def test_single_precision_gives_the_labels_of_double(name, mode, device):
    rows, labels, _, k = CASES[name]
    settings = GraphSettings(n_neighbors=k, mode=mode, precision="single")
    found = quiet(cuda.propagate, np.abs(rows), labels, settings, device=device)
    expected = quiet(host.propagate, np.abs(rows), labels, GraphSettings(n_neighbors=k, mode=mode, **EXACT))
    assert found.graph.affinity.dtype == np.float32
    agree(found.pseudo_labels, expected.pseudo_labels, 1e-4)
    assert mode == "released" or found.solution.converged.all()


def test_negative_similarities_are_kept_in_released_mode(device):
    rows, labels = clusters(100, 4, 5, 4, 0.4)
    settings = GraphSettings(n_neighbors=30, mode="released", **EXACT)
    found = cuda.propagate(rows, labels, settings, device=device)
    assert (found.graph.affinity.data < 0).any()
    agree(found.pseudo_labels, host.propagate(rows, labels, settings).pseudo_labels)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.int64, bool])
def test_a_tensor_gives_what_the_array_gives(kind, device):
    rows = (ROWS > -1 if kind is bool else ROWS * 20).astype(kind)
    settings = GraphSettings(n_neighbors=10, **EXACT)
    from_array = cuda.propagate(rows, LABELS, settings, device=device)
    tensor, labels = torch.tensor(rows, device=device), torch.tensor(LABELS, device=device)
    from_tensor = cuda.propagate(tensor, labels, settings)
    agree(from_tensor.pseudo_labels, from_array.pseudo_labels, 1e-7)
    assert (from_tensor.graph.node == from_array.graph.node).all()


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_rows_of_a_tensor_are_scaled_like_those_of_an_array(metric, device):
    rows = np.random.default_rng(0).normal(size=(200, 37)) * 10.0 ** np.arange(-300, 300, 3)[:, None]
    rows[5] = 0
    expected = comparable_rows(rows, metric)
    found = cuda_rows.comparable_rows(torch.tensor(rows, device=device), metric, torch.device(device)).cpu().numpy()
    assert np.allclose(found, expected, rtol=2e-7, atol=0)


def test_a_tensor_that_asks_for_gradients_or_bfloat16_is_taken_as_it_is_and_not_changed(device):
    rows = torch.tensor(ROWS, dtype=torch.bfloat16, device=device, requires_grad=True)
    before = rows.detach().clone()
    found = cuda.propagate(rows, LABELS, GraphSettings(n_neighbors=10))
    agree(
        found.pseudo_labels,
        cuda.propagate(before.float().cpu().numpy(), LABELS, GraphSettings(n_neighbors=10), device="cpu").pseudo_labels,
    )
    assert torch.equal(rows, before)
    assert rows.grad is None


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (torch.ones(3), "FL-E9"),
        (torch.ones(0, 4), "FL-E8"),
        (torch.ones(2, 2, dtype=torch.complex64), "FL-E10"),
        (torch.tensor([[1.0, 2], [3, float("nan")]]), "FL-E1"),
        (torch.tensor([[1.0, 2], [3, -float("inf")]]), "FL-E1"),
        (torch.zeros(100, 2), "FL-E4"),
    ],
)
def test_tensors_that_cannot_be_used_are_refused_like_arrays(rows, code, device):
    with pytest.raises(EmbeddingError) as caught:
        cuda.build_graph(rows.to(device))
    assert caught.value.code == code
    assert caught.value.rows == {"FL-E1": [1], "FL-E4": list(range(100))}.get(code, [])


def test_labels_that_cannot_be_used_are_refused_before_the_search(device):
    stages = []
    with pytest.raises(LabelError, match="FL-L18"):
        cuda.propagate(
            ROWS,
            np.where(LABELS == 1, -1, LABELS),
            device=device,
            on_progress=lambda stage, share: stages.append(stage),
        )
    assert stages == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["clusters", "an island", "every row k times", "one zero row"])
def test_the_order_of_rows_does_not_matter(name, seed, device):
    rows, labels, _, k = CASES[name]
    order = np.random.default_rng(seed).permutation(len(rows))
    settings = GraphSettings(n_neighbors=k, tol=1e-10, precision="double")
    plain = quiet(cuda.propagate, rows, labels, settings, device=device).pseudo_labels
    mixed = quiet(cuda.propagate, rows[order], labels[order], settings, device=device).pseudo_labels
    assert np.allclose(plain.distribution[order], mixed.distribution, atol=1e-6)
    assert (plain.reached[order] == mixed.reached).all()


def test_equal_rows_are_found_whatever_their_hashes(device, monkeypatch):
    values = np.random.default_rng(0).integers(0, 2, (300, 6)).astype(np.float32) * np.float32(-0.5)
    rows = torch.tensor(values, device=device)  # with negative zeros and all-zero rows
    by_hash = [part.cpu().numpy() for part in cuda_rows.find_distinct(rows)]
    expected = distinct_rows(values, values.any(axis=1))
    monkeypatch.setattr(cuda_rows, "_hash_rows", lambda rows: torch.zeros(300, dtype=torch.int64, device=device))
    all_collide = [part.cpu().numpy() for part in cuda_rows.find_distinct(rows)]
    for found in (by_hash, all_collide):
        assert (found[0] == expected[0]).all()
        assert (found[1] == expected[1]).all()
    assert len(set(expected[1])) < 100


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_classes_in_blocks_give_the_same(mode, device, monkeypatch):
    rows, labels, _, k = CASES["100 classes"]
    settings = GraphSettings(n_neighbors=k, mode=mode, **EXACT)
    whole = quiet(cuda.propagate, np.abs(rows), labels, settings, device=device)
    monkeypatch.setattr(cuda_solver, "block_bytes", lambda device: 2 * 400 * 8 * 7)  # seven classes at a time
    widths = [part.stop - part.start for part in cuda_solver.class_blocks(800, 100, torch.zeros(1, dtype=torch.double))]
    assert widths == [1] * 100 or max(widths) < 10
    blocked = quiet(cuda.propagate, np.abs(rows), labels, settings, device=device)
    assert np.allclose(blocked.solution.x, whole.solution.x, atol=1e-10)
    assert (blocked.solution.num_steps == whole.solution.num_steps).all()
    agree(blocked.pseudo_labels, whole.pseudo_labels, 1e-9)


def test_labels_weigh_what_they_weigh_on_the_host(device):
    settings, weight = GraphSettings(n_neighbors=10, **EXACT), np.linspace(0, 2, 90)
    graph = host.build_graph(ROWS, settings)
    found = cuda.spread(graph, LABELS, settings, device=device, weight=weight)
    expected = host.spread(graph, LABELS, settings, weight=weight)
    agree(found.pseudo_labels, expected.pseudo_labels)
    assert np.abs(found.z - cuda.spread(graph, LABELS, settings, device=device).z).max() > 0.1
    with pytest.raises(LabelError, match="FL-L43"):
        cuda.spread(graph, LABELS, settings, device=device, weight=-weight)


def test_equal_rows_with_different_labels_are_told(device):
    rows, labels, _, k = CASES["contradicting labels on equal rows"]
    with pytest.warns(InputWarning, match="FL-G15 equal rows with different labels.*88 and 89") as caught:
        cuda.propagate(rows, labels, GraphSettings(n_neighbors=k), device=device)
    assert caught[0].filename == __file__


def test_a_warm_start_takes_fewer_steps_to_the_same_answer(device):
    settings = GraphSettings(n_neighbors=10, precision="double")
    graph = cuda.build_graph(ROWS, settings, device=device)
    before = cuda.spread(graph, LABELS, settings, device=device)
    more = LABELS.copy()
    more[np.flatnonzero(more < 0)[5]] = 1
    cold = cuda.spread(graph, more, settings, device=device)
    warm = cuda.spread(graph, more, settings, device=device, start=before.solution.x)
    again = cuda.spread(graph, LABELS, settings, device=device, start=before.solution.x)
    assert warm.solution.num_steps.sum() < cold.solution.num_steps.sum()
    assert again.solution.num_steps.sum() == 0
    assert np.allclose(warm.z, cold.z, atol=1e-4)


def test_the_halves_give_the_whole_and_a_graph_of_the_host_can_be_used(device):
    settings = GraphSettings(n_neighbors=10, **EXACT)
    whole = cuda.propagate(ROWS, LABELS, settings, device=device)
    halves = cuda.spread(cuda.build_graph(ROWS, settings, device=device), LABELS, settings, device=device)
    assert np.allclose(halves.z, whole.z, atol=1e-12)
    mixed = cuda.spread(host.build_graph(ROWS, settings), LABELS, settings, device=device)
    agree(mixed.pseudo_labels, whole.pseudo_labels, 1e-6)


def test_a_start_that_is_not_finite_is_refused_by_class(device, monkeypatch):
    settings = GraphSettings(n_neighbors=10)
    graph = cuda.build_graph(ROWS, settings, device=device)
    start = np.zeros((90, 3))
    start[4, 2] = np.nan
    monkeypatch.setattr(cuda_solver, "block_bytes", lambda device: 1)  # one class at a time
    with pytest.raises(NumericsError, match=r"FL-G9 .* first guess of classes \[2\]"):
        cuda.spread(graph, LABELS, settings, device=device, start=start)


def test_a_solver_stopped_early_is_told_with_what_to_do(device):
    with pytest.warns(ConvergenceWarning, match=r"FL-G9 3 of 3 classes stopped at 2 steps .* raise max_steps"):
        cuda.propagate(ROWS, LABELS, GraphSettings(n_neighbors=10, max_steps=2), device=device)


def test_rows_that_no_label_reaches_are_counted_in_one_warning(device):
    rows, labels = island(*island(ROWS, LABELS, 12), 7)
    with pytest.warns(UnreachedWarning, match=r"FL-G1 no label reaches 19 of 109 rows, in 2 parts .*: 12, 7\)") as w:
        cuda.propagate(rows, labels, GraphSettings(n_neighbors=4), device=device)
    assert len(w) == 1
    assert w[0].filename == __file__


def test_a_negative_degree_is_refused_and_lost_edges_are_told(device):
    rows = np.array([[1.0, 0], [0.9, 0.1], [0.9, -0.1], [0.8, 0.3], [-1, 0.05]])
    labels = np.array([0, 1, -1, -1, -1])
    with pytest.raises(GraphError, match=r"FL-G4 negative degree.* use mode='paper'") as caught:
        cuda.propagate(rows, labels, GraphSettings(n_neighbors=4, mode="released"), device=device)
    assert caught.value.rows == [4]
    far = np.array([[1, 0], [1, 0.001], [0.01, 1]])
    with pytest.warns(InputWarning, match="FL-G14 1 rows have neighbours"):
        cuda.build_graph(far, GraphSettings(n_neighbors=1, gamma=300), device=device)


@pytest.mark.parametrize("length", [30, 300, 600])
def test_labels_travel_the_whole_of_a_path(length, device):
    labels = np.full(length, -1)
    labels[[0, -1]] = [0, 1]
    found = cuda.propagate(path(length), labels, GraphSettings(n_neighbors=2), device=device).pseudo_labels
    assert found.reached.all()
    middle = length // 2
    assert (found.label[: middle - 1] == 0).all()
    assert (found.label[middle + 1 :] == 1).all()


def test_rows_that_the_solver_could_not_resolve_are_filled_and_no_others(device, monkeypatch):
    labels = np.full(200, -1)
    labels[[0, -1]] = [0, 1]
    monkeypatch.setattr(cuda_solver, "block_bytes", lambda device: 1)  # one class at a time
    found = cuda.propagate(path(200), labels, GraphSettings(n_neighbors=2, tol=1e-3, precision="double"), device=device)
    x, y = found.solution.x, np.zeros((200, 2))
    y[[0, -1], [0, 1]] = 1
    residual = np.abs(y - x + 0.99 * (found.graph.affinity @ x)).max(axis=1)
    clipped = np.maximum(x, 0)
    noisy = residual > 0.01 * clipped.max(axis=1)
    assert noisy.any()
    assert (found.z != clipped)[noisy].any(axis=1).all()
    resolved = ~noisy & clipped.any(axis=1)
    assert resolved.sum() > 20
    assert np.allclose(found.z[resolved], clipped[resolved], rtol=1e-12)
    assert (found.z.max(axis=1) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_components_are_those_of_scipy(seed, device):
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, 500, (2, 400))
    ends = np.concatenate([ends, np.stack([rng.permutation(300)[:-1] + 500, rng.permutation(300)[1:] + 500])], axis=1)
    row, column = np.concatenate([ends, ends[::-1]], axis=1)
    expected = connected_components(sp.csr_array((np.ones(row.size), (row, column)), (900, 900)), directed=False)[1]
    there = [torch.tensor(part, device=device) for part in (row, column)]
    assert (cuda_graph.find_components(*there, 900).cpu().numpy() == expected).all()


def test_the_stages_are_named_as_they_start(device):
    stages = []
    cuda.propagate(
        ROWS,
        LABELS,
        GraphSettings(n_neighbors=10),
        device=device,
        on_progress=lambda stage, share: stages.append(stage),
    )
    assert list(dict.fromkeys(stages)) == ["neighbors", "affinity", "solve", "pseudo_labels"]


def test_short_products_are_switched_off_inside_and_on_again_after(device):
    matmul = torch.backends.cuda.matmul
    matmul.fp32_precision = "tf32"
    seen = []
    try:
        with torch.autocast(device, dtype=torch.bfloat16):
            found = cuda.propagate(
                torch.tensor(ROWS, device=device, dtype=torch.float32),
                LABELS,
                GraphSettings(n_neighbors=10, **EXACT),
                on_progress=lambda stage, share: seen.append(
                    (matmul.fp32_precision, torch.is_autocast_enabled(device))
                ),
            )
        assert set(seen) == {("ieee", False)}
        assert matmul.fp32_precision == "tf32"
        with pytest.raises(EmbeddingError):
            cuda.propagate(np.ones(3), LABELS, device=device)
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = "none"
    expected = host.propagate(ROWS.astype(np.float32), LABELS, GraphSettings(n_neighbors=10, **EXACT))
    agree(found.pseudo_labels, expected.pseudo_labels)


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "meta"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(ConfigError, match=r"FL-C7 device .* is not on this machine; it has: cpu"):
        cuda.propagate(ROWS, LABELS, device=name)


def test_memory_that_runs_out_is_told_with_what_to_do(device, monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cuda_neighbors, "_search", full)
    with pytest.raises(StorageError, match=r"FL-G21 out of memory on .*; use fewer rows or classes"):
        cuda.propagate(ROWS, LABELS, GraphSettings(n_neighbors=10), device=device)


def test_the_arguments_are_not_changed_and_may_be_read_only(device):
    rows, labels = ROWS.astype(np.float32), LABELS.copy()
    settings = GraphSettings(n_neighbors=10)
    graph = cuda.build_graph(rows, settings, device=device)
    start = np.zeros((90, 3))
    units = comparable_rows(rows)
    kept = (rows, labels, start, units, graph.node, graph.affinity.data)
    before = [array.copy() for array in kept]
    for array in kept:
        array.setflags(write=False)
    cuda.propagate(rows, labels, settings, device=device)
    cuda.spread(graph, labels, settings, device=device, start=start)
    cuda.nearest_neighbors(units, 5, device=device)
    assert all((one == other).all() for one, other in zip(kept, before, strict=True))


def test_a_refinement_is_refused_and_not_left_out(device):
    graph = host.build_graph(ROWS, GraphSettings(n_neighbors=10))
    settings = GraphSettings(n_neighbors=10, refinement=host.Refinement(calibrate=True))
    with pytest.raises(ConfigError, match="FL-C35 a refinement on a device"):
        cuda.spread(graph, LABELS, settings, device=device)
