"""G: graphs and numbers."""

import math

import numpy as np
import scipy.sparse as sp

from fewlabels import GraphSettings, propagate
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.graph import graph_from_affinity, graph_from_neighbors
from fewlabels.graph.propagation import spread
from fewlabels.graph.pseudo_labels import distributions, pseudo_labels
from fewlabels.graph.rows import comparable_rows
from tests.faults.catalogue import Family

CASES = cases = Family()


def spread_of(work, rows=None, codes=None, **options):
    rows, codes = work.rows if rows is None else rows, work.codes if codes is None else codes
    found = work.call(lambda: propagate(rows, codes, GraphSettings(**{"n_neighbors": 12} | options)))
    result = found.pseudo_labels
    for numbers in (found.z, result.certainty, result.distribution, result.class_weight):
        assert np.isfinite(numbers).all()
    np.testing.assert_allclose(result.distribution.sum(axis=1), 1, atol=1e-5)
    return found


def island(work, size=12):
    """The rows, and an island of others that share no direction with them and have no label."""
    rows = np.zeros((30 + size, 10))
    rows[:30, :8] = work.rows
    rows[30:, 8:] = np.random.default_rng(9).uniform(0.5, 1, (size, 2))
    return rows, np.append(work.codes, np.full(size, -1))


@cases.accepted("G1", "a part that no label reaches", warns=["G1"])
def _(work):
    found = spread_of(work, *island(work), n_neighbors=5).pseudo_labels
    assert found.reached.tolist() == [True] * 30 + [False] * 12
    assert set(found.label[30:]) == {-1}
    assert set(found.certainty[30:]) == {0}
    np.testing.assert_allclose(found.distribution[30:], 1 / 3, atol=1e-6)
    assert "no label reaches 12 of 42 rows, in 1 parts (largest: 12)" in str(work.caught[0].message)


@cases.accepted("G2", "a node without edges", warns=["G1", "L17"])
def _(work):
    w = sp.csr_array((np.ones(2), ([0, 1], [1, 0])), (3, 3))
    found = work.call(lambda: spread(graph_from_affinity(w), np.array([0, -1, -1])))
    assert found.pseudo_labels.label.tolist() == [0, 0, -1]
    assert found.graph.degree.tolist() == [1, 1, 0]


@cases.accepted("G3", "an all-zero row among the weights", warns=["G1"])
def _(work):
    rows = work.rows.copy()
    rows[29] = 0
    for mode in ("paper", "released"):
        found = spread_of(work, rows, mode=mode).pseudo_labels
        assert (found.certainty[29], found.label[29]) == (0, -1)
        assert found.certainty.max() == 1


@cases.accepted("G4", "negative similarities and a gamma that is not whole", warns=["G24"])
def _(work):
    rows = np.vstack([work.rows, -work.rows])
    found = spread_of(work, rows, np.append(work.codes, work.codes), gamma=2.5, n_neighbors=40)
    assert found.graph.affinity.data.min() > 0
    assert found.pseudo_labels.label.tolist() == [row // 10 for row in range(30)] * 2


@cases.refused("G4", "negative similarities that outweigh the others", place="use mode='paper'")
def _(work):
    rows = np.vstack([np.ones((1, 2)), -np.ones((3, 2)) + np.array([[0, 0.1], [0.1, 0], [0, 0]])])
    return lambda: propagate(rows, np.array([0, 1, -1, -1]), GraphSettings(n_neighbors=3, mode="released"))


@cases.accepted("G5", "copies that come before the row itself")
def _(work):
    rows = np.vstack([np.repeat(work.rows[:1], 8, axis=0), work.rows])
    codes = np.append(np.full(8, -1), work.codes)
    for mode in ("paper", "released"):
        found = spread_of(work, rows, codes, mode=mode)
        assert not found.graph.affinity.diagonal().any()
        assert set(found.pseudo_labels.label[:8]) == {0}


@cases.accepted("G6", "ties, and a row without numbers")
def _(work):
    z = np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 0.0], [0.0, 0.2, 0.2]])
    found = pseudo_labels(z, np.array([-1, -1, -1]), GraphSettings().rules)
    assert found.label.tolist() == [0, -1, 1]
    assert found.num_tied == 2


@cases.accepted("G7", "one class", warns=["L17"])
def _(work):
    found = spread_of(work, codes=np.where(work.codes == 0, 0, -1), n_neighbors=28).pseudo_labels
    assert set(found.certainty) == {1}


@cases.accepted("G8", "a class that no row ends in")
def _(work):
    found = spread_of(work, codes=np.where(work.codes == 2, 3, work.codes), allow_empty_classes=True).pseudo_labels
    assert found.class_weight[2] == 0
    assert (found.class_weight[[0, 1, 3]] > 0).all()


@cases.accepted("G9", "a solver that stops too early", warns=["G9"])
def _(work):
    found = spread_of(work, max_steps=2, n_neighbors=3)
    assert not found.solution.converged.all()
    assert (found.solution.residual[~found.solution.converged] > 1e-6).all()


@cases.accepted("G10", "alpha next to 1")
def _(work):
    found = spread_of(work, alpha=0.9999999)
    assert found.z.dtype == np.float64
    w, y = found.graph.affinity, np.zeros(found.z.shape)
    for row in (0, 10, 20):
        y[found.graph.node[row], row // 10] = 1
    residual = y - (found.solution.x - 0.9999999 * (w @ found.solution.x))
    assert np.linalg.norm(residual) <= 1e-5 * np.linalg.norm(y)


@cases.refused("G10", "alpha next to 1 in float32", code="C2", place="needs precision='double'")
def _(work):
    return lambda: GraphSettings(alpha=0.9999999, precision="single")


W = sp.csr_array((np.array([1.0, 1, 2, 2]), ([0, 1, 1, 2], [1, 0, 2, 1])), (3, 3))


def with_entry(value, row=0, column=1):
    changed = W.tolil()
    changed[row, column] = value
    return changed.tocsr()


for name, weights, code, place in (
    ("asymmetric", with_entry(5.0), "G11", "W[0, 1] is 5, W[1, 0] is 1"),
    ("with negative edges", with_entry(-1.0), "G11", "1 such row (0)"),
    ("with NaN", with_entry(np.nan), "G12", "1 such row (0)"),
    ("that is not square", W[:2], "G12", "(2, 3)"),
    ("of text", np.array([["a"]]), "G12", "expected two dimensions of real numbers"),
):

    @cases.refused(code, f"a graph {name}", place=place)
    def _(work, weights=weights):
        return lambda: graph_from_affinity(weights)


@cases.refused("G11", "an indefinite matrix said to be normalised", code="G12", place="an eigenvalue of at least")
def _(work):
    return lambda: graph_from_affinity(W * 3, normalized=True)


@cases.accepted("G12", "self loops and edges that occur twice", warns=["G12"])
def _(work):
    row, column = np.array([0, 0, 1, 1, 2]), np.array([1, 1, 0, 0, 2])
    graph = work.call(lambda: graph_from_affinity(sp.coo_array((np.ones(5), (row, column)), (3, 3))))
    assert graph.affinity.toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


for name, index in (("2^31", 2**31), ("2^40", 2**40), ("-5", -5)):

    @cases.refused("G12", f"a neighbour numbered {name}", place="1 such row (1); row numbers go from 0 to 2")
    def _(work, index=index):
        return lambda: graph_from_neighbors(np.array([[1], [index], [0]]), np.ones((3, 1)))


@cases.refused("G12", "row numbers in a sparse matrix that overflowed", place="a sparse matrix that is not valid")
def _(work):
    broken = W.copy()
    broken.indices[0] = -(2**31)
    return lambda: graph_from_affinity(broken)


@cases.accepted("G13", "sums over very many edges")
def _(work):
    n = 300_001  # a star: the sum at its centre is beyond what float32 adds up
    spokes = np.random.default_rng(0).uniform(0.5, 1, n - 1).astype(np.float32)
    far, centre = np.arange(1, n), np.zeros(n - 1, int)
    ends = (np.append(far, centre), np.append(centre, far))
    graph = graph_from_affinity(sp.csr_array((np.append(spokes, spokes), ends), (n, n)))
    total = math.fsum(spokes.tolist())
    expected = np.sqrt(spokes.astype(float) / total)  # w / sqrt(w * total)
    np.testing.assert_allclose(graph.affinity[[0], :].toarray()[0, 1:], expected, rtol=1e-12)


@cases.accepted("G14", "a gamma that leaves no weight", warns=["G14", "G1"])
def _(work):
    rows = np.vstack([work.rows, np.eye(1, 8) + np.eye(1, 8, 7) * 1e6])
    found = spread_of(work, rows, np.append(work.codes, -1), gamma=5000.0)
    assert not found.pseudo_labels.reached[30]


@cases.accepted("G15", "equal rows with different labels", warns=["G15"])
def _(work):
    rows, codes = work.rows.copy(), work.codes.copy()
    rows[10], codes[11] = rows[0], 1
    found = spread_of(work, rows, codes)
    assert found.pseudo_labels.label[[0, 10]].tolist() == [0, 1]
    np.testing.assert_allclose(found.pseudo_labels.distribution[0, :2], [0.5, 0.5], atol=0.1)
    assert "1 such row (0 and 10)" in str(work.caught[0].message)


@cases.accepted("G16", "a label on a row that has no neighbours")
def _(work):
    w = sp.csr_array((np.ones(2), ([0, 1], [1, 0])), (3, 3))
    found = work.call(lambda: spread(graph_from_affinity(w), np.array([0, -1, 1]))).pseudo_labels
    assert found.label.tolist() == [0, 0, 1]
    assert found.reached.all()


@cases.accepted("G17", "classes of very different size")
def _(work):
    rng = np.random.default_rng(0)
    rows = np.vstack([np.eye(1, 4) + 0.05 * rng.normal(size=(5000, 4)), np.eye(1, 4, 2) + 0.001 * np.ones((1, 4))])
    codes = np.full(5001, -1)
    codes[[0, 5000]] = [0, 1]
    for mode in ("paper", "released"):
        found = spread_of(work, rows, codes, mode=mode, n_neighbors=5).pseudo_labels
        assert found.label[5000] == 1
        bound = 1 if mode == "paper" else 5001 / 2
        assert found.class_weight.max() <= bound


@cases.refused("G21", "more than there is memory for", status=4, place="and there are 0.1 GiB at embeddings.npy")
def _(work):
    return work.propagate("embeddings.npy", "--memory-limit", "0.1")


@cases.accepted("G3", "numbers at the ends of float32")
def _(work):
    tiny, has_mass = distributions(np.array([[1e-45, 3e-45], [3e38, 3e38], [0, -1.0]], np.float32))
    assert np.isfinite(tiny).all()
    assert has_mass.tolist() == [True, True, False]
    assert np.isfinite(comparable_rows(np.array([[3e38, 3e38], [1e-45, 0]], np.float32))).all()


@cases.accepted("G1", "a part that no label reaches in the estimator", warns=["G1"])
def _(work):
    rows, codes = island(work)
    model = work.call(lambda: LabelPropagationClassifier(5).fit(rows, codes))
    assert model.reached_.sum() == 30
    assert set(model.transduction_[30:]) == {-1}
