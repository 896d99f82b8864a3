"""The true server and store around a toy graph, so that a test of the page knows what each answer moves.

The graph is a line: an answer is the label of the rows up to REACH away that were not answered themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import uvicorn

from fewlabels.data.images.decode import png
from fewlabels.graph.influence import Edge, Influence
from fewlabels.review.desk import Desk, Run
from fewlabels.review.engine.estimate import Estimate
from fewlabels.review.engine.state import SOURCES, RowQuery
from fewlabels.review.finishing import Finished
from fewlabels.review.store.file import make_local_folder, open_store
from fewlabels.review.store.store import Store
from fewlabels.review.web.app import build_app
from fewlabels.review.web.process import Endpoint, listen, make_access
from fewlabels.review.web.security import Access

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck", "zebra")
REACH = 2


class ToyPictures:
    """An image of 16 x 16 pixels, another one for each row."""

    def png(self, row: int, longest: int = 320) -> bytes:
        image = np.full((16, 16, 3), (row * 53 % 256, row * 97 % 256, row * 29 % 256), np.uint8)
        image[row % 12 : row % 12 + 4, row * 5 % 12 : row * 5 % 12 + 4] = 255
        return png(image)

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class ToyItems:
    ids: tuple[str, ...] = tuple(f"photos/img_{row:04}.png" for row in range(120))
    class_names: tuple[str, ...] = CLASSES
    kind: str = "images"
    texts: dict = field(default_factory=dict)
    pictures: object = field(default_factory=ToyPictures)

    def as_rows(self) -> ToyItems:
        """The same with a text in the place of images."""
        texts = {"text": [f"a text about {name}" for name in self.ids]}
        return ToyItems(self.ids, self.class_names, "rows", texts, None)


class ToyEngine:
    """What the server asks of an engine. Row r has label 7 r mod classes and certainty 37 r mod 100 percent."""

    def __init__(self, items: ToyItems) -> None:
        self.items, self.answers = items, {}
        self.first_label = np.arange(len(items.ids)) * 7 % len(items.class_names)
        self.state = self._solved()

    def _solved(self) -> SimpleNamespace:
        num = len(self.items.ids)
        label, source = self.first_label.copy(), np.full(num, SOURCES.index("propagated"))
        certainty = np.arange(num) * 37 % 100 / 100
        for row, number in self.answers.items():
            label[max(row - REACH, 0) : row + REACH + 1] = number
        for row, number in self.answers.items():
            label[row], certainty[row], source[row] = number, 1, SOURCES.index("answered")
        return SimpleNamespace(label=label, certainty=certainty, source=source, reached=np.ones(num, bool))

    is_calm, said = False, ""

    def prepare_choice(self) -> None:
        return None

    def imagine(self, rows: list[int], number: int) -> list[tuple[int, int, int]]:
        return [(0, number, 7), (1, number, 2)]

    def answer(self, changes: dict[int, int], version: int, classes: object = None) -> SimpleNamespace:
        self.answers = {row: number for row, number in (self.answers | dict(changes)).items() if number >= 0}
        before, self.state = self.state.label, self._solved()
        rows = np.flatnonzero(before != self.state.label)
        rows = rows[~np.isin(rows, list(changes))]
        after = self.state.label[rows]
        return SimpleNamespace(
            version=version, rows=rows, before=before[rows], after=after, count=len(rows), seconds=0.01
        )

    def select(self, wanted: RowQuery, first: int, count: int) -> tuple[np.ndarray, int]:
        keep = [row for row in range(len(self.items.ids)) if self._fits(row, wanted)]
        keys = {"row": lambda row: row, "certain": lambda row: -self.state.certainty[row]}
        keep.sort(key=keys.get(wanted.order, lambda row: self.state.certainty[row]))
        return np.asarray(keep[first : first + count], np.int64), len(keep)

    def _fits(self, row: int, wanted: RowQuery) -> bool:
        certainty, source = self.state.certainty[row], SOURCES[self.state.source[row]]
        return (
            not (wanted.order == "queue" and source == "answered")
            and not (wanted.order == "suspicious" and source != "answered")
            and row not in wanted.leave_out
            and (wanted.only is None or row in wanted.only)
            and wanted.class_name in (None, self.items.class_names[self.state.label[row]])
            and wanted.source in (None, source)
            and (wanted.min_certainty or 0)
            <= certainty
            <= (1 if wanted.max_certainty is None else wanted.max_certainty)
            and (wanted.text or "").lower() in self.items.ids[row].lower()
        )

    def why(self, row: int) -> SimpleNamespace:
        label, beside = self.state.label, (row + 1) % len(self.items.ids)
        distribution = np.zeros(len(self.items.class_names))
        np.add.at(distribution, [label[row], label[beside]], [0.7, 0.3])
        edges = [
            Edge(
                row=beside,
                copies=1,
                weight=0.1,
                share=0.25,
                similarity=None,
                label=int(label[beside]),
                certainty=float(self.state.certainty[beside]),
            )
        ]
        influences = [Influence(beside, int(label[beside]), 0.6)]
        return SimpleNamespace(
            label=label[row], certainty=0.7, distribution=distribution, influences=influences, edges=edges
        )

    def estimate(self) -> Estimate:
        num = len(self.answers)
        right = sum(self.first_label[row] == number for row, number in self.answers.items())
        percent = 100 * right / num if num else None
        return Estimate(num=num, right=int(right), percent=percent, low=num and 10.0, high=num and 90.0)


@dataclass(frozen=True)
class Review:
    """A review that is being served. address: with the token, as it is printed."""

    items: ToyItems
    engine: ToyEngine
    store: Store
    access: Access

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.access.port}/?token={self.access.token}"

    def answers(self) -> dict[int, str]:
        """What is on the disk: row -> class name."""
        return {row: name for row, name in self.store.answers().items() if name is not None}

    def skipped(self) -> list[int]:
        return [row for row, mark in self.store.marks.items() if mark.skipped]

    def moved(self, answered: int) -> list[int]:
        """The rows whose label an answer to this row, the first of all, has changed."""
        now, before = self.engine.state.label, self.engine.first_label
        near = range(max(answered - REACH, 0), min(answered + REACH + 1, len(now)))
        return [row for row in near if row != answered and now[row] != before[row]]

    def labels(self) -> list[str]:
        """The class of each row as the graph has it now."""
        return [self.items.class_names[number] for number in self.engine.state.label]


def export_labels(state: object, labels: dict[int, str], kind: str, event: int, **more: object) -> bytes:
    """The answers as they are: what an export has in it, other tests look at."""
    return repr(labels).encode()


@contextmanager
def served(
    folder: Path, items: ToyItems, engine: ToyEngine | None = None, finish: Callable[[], Finished] | None = None
) -> Iterator[Review]:
    """Serve a review from a thread, as `fewlabels review` does from a process. engine: None for the toy."""
    place = listen(Endpoint(browser=False))
    access = make_access(Endpoint(), place.getsockname()[1])
    store, engine = open_store(make_local_folder(folder), "a run", items.class_names), engine or ToyEngine(items)
    desk = Desk(Run("a run", str(folder)), items, store, engine, export_labels, finish)
    app = build_app(desk, access)
    server = uvicorn.Server(
        uvicorn.Config(app, lifespan="off", log_config=None, ws="none", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
    thread.start()
    yield Review(items, engine, store, access)
    server.should_exit = True
    thread.join()
    desk.close()
    place.close()
