"""Scores of labelled rows only: unlabelled ones have nothing to be compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing

from ..errors import LabelError
from .labels import AUTO, labelled

Scorer = Callable[[Any, Any, Any], float]


def labeled_scorer(scoring: str | Scorer = "accuracy", *, unlabeled: object = AUTO) -> Scorer:
    """A scorer for cross_val_score, GridSearchCV and the like that leaves the unlabelled rows of a test fold out.

    scoring: a scorer of scikit-learn or its name. unlabeled: as in LabelPropagationClassifier.
    The classifier's own `score` leaves them out already; this is for other scores, and for other classifiers.

    >>> from sklearn.dummy import DummyClassifier
    >>> model = DummyClassifier().fit([[0], [0]], [1, 1])
    >>> labeled_scorer("accuracy")(model, [[0], [0], [0]], [1, -1, 1])
    1.0
    """
    return partial(_score_labelled, scoring=scoring, unlabeled=unlabeled)


def _score_labelled(estimator: Any, X: Any, y: Any, *, scoring: str | Scorer, unlabeled: object) -> float:
    known = labelled_only(X, y, unlabeled, getattr(estimator, "classes_", ()))
    return float(get_scorer(scoring)(estimator, known[0], known[1]))


def labelled_only(X: Any, y: Any, unlabeled: object, classes: Any) -> tuple[Any, Any, NDArray[np.int64]]:
    """The labelled rows of X and y, and their numbers. Raises LabelError (L16) where there are none."""
    rows = np.flatnonzero(labelled(y, unlabeled, classes))
    if rows.size == 0:
        raise LabelError("L16", f"0 labelled of {len(y)} rows to score", do="LabeledKFold makes folds that have some")
    if rows.size == len(y):
        return X, y, rows
    truth = np.asarray(_safe_indexing(y, rows)).ravel()
    return _safe_indexing(X, rows), np.array(truth.tolist()), rows
