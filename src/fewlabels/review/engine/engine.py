"""The graph of a review: takes in answers, says what moved, what to ask next, why, and how good the labels are."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...choosing.choice import Choice
from ...conventions import UNLABELED
from ...errors import ConfigError
from ...graph import Explanation, Graph, Propagation, PseudoLabels, build_graph, explain_rows
from ...graph.influence import judge_labels
from ...graph.rows import make_comparable
from ..items import Items
from ..store.classes import ClassList, found_classes
from ..store.values import NONE_OF_THESE
from . import queue
from .coverage import Coverage, cover
from .estimate import Estimate, draw_order, estimate_share, find_sample, interleave
from .incremental import Spreading
from .live import LiveGraph
from .state import SOURCES, Moved, RowQuery, State, Texts, filter_rows, is_plain, make_unsolved_state

SUSPECTS = 256  # given labels that are looked at, those with the least share first: each is a solve, once
FEWEST_CLASSES = 2  # with a label, so that there is something to spread
COVERED = 64  # rows at the head of the queue that stand for others, at most
NEW_CLASSES = 0.1  # chance that the next answer is of a new class; above, every second row stands for many
CALM_ANSWERS, CALM_SHARE = 20, 0.001  # the last answers, and the share of rows that each of them moved at most


class Engine:
    """One review's graph. One thread at a time may use it; `state` is a snapshot that anybody may read.

    An answered row counts as labelled by the person, also where it had a given label. Where the run says more than this
    graph, by another model, a row keeps the run's label and certainty until answers change what the graph says of it.
    propagation: what the graph says now, with the distributions; None in a labelling where fewer than two classes have
    a label.
    """

    def __init__(
        self,
        items: Items,
        answers: Mapping[int, int] | None = None,
        graph: Graph | None = None,
        classes: ClassList | None = None,
        live: LiveGraph | None = None,
    ) -> None:
        """answers: row -> class number, -1 for none, NONE_OF_THESE. graph: of the items' descriptors, if it was built.

        classes: as they are by now; None: those of the items. live: whose graph answers, where the labels choose it.
        """
        self.items, self.live = items, live
        self.classes = found_classes(items.class_names) if classes is None else classes
        self._begun = live is None or live.sources is not None or bool((items.given != UNLABELED).any())
        if live is not None:
            self._spreading = live.spreading(len(self.classes))
            self._spreading.stand_for(self.classes.stands_for)
        else:
            graph = build_graph(items.descriptors, items.settings) if graph is None else graph
            balance = 1.0 if items.by_degree else 0.0
            self._spreading = Spreading(
                graph, items.settings, len(self.classes), balance=balance, by_degree=items.by_degree
            )
        self._answers: NDArray[np.int64] = np.full(len(items.ids), UNLABELED)
        self._order = draw_order(items.given, items.settings.seed)
        self._texts, self._passed = Texts(items), frozenset[int]()
        self._moves: deque[float] = deque(maxlen=CALM_ANSWERS)
        self.propagation: Propagation | None = None
        self._unanswered: NDArray[np.int64] | None = None  # what the graph says without any answer
        if items.said is not None and answers:
            self._solve(0)
        self._take(dict(answers or {}))
        self.state = self._solve(0)

    @property
    def graph(self) -> Graph:
        return self._spreading.graph

    def answer(self, changes: Mapping[int, int], version: int, classes: ClassList | None = None) -> Moved:
        """Take in answers, row -> class number, -1 to take one back; solve from the last solution.

        classes: where they were changed, or there are more of them by now.
        Raises ConfigError (C87) for rows and classes that do not exist; nothing is changed then.
        """
        start, before = time.perf_counter(), self.state
        if classes is not None:
            self.classes = classes
            self._spreading.grow(len(classes))
            self._spreading.stand_for(classes.stands_for)
        self._take(changes)
        self.state = self._solve(version)
        rows = np.flatnonzero(before.label != self.state.label)
        rows = rows[np.argsort(-self.state.certainty[rows], kind="stable")]
        if changes:
            others = rows.size - int(np.isin(list(changes), rows).sum())
            self._moves.append(others / max(1, len(changes) * before.label.size))
        seconds = time.perf_counter() - start
        return Moved(version, rows, before.label[rows], self.state.label[rows], seconds)

    def prepare_choice(self) -> Callable[[], Choice] | None:
        """What chooses the graph's settings by the labels, on any thread; None where it is not the time for it."""
        return None if self.live is None else self.live.prepare_choice(self.labels)

    def adopt(self, choice: Choice) -> bool:
        """Let another graph answer, where the choice is clearly for it. Returns whether one does."""
        if self.live is None or not self.live.adopt(choice):
            return False
        self._spreading = self.live.spreading(len(self.classes))
        self._spreading.stand_for(self.classes.stands_for)
        self._moves.clear()
        self.state = self._solve(self.state.version)
        return True

    def imagine(self, rows: Sequence[int], number: int) -> list[tuple[int, int, int]]:
        """(class before, class after, other rows) that would move, most first, if these rows had a class's label."""
        labels = self.labels
        labels[list(rows)] = self.classes.stands_for[number]
        if np.unique(labels[labels != UNLABELED]).size < FEWEST_CLASSES and not self._begun:
            return []
        after, before = self._spreading.imagine(labels), self.state.label
        others = np.flatnonzero(after != before)
        others = others[~np.isin(others, list(rows))]
        pairs, count = np.unique(np.stack([before[others], after[others]]), axis=1, return_counts=True)
        order = np.argsort(-count, kind="stable")
        return [(int(pairs[0, at]), int(pairs[1, at]), int(count[at])) for at in order]

    @property
    def said(self) -> str:
        """Which graph answers and why, where the labels choose it; else empty."""
        if self.live is None:
            return ""
        because = f", {self.live.because}" if self.live.because else ", until there are labels enough to choose by"
        settings = self.live.settings
        return f"The graph of {settings.n_neighbors} neighbours with alpha {settings.alpha:g} answers{because}."

    @property
    def is_calm(self) -> bool:
        """Whether the last answers moved next to nothing."""
        return len(self._moves) == CALM_ANSWERS and max(self._moves) <= CALM_SHARE

    def select(self, wanted: RowQuery, first: int = 0, count: int = 60) -> tuple[NDArray[np.int64], int]:
        """Rows `first` to `first + count` in the order that is wanted, and how many there are in all.

        queue: rows that nobody labelled, by what an answer is worth, every fifth of them a sampled one. doubtful,
        certain: by certainty. row: as they come. suspicious: given labels that the others contradict, most first.
        alike: rows without an answer, by what a label of the row `wanted.like` would bring to them.
        Raises ConfigError (C87) for an unknown order, class, source or row.
        """
        rows = filter_rows(wanted, self.state, self.classes.names, self._texts)
        if wanted.order == "queue":
            self._passed = frozenset(int(row) for row in wanted.leave_out)
            rows = self._order_queue(rows, wanted)
        elif wanted.order == "alike":
            rows = self._order_alike(rows, wanted.like)
        elif wanted.order == "suspicious":
            rows = self._order_suspicious(rows)
        elif wanted.order != "row":
            sign = 1 if wanted.order == "doubtful" else -1
            rows = rows[np.argsort(sign * self.state.certainty[rows], kind="stable")]
        return rows[first : first + count], rows.size

    def why(self, row: int) -> Explanation:
        """What decided the label of a row, as explain_rows says it. Raises ConfigError (C87) where there is none."""
        self._demand_row(row)
        if self.propagation is None:
            raise ConfigError("C87", "nothing is spread yet: two classes need a label first")
        spreading = self._spreading
        return explain_rows(
            self.propagation,
            spreading.label,
            [row],
            spreading.settings,
            system=spreading.system,
            weight=spreading.weight,
        )[0]

    def estimate(self) -> Estimate:
        """How many pseudo-labels are right, by the sampled answers; a row of no class at all was wrong."""
        rows = self._sample()
        if not rows.size or self.propagation is None:
            return Estimate(num=int(rows.size), right=0, percent=None, low=None, high=None)
        right = np.zeros(rows.size, bool)
        known = self.labels[rows] != UNLABELED
        masses = self._spreading.leave_own_out(rows[known])
        says = np.where(masses.any(axis=1), masses.argmax(axis=1), UNLABELED)
        right[known] = says == self.labels[rows[known]]
        return estimate_share(right)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) class numbers of given and answered rows, -1 elsewhere; an answer counts before a given label.

        Each is that of the class which stands for it by now.
        """
        given = np.where(self._answers == NONE_OF_THESE, UNLABELED, self.items.given)
        number = np.where(self._answers >= 0, self._answers, given)
        return self._by_now(number)

    def _by_now(self, number: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of classes, -1 for none, as those of the classes that stand for them by now."""
        return np.array([*self.classes.stands_for, UNLABELED], np.int64)[number]

    def _take(self, changes: Mapping[int, int]) -> None:
        rows = np.fromiter(changes.keys(), np.int64, len(changes))
        classes = np.fromiter(changes.values(), np.int64, len(changes))
        bad = (rows < 0) | (rows >= self._answers.size) | (classes < NONE_OF_THESE) | (classes >= len(self.classes))
        if bad.any():
            raise ConfigError("C87", "answers for rows or classes that do not exist", rows=rows[bad].tolist())
        self._answers = self._answers.copy()
        self._answers[rows] = classes

    @property
    def _num_answers(self) -> int:
        return int((self._answers != UNLABELED).sum())

    def _sample(self) -> NDArray[np.int64]:
        return find_sample(self._order, self._answers != UNLABELED, self._passed)

    def _solve(self, version: int) -> State:
        labels = self.labels
        if not self._begun and np.unique(labels[labels != UNLABELED]).size < FEWEST_CLASSES:
            self.propagation = None
            return self._mark_sources(make_unsolved_state(labels, version), labels)
        known = self._sample()
        self.propagation = self._spreading.change(labels, known=known[labels[known] != UNLABELED].tolist())
        found = self.propagation.pseudo_labels
        label, certainty = self._prefer_run(found)
        reached = label != UNLABELED
        source = np.where(reached, SOURCES.index("propagated"), SOURCES.index("none")).astype(np.int8)
        score = queue.score_rows(self._spreading, found)
        return self._mark_sources(State(label, certainty, reached, source, score, version), labels)

    def _mark_sources(self, state: State, labels: NDArray[np.int64]) -> State:
        source = state.source
        source[labels != UNLABELED] = SOURCES.index("given")
        source[self._answers != UNLABELED] = SOURCES.index("answered")
        return state

    def _prefer_run(self, found: PseudoLabels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Labels and certainties of all rows: the run's, but where answers changed what the graph says."""
        said = self.items.said
        if said is None:
            return found.label, found.certainty
        if self._unanswered is None:
            self._unanswered = found.label
        label = self._by_now(said.label)
        unmoved = found.label == self._by_now(self._unanswered)
        kept = (self.labels == UNLABELED) & unmoved & (label != UNLABELED)
        return np.where(kept, label, found.label), np.where(kept, said.certainty, found.certainty)

    @cached_property
    def _coverage(self) -> Coverage:
        settings = self.items.settings
        rows = make_comparable(self.items.descriptors, settings.metric, drop_bad_rows=settings.drop_bad_rows)
        return cover(rows.values, settings.seed)

    def _order_queue(self, rows: NDArray[np.int64], wanted: RowQuery) -> NDArray[np.int64]:
        free = rows[(self._spreading.label[rows] == UNLABELED) & (self._answers[rows] == UNLABELED)]
        if self.propagation is None:
            ordered = self._put_first(self._cover(free), free)
        else:
            ordered = queue.order_rows(self.state.score, free, self.graph, self.state.reached)
            if not self._begun and self._chance_of_new() > NEW_CLASSES:
                ordered = self._alternate(self._cover(free), ordered)
        if not is_plain(wanted):
            return ordered
        open_rows = np.zeros(self._answers.size, bool)
        open_rows[free] = True
        return interleave(ordered, self._order[open_rows[self._order]])

    def _cover(self, free: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows that stand for many, in order."""
        is_free = np.zeros(self._answers.size, bool)
        is_free[free] = True
        asked = np.flatnonzero((self._answers != UNLABELED) | (self.labels != UNLABELED))
        return self._coverage.order(np.append(asked, sorted(self._passed)).astype(np.int64), is_free, COVERED)

    def _chance_of_new(self) -> float:
        """Of the next answer to be of a class that nobody named: the share of answers whose class has no other (Good
        and Turing).
        """
        labels = self.labels
        count = np.bincount(labels[labels != UNLABELED])
        return float((count == 1).sum() / max(1, count.sum()))

    def _alternate(self, standing: NDArray[np.int64], ordered: NDArray[np.int64]) -> NDArray[np.int64]:
        """Every second row is one that stands for many; which of the two is first goes by the number of answers."""
        ordered = ordered[~np.isin(ordered, standing)]
        both = min(standing.size, ordered.size)
        pair = [standing[:both], ordered[:both]]
        if self._num_answers % 2:
            pair.reverse()
        return np.concatenate([np.stack(pair, axis=1).reshape(-1), standing[both:], ordered[both:]])

    @staticmethod
    def _put_first(some: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([some, rows[~np.isin(rows, some)]])

    def _order_alike(self, rows: NDArray[np.int64], like: int | None) -> NDArray[np.int64]:
        """Rows that have no answer, the row itself first, by what a label there would bring to them."""
        self._demand_row(-1 if like is None else like)
        assert like is not None
        brought = self._spreading.reach(like)
        brought[like] = np.inf
        rows = rows[(self._answers[rows] == UNLABELED) | (rows == like)]
        order = np.argsort(-brought[rows], kind="stable")
        return rows[order][: int((brought[rows] > 0).sum())]

    def _order_suspicious(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows whose label is given or answered, by how much more another class got from all other labels."""
        if self.propagation is None:
            return rows[:0]
        label = self._spreading.label
        rows = rows[label[rows] != UNLABELED]
        share = self.propagation.pseudo_labels.distribution[rows, label[rows]]
        looked = np.sort(rows[np.argsort(share, kind="stable")[:SUSPECTS]])
        count = np.bincount(label[label != UNLABELED], minlength=len(self.classes))
        divided = self._spreading.settings.rules.divide_by_class_size
        found = judge_labels(looked, label, self._spreading.leave_own_out(looked), count, divided)
        return looked[np.argsort(-found.suspicion, kind="stable")]

    def _demand_row(self, row: int) -> None:
        if not 0 <= row < len(self.items.ids):
            raise ConfigError("C87", f"there is no row {row}; rows are 0 to {len(self.items.ids) - 1}")
