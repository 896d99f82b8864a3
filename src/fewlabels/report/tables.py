"""Pictures as tables, for who cannot see them or wants the numbers: a header, then rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .gather import Report
from .insights import degree_rows


def tables(report: Report) -> dict[str, list[list[str]]]:
    """Name of the picture -> its numbers; those that the report has."""
    insights = report.insights
    found = {
        "learning": report.learning,
        "histogram": histogram_rows(report.histogram) if report.histogram else [],
        "classes": class_rows(report.class_names, report.class_counts) if report.class_counts else [],
        "reliability": insights.reliability.table if insights.reliability else [],
        "confused": insights.confusion.pairs if insights.confusion else [],
        "degrees": degree_rows(insights.degrees),
    }
    return {name: rows for name, rows in found.items() if len(rows) > 1}


def histogram_rows(histogram: Mapping[str, Any]) -> list[list[str]]:
    """Pseudo-labels by certainty: all, and where truth is known right and wrong ones. No empty bins."""
    names = [name for name in ("all", "right", "wrong") if histogram.get(name) is not None]
    rows = [["certainty", *names]]
    for place, (low, high) in enumerate(zip(histogram["edges"], histogram["edges"][1:], strict=False)):
        counts = [histogram[name][place] for name in names]
        if any(counts):
            rows.append([f"{low:.2f} to {high:.2f}", *(f"{count:,}" for count in counts)])
    return rows


def class_rows(class_names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """Rows of each class, given and propagated, and the share of it among all propagated ones."""
    total = max(1, sum(counts["propagated"]))
    rows = [["class", "given", "propagated", "share of propagated"]]
    for name, given, spread in zip(class_names, counts["given"], counts["propagated"], strict=False):
        rows.append([name, f"{given:,}", f"{spread:,}", f"{100 * spread / total:.1f} %"])
    return rows
