"""What is asked for: which settings are given, and which the labels choose."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from ..errors import ConfigError
from ..graph.settings import GraphSettings, Refinement

if TYPE_CHECKING:
    from .choice import Choice

Kind = Literal["graph", "neighbors", "mean", "linear", "gaussian", "graph_linear"]
LabelsAre = Literal["balanced", "random"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NEIGHBORS = (5, 10, 20, 50)
MANY_ROWS = 20_000  # above, fewer candidates and folds: see below
NEIGHBORS_OF_MANY = (5, 10, 20)  # at the middle alpha; the other alphas then at the best of these alone
COLUMNS, COLUMNS_OF_MANY = 120, 60  # that all folds of one graph are solved by; with many classes there are fewer folds
ALPHAS = (0.5, 0.9, 0.99)
PENALTIES = (30.0, 3.0)  # of the linear head, each as C times the number of labelled rows; rows have total variance 1
CHOICE_ROWS = 200_000  # above, everyone chooses on the same sample of so many
HEAD_ROWS = 10_000  # rows that a head on top of a graph is fitted to, at most
# Neighbours and alpha of graphs whose average needs no choosing: with fewer labels than LEAST_PER_CLASS alone; with
# more, beside what the labels choose.
FIXED = ((5, 0.99), (10, 0.99), (20, 0.99))
LEAST_PER_CLASS = 3.0  # labels per class on the mean; below, the choice is fixed


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Settings that the labels choose, but for those given here.

    n_neighbors, alpha: of the graph; None: chosen. refinement: of the graph, as in GraphSettings; None: chosen. With
        any of these three given, the answer is a graph, unless `answer` says another.
    answer: "graph", "neighbors" (the nearest labelled row), "mean" (the nearest class mean), "linear" (logistic
        regression on the labelled rows), "gaussian" (Gaussians with one shrunk covariance), "graph_linear" (logistic
        regression on all rows, weighted by the graph's certainty); None: chosen, and where several are close, their
        average.
    labels_are: "balanced" where the classes are about equally large in the data, "random" where the labelled rows were
        drawn like the data. Balanced, the answer's class shares are matched to equal ones; random, with fewer than
        three labels per class to the labels', else to nothing. None: random where the classes have different numbers of
        labels, and equal shares where the answer is so near to them that its error explains the difference.
    most_members: answers that are averaged at most; 1 chooses the best one alone.
    kept: the choice of an earlier answer, whose members and shares are kept: only what they are fitted to, temperatures
        and the error are those of today's labels. None: the labels choose.
    base: everything else of the graph: gamma, metric, tol, recall, precision, seed, bad rows. Its n_neighbors, alpha
        and refinement do not count.

    Raises ConfigError (C120) for anything else, and for mode "released", whose settings are given.
    """

    n_neighbors: int | None = None
    alpha: float | None = None
    refinement: Refinement | None = None
    answer: Kind | None = None
    labels_are: LabelsAre | None = None
    most_members: int = 6
    kept: Choice | None = None
    base: GraphSettings = field(default_factory=GraphSettings)

    def __post_init__(self) -> None:
        if self.answer is not None and self.answer not in KINDS:
            raise ConfigError("C120", f"answer is {self.answer!r}, expected None or one of {', '.join(KINDS)}")
        if self.labels_are is not None and self.labels_are not in get_args(LabelsAre):
            raise ConfigError("C120", f"labels_are is {self.labels_are!r}, expected None, 'balanced' or 'random'")
        whole = isinstance(self.most_members, int) and not isinstance(self.most_members, bool)
        if not whole or self.most_members < 1:
            raise ConfigError("C120", f"most_members is {self.most_members!r}, expected a whole number from 1 up")
        if self.base.mode == "released":
            raise ConfigError("C120", "mode 'released' has all its settings given", do="hand in GraphSettings instead")
        n_neighbors = 1 if self.n_neighbors is None else self.n_neighbors
        self.graph_settings(n_neighbors, 0.5 if self.alpha is None else self.alpha)  # raises for values out of range

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The answers that are compared."""
        if self.answer is not None:
            return (self.answer,)
        given = (self.n_neighbors, self.alpha, self.refinement)
        return KINDS if given == (None, None, None) else ("graph",)

    def graph_settings(self, n_neighbors: int, alpha: float) -> GraphSettings:
        """The settings of one graph: as `base` says, with this number of neighbours and this alpha."""
        refinement = self.refinement or Refinement()
        return replace(self.base, n_neighbors=n_neighbors, alpha=alpha, refinement=refinement)
