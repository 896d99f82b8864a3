"""Cross-validation for few labels: unlabelled rows always train; labelled ones are split and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import get_scorer
from sklearn.model_selection import StratifiedKFold
from sklearn.utils import _safe_indexing, indexable

from ..conventions import UNLABELED
from ..errors import LabelError
from .labels import AUTO, code_labels, find_labelled


class LabeledKFold:
    """Folds over the labelled rows, balanced by class. A test fold has labelled rows only; the unlabelled rows are in
    every training fold, where semi-supervised methods use them.

    n_splits: folds, at most the number of labels of the rarest class. shuffle, random_state: as in StratifiedKFold.
    unlabeled: as in LabelPropagationClassifier.

    >>> folds = LabeledKFold(n_splits=2).split([[0]] * 6, [0, 1, -1, 0, 1, -1])
    >>> [(train.tolist(), test.tolist()) for train, test in folds]
    [([2, 3, 4, 5], [0, 1]), ([0, 1, 2, 5], [3, 4])]
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
        unlabeled: object = AUTO,
    ) -> None:
        self.n_splits, self.shuffle, self.random_state, self.unlabeled = n_splits, shuffle, random_state, unlabeled

    def split(
        self, X: ArrayLike, y: ArrayLike, groups: object = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """(train, test) row numbers, ascending, fold after fold. Raises LabelError (L41) for too few labels."""
        indexable(X, y)
        codes = code_labels(y, self.unlabeled).codes
        labelled, unlabelled = np.flatnonzero(codes != UNLABELED), np.flatnonzero(codes == UNLABELED)
        fewest = int(np.bincount(codes[labelled]).min())
        if fewest < self.n_splits:
            raise LabelError("L41", f"{self.n_splits} folds, and a class with {fewest} labels: at most that many folds")
        folds = StratifiedKFold(self.n_splits, shuffle=self.shuffle, random_state=self.random_state)
        for train, test in folds.split(labelled, codes[labelled]):
            yield np.sort(np.concatenate([labelled[train], unlabelled])), labelled[test]

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:
        return self.n_splits


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
    known = select_labelled(X, y, unlabeled, getattr(estimator, "classes_", ()))
    return float(get_scorer(scoring)(estimator, known[0], known[1]))


def select_labelled(X: Any, y: Any, unlabeled: object, classes: Any) -> tuple[Any, Any, NDArray[np.int64]]:
    """Select the labelled rows of X and y; also their numbers. Raises LabelError (L16) where there are none."""
    rows = np.flatnonzero(find_labelled(y, unlabeled, classes))
    if rows.size == 0:
        raise LabelError("L16", f"0 labelled of {len(y)} rows to score", do="LabeledKFold makes folds that have some")
    if rows.size == len(y):
        return X, y, rows
    truth = np.asarray(_safe_indexing(y, rows)).ravel()
    return _safe_indexing(X, rows), np.array(truth.tolist()), rows
