"""A value as a small table for a notebook: every string escaped, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

MOST_CLASSES = 10
LONGEST = 200  # characters of a cell


def html_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """A table of two columns under a title, for `_repr_html_`. Rows whose value is None or "" are left out."""
    cells = "".join(
        f'<tr><th style="text-align:left">{_safe(name)}</th><td style="text-align:left">{_safe(value)}</td></tr>'
        for name, value in rows
        if value is not None and value != ""
    )
    return f"<table><caption><b>{_safe(title)}</b></caption><tbody>{cells}</tbody></table>"


def _safe(value: object) -> str:
    text = str(value)
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    return escape("".join(letter if letter.isprintable() else "\ufffd" for letter in text))


def count_text(names: Sequence[object], counts: Sequence[int]) -> str:
    """ "crow 30, wren 8", the largest first; of many classes the ten largest, and how many more there are."""
    order = sorted(range(len(counts)), key=lambda at: -counts[at])
    told = [f"{names[at]} {counts[at]:,}" for at in order[:MOST_CLASSES]]
    return ", ".join(told + [f"and {len(order) - MOST_CLASSES} more classes"] * (len(order) > MOST_CLASSES))
