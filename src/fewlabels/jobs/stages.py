"""The stages of `fewlabels propagate`: what each will take, and has taken."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..graph import Cost
from ..insights.compute import CHECK, MAP
from ..insights.map import MOST_ROWS
from ..runs import RunWriter
from .progress import StageProgress

SECONDS_PER_NUMBER = 1e-8  # of reading embeddings
SECONDS_PER_ROW = 4e-6  # of writing the tables
MAP_SECONDS, PAGE_SECONDS = 3.0, 1.5  # of the report, of a whole map; measured on one core
SECONDS_PER_CHECKED_ROW = 6e-6  # of leaving given labels out one by one
PAGE = "report: page"


def report_seconds(num_rows: int) -> dict[str, float]:
    """About how long each stage of the report takes."""
    return {
        f"report: {CHECK}": num_rows * SECONDS_PER_CHECKED_ROW,
        f"report: {MAP}": MAP_SECONDS * min(1.0, num_rows / MOST_ROWS),
        PAGE: PAGE_SECONDS,
    }


class Stages:
    """Times the stages: an event each in the run folder, a stretch of the progress bar.

    shape: of the embeddings. report: seconds of its stages, {} without one.
    """

    def __init__(
        self, cost: Cost, shape: tuple[int, int], num_explained: int, report: Mapping[str, float], quiet: bool
    ) -> None:
        seconds = {
            "read": shape[0] * shape[1] * SECONDS_PER_NUMBER,
            **cost.stage_seconds,
            "explain": num_explained * cost.stage_seconds["solve"] / 4,
            **{name: value for name, value in report.items() if name != PAGE},
            "write": shape[0] * SECONDS_PER_ROW,
            **{name: value for name, value in report.items() if name == PAGE},
        }
        self.progress = StageProgress(seconds, "propagating", quiet=quiet)
        self.running: tuple[str, float] | None = None
        self.waiting: list[dict[str, Any]] = []  # for the run folder
        self.writer: RunWriter | None = None

    def attach(self, writer: RunWriter) -> None:
        """From here on there is a run folder."""
        self.writer = writer
        self._end()

    def start(self, name: str) -> None:
        """`name` begins, and what ran until now has ended."""
        self._end()
        self.running = (name, time.perf_counter())
        self.progress.start(name)

    def start_report(self, stage: str) -> None:
        """One of the stages of what the report shows (insights.py) begins."""
        self.start(f"report: {stage}")

    def advance(self, name: str, share: float) -> None:
        """`share` of the stage is done, from 0 to 1; what ran before it has ended."""
        if self.running is None or self.running[0] != name:
            self.start(name)
        self.progress.advance(name, share)

    def close(self) -> None:
        """All is done. The run folder may be sealed already: nothing more is written there."""
        self.progress.close()

    def _end(self) -> None:
        if self.running is not None:
            name, since = self.running
            self.waiting.append({"name": name, "seconds": round(time.perf_counter() - since, 4)})
            self.running = None
        while self.writer is not None and self.waiting:
            self.writer.event("stage", **self.waiting.pop(0))
