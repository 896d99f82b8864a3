"""A run of any size with an engine that takes no time, for tests of what is around the engine."""

from __future__ import annotations

import json
import signal
import sys
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from fewlabels.data.images.decode import BadImage, png
from fewlabels.errors import ConfigError
from fewlabels.graph.influence import Edge, Influence
from fewlabels.review.desk import Desk, Run
from fewlabels.review.engine.estimate import Estimate
from fewlabels.review.store.file import make_local_folder, open_store

CLASSES = ("cat", "dog", "<img src=x onerror=alert(1)>")
BROKEN = 5  # a row whose image cannot be shown


class FakePictures:
    def png(self, row, longest=320):
        if row == BROKEN:
            raise BadImage("broken")
        return png(np.full((8, 8, 3), row % 256, np.uint8))

    def close(self):
        pass


@dataclass(frozen=True)
class FakeItems:
    ids: list[str]
    class_names: tuple[str, ...] = CLASSES
    kind: str = "images"
    texts: dict = field(default_factory=dict)
    pictures: object = field(default_factory=FakePictures)


@dataclass(frozen=True)
class FakeState:
    label: np.ndarray
    certainty: np.ndarray
    reached: np.ndarray
    source: np.ndarray


class FakeEngine:
    """An answer is the row's label, and that of the next row, unless it is answered."""

    def __init__(self, num_rows, answers=None, fail_at=None):
        self.num_rows, self.answers, self.fail_at = num_rows, dict(answers or {}), fail_at
        self.calls = deque(maxlen=100)
        self.state = self._solved()

    is_calm, said = False, ""

    def prepare_choice(self):
        return None

    def imagine(self, rows, number):
        return [(0, number, 3), (-1, number, 1)]

    def answer(self, changes, version, classes=None):
        self.calls.append((dict(changes), version))
        if self.fail_at is not None and version >= self.fail_at:
            raise ArithmeticError("no solution")
        self.answers |= changes
        before, self.state = self.state, self._solved()
        rows = np.flatnonzero(before.label != self.state.label)
        return SimpleNamespace(
            version=version,
            rows=rows,
            before=before.label[rows],
            after=self.state.label[rows],
            count=len(rows),
            seconds=0.001,
        )

    def _solved(self):
        answers = {row: label for row, label in self.answers.items() if label >= 0}
        label, source = np.arange(self.num_rows) % 2, np.ones(self.num_rows, np.int8)
        for row, number in answers.items():
            if row + 1 < self.num_rows:
                label[row + 1] = number
        for row, number in answers.items():
            label[row], source[row] = number, 3
        certainty = np.linspace(0, 1, self.num_rows).astype(np.float32)
        return FakeState(label, certainty, np.ones(self.num_rows, bool), source)

    def select(self, wanted, first, count):
        kept = np.ones(self.num_rows, bool)
        if wanted.only is not None:
            kept[:] = False
            kept[list(wanted.only)] = True
        kept[list(wanted.leave_out)] = False
        if wanted.class_name is not None:
            if wanted.class_name not in CLASSES:
                raise ConfigError("C1", f"no class {wanted.class_name!r}")
            kept &= self.state.label == CLASSES.index(wanted.class_name)
        rows = np.flatnonzero(kept)
        return rows[first : first + count], len(rows)

    def why(self, row):
        return SimpleNamespace(
            label=self.state.label[row],
            certainty=self.state.certainty[row],
            distribution=np.array([0.75, 0.25, 0]),
            influences=[Influence(0, 0, 0.5)],
            edges=[
                Edge(
                    row=(row + 1) % self.num_rows,
                    copies=1,
                    weight=0.1,
                    share=0.25,
                    similarity=None,
                    label=1,
                    certainty=0.5,
                )
            ],
        )

    def estimate(self):
        num = len([label for label in self.answers.values() if label >= 0])
        return Estimate(num=num, right=num, percent=100.0 if num else None, low=None, high=None)


def numbers(answers):
    return {row: -1 if name is None else CLASSES.index(name) for row, name in answers.items()}


def fake_export(state, labels, kind, event, more):
    return json.dumps([kind, event, sorted(labels.items()), len(state.label)]).encode()


def fake_desk(folder, num_rows=50, fail_at=None, **changes):
    store = open_store(make_local_folder(Path(folder)), "a run", CLASSES)
    items = replace(FakeItems([f"img/{row}.png" for row in range(num_rows)]), **changes)
    engine = FakeEngine(num_rows, numbers(store.answers()), fail_at)
    return Desk(Run("a run", str(folder)), items, store, engine, fake_export)


def main(folder, num_rows, port, fault=""):
    """Serve it: python review_fakes.py FOLDER ROWS PORT [FAULT of review_faults.py]"""
    from fewlabels.review.web.app import build_app
    from fewlabels.review.web.process import Endpoint, listen, make_access, serve
    from fewlabels.runs import RunLock
    from tests.review.review_faults import FAULTS

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # as the command does
    FAULTS.get(fault, lambda: None)()
    make_local_folder(Path(folder))
    with RunLock(folder):
        desk = fake_desk(folder, int(num_rows))
        endpoint = Endpoint(port=int(port), browser=False)
        place = listen(endpoint)
        access = make_access(endpoint, place.getsockname()[1])
        serve(build_app(desk, access), endpoint, access, place, lambda address: print(address, flush=True))
        desk.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
