"""Settings of the graph that answers while a person labels: chosen by the labels, in the background, now and then.

One search of neighbours serves every graph that is compared. The choice is that of `fewlabels.propagate` among graphs
(choosing/), at set numbers of labels; another graph takes over only where held-out labels clearly say it is better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ...choosing.choice import Choice, Member
from ...choosing.choose import choose, hold_out
from ...choosing.graphs import Lists, search_lists
from ...choosing.settings import MANY_ROWS, NEIGHBORS, NEIGHBORS_OF_MANY, Auto
from ...conventions import UNLABELED
from ...graph import Graph, GraphSettings, comparable_rows, weigh_class_names
from ...graph.rows import make_comparable
from ...graph.types import no_progress
from .incremental import Spreading

FIRST = Member(kind="graph", n_neighbors=10, alpha=0.99)  # before the labels can choose
CHOOSE_AT, THEN = 20, 1.5  # labels at which settings are chosen, and how many times as many for each choice after it
BALANCE = 0.5  # the label of a class with n labels counts n ** -BALANCE: answers come in unequal numbers
CLEAR = 1.0  # standard errors of the difference that another graph must be better by


@dataclass
class LiveGraph:
    """The neighbours of all rows, and the graph that answers now. One thread at a time may change it.

    values: (n, d) comparable rows. auto: what is compared. member: whose graph answers. balance: as of Spreading.
    because: why, in words. sources: (n, k) what the names of the first k classes give to each row; None without names.
    """

    values: NDArray[np.float32]
    lists: Lists
    auto: Auto
    member: Member = FIRST
    balance: float = BALANCE
    because: str = ""
    sources: sp.csc_array | None = None
    _chosen_at: float = field(default=CHOOSE_AT / THEN)

    @property
    def settings(self) -> GraphSettings:
        assert self.member.n_neighbors is not None
        assert self.member.alpha is not None
        return self.auto.graph_settings(min(self.member.n_neighbors, max(1, self.lists.most)), self.member.alpha)

    def graph(self) -> Graph:
        return self.lists.graph(self.settings)

    def spreading(self, num_classes: int) -> Spreading:
        """Labels on that graph, none yet."""
        return Spreading(self.graph(), self.settings, num_classes, balance=self.balance, sources=self.sources)

    def prepare_choice(self, labels: NDArray[np.int64]) -> Callable[[], Choice] | None:
        """What chooses by (n,) labels, to be called on any thread; None where it is not the time for it."""
        place = np.flatnonzero((labels != UNLABELED) & self.values.any(axis=1))
        if place.size < THEN * self._chosen_at or np.unique(labels[place]).size < 2:
            return None
        self._chosen_at = place.size
        classes = np.unique(labels[place], return_inverse=True)[1].reshape(-1)

        def find() -> Choice:
            weight = np.ones(place.size)
            held = hold_out(self.values[place], place, classes, weight, int(classes.max()) + 1, self.lists)
            return choose(self.lists, [], held, self.auto).choice

        return find

    def adopt(self, choice: Choice) -> bool:
        """Whether the choice is clearly better than the graph that answers; that is then the one that it names."""
        best = choice.members[0]
        known = {(one.member.n_neighbors, one.member.alpha): one for one in choice.candidates}
        now = known.get((self.member.n_neighbors, self.member.alpha))
        new = known.get((best.n_neighbors, best.alpha))
        self.because = f"none was clearly better by {choice.num_held_out} labels, held out in turn"
        if now is None or new is None or now.above_best - new.above_best <= CLEAR * now.spread:
            return False
        self.member = Member(kind="graph", n_neighbors=best.n_neighbors, alpha=best.alpha)
        self.because = f"chosen by {choice.num_held_out} labels, held out in turn"
        return True


def open_live(
    descriptors: NDArray[np.generic], settings: GraphSettings, class_descriptors: NDArray[np.generic] | None = None
) -> LiveGraph:
    """Search the neighbours of all rows, for every graph that may answer. Raises what `search_lists` raises.

    class_descriptors: (k, d) of the names of the first k classes, by the text side of the rows' backbone.
    """
    rows = make_comparable(descriptors, settings.metric, drop_bad_rows=settings.drop_bad_rows)
    usual = NEIGHBORS_OF_MANY if len(rows.values) > MANY_ROWS else NEIGHBORS
    most = max(1, min(max(usual), len(rows.values) - 1))
    lists = search_lists(rows, settings, most, no_progress)
    sources = None
    if class_descriptors is not None:
        sources = weigh_class_names(rows.values, comparable_rows(class_descriptors, settings.metric))
    return LiveGraph(rows.values, lists, Auto(answer="graph", most_members=1, base=settings), sources=sources)
