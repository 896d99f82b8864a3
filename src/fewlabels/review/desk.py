"""Everything that the page can ask for, as plain values for JSON: it joins the store, the graph and the pictures."""

from __future__ import annotations

import asyncio
import sqlite3
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..errors import InputError, StorageError
from ..graph.influence import Explanation
from .engine.engine import Engine
from .engine.estimate import Estimate
from .engine.solving import CannotSolve, EngineThread, Snapshot
from .engine.state import SOURCES, RowQuery
from .export import More
from .finishing import Finished, Finishing
from .items import Items
from .store.classes import LONGEST_NAME, ClassChange
from .store.store import Store
from .store.values import Answer, Change, Conflict, Event, Mark, Outcome, Refusal, Replaced, Request, Reused, Written
from .store.writing import WriterThread
from .web.requests import Refused

if TYPE_CHECKING:
    from ..data.images.pictures import Pictures

T = TypeVar("T")
Export = Callable[..., bytes]  # see Desk

CLASSES = 10  # shown of a row's shares
WAIT_SECONDS = 10.0  # for the graph
DECODERS = 2  # images decoded at a time: each may need hundreds of megabytes for a moment


@dataclass(frozen=True)
class Run:
    """What the page shows of the run itself.

    note: what is to be said of its settings, empty for nothing.
    """

    title: str
    folder: str
    note: str = ""


class Picture(NamedTuple):
    """A PNG. is_whole: whether it is the row's image, or stands for one that cannot be shown."""

    data: bytes
    is_whole: bool


class Desk:
    """One review, open. Its methods are called on the server's event loop; `close` when that has ended."""

    def __init__(
        self,
        run: Run,
        items: Items,
        store: Store,
        engine: Engine,
        export: Export,
        finish: Callable[[], Finished] | None = None,
    ) -> None:
        """engine: has taken in the store's answers. Store, engine and pictures belong to the desk from now on.

        finish: seals a labelling; None where there is nothing to finish.

        export: (engine.state, row -> class, "csv", "parquet" or "label-studio", event, more=) -> the file's bytes;
        see export_labels.
        """
        self._run, self._items, self._store, self._engine = run, items, store, engine
        self._export = export
        self._solver = EngineThread(engine, store.event)
        self._writer = WriterThread(store, self._pass_on)
        self.finishing = Finishing(finish)
        self._decoding = ThreadPoolExecutor(DECODERS, "fewlabels-images")
        self._is_closed = False

    def close(self) -> None:
        """End the threads, and the processes that decode; once. Whatever was acknowledged is on disk already."""
        if self._is_closed:
            return
        self._is_closed = True
        self._writer.close()
        self.finishing.close()
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

    @property
    def estimate(self) -> Estimate:
        """How many labels are right, as of the newest solution."""
        return self._solver.snapshot.estimate

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
            "finishing": self.finishing.describe(),
            "kind": self._items.kind,
            "rows": self.num_rows,
            "answered": self._store.answered,
            "skipped": self._store.skipped,
            "event": self._store.event,
            "columns": list(self._items.texts),
            **self._describe_graph(self._solver.snapshot),
        }

    async def write(self, client: str, seq: int, answers: Sequence[Answer] | None) -> dict[str, Any]:
        """Save, or take back where answers is None; returns once it is on disk. Raises Refused."""
        known = None if answers is None else tuple(self._name_by_key(answer) for answer in answers)
        return self._describe_outcome(await _await_store(self._writer.write(Request(client, seq, known))))

    async def change_classes(self, client: str, seq: int, action: str, name: str, of: str) -> dict[str, Any]:
        """Make the class `name`; or rename `of` to it, or merge `of` into it. Returns once it is on disk.

        Raises Refused: W7 for a name that is none, W10 where the classes are no longer as the person saw them.
        """
        wanted = " ".join(unicodedata.normalize("NFC", name).split())
        if not wanted or len(wanted) > LONGEST_NAME or not wanted.isprintable():
            raise Refused(422, "W7", f"a class needs a name of 1 to {LONGEST_NAME} characters; nothing was written")
        change = ClassChange("class", wanted)
        if action != "class":
            key = self._demand_key(of)
            change = ClassChange("rename", wanted, key)
            if action == "merge":
                change = ClassChange("merge", key=key, into=self._demand_key(wanted))
        return self._describe_outcome(await _await_store(self._writer.write(Request(client, seq, None, change))))

    def _demand_key(self, name: str) -> str:
        found = self._store.classes.find(name)
        if found is None or found.name != name:
            raise Refused(409, "W10", f"no class is called {name[:100]!r} by now; nothing was written")
        return found.key

    def _name_by_key(self, answer: Answer) -> Answer:
        """The answer as the store has it. Raises Refused (W6, W7)."""
        self._check_row(answer.row, 422, "W6")
        if answer.label is None:
            return answer
        found = self._store.classes.find(answer.label)
        if found is None:
            raise Refused(422, "W7", f"{answer.label[:100]!r} is none of the classes")
        return replace(answer, label=found.key)

    def _describe_outcome(self, outcome: Outcome) -> dict[str, Any]:
        """The reply to a request that was written. Raises Refused (W8, W9, W10) for one that was not."""
        if isinstance(outcome, Reused):
            raise Refused(422, "W8", "this client has sent another request under the same number; nothing was written")
        if isinstance(outcome, Refusal):
            raise Refused(409, "W10", f"{outcome.why}; nothing was written")
        if isinstance(outcome, Conflict):
            raise self._refuse_conflict(outcome)
        applied = [self._describe_mark(row, mark) for row, mark in outcome.applied]
        nothing = {"nothing": True} if outcome.nothing else {}
        classes = {"classes": list(self._store.classes.names)} if outcome.made else {}
        return {"event": outcome.event, "applied": applied, "answered": outcome.answered, **classes, **nothing}

    async def preview(self, rows: Sequence[int], name: str) -> dict[str, Any]:
        """What would move if these rows had a class's label; a name that no class has moves nothing elsewhere."""
        for row in rows:
            self._check_row(row, 422, "W6")
        found = self._store.classes.find(name)
        pairs = [] if found is None else await self._ask(lambda engine: engine.imagine(rows, found.number))
        return {
            "count": sum(count for _, _, count in pairs),
            "moves": [
                {"before": self._name_of(before), "after": self._name_of(after), "count": count}
                for before, after, count in pairs[:CLASSES]
            ],
        }

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
            "answer": self._store.name_of(mark.label),
            "skipped": mark.skipped,
            "said": mark.said,
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
            **self._describe_graph(snapshot),
        }

    def _describe_graph(self, snapshot: Snapshot) -> dict[str, Any]:
        """What both the page's beginning and each answer show of the graph."""
        return {
            "classes": list(self._store.classes.names),
            "counts": self._count_classes(),
            "estimate": _describe_estimate(snapshot),
            "calm": snapshot.calm,
            "settings": snapshot.settings,
        }

    async def read_history(self, first: int, count: int, row: int | None) -> dict[str, Any]:
        """Events, the newest first; row: those of one row, with nothing of the others."""
        if row is not None:
            self._check_row(row, 422, "W6")
        total, events = await _await_store(self._writer.read(lambda: self._store.history(first, count, row)))
        return {"total": total, "events": [self._describe_event(event) for event in events]}

    async def export(self, kind: str) -> tuple[int, bytes]:
        """(event, file of labels) with all answers up to that event, whether the graph has taken them in or not."""
        store = self._store
        read = self._writer.read(lambda: (store.event, store.labels(), store.classes, store.left_out()))
        event, labels, classes, left_out = await _await_store(read)
        loop = asyncio.get_running_loop()
        make = partial(self._export, more=More(classes.names, left_out))
        return event, await loop.run_in_executor(self._decoding, make, self._engine.state, labels, kind, event)

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
        store = self._store
        changes = {row: store.number_of(mark) for row, mark in written.applied}
        self._solver.submit(written.event, changes, store.classes if written.made is not None else None)

    def _describe_event(self, event: Event) -> dict[str, Any]:
        facts = {name: getattr(event, name) for name in ("event", "when", "kind", "undoes", "undone")}
        classes = [{"before": one.before, "after": one.after, "into": one.into} for one in event.classes]
        return facts | {"rows": [self._describe_change(change) for change in event.changes], "classes": classes}

    def _describe_change(self, change: Change) -> dict[str, Any]:
        before, after = change.before, change.after
        labels = {"before": self._store.name_of(before.label), "after": self._store.name_of(after.label)}
        skipped = {"skipped_before": before.skipped, "skipped": after.skipped}
        return {"row": change.row, "id": self._items.ids[change.row], **labels, **skipped, "said": after.said}

    def _name_of(self, label: int) -> str | None:
        """Of a class by its number, as the engine has it; the store may know of more by now, never of fewer."""
        return self._store.classes.name_of(int(label))

    def _describe_mark(self, row: int, mark: Mark) -> dict[str, Any]:
        answer = self._store.name_of(mark.label)
        return {"row": row, "answer": answer, "skipped": mark.skipped, "said": mark.said, "version": mark.version}

    def _refuse_conflict(self, conflict: Conflict) -> Refused:
        name_of = self._store.name_of
        rows = [
            {"row": row, "yours": name_of(yours), "theirs": name_of(theirs.label), "version": theirs.version}
            for row, yours, theirs in conflict.rows
        ]
        what = f"{len(rows)} rows were answered elsewhere meanwhile; nothing of this request was written"
        return Refused(409, "W9", what, conflicts=rows)

    def _check_row(self, row: int, status: int, code: str) -> None:
        if row >= self.num_rows:
            raise Refused(status, code, f"there is no row {row}; rows are 0 to {self.num_rows - 1}")

    def _count_classes(self) -> list[int]:
        label = self._engine.state.label
        counts = np.bincount(label[label >= 0], minlength=len(self._store.classes))
        return [int(count) for count in counts]


def _find_largest_shares(why: Explanation) -> list[tuple[int, float]]:
    """The largest class shares; none where no label reaches."""
    order = np.argsort(-why.distribution, kind="stable")[: CLASSES if why.label >= 0 else 0]
    return [(int(code), float(why.distribution[code])) for code in order if why.distribution[code] > 0]


def _describe_estimate(snapshot: Snapshot) -> dict[str, Any]:
    found = snapshot.estimate
    numbers = {name: getattr(found, name) for name in ("percent", "low", "high")}
    shares = {name: None if number is None else float(number) for name, number in numbers.items()}
    return {"num": int(found.num), "right": int(found.right), **shares, "until": found.until}


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
