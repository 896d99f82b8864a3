"""The search in two stages in torch gives the lists and the bits of the CPU's exact search, to the recall it states."""

import weakref
from collections import Counter

import numpy as np
import pytest

from fewlabels import graph as host
from fewlabels.graph import GraphSettings, comparable_rows, threads
from fewlabels.graph.compiled import instructions
from fewlabels.graph.recall import Goal, draw_sample
from tests.graph.cases import wide

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from fewlabels.graph import cuda  # noqa: E402
from fewlabels.graph.cuda import candidates, coded, codes, neighbors  # noqa: E402
from fewlabels.graph.cuda import rows as cuda_rows  # noqa: E402

N, K = 3000, 20
ROWS = wide(N, 256)


@pytest.fixture(scope="module")
def exact():
    return host.nearest_neighbors(ROWS, K)


@pytest.fixture
def few_are_many(monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_UP_TO", 1000)


def search(rows, device, recall=0.98, k=K):
    there = torch.tensor(rows, device=device)
    with cuda_rows.full_precision(there.device):
        found = coded.search_coded(there, Goal(k, recall, draw_sample(len(rows), 0)), 0)
    return found and (found[0].cpu().numpy(), found[1].cpu().numpy(), found[2])


def shares(found, expected):
    """Of the true neighbours of each row, how many were found."""
    return np.array([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)])


def test_where_the_neighbours_are_the_true_ones_lists_and_bits_are_those_of_the_cpu(device, exact):
    index, similarity, recall = search(ROWS, device, 0.995)
    share = shares(index, exact.index)
    assert abs(share.mean() - recall) < 0.005
    assert (whole := share == 1).mean() > 0.9
    if instructions() is not None:  # NumPy's sums are others
        assert (index[whole] == exact.index[whole]).all()
        assert (similarity[whole] == exact.similarity[whole]).all()


@pytest.mark.parametrize(("d", "recall"), [(130, 0.99), (300, 0.9), (300, 0.99), (1100, 0.98)])
def test_the_recall_asked_for_is_reached_and_the_one_stated_is_true(d, recall, device):
    rows = wide(2500, d)
    index, similarity, stated = search(rows, device, recall, 10)
    assert stated >= recall
    assert abs(shares(index, host.nearest_neighbors(rows, 10).index).mean() - stated) < 0.01
    near = np.einsum("nkd,nd->nk", rows[index], rows, dtype=np.float64)
    assert np.abs(similarity - near).max() < 6.1e-8
    assert (np.diff(similarity, axis=1) <= 0).all()
    assert (index != np.arange(2500)[:, None]).all()


def test_blocks_of_every_size_give_the_same_bits(device, monkeypatch):
    whole = search(ROWS, device)
    for size in (3_000_000, 20_000_001):
        for name in (cuda_rows, coded):
            monkeypatch.setattr(name, "block_bytes", lambda device, size=size: size)
        index, similarity, recall = search(ROWS, device)
        assert (index == whole[0]).all()
        assert (similarity.view(np.int32) == whole[1].view(np.int32)).all()
        assert recall == whole[2]


class Held(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive, and keeps the most there were."""

    def __init__(self):
        super().__init__()
        self.users, self.now, self.most = Counter(), 0, 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        made = function(*arguments, **(named or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key, size = storage.data_ptr(), storage.nbytes()
                self.now += size * (not self.users[key])
                self.users[key] += 1
                self.most = max(self.most, self.now)
                weakref.finalize(tensor, self.drop, key, size)
        return made

    def drop(self, key, size):
        self.users[key] -= 1
        self.now -= size * (not self.users[key])


def test_memory_beside_input_codes_and_result_is_a_block_or_two(device, monkeypatch):
    block = 12_000_000  # all scores would take 36 MB, all candidates' sums twice that
    for name in (cuda_rows, coded):
        monkeypatch.setattr(name, "block_bytes", lambda device: block)
    there = torch.tensor(ROWS, device=device)
    with cuda_rows.full_precision(there.device), Held() as held:
        assert coded.search_coded(there, Goal(K, 0.98, draw_sample(N, 0)), 0) is not None
    sample = 8 * N * 256 + 3 * 8 * 256**2  # the rows that the basis is made of; here as many as there are
    assert block / 4 < held.most < 2 * block + 2 * 4 * N * 256 + 12 * N * K + sample


@pytest.mark.parametrize("n", [320, 9600])
@pytest.mark.parametrize("values", [2, 50, 10**6])
def test_of_equal_scores_the_smaller_numbers_are_candidates(n, values, device):
    near = np.random.default_rng(0).integers(0, values, (23, n)).astype(np.float32)
    near[:, -7:] = -np.inf
    found = candidates.choose_candidates(torch.tensor(near, device=device), 30).cpu().numpy()
    assert (found == np.argsort(-near, axis=1, kind="stable")[:, :30]).all()


@pytest.mark.parametrize("width", [4, 256, codes.MOST_TERMS, 3000])
def test_sums_of_products_of_whole_numbers_are_exact_for_the_largest_of_them_too(width, device):
    rng = np.random.default_rng(0)
    a, b = rng.choice([-127, 126, 127], (50, width)), rng.choice([-127, 126, 127], (width, 70))
    a[:2], b[:, :2] = 127, 127
    multiply = codes.multiply if width <= codes.MOST_TERMS else codes.multiply_long
    there = [torch.tensor(part, dtype=torch.float32, device=device) for part in (a, b)]
    with cuda_rows.full_precision(there[0].device):
        assert (multiply(*there).cpu().numpy() == a @ b).all()


@pytest.mark.parametrize("d", [1, 15, 16, 40, 300])
def test_similarities_have_the_bits_of_the_kernels_and_no_direction(d, device):
    rows = np.random.default_rng(d).normal(size=(60, d)).astype(np.float32)
    everyone = np.tile(np.arange(60), (60, 1))
    there = torch.tensor(rows, device=device)
    found = coded.multiply_rows(there, there, torch.tensor(everyone, device=device)).cpu().numpy()
    assert (found == found.T).all()
    assert np.allclose(found, rows.astype(np.float64) @ rows.T.astype(np.float64), rtol=1e-6, atol=1e-12)
    if instructions() is None:
        pytest.skip("the compiled kernels are not installed")
    from fewlabels.graph.compiled.search import Points, rank_rows

    with threads.Team() as team:
        number, similarity = rank_rows(rows, Points(rows, np.arange(60)), everyone.astype(np.int32), 60, team)
    assert (np.take_along_axis(found, number.astype(np.int64), axis=1) == similarity).all()


def test_zero_rows_and_repeated_ones_are_treated_as_everywhere(device, few_are_many):
    rows = wide(1500, 300).copy()
    rows[[7, 1200]] = 0
    rows[500:520] = rows[3]
    found = cuda.nearest_neighbors(rows, 10, recall=0.98, device=device)
    assert 0.98 <= found.recall < 1
    assert (found.index[[7, 1200]] == -1).all()
    assert not np.isin(np.delete(found.index, [7, 1200], axis=0), [-1, 7, 1200]).any()
    assert (found.index[3] == np.arange(500, 510)).all()
    assert (found.index[505] == [3, *range(500, 505), *range(506, 510)]).all()
    made = cuda.build_graph(rows, GraphSettings(n_neighbors=10, recall=0.98), device=device)
    assert made.affinity.shape == (1480, 1480)
    assert len(set(made.node[[3, *range(500, 520)]])) == 1
    assert 0.98 <= made.search.recall < 1


def test_labels_are_those_of_exact_neighbours_and_the_result_states_the_recall(device, few_are_many):
    rows, labels = wide(2000, 300), np.full(2000, -1)
    labels[:200] = np.arange(200) % 7
    found = cuda.propagate(rows, labels, GraphSettings(n_neighbors=20), device=device)
    exact = cuda.propagate(rows, labels, GraphSettings(n_neighbors=20, recall="exact"), device=device)
    assert 0.995 <= found.graph.search.recall < 1 == exact.graph.search.recall
    assert (found.pseudo_labels.label == exact.pseudo_labels.label).mean() > 0.99


@pytest.mark.parametrize(("n", "d", "recall"), [(1000, 300, 0.9), (1200, 256, 0.9), (1200, 300, "exact")])
def test_few_and_narrow_rows_and_all_neighbours_are_searched_as_before(n, d, recall, device, few_are_many, monkeypatch):
    monkeypatch.setattr(neighbors, "search_coded", None)
    rows = wide(n, d)
    found = cuda.nearest_neighbors(rows, 10, recall=recall, device=device)
    assert found.recall == 1
    assert (found.index == host.nearest_neighbors(rows, 10).index).all()


def test_rows_that_codes_tell_too_little_of_are_compared_exactly(device, few_are_many):
    rng = np.random.default_rng(0)
    rows = comparable_rows(rng.normal(size=(30, 300))[np.arange(1500) % 30] + 1e-5 * rng.normal(size=(1500, 300)))
    assert search(rows, device, 0.99, 5) is None
    found = cuda.nearest_neighbors(rows, 5, recall=0.99, device=device)
    assert found.recall == 1
    assert (found.index == host.nearest_neighbors(rows, 5).index).all()
