"""Everything that the page can ask for, as plain values for JSON: it joins the store, the graph and the pictures."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..errors import InputError, StorageError
from ..graph.influence import Explanation
from .engine.engine import Engine
from .engine.solving import CannotSolve, EngineThread, Snapshot
from .engine.state import SOURCES, RowQuery, State
from .items import Items
from .store.store import Answer, Change, Conflict, Event, Mark, Replaced, Request, Reused, Store, Written
from .store.writing import WriterThread
from .web.requests import Refused

if TYPE_CHECKING:
    from ..data.images.pictures import Pictures

T = TypeVar("T")
Export = Callable[[State, Mapping[int, str], str, int], bytes]

CLASSES = 10  # shown of a row's shares
WAIT_SECONDS = 10.0  # for the graph
DECODERS = 2  # images decoded at a time: each may need hundreds of megabytes for a moment


@dataclass(frozen=True)
class Run:
    """What the page shows of the run itself. note: what is to be said of its settings, empty for nothing."""

    title: str
    folder: str
    note: str = ""


class Picture(NamedTuple):
    """A PNG. is_whole: whether it is the row's image, or stands for one that cannot be shown."""

    data: bytes
    is_whole: bool


class Desk:
    """One review, open. Its methods are called on the server's event loop; `close` when that has ended."""

    def __init__(self, run: Run, items: Items, store: Store, engine: Engine, export: Export) -> None:
        """engine: has taken in the store's answers. Store, engine and pictures belong to the desk from now on.

        export: (engine.state, row -> class, "csv", "parquet" or "label-studio", event) -> the file's bytes.
        """
        self._run, self._items, self._store, self._engine = run, items, store, engine
        self._number = {name: number for number, name in enumerate(items.class_names)}
        self._export = export
        self._solver = EngineThread(engine, store.event)
        self._writer = WriterThread(store, self._pass_on)
        self._decoding = ThreadPoolExecutor(DECODERS, "fewlabels-images")

    def close(self) -> None:
        """End the threads, and the processes that decode. Whatever was acknowledged is on disk already."""
        self._writer.close()
        self._solver.close()
        if self._items.pictures is not None:
            self._items.pictures.close()
        self._decoding.shutdown(wait=True, cancel_futures=True)

    @property
    def num_rows(self) -> int:
        return len(self._items.ids)

    async def demand_answers(self) -> None:
        """Raise Refused (W13) where the file of answers is not the one that was opened, or an older copy of it."""
        if not self._store.is_untouched:
            await _await_store(self._writer.read(self._store.demand_same))

    def find_replaced(self) -> str:
        """What is wrong with the file of answers, where it is no longer the one that was opened; empty where it is."""
        try:
            self._writer.read(self._store.demand_same).result()
        except sqlite3.Error as problem:
            return str(problem)
        return ""

    def describe_session(self) -> dict[str, Any]:
        """What the page shows of the run, its classes and how far the review is."""
        return {
            "title": self._run.title,
            "run": self._run.folder,
            "note": self._run.note,
            "kind": self._items.kind,
            "classes": list(self._items.class_names),
            "counts": self._count_classes(),
            "rows": self.num_rows,
            "answered": self._store.answered,
            "skipped": self._store.skipped,
            "event": self._store.event,
            "columns": list(self._items.texts),
            "estimate": _describe_estimate(self._solver.snapshot),
        }

    async def write(self, client: str, seq: int, answers: Sequence[Answer] | None) -> dict[str, Any]:
        """Save, or take back where answers is None; returns once it is on disk. Raises Refused."""
        for answer in answers or ():
            self._check_row(answer.row, 422, "W6")
            if answer.label is not None and answer.label not in self._number:
                raise Refused(422, "W7", f"{answer.label[:100]!r} is none of the classes")
        request = Request(client, seq, None if answers is None else tuple(answers))
        outcome = await _await_store(self._writer.write(request))
        if isinstance(outcome, Reused):
            raise Refused(422, "W8", "this client has sent another request under the same number; nothing was written")
        if isinstance(outcome, Conflict):
            raise _refuse_conflict(outcome)
        applied = [_describe_mark(row, mark) for row, mark in outcome.applied]
        nothing = {"nothing": True} if outcome.nothing else {}
        return {"event": outcome.event, "applied": applied, "answered": outcome.answered, **nothing}

    async def select_rows(self, query: RowQuery, first: int, count: int) -> dict[str, Any]:
        """The rows that are asked for, `count` from the `first` on, and how many there are in all."""
        event = self._store.event
        rows, total = await self._ask(lambda engine: engine.select(query, first, count))
        return {"total": int(total), "event": event, "rows": [self.describe_row(int(row)) for row in rows]}

    def describe_row(self, row: int) -> dict[str, Any]:
        """One row, as the graph and the person see it now."""
        self._check_row(row, 404, "W5")
        state, mark = self._engine.state, self._store.mark(row)
        return {
            "row": row,
            "id": self._items.ids[row],
            "label": self._name_of(state.label[row]),
            "certainty": float(state.certainty[row]),
            "source": SOURCES[state.source[row]],
            "reached": bool(state.reached[row]),
            "answer": mark.label,
            "skipped": mark.skipped,
            "version": mark.version,
            "columns": {name: texts[row] for name, texts in self._items.texts.items()},
        }

    async def explain(self, row: int) -> dict[str, Any]:
        """What decided the label of a row."""
        self._check_row(row, 404, "W5")
        why = await self._ask(lambda engine: engine.why(row))
        ids = self._items.ids
        return {
            "row": row,
            "label": self._name_of(why.label),
            "certainty": float(why.certainty),
            "shares": [{"label": self._name_of(label), "share": share} for label, share in _find_largest_shares(why)],
            "labelled": [
                {"row": one.row, "id": ids[one.row], "label": self._name_of(one.label), "share": one.share}
                for one in why.influences
            ],
            "neighbours": [
                {
                    "row": edge.row,
                    "id": ids[edge.row],
                    "label": self._name_of(edge.label),
                    "certainty": edge.certainty,
                    "share": edge.share,
                }
                for edge in why.edges
                if edge.share > 0
            ],
        }

    async def wait_for_graph(self, event: int) -> dict[str, Any]:
        """What moved, once the graph has taken in the event, or WAIT_SECONDS are over. Raises Refused (W22)."""
        try:
            snapshot = await self._solver.wait_for(event, WAIT_SECONDS)
        except CannotSolve as problem:
            what = f"the graph cannot be solved; answers are still saved ({problem})"
            raise Refused(503, "W22", what) from problem
        return {
            "event": snapshot.event,
            "seconds": snapshot.seconds,
            "count": snapshot.count,
            "counts": self._count_classes(),
            "moved": [
                {
                    "row": row,
                    "id": self._items.ids[row],
                    "before": self._name_of(before),
                    "after": self._name_of(now),
                    "certainty": certainty,
                }
                for row, before, now, certainty in snapshot.moved
            ],
            "estimate": _describe_estimate(snapshot),
        }

    async def read_history(self, first: int, count: int, row: int | None) -> dict[str, Any]:
        """Events, the newest first; row: those of one row, with nothing of the others."""
        if row is not None:
            self._check_row(row, 422, "W6")
        total, events = await _await_store(self._writer.read(lambda: self._store.history(first, count, row)))
        return {"total": total, "events": [self._describe_event(event) for event in events]}

    async def export(self, kind: str) -> tuple[int, bytes]:
        """(event, file of labels) with all answers up to that event, whether the graph has taken them in or not."""
        event, labels = await _await_store(self._writer.read(lambda: (self._store.event, self._store.labels())))
        loop = asyncio.get_running_loop()
        return event, await loop.run_in_executor(self._decoding, self._export, self._engine.state, labels, kind, event)

    async def read_image(self, row: int) -> Picture:
        """The picture of a row, or what stands for it. Raises Refused where the rows have none."""
        self._check_row(row, 404, "W5")
        pictures = self._items.pictures
        if pictures is None:
            raise Refused(404, "W5", "the rows of this run have no images")
        return await asyncio.get_running_loop().run_in_executor(self._decoding, _read_picture, pictures, row)

    def find_skipped(self) -> list[int]:
        """Numbers of the rows that were skipped, ascending."""
        return sorted(row for row, mark in list(self._store.marks.items()) if mark.skipped)

    async def _ask(self, function: Callable[[Engine], T]) -> T:
        """Call function(engine) on its thread. Raises Refused: W7 for what the engine refuses, W22 where it fails."""
        try:
            return await asyncio.wrap_future(self._solver.call(function))
        except InputError as problem:  # such as a class that there is not
            raise Refused(422, "W7", problem.what) from problem
        except Exception as problem:
            what = f"the graph cannot answer; answers are still saved ({type(problem).__name__}: {problem})"
            raise Refused(503, "W22", what) from problem

    def _pass_on(self, request: Request, written: Written) -> None:
        """Hand answers to the graph, on the writer's thread, before the page hears of them and asks for the event."""
        self._solver.submit(written.event, {row: self._number_of(mark.label) for row, mark in written.applied})

    def _describe_event(self, event: Event) -> dict[str, Any]:
        facts = {name: getattr(event, name) for name in ("event", "when", "kind", "undoes", "undone")}
        return facts | {"rows": [self._describe_change(change) for change in event.changes]}

    def _describe_change(self, change: Change) -> dict[str, Any]:
        before, after = change.before, change.after
        labels = {"before": before.label, "after": after.label}
        skipped = {"skipped_before": before.skipped, "skipped": after.skipped}
        return {"row": change.row, "id": self._items.ids[change.row], **labels, **skipped}

    def _number_of(self, label: str | None) -> int:
        return -1 if label is None else self._number[label]

    def _name_of(self, label: int) -> str | None:
        return None if label < 0 else str(self._items.class_names[label])

    def _check_row(self, row: int, status: int, code: str) -> None:
        if row >= self.num_rows:
            raise Refused(status, code, f"there is no row {row}; rows are 0 to {self.num_rows - 1}")

    def _count_classes(self) -> list[int]:
        label = self._engine.state.label
        counts = np.bincount(label[label >= 0], minlength=len(self._number))
        return [int(count) for count in counts]


def _find_largest_shares(why: Explanation) -> list[tuple[int, float]]:
    """The largest class shares; none where no label reaches."""
    order = np.argsort(-why.distribution, kind="stable")[: CLASSES if why.label >= 0 else 0]
    return [(int(code), float(why.distribution[code])) for code in order if why.distribution[code] > 0]


def _describe_mark(row: int, mark: Mark) -> dict[str, Any]:
    return {"row": row, "answer": mark.label, "skipped": mark.skipped, "version": mark.version}


def _refuse_conflict(conflict: Conflict) -> Refused:
    rows = [
        {"row": row, "yours": yours, "theirs": theirs.label, "version": theirs.version}
        for row, yours, theirs in conflict.rows
    ]
    what = f"{len(rows)} rows were answered elsewhere meanwhile; nothing of this request was written"
    return Refused(409, "W9", what, conflicts=rows)


def _describe_estimate(snapshot: Snapshot) -> dict[str, Any]:
    found = snapshot.estimate
    numbers = {name: getattr(found, name) for name in ("percent", "low", "high")}
    shares = {name: None if number is None else float(number) for name, number in numbers.items()}
    return {"num": int(found.num), "right": int(found.right), **shares}


def _read_picture(pictures: Pictures, row: int) -> Picture:
    from ..data.images.pictures import BadImage, placeholder

    try:
        return Picture(pictures.png(row), True)
    except BadImage:
        return Picture(placeholder(), False)
    except StorageError as problem:  # no image is to blame
        raise Refused(503, problem.code.removeprefix("FL-"), problem.what) from problem


async def _await_store(future: Future[T]) -> T:
    """What the writer's thread gives. Raises Refused (W12, W13) where the answers could not be written or read."""
    try:
        return await asyncio.wrap_future(future)
    except Exception as problem:
        raise _refuse_unsaved(problem) from problem


def _refuse_unsaved(problem: Exception) -> Refused:
    code = (getattr(problem, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) or isinstance(problem, StorageError):
        what = "not saved: the disk is full, or refuses to write. Make room; this page keeps your answers and sends"
        return Refused(507, "W12", f"{what} them again ({problem})")
    if isinstance(problem, Replaced):
        what = "not saved: another file lies in the place of the answers, or an older copy. Stop `fewlabels review`,"
        do = "put the newest one back and start again"
        return Refused(503, "W13", f"{what} {do}; this page keeps your answers ({problem})")
    what = "not saved: the file of answers is locked, moved, removed or damaged. Stop `fewlabels review`, look at it"
    return Refused(503, "W13", f"{what} and start again; this page keeps your answers ({problem})")
