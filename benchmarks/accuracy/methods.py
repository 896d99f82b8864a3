"""The methods of benchmarks/accuracy/measure.py: (data set, labels) -> what each class's share of each row is.

fewlabels runs with its defaults, which are the paper's. The settings of the others were chosen by
`accuracy.py --tune`: mean accuracy over the data sets at 5 labels per class, draws 100 to 102, none of them reported.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, kneighbors_graph
from sklearn.semi_supervised import LabelSpreading

from benchmarks.accuracy.sets import Set
from fewlabels.graph import Graph, GraphSettings, Refinement, build_graph, comparable_rows, spread

SPREADING = {"n_neighbors": 20, "alpha": 0.9}
VOTERS, PENALTY = 3, 10.0


@dataclass
class Ready:
    """A data set with what its methods share over all draws: each thing is made when first asked for."""

    data: Set
    made: dict[Any, Any] = field(default_factory=dict)

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    @property
    def units(self) -> np.ndarray:
        return self.get("units", lambda: comparable_rows(self.data.rows))  # type: ignore[no-any-return]

    @property
    def graph(self) -> Graph:
        return self.get("graph", lambda: build_graph(self.data.rows))  # type: ignore[no-any-return]

    @property
    def prior(self) -> tuple[float, ...]:
        return tuple((np.bincount(self.data.truth) / self.data.truth.size).tolist())


Method = Callable[[Ready, np.ndarray], np.ndarray]  # data, labels with -1 -> (n, c) shares; zeros where none


def fewlabels(refinement: Callable[[Ready], Refinement]) -> Method:
    def method(ready: Ready, labels: np.ndarray) -> np.ndarray:
        asked = refinement(ready)
        if (labels >= 0).sum() == labels.max() + 1:  # one label of each class: nothing to hold out, and it would warn
            asked = Refinement(asked.centre_sources, asked.prior, False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows out of reach, priors out of reach: they show in the numbers
            found = spread(ready.graph, labels, GraphSettings(refinement=asked)).pseudo_labels
        return np.where(found.reached[:, None], found.distribution, 0)

    return method


def label_spreading(n_neighbors: int, alpha: float) -> Method:
    """scikit-learn's with the knn kernel on unit rows, until it converges; its neighbours are found once a data set."""

    def method(ready: Ready, labels: np.ndarray) -> np.ndarray:
        graph = ready.get(
            ("knn", n_neighbors),
            lambda: kneighbors_graph(ready.units, n_neighbors, mode="connectivity", include_self=True),
        )
        fitted = LabelSpreading(kernel=lambda x, y: graph.copy(), alpha=alpha, max_iter=1000).fit(ready.units, labels)
        return np.asarray(fitted.label_distributions_)

    return method


def vote(voters: int) -> Method:
    """The nearest labelled rows by cosine, weighted by 1 / distance; no more than there are labels of a class."""

    def method(ready: Ready, labels: np.ndarray) -> np.ndarray:
        given = labels >= 0
        k = min(voters, int(np.bincount(labels[given]).min()))
        fitted = KNeighborsClassifier(k, weights="distance").fit(ready.units[given], labels[given])
        return np.asarray(fitted.predict_proba(ready.units))

    return method


def logistic(penalty: float) -> Method:
    """On the labelled unit rows."""

    def method(ready: Ready, labels: np.ndarray) -> np.ndarray:
        given = labels >= 0
        fitted = LogisticRegression(C=penalty, max_iter=2000).fit(ready.units[given], labels[given])
        return np.asarray(fitted.predict_proba(ready.units))

    return method


METHODS: dict[str, Method] = {
    "fewlabels": fewlabels(lambda ready: Refinement()),
    "+ centred": fewlabels(lambda ready: Refinement(centre_sources=True)),
    "+ prior of labels": fewlabels(lambda ready: Refinement(prior="labels")),
    "+ prior given": fewlabels(lambda ready: Refinement(prior=ready.prior)),
    "+ calibrated": fewlabels(lambda ready: Refinement(calibrate=True)),
    "+ all, prior of labels": fewlabels(lambda ready: Refinement(True, "labels", True)),
    "+ all, prior given": fewlabels(lambda ready: Refinement(True, ready.prior, True)),
    "LabelSpreading knn": label_spreading(**SPREADING),
    "kNN vote": vote(VOTERS),
    "logistic regression": logistic(PENALTY),
}
CANDIDATES: dict[str, Method] = {
    **{
        f"LabelSpreading k={k} alpha={alpha}": label_spreading(k, alpha)
        for k in (7, 20, 50)
        for alpha in (0.2, 0.9, 0.99)
    },
    **{f"vote k={k}": vote(k) for k in (1, 3, 5)},
    **{f"logistic C={penalty:g}": logistic(penalty) for penalty in (1.0, 10.0, 100.0, 1000.0)},
}
