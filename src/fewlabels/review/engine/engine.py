"""The graph of a review: takes in answers, says what moved, what to ask next, why, and how good the labels are."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...conventions import UNLABELED
from ...errors import ConfigError
from ...graph import Explanation, Graph, Propagation, PseudoLabels, build_graph, explain_rows
from ...graph.influence import judge_labels
from ..items import Items
from . import queue
from .estimate import Estimate, draw_order, estimate_share, find_sample, interleave
from .incremental import Spreading
from .state import SOURCES, Moved, RowQuery, State, Texts, filter_rows, is_plain

SUSPECTS = 256  # given labels that are looked at, those with the least share first: each is a solve, once


class Engine:
    """One review's graph. One thread at a time may use it; `state` is a snapshot that anybody may read.

    An answered row counts as labelled by the person, also where it had a given label. Where the run says more than this
    graph, by another model, a row keeps the run's label and certainty until answers change what the graph says of it.
    propagation: what the graph says now, with the distributions.
    """

    def __init__(self, items: Items, answers: Mapping[int, int] | None = None, graph: Graph | None = None) -> None:
        """answers: row -> class number, -1 for none. graph: of the items' descriptors, if it was built before."""
        self.items = items
        self.graph = build_graph(items.descriptors, items.settings) if graph is None else graph
        self._spreading = Spreading(self.graph, items.settings, len(items.class_names))
        self._answers: NDArray[np.int64] = np.full(len(items.ids), UNLABELED)
        self._order = draw_order(items.given, items.settings.seed)
        self._texts, self._passed = Texts(items), frozenset[int]()
        self._queue: tuple[State, NDArray[np.int64]] | None = None
        self._unanswered: NDArray[np.int64] | None = None  # what the graph says without any answer
        if items.said is not None and answers:
            self._solve(0)
        self._take(dict(answers or {}))
        self.state = self._solve(0)

    def answer(self, changes: Mapping[int, int], version: int) -> Moved:
        """Take in answers, row -> class number, -1 to take one back; solve from the last solution.

        Raises ConfigError (C87) for rows and classes that do not exist; nothing is changed then.
        """
        start, before = time.perf_counter(), self.state
        self._take(changes)
        self.state = self._solve(version)
        rows = np.flatnonzero(before.label != self.state.label)
        rows = rows[np.argsort(-self.state.certainty[rows], kind="stable")]
        seconds = time.perf_counter() - start
        return Moved(version, rows, before.label[rows], self.state.label[rows], seconds)

    def select(self, wanted: RowQuery, first: int = 0, count: int = 60) -> tuple[NDArray[np.int64], int]:
        """Rows `first` to `first + count` in the order that is wanted, and how many there are in all.

        queue: rows that nobody labelled, by what an answer is worth, every fifth of them a sampled one. doubtful,
        certain: by certainty. row: as they come. suspicious: given labels that the others contradict, most first.
        Raises ConfigError (C87) for an unknown order, class or source.
        """
        rows = filter_rows(wanted, self.state, self.items, self._texts)
        if wanted.order == "queue":
            self._passed = frozenset(int(row) for row in wanted.leave_out)
            rows = self._order_queue(rows, wanted)
        elif wanted.order == "suspicious":
            rows = self._order_suspicious(rows)
        elif wanted.order != "row":
            sign = 1 if wanted.order == "doubtful" else -1
            rows = rows[np.argsort(sign * self.state.certainty[rows], kind="stable")]
        return rows[first : first + count], rows.size

    def why(self, row: int) -> Explanation:
        """What decided the label of a row, as explain_rows says it. Raises ConfigError (C87) where there is none."""
        if not 0 <= row < len(self.items.ids):
            raise ConfigError("C87", f"there is no row {row}; rows are 0 to {len(self.items.ids) - 1}")
        spreading = self._spreading
        return explain_rows(self.propagation, spreading.label, [row], spreading.settings, system=spreading.system)[0]

    def estimate(self) -> Estimate:
        """How many pseudo-labels are right, by the sampled answers."""
        rows = self._sample()
        if not rows.size:
            return estimate_share(np.zeros(0, bool))
        masses = self._spreading.leave_own_out(rows)
        says = np.where(masses.any(axis=1), masses.argmax(axis=1), UNLABELED)
        return estimate_share(says == self._answers[rows])

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) class numbers of given and answered rows, -1 elsewhere; an answer counts before a given label."""
        return np.where(self._answers != UNLABELED, self._answers, self.items.given)

    def _take(self, changes: Mapping[int, int]) -> None:
        rows = np.fromiter(changes.keys(), np.int64, len(changes))
        classes = np.fromiter(changes.values(), np.int64, len(changes))
        bad = (rows < 0) | (rows >= self._answers.size) | (classes < UNLABELED)
        bad |= classes >= len(self.items.class_names)
        if bad.any():
            raise ConfigError("C87", "answers for rows or classes that do not exist", rows=rows[bad].tolist())
        self._answers = self._answers.copy()
        self._answers[rows] = classes

    def _sample(self) -> NDArray[np.int64]:
        return find_sample(self._order, self._answers != UNLABELED, self._passed)

    def _solve(self, version: int) -> State:
        labels = self.labels
        self.propagation: Propagation = self._spreading.change(labels, known=self._sample().tolist())
        found = self.propagation.pseudo_labels
        label, certainty = self._prefer_run(found)
        reached = label != UNLABELED
        source = np.where(labels != UNLABELED, SOURCES.index("given"), SOURCES.index("propagated"))
        source[~reached] = SOURCES.index("none")
        source[self._answers != UNLABELED] = SOURCES.index("answered")
        score = queue.score_rows(self._spreading, found)
        return State(label, certainty, reached, source.astype(np.int8), score, version)

    def _prefer_run(self, found: PseudoLabels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Labels and certainties of all rows: the run's, but where answers changed what the graph says."""
        said = self.items.said
        if said is None:
            return found.label, found.certainty
        if self._unanswered is None:
            self._unanswered = found.label
        kept = (self.labels == UNLABELED) & (found.label == self._unanswered) & (said.label != UNLABELED)
        return np.where(kept, said.label, found.label), np.where(kept, said.certainty, found.certainty)

    def _order_queue(self, rows: NDArray[np.int64], wanted: RowQuery) -> NDArray[np.int64]:
        free = rows[self._spreading.label[rows] == UNLABELED]
        ordered = queue.order_rows(self.state.score, free, self.graph, self.state.reached)
        if not is_plain(wanted):
            return ordered
        open_rows = np.zeros(self._answers.size, bool)
        open_rows[free] = True
        return interleave(ordered, self._order[open_rows[self._order]])

    def _order_suspicious(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows whose label is given or answered, by how much more another class got from all other labels."""
        label = self._spreading.label
        rows = rows[label[rows] != UNLABELED]
        share = self.propagation.pseudo_labels.distribution[rows, label[rows]]
        looked = np.sort(rows[np.argsort(share, kind="stable")[:SUSPECTS]])
        count = np.bincount(label[label != UNLABELED], minlength=len(self.items.class_names))
        divided = self._spreading.settings.rules.divide_by_class_size
        found = judge_labels(looked, label, self._spreading.leave_own_out(looked), count, divided)
        return looked[np.argsort(-found.suspicion, kind="stable")]
