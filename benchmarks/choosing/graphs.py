"""Label spreading and Poisson learning in closed form: one dense inverse of a graph serves all draws and folds.

scikit-learn's LabelSpreading with the knn kernel iterates Z <- alpha S Z + (1 - alpha) Y. Its limit is
(1 - alpha) (I - alpha S)^-1 Y, so the columns of the inverse at the labelled rows say everything. Twenty draws, three
folds and nine settings would otherwise be hundreds of calls a cell. Poisson learning (Calder et al., ICML 2020) solves
L u = Y minus its mean. tests/benchmarks/test_choosing.py holds both against scikit-learn and GraphLearning.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.linalg.lapack import sgetrf, sgetri, spotrf, spotri
from scipy.sparse.csgraph import laplacian
from sklearn.neighbors import kneighbors_graph


def spreading_inverse(rows: np.ndarray, n_neighbors: int, alpha: float) -> np.ndarray:
    """(I - alpha S)^-1, (n, n) float32; S as in scikit-learn: n_neighbors counts the row itself."""
    graph = kneighbors_graph(rows, n_neighbors, mode="connectivity", include_self=True)
    system = np.asfortranarray(alpha * laplacian(graph, normed=True).toarray(), dtype=np.float32)
    np.fill_diagonal(system, 1)  # the Laplacian is I - S off its diagonal, and S has no diagonal here
    factors, pivots, failed = sgetrf(system, overwrite_a=True)
    assert not failed
    inverse, failed = sgetri(factors, pivots, lwork=64 * len(rows), overwrite_lu=True)
    assert not failed
    return inverse


JOINED = 1e-3  # of each degree is added to the Laplacian: a graph that falls apart has no inverse otherwise


def poisson_inverse(weights: sp.spmatrix) -> np.ndarray:
    """(L + JOINED D)^-1, (n, n) float32, of a symmetric affinity."""
    degree = np.asarray(weights.sum(axis=1)).ravel()
    system = np.asfortranarray(-weights.toarray(), dtype=np.float32)
    system[np.diag_indices_from(system)] += (1 + JOINED) * degree
    factor, failed = spotrf(system, overwrite_a=True)
    assert not failed
    inverse, failed = spotri(factor, overwrite_c=True)
    assert not failed
    upper = np.triu(inverse)
    return upper + np.triu(upper, 1).T


def poisson_labels(inverse: np.ndarray, known: np.ndarray, given: np.ndarray, asked: np.ndarray) -> np.ndarray:
    sources = np.eye(given.max() + 1, dtype=np.float32)[given]
    return (inverse[np.ix_(asked, known)] @ (sources - sources.mean(axis=0))).argmax(axis=1)


def spread_labels(inverse: np.ndarray, known: np.ndarray, given: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The class with the most mass at each asked row; 0 where none arrives, as in scikit-learn."""
    sources = np.eye(given.max() + 1, dtype=np.float32)[given]
    return (inverse[np.ix_(asked, known)] @ sources).argmax(axis=1)
