"""LabelPropagationClassifier: a scikit-learn classifier that learns from few labels and many unlabelled rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import scipy.sparse as sp
import sklearn.exceptions
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..choosing import Answer, Auto, propagate
from ..conventions import UNLABELED
from ..errors import ConfigError, ConvergenceWarning, EmbeddingError, InputWarning, LabelError, warn
from ..graph import (
    Graph,
    GraphSettings,
    Propagation,
    Refinement,
    comparable_rows,
    graph_from_affinity,
    spread,
)
from ..graph.build import build_graph_of_rows
from ..graph.extend import Mix, find_answers, mix_affinities, mix_neighbors
from ..graph.label_matrix import warn_of_narrow_classes
from ..graph.precomputed import edge_weights
from ..graph.rows import densify, warn_of_rounding
from .cross_validation import select_labelled
from .labels import (
    AUTO,
    CodedLabels,
    add_absent_nodes,
    add_absent_rows,
    add_merged,
    check_new_labels,
    check_weights,
    code_labels,
    number_groups,
)
from .merging import Merged, merge_equal
from .store import Fitted, read_fitted, write_fitted

T = TypeVar("T")
METRICS = ("cosine", "inner_product", "precomputed")


class LabelPropagationClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify every row from a few labelled ones, by label propagation on the graph of nearest neighbours.

    Takes the place of sklearn.semi_supervised.LabelSpreading where rows are embeddings: rows are compared by cosine,
    edges are weighted, memory grows with n and not with its square, and rows that no label reaches are said.

    Parameters
    ----------
    mode : "auto": the labels choose n_neighbors, alpha and refinement where these are None, and whether the graph, a
        classifier of single rows or their average answers, as fewlabels.propagate does; "paper" or "released": None is
        50, 0.99 and nothing.
    n_neighbors, gamma, alpha, max_steps, tol, max_zero_share, recall, precision : see fewlabels.GraphSettings. With
        n_neighbors, alpha or refinement given, a graph answers.
    labels_are : "balanced" or "random", where it is known whether the classes are about equally large, or the labelled
        rows drawn like the data; None: told by the labels (fewlabels.Auto). For mode "auto".
    refinement : fewlabels.graph.Refinement, such as Refinement(prior="labels"); Refinement() is none.
    metric : how rows are compared: "cosine"; "inner_product", where their length means something; or "precomputed":
        X is the (n, n) affinity itself, sparse or dense, symmetric (else the mean of it and its transpose is taken,
        with a warning), from 0 up, larger is nearer; its diagonal, n_neighbors and gamma do not count, and nothing is
        chosen: "auto" is "paper". New points then come as (q, n) affinities to the fitted rows.
    random_state : whole number, the seed of the search where it is not exact; None is 0. One seed, one answer. Of a
        RandomState the seed is drawn, anew at each fit.
    unlabeled : the value in y that means "no label". "auto" takes -1, NaN, None or "", whichever occurs, and in a y of
        text what NumPy makes of these ('nan', 'None', '<NA>', '-1'), with a warning.

    Attributes
    ----------
    classes_ : (c,) the labels, sorted, without the unlabelled marker.
    transduction_ : (n,) the label of every fitted row; the marker where no label reaches it.
    label_distributions_ : (n, c) float64, rows sum to 1; uniform where no label reaches.
    certainty_ : (n,) float64 in [0, 1]. reached_ : (n,) bool.
    choice_ : fewlabels.Choice, what was chosen and why, and its cross-validated error; None where nothing was.
    graph_ : scipy.sparse.csr_array, the normalised affinity; node_ : (n,) its node of each row.
    n_steps_ : (c,) steps of the solver for each class. n_iter_ : the most of them. These four are of the graph with the
        largest share, and are missing where no graph answers. n_features_in_ : d.

    >>> import numpy as np
    >>> rows = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> model = LabelPropagationClassifier(n_neighbors=1).fit(rows, ["cat", "", "dog", ""])
    >>> model.transduction_.tolist(), model.predict([[0.2, 3]]).tolist()
    (['cat', 'cat', 'dog', 'dog'], ['cat'])
    """

    def __init__(
        self,
        n_neighbors: int | None = None,
        *,
        gamma: float = 3.0,
        alpha: float | None = None,
        max_steps: int | None = None,
        tol: float = 1e-6,
        mode: str = "auto",
        max_zero_share: float = 0.01,
        metric: str = "cosine",
        recall: float | str | None = None,
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        refinement: Refinement | None = None,
        labels_are: str | None = None,
        unlabeled: object = AUTO,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.gamma = gamma
        self.alpha = alpha
        self.max_steps = max_steps
        self.tol = tol
        self.mode = mode
        self.max_zero_share = max_zero_share
        self.metric = metric
        self.recall = recall
        self.precision = precision
        self.random_state = random_state
        self.refinement = refinement
        self.labels_are = labels_are
        self.unlabeled = unlabeled

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        is_precomputed = self.metric == "precomputed"
        tags.input_tags.pairwise = tags.input_tags.positive_only = is_precomputed
        tags.input_tags.sparse = True
        # scikit-learn's checks hand in distances, where large means far
        tags.classifier_tags.poor_score = is_precomputed
        return tags

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Build the graph of X and spread the labels of y over it.

        X: (n, d) finite real numbers, sparse ones too; (n, n) affinities with metric="precomputed". y: (n,) labels,
        with the unlabelled marker where there is none. sample_weight: (n,) from 0 up, as if each row occurred so many
        times: what a label counts beside others. An unlabelled row counts the same whatever its weight, and a row of
        weight 0 is not there: it gets no label and neither helps nor is found later. groups: (n,) such as patients or
        cameras: labelled rows of one group are held out together where the labels choose (mode "auto" alone).
        Raises EmbeddingError, GraphError and LabelError (all ValueErrors), naming the rows; warns as
        fewlabels.propagate does.
        """
        if y is None:
            name = type(self).__name__
            raise LabelError("L16", f"{name} requires y to be passed, but the target y is None")
        settings = self._settings()
        X = self._validate(X, reset=True)
        labels, weight = code_labels(y, self.unlabeled, X.shape[0]), None
        absent = np.zeros(labels.codes.size, bool)
        if sample_weight is not None:
            weight = check_weights(sample_weight, labels.codes.size, self.mode)
            absent = weight == 0
        if absent.any():
            labels = labels.remove(absent)
        found: Propagation | Answer
        merged, rows = None, X
        together = None if groups is None else number_groups(groups, labels.codes.size, isinstance(settings, Auto))
        if isinstance(settings, Auto):
            merged = merge_equal(X, labels.codes, weight)
            found = _choose(X, labels, merged, settings, together)
        else:
            graph, rows = self._build_graph(X, absent, settings)
            if rows is not None:
                warn_of_narrow_classes(labels.codes.size, labels.classes.size, settings)
            found = _spread(graph, labels, settings, weight)
        columns = getattr(self, "feature_names_in_", None)
        names = None if columns is None else tuple(columns.tolist())
        return self._keep(
            Fitted(
                rows=rows,
                labels=labels,
                weight=weight,
                found=found,
                num_features=self.n_features_in_,
                feature_names=names,
                merged=merged,
                groups=together,
            )
        )

    def add_labels(
        self, rows: ArrayLike, y: ArrayLike, *, allow_new_classes: bool = False, choose_again: bool = False
    ) -> Self:
        """Label more of the fitted rows, or change their labels, and solve again from the last solution.

        rows: (q,) numbers of fitted rows. y: (q,) their labels; the unlabelled marker takes a label back. The answer is
        that of fit with all these labels (and the weights that fit was given), to within `tol`; the graph is not built
        again. In mode "auto" it is, what was chosen is kept, as choice_.reason says, and its error is measured anew;
        with choose_again all labels choose, as fit does.
        Raises LabelError (L34) for a label that is none of classes_, unless allow_new_classes: a mistyped name would be
        a class that draws rows to itself.
        """
        check_is_fitted(self)
        last = self._fitted
        at, new = check_new_labels(rows, y, last.labels.codes.size, last.weight)
        labels = last.labels.relabel(at, new, allow_new_classes=allow_new_classes)
        settings = self._settings()
        if isinstance(settings, Auto):
            assert last.rows is not None
            merged = merge_equal(last.rows, labels.codes, last.weight)
            assert isinstance(last.found, Answer)
            kept = None if choose_again else last.found.choice
            chosen = _choose(last.rows, labels, merged, replace(settings, kept=kept), last.groups)
            return self._keep(replace(last, labels=labels, found=chosen, merged=merged))
        assert isinstance(last.found, Propagation)
        guess = self._first_guess(labels, last.found)
        found = _spread(last.found.graph, labels, settings, last.weight, guess)
        return self._keep(replace(last, labels=labels, found=found))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """(q, c) class shares of new points: by a graph the mix of their nearest fitted rows, as one step of the
        propagation; by a head of the row itself; in mode "auto" by the average that was chosen, calibrated.

        X: (q, d) rows; (q, n) affinities to the fitted rows with metric="precomputed". A labelled neighbour counts with
        its given label (in released mode with its distribution, as any other). Equal rows count as one neighbour, as
        they are one node of the graph. The time does not depend on how many rows are labelled.
        Warns (InputWarning, E33) of points without any similarity to a row that a label reached.
        """
        check_is_fitted(self)
        if isinstance(self._fitted.found, Answer):
            return self._fitted.found.extend(self._validate(X, reset=False), self._fitted.answered_rows).distribution
        found = self._mix(X, self._fitted.found)
        if missed := int((~found.reached).sum()):
            what = f"FL-E33 {missed} points are not similar to any row that a label reaches: their answer is "
            warn(InputWarning(what + "that of the nearest one, or the class shares"))
        return found.distribution

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(q,) the most probable class of new points; of equal ones the first in classes_."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of predict on the labelled rows of X and y; so cross-validation may hand in unlabelled ones too."""
        check_is_fitted(self)
        X, y, rows = select_labelled(X, y, self.unlabeled, self.classes_)
        weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
        return float(super().score(X, y, weight))

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one .npz file of plain arrays, without pickle. Raises StorageError."""
        check_is_fitted(self)
        parameters = self.get_params()
        if self.random_state is not None:  # of a generator the next fit would draw another
            parameters["random_state"] = _choose_seed(self.random_state)
        write_fitted(path, parameters, self._fitted)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that `save` wrote. Raises RunError for any other file; nothing in it can run code."""
        parameters, fitted = read_fitted(path)
        if parameters.get("refinement") is not None:
            parameters["refinement"] = Refinement(**parameters["refinement"])
        model = cls(**parameters)
        model.n_features_in_ = fitted.num_features
        if fitted.feature_names is not None:
            model.feature_names_in_ = np.array(fitted.feature_names, object)
        return model._keep(fitted)

    def _settings(self) -> GraphSettings | Auto:
        if self.metric not in METRICS:
            raise ConfigError("C27", f"metric is {self.metric!r}, expected one of {', '.join(METRICS)}")
        paper = GraphSettings()
        settings = GraphSettings(
            n_neighbors=paper.n_neighbors if self.n_neighbors is None else self.n_neighbors,
            gamma=self.gamma,
            alpha=paper.alpha if self.alpha is None else self.alpha,
            max_steps=self.max_steps,
            tol=self.tol,
            mode="paper" if self.mode == "auto" else self.mode,  # type: ignore[arg-type]
            max_zero_share=self.max_zero_share,
            metric="inner_product" if self.metric == "inner_product" else "cosine",
            recall=self.recall,  # type: ignore[arg-type]
            precision=self.precision,  # type: ignore[arg-type]
            seed=_choose_seed(self.random_state),
            refinement=Refinement() if self.refinement is None else self.refinement,
        )
        if self.mode != "auto" or self.metric == "precomputed":
            if self.labels_are is not None:
                what = f"labels_are={self.labels_are!r} where nothing is chosen"
                raise ConfigError("C120", what, do="leave it out, or use mode='auto' with rows")
            return settings
        return Auto(
            n_neighbors=self.n_neighbors,
            alpha=self.alpha,
            refinement=self.refinement,
            labels_are=self.labels_are,  # type: ignore[arg-type]  # Auto refuses any other
            base=settings,
        )

    def _validate(self, X: Any, reset: bool) -> Any:
        """Check X: an array, or CSR where it is an affinity. NaN is refused later, with the numbers of its rows."""
        is_precomputed = self.metric == "precomputed"
        finite = is_precomputed and not reset  # there scikit-learn wants NaN found before a wrong shape
        try:
            X = validate_data(self, X, reset=reset, accept_sparse="csr", ensure_all_finite=finite)
        except ValueError as problem:
            raise EmbeddingError("E9", " ".join(str(problem).split())) from problem
        return X if is_precomputed else densify(X)

    def _build_graph(
        self, X: Any, absent: NDArray[np.bool_], settings: GraphSettings
    ) -> tuple[Graph, NDArray[np.float32] | None]:
        """Build the graph of all rows, in which absent ones have no edges; also its rows, None if precomputed."""
        present = X[~absent] if absent.any() else X
        rows = None
        if self.metric == "precomputed":
            if absent.any() and X.shape[0] == X.shape[1]:
                present = present[:, ~absent]
            graph = graph_from_affinity(present, repair=True)
        else:
            rows = comparable_rows(present, settings.metric)
            graph = build_graph_of_rows(rows, settings)
            warn_of_rounding(present, graph.node, settings)
        if absent.any():
            graph, rows = add_absent_nodes(graph, absent), add_absent_rows(rows, absent)
        return graph, rows

    def _keep(self, fitted: Fitted) -> Self:
        found = fitted.found
        result = fitted.pseudo_labels
        self._fitted = fitted
        self.classes_ = fitted.labels.classes
        self.transduction_ = fitted.labels.decode(result.label)
        self.label_distributions_ = result.distribution
        self.certainty_ = result.certainty
        self.reached_ = result.reached
        self.choice_ = found.choice if isinstance(found, Answer) else None
        solved = found.propagation if isinstance(found, Answer) else found
        if solved is None:
            for name in ("graph_", "node_", "n_steps_", "n_iter_"):
                self.__dict__.pop(name, None)
            return self
        graph = solved.graph if fitted.merged is None else add_merged(solved.graph, fitted.merged)
        self.graph_: sp.csr_array = graph.affinity
        self.node_ = graph.node
        self.n_steps_ = solved.solution.num_steps
        self.n_iter_ = max(1, int(self.n_steps_.max()))
        return self

    def _first_guess(self, labels: CodedLabels, found: Propagation) -> NDArray[Any] | None:
        """Where the solver starts: the last solution, class by class; None in released mode, which starts from 0."""
        if self.mode == "released":
            return None
        last, x = self._fitted.labels.classes.tolist(), found.solution.x
        place = {label: column for column, label in enumerate(last)}
        start = np.zeros((x.shape[0], labels.classes.size), x.dtype)
        for column, label in enumerate(labels.classes.tolist()):
            if label in place:
                start[:, column] = x[:, place[label]]
        return start

    def _mix(self, X: Any, found: Propagation) -> Mix:
        X = self._validate(X, reset=False)
        fitted = self._fitted
        codes = fitted.labels.codes
        given = np.full(codes.size, UNLABELED) if self.mode == "released" else codes
        answers = find_answers(found, given, fitted.rows)
        if fitted.rows is None:
            return mix_affinities(edge_weights(X), answers)
        # whatever the metric, the length of a new point cancels, so that it need not be known on which scale rows are
        settings = self._settings()
        assert isinstance(settings, GraphSettings)
        return mix_neighbors(comparable_rows(X), fitted.rows, answers, settings.n_neighbors, settings.gamma)


class EstimatorConvergenceWarning(ConvergenceWarning, sklearn.exceptions.ConvergenceWarning):  # type: ignore[misc]
    """A warning of convergence that scikit-learn's filters know, and those of fewlabels."""


def _spread(
    graph: Graph,
    labels: CodedLabels,
    settings: GraphSettings,
    weight: NDArray[np.float64] | None,
    start: NDArray[Any] | None = None,
) -> Propagation:
    names = [str(label) for label in labels.classes]
    return _tell_convergence(
        lambda: spread(graph, labels.codes, settings, class_names=names, weight=weight, start=start)
    )


def _choose(
    rows: NDArray[Any],
    labels: CodedLabels,
    merged: Merged,
    auto: Auto,
    groups: NDArray[np.int64] | None,
) -> Answer:
    """The answer of settings that the labels choose, over the rows that are there, equal ones once."""
    codes, names = labels.codes[merged.first], [str(label) for label in labels.classes]
    weight = None if (merged.weight == 1).all() else merged.weight
    together = None if groups is None else groups[merged.first]
    return _tell_convergence(
        lambda: propagate(rows[merged.first], codes, auto, class_names=names, weight=weight, groups=together)
    )


def _tell_convergence(work: Callable[[], T]) -> T:
    """What `work` returns; its ConvergenceWarnings come out as EstimatorConvergenceWarning, at the call of fit."""
    told: list[str] = []
    is_solving = True  # afterwards nothing is kept: threads that catch warnings may leave each other's handlers behind
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if is_solving and issubclass(category, ConvergenceWarning):
                told.append(str(message))
            else:
                show(message, category, *where)

        warnings.showwarning = keep  # type: ignore[assignment]
        warnings.simplefilter("always", ConvergenceWarning)
        found = work()
    is_solving = False
    for text in told:
        warn(EstimatorConvergenceWarning(text))
    return found


def _choose_seed(random_state: Any) -> int:
    """The seed by scikit-learn's conventions: 0 for None, a whole number itself, drawn from a RandomState."""
    if random_state is None:
        return 0
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    return random_state  # type: ignore[no-any-return]  # GraphSettings refuses what is no whole number
