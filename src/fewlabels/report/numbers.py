"""Numbers of runs, and numbers as text."""

from __future__ import annotations

from collections.abc import Sequence

from ..runs import Run


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation (n - 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return float((sum((value - middle) ** 2 for value in values) / (len(values) - 1)) ** 0.5)


def known(runs: Sequence[Run], name: str) -> list[float]:
    """This result of the runs that have it."""
    return [run.results[name] for run in runs if run.results.get(name) is not None]


def number(value: float | None, unit: str = "") -> str:
    """Counts with separators, seconds from ten up whole, other numbers with two places, "-" for none."""
    if value is None:
        return "-"
    whole = isinstance(value, int) or (unit == "s" and value >= 10)
    text = f"{value:,.0f}" if whole else f"{value:.2f}"
    return f"{text} {unit}".rstrip()
