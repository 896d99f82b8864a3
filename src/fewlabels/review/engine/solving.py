"""The one thread that uses the engine: takes all answers that wait together, solves, publishes what moved."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from ...choosing.choice import Choice
from ..store.classes import ClassList
from .engine import Engine
from .estimate import Estimate

T = TypeVar("T")
SHOWN = 60  # rows that a page is told have moved


@dataclass(frozen=True)
class Snapshot:
    """The graph after an event.

    moved: (row, class before, class after, certainty now) of the first SHOWN rows whose label changed in the last
    solution; count: of all of them, without answered ones that had no label. seconds: that it took. estimate: how many
    labels are right. calm: whether the last answers moved next to nothing. settings: which graph answers and why, where
    the labels choose it; else empty.
    """

    event: int
    seconds: float
    count: int
    moved: tuple[tuple[int, int, int, float], ...]
    estimate: Estimate
    calm: bool = False
    settings: str = ""


class CannotSolve(Exception):
    """The graph could not be solved; the text says why."""


class EngineThread:
    """Owns the engine and its thread. `snapshot` is replaced whole, so any thread may read it."""

    def __init__(self, engine: Engine, event: int) -> None:
        self.snapshot = Snapshot(event, 0.0, 0, (), engine.estimate(), engine.is_calm, engine.said)
        self.failure = (0, "")  # up to which event the graph could not be solved, and why
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, "fewlabels-solver")
        self._lock = threading.Lock()
        self._choosing = ThreadPoolExecutor(1, "fewlabels-choice")
        self._changes: dict[int, int] = {}
        self._classes: ClassList | None = None
        self._event = event
        self._waiting: list[Future[None]] = []

    def submit(self, event: int, changes: Mapping[int, int], classes: ClassList | None = None) -> None:
        """Hand in answers, row -> class number, -1 where one was taken back. Returns at once; the thread solves.

        classes: where an event changed them.
        """
        with self._lock:
            self._changes.update(changes)
            self._classes = classes or self._classes
            self._event = event
        self._thread.submit(self._solve)

    def call(self, function: Callable[[Engine], T]) -> Future[T]:
        """Call function(engine) on its thread."""
        return self._thread.submit(function, self._engine)

    async def wait_for(self, event: int, seconds: float) -> Snapshot:
        """Wait for a snapshot that has taken in the event; the newest there is when the time is up.

        Raises CannotSolve where the graph could not be solved for it.
        """
        ends = asyncio.get_running_loop().time() + seconds
        while True:
            news = self._expect_news()
            left = ends - asyncio.get_running_loop().time()
            failed, reason = self.failure
            if self.snapshot.event >= event or (left <= 0 and failed < event):
                return self.snapshot
            if failed >= event:
                raise CannotSolve(reason)
            try:
                await asyncio.wait_for(asyncio.wrap_future(news), left)
            except TimeoutError:
                return self.snapshot

    def close(self) -> None:
        """End the thread; what waits is left out, for the store has it."""
        self._choosing.shutdown(wait=True, cancel_futures=True)
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _expect_news(self) -> Future[None]:
        """A future that is done when there is news. Asked for before looking, so that none is missed."""
        with self._lock:
            self._waiting = [future for future in self._waiting if not future.done()]
            self._waiting.append(Future())
            return self._waiting[-1]

    def _solve(self) -> None:
        with self._lock:
            changes, self._changes, event = self._changes, {}, self._event
            classes, self._classes = self._classes, None
        if event == self.snapshot.event:  # the solution before took it along
            return
        try:
            self.snapshot = self._take_in(changes, event, classes)
            self.failure = (0, "")
            self._choose()
        except Exception as problem:  # noqa: BLE001  the page is told, and answers go on being saved
            traceback.print_exc()
            self.failure = (event, f"{type(problem).__name__}: {problem}")
            with self._lock:
                self._changes = {**changes, **self._changes}  # the next answer tries again with all
                self._classes = self._classes or classes
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

    def _take_in(self, changes: Mapping[int, int], event: int, classes: ClassList | None) -> Snapshot:
        if not changes and classes is None:  # an undo that found nothing
            return replace(self.snapshot, event=event, seconds=0.0, count=0, moved=())
        engine = self._engine
        moved = engine.answer(changes, event) if classes is None else engine.answer(changes, event, classes)
        certainty = engine.state.certainty
        pairs = zip(moved.rows.tolist(), moved.before.tolist(), strict=True)
        others = [at for at, (row, before) in enumerate(pairs) if row not in changes or before >= 0]
        shown = tuple(
            (int(moved.rows[at]), int(moved.before[at]), int(moved.after[at]), float(certainty[moved.rows[at]]))
            for at in others[:SHOWN]
        )
        return Snapshot(event, float(moved.seconds), len(others), shown, engine.estimate(), engine.is_calm, engine.said)

    def _choose(self) -> None:
        """Have the graph's settings chosen in the background where it is time; answers are taken in meanwhile."""
        find = self._engine.prepare_choice()
        if find is not None:
            self._choosing.submit(self._choose_by, find)

    def _choose_by(self, find: Callable[[], Choice]) -> None:
        try:
            choice = find()
        except Exception:  # noqa: BLE001  the graph that answers now goes on to do so
            traceback.print_exc()
            return
        with suppress(RuntimeError):  # the review was closed meanwhile
            self._thread.submit(self._adopt, choice)

    def _adopt(self, choice: Choice) -> None:
        """Another graph, chosen by the labels, takes over; what it moves is no answer's doing, and not told as such."""
        try:
            estimate = self._engine.estimate() if self._engine.adopt(choice) else self.snapshot.estimate
            self.snapshot = replace(
                self.snapshot, estimate=estimate, calm=self._engine.is_calm, settings=self._engine.said
            )
        except Exception:  # noqa: BLE001
            traceback.print_exc()
