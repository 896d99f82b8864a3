"""Ways from descriptors and a few labels to a label for every row: ours and the peers of the whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.common import ours
from benchmarks.common.ours import ALPHA, GAMMA, STEPS
from benchmarks.graph import searches
from benchmarks.graph.searches import Search


@dataclass(frozen=True)
class Answer:
    """labels: (n,). neighbors: (n, k) ids of those it used, None where it does not tell."""

    labels: np.ndarray
    neighbors: np.ndarray | None = None


@dataclass(frozen=True)
class Method:
    """call: of the rows, in a Search, and the labels, -1 where unlabelled. needs: modules besides NumPy and SciPy.

    most_rows: above, the method is not tried, for the reason in `why`.
    """

    call: Callable[[Search, np.ndarray], Answer]
    needs: tuple[str, ...] = ()
    most_rows: float = float("inf")
    why: str = ""


def released_mode(search: Search, given: np.ndarray) -> Answer:
    return Answer(ours.labels(search.rows, given, "released", search.recall))


def paper_mode(search: Search, given: np.ndarray) -> Answer:
    return Answer(ours.labels(search.rows, given, "paper", search.recall))


def straight(search: Search, given: np.ndarray) -> Answer:
    """The released recipe as one would write it down: exact faiss search, SciPy matrices, SciPy cg class by class."""
    return _by_scipy(*searches.flat(search), given)


def ivf(search: Search, given: np.ndarray) -> Answer:
    return _by_scipy(*searches.ivf(search), given)


def pynndescent(search: Search, given: np.ndarray) -> Answer:
    return _by_scipy(*searches.pynndescent(search), given)


def _by_scipy(ids: np.ndarray, near: np.ndarray, given: np.ndarray) -> Answer:
    import scipy.sparse as sp
    from scipy.sparse.linalg import cg

    n, k = ids.shape
    missing = ids < 0
    if missing.any():
        ids, near = np.maximum(ids, 0), np.where(missing, 0, near)
    weights = sp.csr_array((near.ravel() ** GAMMA, (np.repeat(np.arange(n), k), ids.ravel())), (n, n))
    weights = weights + weights.T
    scale = sp.diags_array(1 / np.sqrt(weights.sum(axis=1)))
    system = (sp.eye_array(n) - ALPHA * (scale @ weights @ scale)).tocsr()
    columns = []
    for number in range(given.max() + 1):
        y = (given == number) / (given == number).sum()
        columns.append(cg(system, y, rtol=1e-6, atol=0, maxiter=STEPS)[0])
    found = np.stack(columns, axis=1).argmax(axis=1)
    return Answer(np.where(given >= 0, given, found), ids)


def graphlearning_laplace(search: Search, given: np.ndarray) -> Answer:
    import graphlearning as gl

    return _by_graphlearning(gl.ssl.laplace, search, given)


def graphlearning_poisson(search: Search, given: np.ndarray) -> Answer:
    import graphlearning as gl

    return _by_graphlearning(gl.ssl.poisson, search, given)


def _by_graphlearning(model: Callable, search: Search, given: np.ndarray) -> Answer:
    """Its own graph (Annoy, Gaussian weights) and its defaults; it solves other systems than ours."""
    import graphlearning as gl

    weights = gl.weightmatrix.knn(search.rows, search.k)
    labelled = np.flatnonzero(given >= 0)
    return Answer(model(weights).fit_predict(labelled, given[labelled]))


def scikit_learn_knn(search: Search, given: np.ndarray) -> Answer:
    return _by_scikit_learn({"kernel": "knn", "n_neighbors": search.k}, search, given)


def scikit_learn_rbf(search: Search, given: np.ndarray) -> Answer:
    return _by_scikit_learn({"kernel": "rbf"}, search, given)


def _by_scikit_learn(kernel: dict, search: Search, given: np.ndarray) -> Answer:
    from sklearn.semi_supervised import LabelSpreading

    warnings.simplefilter("ignore")  # it does not converge in 30 iterations, its default
    model = LabelSpreading(**kernel, alpha=ALPHA, n_jobs=search.threads)
    return Answer(model.fit(search.rows, given).transduction_)


OURS, STRAIGHT = "fewlabels", "straight recipe"
# The straight recipe comes first: its labels are those that the others are compared with.
METHODS = {
    STRAIGHT: Method(straight, ("faiss",)),
    OURS: Method(released_mode),
    "fewlabels, paper mode": Method(paper_mode),
    "faiss IVF + SciPy": Method(ivf, ("faiss",)),
    "pynndescent + SciPy": Method(pynndescent, ("pynndescent",)),
    "GraphLearning Laplace": Method(graphlearning_laplace, ("graphlearning", "annoy")),
    "GraphLearning Poisson": Method(graphlearning_poisson, ("graphlearning", "annoy")),
    "scikit-learn knn": Method(scikit_learn_knn, ("sklearn",)),
    "scikit-learn rbf": Method(scikit_learn_rbf, ("sklearn",), 12_000, "its dense n x n matrices do not fit"),
}
