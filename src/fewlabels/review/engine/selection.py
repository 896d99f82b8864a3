"""Rows in the order that the page asks for, and only those that its filters let through."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...errors import ConfigError
from ..items import Items
from .state import SOURCES, State, Wanted

ORDERS = ("queue", "doubtful", "certain", "row", "suspicious")


class Texts:
    """What can be searched: ids and metadata."""

    def __init__(self, items: Items) -> None:
        self._items = items

    @cached_property
    def _columns(self) -> list[pa.Array]:
        columns: list[Sequence[str]] = [self._items.ids, *self._items.texts.values()]
        return [pa.array(column, pa.string()) for column in columns]

    def having(self, text: str) -> NDArray[np.bool_]:
        """(n,) whether the id or a metadata cell of the row has the text in it, in any case of letters."""
        found = np.zeros(len(self._items.ids), bool)
        for column in self._columns:
            found |= pc.match_substring(column, text, ignore_case=True).to_numpy(zero_copy_only=False)
        return found


def passing(wanted: Wanted, state: State, items: Items, texts: Texts) -> NDArray[np.int64]:
    """The rows that every filter lets through, ascending. Raises ConfigError (C87) for one that is not known."""
    if wanted.order not in ORDERS:
        raise ConfigError("C87", f"no order {wanted.order!r}; there are {', '.join(ORDERS)}")
    keep = np.ones(state.label.size, bool)
    if wanted.class_name is not None:
        keep &= state.label == _place("class", wanted.class_name, items.class_names)
    if wanted.source is not None:
        keep &= state.source == _place("source", wanted.source, SOURCES)
    if wanted.min_certainty is not None:
        keep &= state.certainty >= wanted.min_certainty
    if wanted.max_certainty is not None:
        keep &= state.certainty <= wanted.max_certainty
    if wanted.text:
        keep &= texts.having(wanted.text)
    if wanted.only is not None:
        keep &= _among(wanted.only, keep.size)
    return np.flatnonzero(keep & ~_among(wanted.leave_out, keep.size))


def _place(what: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise ConfigError("C87", f"no {what} {name!r}")
    return list(names).index(name)


def is_plain(wanted: Wanted) -> bool:
    """Whether the queue is asked for whole: only then is every fifth row of it a sampled one."""
    filters = (wanted.class_name, wanted.source, wanted.min_certainty, wanted.max_certainty, wanted.text, wanted.only)
    return wanted.order == "queue" and all(filter in (None, "") for filter in filters)


def _among(rows: Collection[int], size: int) -> NDArray[np.bool_]:
    chosen = np.zeros(size, bool)
    chosen[np.fromiter(rows, np.int64, len(rows))] = True
    return chosen
