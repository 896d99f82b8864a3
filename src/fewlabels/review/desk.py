"""What the page can ask for, without the web: answers of the store, the graph and the pictures, as plain values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError, StorageError
from .engine.solving import Snapshot, Solving
from .engine.state import SOURCES, Wanted
from .store.history import Change, Event, Mark
from .store.store import Answer, Conflict, Request, Reused, Store, Written
from .store.writing import Writing
from .web.refusals import Refused

Export = Callable[[Any, Mapping[int, str], str, int], bytes]

CLASSES = 10  # shown of a row's shares
WAIT_SECONDS = 10.0  # for the graph
DECODERS = 2  # images decoded at a time: each may need hundreds of megabytes for a moment


@dataclass(frozen=True)
class Run:
    """What the page shows of the run itself."""

    title: str
    folder: str


class Picture(NamedTuple):
    """A PNG. is_whole: whether it is the row's image, or stands for one that cannot be shown."""

    data: bytes
    is_whole: bool


class Desk:
    """One review, open. Its methods are called on the server's event loop; `close` when that has ended."""

    def __init__(self, run: Run, items: Any, store: Store, engine: Any, export: Export) -> None:
        """engine: has taken in the store's answers. Store, engine and pictures belong to the desk from now on.

        export: (engine.state, row -> class, "csv", "parquet" or "label-studio", event) -> the file's bytes.
        """
        self._run, self._items, self._store, self._engine = run, items, store, engine
        self._number = {name: number for number, name in enumerate(items.class_names)}
        self._export = export
        self._solving = Solving(engine, store.event)
        self._writing = Writing(store, self._pass_on)
        self._decoding = ThreadPoolExecutor(DECODERS, "fewlabels-images")

    def close(self) -> None:
        """Ends the threads, and the processes that decode. Whatever was acknowledged is on disk already."""
        self._writing.close()
        self._solving.close()
        if self._items.pictures is not None:
            self._items.pictures.close()
        self._decoding.shutdown(wait=True, cancel_futures=True)

    @property
    def num_rows(self) -> int:
        return len(self._items.ids)

    def session(self) -> dict[str, Any]:
        return {
            "title": self._run.title,
            "run": self._run.folder,
            "kind": self._items.kind,
            "classes": list(self._items.class_names),
            "counts": self._counts(),
            "rows": self.num_rows,
            "answered": self._store.answered,
            "skipped": self._store.skipped,
            "event": self._store.event,
            "columns": list(self._items.texts),
            "estimate": _estimate(self._solving.snapshot),
        }

    async def write(self, client: str, seq: int, answers: Sequence[Answer] | None) -> dict[str, Any]:
        """Save, or take back where answers is None; returns once it is on disk. Raises Refused."""
        for answer in answers or ():
            self._check_row(answer.row, 422, "W6")
            if answer.label is not None and answer.label not in self._number:
                raise Refused(422, "W7", f"{answer.label[:100]!r} is none of the classes")
        request = Request(client, seq, None if answers is None else tuple(answers))
        outcome = await asyncio.wrap_future(self._writing.write(request))
        if isinstance(outcome, Reused):
            raise Refused(422, "W8", "this client has sent another request under the same number; nothing was written")
        if isinstance(outcome, Conflict):
            raise _conflict(outcome)
        applied = [_marked(row, mark) for row, mark in outcome.applied]
        nothing = {"nothing": True} if outcome.nothing else {}
        return {"event": outcome.event, "applied": applied, "answered": outcome.answered, **nothing}

    async def rows(self, wanted: Wanted, first: int, count: int) -> dict[str, Any]:
        """Rows in an order, `count` from `first` on."""
        event = self._store.event
        rows, total = await self._ask(lambda engine: engine.select(wanted, first, count))
        return {"total": int(total), "event": event, "rows": [self.row(int(row)) for row in rows]}

    def row(self, row: int) -> dict[str, Any]:
        """One row, as the graph and the person see it now."""
        self._check_row(row, 404, "W5")
        state, mark = self._engine.state, self._store.mark(row)
        return {
            "row": row,
            "id": self._items.ids[row],
            "label": self._name(state.label[row]),
            "certainty": float(state.certainty[row]),
            "source": SOURCES[state.source[row]],
            "reached": bool(state.reached[row]),
            "answer": mark.label,
            "skipped": mark.skipped,
            "version": mark.version,
            "columns": {name: _plain(texts[row]) for name, texts in self._items.texts.items()},
        }

    async def why(self, row: int) -> dict[str, Any]:
        """What decided the label of a row."""
        self._check_row(row, 404, "W5")
        why = await self._ask(lambda engine: engine.why(row))
        ids = self._items.ids
        return {
            "row": row,
            "label": self._name(why.label),
            "certainty": float(why.certainty),
            "shares": [{"label": self._name(label), "share": share} for label, share in _largest(why)],
            "labelled": [
                {"row": one.row, "id": ids[one.row], "label": self._name(one.label), "share": one.share}
                for one in why.influences
            ],
            "neighbours": [
                {
                    "row": edge.row,
                    "id": ids[edge.row],
                    "label": self._name(edge.label),
                    "certainty": edge.certainty,
                    "share": edge.share,
                }
                for edge in why.edges
                if edge.share > 0
            ],
        }

    async def graph(self, after: int) -> dict[str, Any]:
        """What moved, once the graph has taken in the event `after`, or the time to wait is up."""
        snapshot = await self._solving.after(after, WAIT_SECONDS)
        return {
            "event": snapshot.event,
            "seconds": snapshot.seconds,
            "count": snapshot.count,
            "counts": self._counts(),
            "moved": [
                {
                    "row": row,
                    "id": self._items.ids[row],
                    "before": self._name(before),
                    "after": self._name(now),
                    "certainty": certainty,
                }
                for row, before, now, certainty in snapshot.moved
            ],
            "estimate": _estimate(snapshot),
        }

    async def history(self, first: int, count: int, row: int | None) -> dict[str, Any]:
        """Events, the newest first; row: those of one row, with nothing of the others."""
        if row is not None:
            self._check_row(row, 422, "W6")
        read = self._writing.read(lambda: self._store.history(first, count, row))
        total, events = await asyncio.wrap_future(read)
        return {"total": total, "events": [self._event(event) for event in events]}

    async def exported(self, kind: str) -> tuple[int, bytes]:
        """(event, file of labels) with all answers up to that event, whether the graph has taken them in or not."""
        read = self._writing.read(lambda: (self._store.event, self._store.labels()))
        event, labels = await asyncio.wrap_future(read)
        loop = asyncio.get_running_loop()
        return event, await loop.run_in_executor(self._decoding, self._export, self._engine.state, labels, kind, event)

    async def image(self, row: int) -> Picture:
        """The picture of a row, or what stands for it. Raises Refused where the rows have none."""
        self._check_row(row, 404, "W5")
        if self._items.pictures is None:
            raise Refused(404, "W5", "the rows of this run have no images")
        return await asyncio.get_running_loop().run_in_executor(self._decoding, self._picture, row)

    def _picture(self, row: int) -> Picture:
        from ..data.images.pictures import BadImage, placeholder

        try:
            return Picture(self._items.pictures.png(row), True)
        except BadImage:
            return Picture(placeholder(), False)
        except StorageError as problem:  # no image is to blame
            raise Refused(503, problem.code.removeprefix("FL-"), problem.what) from problem

    def skipped_rows(self) -> list[int]:
        """Rows that were skipped, in order."""
        return sorted(row for row, mark in list(self._store.marks.items()) if mark.skipped)

    async def _ask(self, function: Any) -> Any:
        try:
            return await asyncio.wrap_future(self._solving.call(function))
        except InputError as problem:  # such as a class that there is not
            raise Refused(422, "W7", problem.what) from problem
        except Exception as problem:
            what = f"the graph cannot answer; answers are still saved ({type(problem).__name__}: {problem})"
            raise Refused(503, "W22", what) from problem

    def _pass_on(self, request: Request, written: Written) -> None:
        """To the solver, on the writer's thread, before the answer goes out: a page may ask for this event at once."""
        self._solving.take(written.event, {row: self._code(mark.label) for row, mark in written.applied})

    def _event(self, event: Event) -> dict[str, Any]:
        told = {name: getattr(event, name) for name in ("event", "when", "kind", "undoes", "undone")}
        return told | {"rows": [self._change(change) for change in event.changes]}

    def _change(self, change: Change) -> dict[str, Any]:
        before, after = change.before, change.after
        labels = {"before": before.label, "after": after.label}
        skipped = {"skipped_before": before.skipped, "skipped": after.skipped}
        return {"row": change.row, "id": self._items.ids[change.row], **labels, **skipped}

    def _code(self, label: str | None) -> int:
        return -1 if label is None else self._number[label]

    def _name(self, label: int) -> str | None:
        return None if label < 0 else str(self._items.class_names[label])

    def _check_row(self, row: int, status: int, code: str) -> None:
        if row >= self.num_rows:
            raise Refused(status, code, f"there is no row {row}; rows are 0 to {self.num_rows - 1}")

    def _counts(self) -> list[int]:
        label = self._engine.state.label
        counts = np.bincount(label[label >= 0], minlength=len(self._number))
        return [int(count) for count in counts]


def _largest(why: Any) -> list[tuple[int, float]]:
    """The largest class shares; none where no label reaches."""
    order = np.argsort(-why.distribution, kind="stable")[: CLASSES if why.label >= 0 else 0]
    return [(int(code), float(why.distribution[code])) for code in order if why.distribution[code] > 0]


def _marked(row: int, mark: Mark) -> dict[str, Any]:
    return {"row": row, "answer": mark.label, "skipped": mark.skipped, "version": mark.version}


def _conflict(conflict: Conflict) -> Refused:
    rows = [
        {"row": row, "yours": yours, "theirs": theirs.label, "version": theirs.version}
        for row, yours, theirs in conflict.rows
    ]
    what = f"{len(rows)} rows were answered elsewhere meanwhile; nothing of this request was written"
    return Refused(409, "W9", what, conflicts=rows)


def _estimate(snapshot: Snapshot) -> dict[str, Any]:
    found = snapshot.estimate
    numbers = {name: getattr(found, name) for name in ("percent", "low", "high")}
    shares = {name: None if number is None else float(number) for name, number in numbers.items()}
    return {"num": int(found.num), "right": int(found.right), **shares}


def _plain(value: Any) -> Any:
    """A cell of a metadata column as JSON can hold it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, str) else str(value)
