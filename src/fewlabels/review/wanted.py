"""Which rows a page asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

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
