"""LabelPropagationClassifier: few labels, many rows, scikit-learn's conventions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from ..errors import InputWarning, LabelError
from ..graph import GraphSettings, Propagation, spread, unit_rows
from ..graph.graph import graph_of_rows
from ..graph.inductive import Induced, induce
from .labels import AUTO, CodedLabels, code_labels
from .store import read_fitted, write_fitted


class LabelPropagationClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Labels for every row from a few labelled ones, by label propagation on the graph of nearest neighbours.

    Takes the place of sklearn.semi_supervised.LabelSpreading where rows are embeddings: rows are compared by cosine,
    edges are weighted, memory grows with n and not with its square, and rows that no label reaches are said.

    Parameters
    ----------
    n_neighbors, gamma, alpha, max_steps, tol, mode, max_zero_share : see fewlabels.GraphSettings
    unlabeled : the value in y that means "no label". "auto" takes -1, NaN, None or "", whichever occurs.

    Attributes
    ----------
    classes_ : (c,) the labels, sorted, without the unlabelled marker.
    transduction_ : (n,) the label of every fitted row; the marker where no label reaches it.
    label_distributions_ : (n, c) float64, rows sum to 1; uniform where no label reaches.
    certainty_ : (n,) float64 in [0, 1]. reached_ : (n,) bool.
    graph_ : scipy.sparse.csr_array, the normalised affinity; node_ : (n,) its node of each row.
    n_steps_ : (c,) steps of the solver for each class. n_iter_ : the most of them. n_features_in_ : d.

    >>> import numpy as np
    >>> rows = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> model = LabelPropagationClassifier(n_neighbors=1).fit(rows, ["cat", "", "dog", ""])
    >>> model.transduction_.tolist(), model.predict([[0.2, 3]]).tolist()
    (['cat', 'cat', 'dog', 'dog'], ['cat'])
    """

    def __init__(
        self,
        n_neighbors: int = 50,
        *,
        gamma: float = 3.0,
        alpha: float = 0.99,
        max_steps: int | None = None,
        tol: float = 1e-6,
        mode: str = "paper",
        max_zero_share: float = 0.01,
        unlabeled: object = AUTO,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.gamma = gamma
        self.alpha = alpha
        self.max_steps = max_steps
        self.tol = tol
        self.mode = mode
        self.max_zero_share = max_zero_share
        self.unlabeled = unlabeled

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Build the graph of X and spread the labels of y over it.

        X: (n, d) finite real numbers. y: (n,) labels, with the unlabelled marker where there is none.
        Raises EmbeddingError and LabelError (both ValueErrors), naming the rows; warns as fewlabels.propagate does.
        """
        if y is None:
            name = type(self).__name__
            raise LabelError("L16", f"{name} requires y to be passed, but the target y is None")
        rows = validate_data(self, X, ensure_all_finite=False)  # unit_rows refuses NaN too, and names the rows
        labels = code_labels(y, self.unlabeled)
        check_consistent_length(rows, labels.codes)
        settings = self._settings()
        units = unit_rows(rows)
        found = spread(graph_of_rows(units, settings), labels.codes, settings, class_names=_names(labels))
        return self._keep(units, labels, found)

    def add_labels(self, rows: ArrayLike, y: ArrayLike) -> Self:
        """Label more of the fitted rows, or change their labels, and solve again from the last solution.

        rows: (q,) numbers of fitted rows. y: (q,) their labels; the unlabelled marker takes a label back. New classes
        may come. The answer is that of fit with all these labels, to within `tol`; the graph is not built again.
        """
        check_is_fitted(self)
        at, new = np.asarray(rows), np.asarray(y, object)
        if at.shape != new.shape or at.ndim != 1 or at.dtype.kind not in "iu":
            raise LabelError("L23", f"{at.shape} row numbers of type {at.dtype} and {new.shape} labels: one for each")
        if at.size and not (at.min() >= 0 and at.max() < self._labels.codes.size):
            strange = at[(at < 0) | (at >= self._labels.codes.size)]
            raise LabelError("L15", "row numbers that were not fitted", rows=strange.tolist())
        whole = self._labels.decoded(self._labels.codes).astype(object)
        whole[at] = new
        labels = code_labels(whole.tolist(), self._labels.marker)
        found = spread(
            self._found.graph, labels.codes, self._settings(), class_names=_names(labels), start=self._start(labels)
        )
        return self._keep(self._units, labels, found)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(q, c) class shares of new points: the mix of their nearest fitted rows, as one step of the propagation.

        Warns (InputWarning, E33) of points without any similarity to a row that a label reached.
        """
        found = self._induced(X)
        if found.lonely.any():
            what = (
                f"FL-E33 {found.lonely.sum()} points are not similar to any row that a label reaches: their answer is "
            )
            warnings.warn(InputWarning(what + "that of the nearest one, or the class shares"), stacklevel=2)
        return found.distribution

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(q,) the most probable class of new points; of equal ones the first in classes_."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one .npz file of plain arrays, without pickle. Raises StorageError."""
        check_is_fitted(self)
        write_fitted(path, self.get_params(), self._units, self._labels, self._found)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote. Raises RunError for any other file; nothing in it can run code."""
        parameters, units, labels, found = read_fitted(path)
        model = cls(**parameters)
        model.n_features_in_ = units.shape[1]
        return model._keep(units, labels, found)

    def _settings(self) -> GraphSettings:
        return GraphSettings(
            n_neighbors=self.n_neighbors,
            gamma=self.gamma,
            alpha=self.alpha,
            max_steps=self.max_steps,
            tol=self.tol,
            mode=self.mode,  # type: ignore[arg-type]
            max_zero_share=self.max_zero_share,
        )

    def _keep(self, units: NDArray[np.float32], labels: CodedLabels, found: Propagation) -> Self:
        result = found.pseudo_labels
        self._units, self._labels, self._found = units, labels, found
        self.classes_ = labels.classes
        self.transduction_ = labels.decoded(result.label)
        self.label_distributions_ = result.distribution
        self.certainty_ = result.certainty
        self.reached_ = result.reached
        self.graph_: sp.csr_array = found.graph.affinity
        self.node_ = found.graph.node
        self.n_steps_ = found.solution.num_steps
        self.n_iter_ = max(1, int(self.n_steps_.max()))
        return self

    def _start(self, labels: CodedLabels) -> NDArray[np.float64] | None:
        """The last solution with its columns where these classes have them; released mode starts from zero."""
        if self.mode == "released":
            return None
        place = {label: column for column, label in enumerate(self._labels.classes.tolist())}
        start = np.zeros((self._found.solution.x.shape[0], labels.classes.size))
        for column, label in enumerate(labels.classes.tolist()):
            if label in place:
                start[:, column] = self._found.solution.x[:, place[label]]
        return start

    def _induced(self, X: ArrayLike) -> Induced:
        check_is_fitted(self)
        points = unit_rows(validate_data(self, X, reset=False, ensure_all_finite=False))
        reached = self.reached_ & self._units.any(axis=1)
        if not reached.any():  # only rows without direction are labelled
            reached = self.reached_
        return induce(
            points, self._units[reached], self.label_distributions_[reached], self.n_neighbors, float(self.gamma)
        )


def _names(labels: CodedLabels) -> list[str]:
    return [str(label) for label in labels.classes]
