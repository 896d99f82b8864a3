"""Numbers of runs, and numbers as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """values: one for each run, None where it has none. mean: None where a value is missing, since a mean of the others
    would be taken for one of all. std: n - 1; None for fewer than two values too.
    """

    values: list[float | None]
    mean: float | None
    std: float | None


def summary(values: Sequence[float | None]) -> Summary:
    """Mean and standard deviation of what several runs came to."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return Summary(list(values), None, None)
    mean = sum(known) / len(known)
    if len(known) == 1:
        return Summary(list(values), mean, None)
    variance = sum((value - mean) ** 2 for value in known) / (len(known) - 1)
    return Summary(list(values), mean, variance**0.5)


def number(value: float | None, unit: str = "") -> str:
    """Counts with separators, seconds from ten up whole, other numbers with two places, "-" for none."""
    if value is None:
        return "-"
    whole = isinstance(value, int) or (unit == "s" and value >= 10)
    text = f"{value:,.0f}" if whole else f"{value:.2f}"
    return f"{text} {unit}".rstrip()
