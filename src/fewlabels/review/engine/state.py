"""What the review knows of every row at one moment, and which rows a page asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SOURCES = ("given", "propagated", "none", "answered")


@dataclass(frozen=True)
class Wanted:
    """Rows in an order; those that every filter lets through.

    leave_out: rows that never come. only: no other rows than these, where it is not None.
    """

    order: str = "queue"
    class_name: str | None = None
    source: str | None = None
    min_certainty: float | None = None
    max_certainty: float | None = None
    text: str | None = None
    leave_out: Collection[int] = ()
    only: Collection[int] | None = None


@dataclass(frozen=True)
class State:
    """A snapshot; nothing in it is changed afterwards, so any thread may read it.

    label: (n,) int64 class numbers, -1 where no label reaches. certainty: (n,) 0 to 1; 1 where given or answered.
    reached: (n,) bool. source: (n,) int8, a place in SOURCES. score: (n,) what an answer is worth, larger is more; only
    its order means something. version: the event that it has taken in.
    """

    label: NDArray[np.int64]
    certainty: NDArray[np.float64]
    reached: NDArray[np.bool_]
    source: NDArray[np.int8]
    score: NDArray[np.floating]
    version: int


def unsolved(given: NDArray[np.int64]) -> State:
    """What is known before anything is propagated: the given labels, (n,) class numbers, -1 for none."""
    known = given >= 0
    source = np.where(known, SOURCES.index("given"), SOURCES.index("none")).astype(np.int8)
    return State(given, known.astype(np.float64), known, source, np.zeros(given.size), 0)


@dataclass(frozen=True)
class Moved:
    """What a change did. rows: whose label is another now, the most certain first; before, after: their class numbers,
    -1 for none. count: how many. seconds: of solving and scoring.
    """

    version: int
    rows: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    count: int
    seconds: float
