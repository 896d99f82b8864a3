"""What the review knows of every row at one moment, and which rows pass the filters of a page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...errors import ConfigError
from ..items import Items

SOURCES = ("given", "propagated", "none", "answered")  # where a row's label comes from
ORDERS = ("queue", "doubtful", "certain", "row", "suspicious", "alike")


@dataclass(frozen=True, kw_only=True)
class RowQuery:
    """Which rows a page asks for: an order of ORDERS, and filters that a row must all pass.

    source: one of SOURCES. like: a row, for the order "alike". leave_out: rows that never come. only: no other rows
    than these, where it is not None.
    """

    order: str = "queue"
    class_name: str | None = None
    source: str | None = None
    min_certainty: float | None = None
    max_certainty: float | None = None
    text: str | None = None
    leave_out: Collection[int] = ()
    only: Collection[int] | None = None
    like: int | None = None


@dataclass(frozen=True)
class State:
    """What the graph says of every row at one moment. Never changed afterwards, so any thread may read it.

    label: (n,) int64 class numbers, -1 where no label reaches. certainty: (n,) 0 to 1; 1 where given or answered.
    reached: (n,) bool. source: (n,) int8, an index into SOURCES. score: (n,) what an answer is worth, larger is more;
    only its order means something. version: the event that it has taken in.
    """

    label: NDArray[np.int64]
    certainty: NDArray[np.float64]
    reached: NDArray[np.bool_]
    source: NDArray[np.int8]
    score: NDArray[np.floating]
    version: int


def make_unsolved_state(given: NDArray[np.int64], version: int = 0) -> State:
    """What is known before anything is propagated: the given labels, (n,) class numbers, -1 for none."""
    known = given >= 0
    source = np.where(known, SOURCES.index("given"), SOURCES.index("none")).astype(np.int8)
    return State(given, known.astype(np.float64), known, source, np.zeros(given.size), version)


@dataclass(frozen=True)
class Moved:
    """What the last answers changed.

    rows: whose label is another now, the most certain first; before, after: their class numbers, -1 for none.
    seconds: of solving and scoring.
    """

    version: int
    rows: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    seconds: float


class Texts:
    """Ids and metadata, to be searched for text."""

    def __init__(self, items: Items) -> None:
        self._items = items

    @cached_property
    def _columns(self) -> list[pa.Array]:
        columns: list[Sequence[str]] = [self._items.ids, *self._items.texts.values()]
        return [pa.array(column, pa.string()) for column in columns]

    def find(self, text: str) -> NDArray[np.bool_]:
        """(n,) whether the id or a metadata cell of the row has the text in it, in any case of letters."""
        found = np.zeros(len(self._items.ids), bool)
        for column in self._columns:
            found |= pc.match_substring(column, text, ignore_case=True).to_numpy(zero_copy_only=False)
        return found


def filter_rows(query: RowQuery, state: State, class_names: Sequence[str | None], texts: Texts) -> NDArray[np.int64]:
    """Row numbers that pass every filter, ascending. class_names: by number, None where a class is there no more.

    Raises ConfigError (C87) for an unknown order, class or source.
    """
    if query.order not in ORDERS:
        raise ConfigError("C87", f"no order {query.order!r}; there are {', '.join(ORDERS)}")
    keep = np.ones(state.label.size, bool)
    if query.class_name is not None:
        keep &= state.label == _find_number("class", query.class_name, class_names)
    if query.source is not None:
        keep &= state.source == _find_number("source", query.source, SOURCES)
    if query.min_certainty is not None:
        keep &= state.certainty >= query.min_certainty
    if query.max_certainty is not None:
        keep &= state.certainty <= query.max_certainty
    if query.text:
        keep &= texts.find(query.text)
    if query.only is not None:
        keep &= _to_mask(query.only, keep.size)
    return np.flatnonzero(keep & ~_to_mask(query.leave_out, keep.size))


def _find_number(what: str, name: str, names: Sequence[str | None]) -> int:
    if name not in names:
        raise ConfigError("C87", f"no {what} {name!r}")
    return list(names).index(name)


def is_plain(query: RowQuery) -> bool:
    """Whether the whole queue is asked for, without a filter: only then is every fifth row of it a sampled one."""
    filters = (query.class_name, query.source, query.min_certainty, query.max_certainty, query.text, query.only)
    return query.order == "queue" and all(filter in (None, "") for filter in filters)


def _to_mask(rows: Collection[int], size: int) -> NDArray[np.bool_]:
    chosen = np.zeros(size, bool)
    chosen[np.fromiter(rows, np.int64, len(rows))] = True
    return chosen
