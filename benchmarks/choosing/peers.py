"""What fewlabels is compared with: each method takes a Task and returns a label for every row.

Every choice of a peer is made by the same folds of the given labels (Task.choose): the one with most held-out labels
right. With one label of each class nothing can be held out, and the first of each list is taken: for rows that are
directions (images, photos, texts) those of length 1, for tables standardised columns, and settings that did best at 5
labels per class on draws 100 to 102 of four other sets (benchmarks/results/accuracy.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.semi_supervised import SelfTrainingClassifier

from benchmarks.choosing.graphs import poisson_inverse, poisson_labels, spread_labels, spreading_inverse
from benchmarks.choosing.task import Task
from fewlabels.graph import GraphSettings, build_graph, spread

SPREADING = [(k, alpha) for k in (20, 7, 50) for alpha in (0.9, 0.2, 0.99)]
VOTERS = (1, 3, 5, 10)
PENALTIES = (10.0, 1.0, 100.0, 1000.0)
THRESHOLD = 0.75  # scikit-learn's default
POISSON_NEIGHBORS = (10, 25, 50)  # the first as in GraphLearning's examples
SELF_TRAINING_SEEDS, SELF_TRAINING_CLASSES = 5, 30  # beyond it takes minutes a draw
Method = Callable[[Task], np.ndarray]


def fixed(n_neighbors: int, alpha: float) -> Method:
    """fewlabels with settings that nobody chose."""

    def method(task: Task) -> np.ndarray:
        settings = GraphSettings(n_neighbors=n_neighbors, alpha=alpha)
        graph = task.ready.get(("graph", n_neighbors), lambda: build_graph(task.ready.data.rows, settings))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows out of reach: they count as wrong
            return spread(graph, task.labels, settings).pseudo_labels.label

    return method


def label_spreading(task: Task) -> np.ndarray:
    """scikit-learn's LabelSpreading, knn kernel, at its limit; n_neighbors and alpha by the folds."""
    rows = task.ready.features[task.ready.usual]

    def inverse(setting: tuple[int, float]) -> np.ndarray:
        k = min(setting[0], len(rows) - 1)
        return task.ready.get(("spreading", *setting), lambda: spreading_inverse(rows, k, setting[1]))

    def predict(setting: tuple[int, float], known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return spread_labels(inverse(setting), task.rows[known], task.given[known], task.rows[asked])

    best = task.choose(SPREADING, predict)
    return spread_labels(inverse(best), task.rows, task.given, np.arange(len(rows)))


def nearest_mean(task: Task) -> np.ndarray:
    def predict(name: str, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        x = task.ready.features[name]
        return NearestCentroid().fit(x[task.rows[known]], task.given[known]).predict(x[asked])

    return by_features(task, list(task.ready.features), predict)


def nearest_labeled(task: Task) -> np.ndarray:
    """A vote of the nearest labelled rows, weighted by 1 / distance; features and number by the folds."""
    candidates = [(name, k) for name in task.ready.features for k in VOTERS]

    def predict(candidate: tuple[str, int], known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        x, k = task.ready.features[candidate[0]], min(candidate[1], known.size)
        voters = KNeighborsClassifier(k, weights="distance", algorithm="brute")
        return voters.fit(x[task.rows[known]], task.given[known]).predict(x[asked])

    return by_features(task, candidates, predict)


def gaussian_head(task: Task) -> np.ndarray:
    """Classes as Gaussians of one shrunk covariance S = d ((n - 1) C + tr(C) I)^-1 (Wang et al., ICLR 2024).

    With one label of each class there is no covariance, and it is the nearest mean.
    """

    def predict(name: str, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return gaussian_labels(task.ready.features[name], task.rows[known], task.given[known], asked)

    return by_features(task, list(task.ready.features), predict)


def gaussian_labels(x: np.ndarray, rows: np.ndarray, given: np.ndarray, asked: np.ndarray) -> np.ndarray:
    here, sizes = x[rows].astype(np.float64), np.bincount(given)
    classes = np.flatnonzero(sizes)
    means = np.stack([here[given == one].mean(axis=0) for one in classes])
    apart = here - means[np.searchsorted(classes, given)]
    trace = (apart**2).sum() / max(len(here) - 1, 1)
    if trace == 0:
        weights = means
    else:  # Woodbury: (A'A + t I)^-1 M' = (M' - A' (A A' + t I)^-1 A M') / t
        small = apart @ apart.T
        small[np.diag_indices_from(small)] += trace
        weights = x.shape[1] * (means - np.linalg.solve(small, apart @ means.T).T @ apart) / trace
    bias = np.log(sizes[classes] / sizes.sum()) - (weights * means).sum(axis=1) / 2
    return classes[(x[asked] @ weights.T.astype(np.float32) + bias).argmax(axis=1)]


def logistic(task: Task) -> np.ndarray:
    """Logistic regression with features and penalty by the folds."""
    name, penalty = choose_regression(task)
    here, everywhere = projected(task, name)
    return regression(penalty).fit(here, task.given).predict(everywhere)


def choose_regression(task: Task) -> tuple[str, float]:
    """Features at the first penalty, then the penalty for these features, both by the folds; once for each task."""

    def predict(candidate: tuple[str, float], known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        here, _ = projected(task, candidate[0])
        if np.unique(task.given[known]).size == 1:
            return np.full(asked.size, task.given[known][0])
        return regression(candidate[1]).fit(here[known], task.given[known]).predict(here[asked])

    if "regression" not in task.memory:
        name, _ = task.choose([(name, PENALTIES[0]) for name in task.ready.features], predict)
        task.memory["regression"] = task.choose([(name, penalty) for penalty in PENALTIES], predict)
    return task.memory["regression"]  # type: ignore[no-any-return]


def regression(penalty: float) -> LogisticRegression:
    return LogisticRegression(C=penalty, max_iter=500)


def projected(task: Task, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The labelled rows and all rows, turned into the space of the labelled ones where that is smaller."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        x = task.ready.features[name]
        if task.rows.size >= x.shape[1]:
            return x[task.rows], x
        axes = np.linalg.svd(x[task.rows].astype(np.float64), full_matrices=False)[2].astype(np.float32)
        everywhere = x @ axes.T
        return everywhere[task.rows], everywhere

    if ("projected", name) not in task.memory:
        task.memory["projected", name] = make()
    return task.memory["projected", name]  # type: ignore[no-any-return]


def self_training(task: Task) -> np.ndarray:
    """scikit-learn's SelfTrainingClassifier on logistic regression with the features and penalty chosen for that."""
    name, penalty = choose_regression(task)
    x = task.ready.features[name]
    return SelfTrainingClassifier(regression(penalty), threshold=THRESHOLD).fit(x, task.labels).predict(x)


def poisson(task: Task) -> np.ndarray:
    """Poisson learning on GraphLearning's graphs of the usual features; n_neighbors by the folds."""
    import graphlearning

    rows = task.ready.features[task.ready.usual]

    def inverse(k: int) -> np.ndarray:
        return task.ready.get(("poisson", k), lambda: poisson_inverse(graphlearning.weightmatrix.knn(rows, k)))

    def predict(k: int, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return poisson_labels(inverse(k), task.rows[known], task.given[known], task.rows[asked])

    return poisson_labels(inverse(task.choose(POISSON_NEIGHBORS, predict)), task.rows, task.given, np.arange(len(rows)))


def by_features(task: Task, candidates: list, predict: Callable) -> np.ndarray:
    """The labels that the best candidate gives to all rows. predict takes rows to ask about, here as everywhere."""

    def held_out(candidate: object, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
        return np.asarray(predict(candidate, known, task.rows[asked]))

    best = task.choose(candidates, held_out)
    return np.asarray(predict(best, np.arange(task.rows.size), np.arange(task.labels.size)))


PEERS: dict[str, Method] = {
    "paper": fixed(50, 0.99),
    "k 20, alpha .9": fixed(20, 0.9),
    "k 5, alpha .9": fixed(5, 0.9),
    "LabelSpreading": label_spreading,
    "Poisson learning": poisson,
    "nearest mean": nearest_mean,
    "nearest labelled": nearest_labeled,
    "Gaussian head": gaussian_head,
    "logistic regression": logistic,
    "self-training": self_training,
}
FIXED = ("k 20, alpha .9", "k 5, alpha .9")  # ours too, with settings that somebody would have to know
RIVALS = tuple(name for name in PEERS if name not in FIXED)
