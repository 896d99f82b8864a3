"""A report as one self-contained HTML page: no scripts, no requests, every string escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from .curves import is_known, pick_error
from .gather import Report, gather
from .insights import Insights, make_degree_rows, to_uri
from .pictures import (
    LARGE,
    MOST_BARS,
    PALETTE,
    classes_figure,
    confusion_figure,
    error_figure,
    histogram_figure,
    loss_figure,
    map_by_certainty,
    map_by_label,
    png,
    pseudo_labels_figure,
    reliability_figure,
    schedule_figure,
)

MOST_OPEN_ROWS = 13  # longer tables are folded
FEWEST_CONTENTS = 4  # parts of a page that has a list of them
Drawn = dict[str, tuple[Figure, str]]
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def report_html(folders: Sequence[str | Path]) -> str:
    """The page for one run folder, or one that compares several. The same folders give the same text.

    Raises RunError for what is no run folder, or a damaged one.
    """
    return render(gather(folders))


def render(report: Report) -> str:
    """The page of a gathered report."""
    page = TEMPLATES.get_template("report.html.j2")
    drawn = _draw(report) | _draw_insights(report.insights, report.class_names)
    return page.render(
        report=report,
        pictures={name: (to_uri(png(figure)), words) for name, (figure, words) in drawn.items()},
        tables=make_tables(report),
        most_open_rows=MOST_OPEN_ROWS,
        fewest_contents=FEWEST_CONTENTS,
        most_bars=MOST_BARS,
        large=LARGE,
        num_colours=len(PALETTE),
    )


def _draw(report: Report) -> Drawn:
    """Name -> (picture, what it shows in words and numbers)."""
    found: Drawn = {}
    if any(curve.measured for curve in report.curves):
        found["error"] = (error_figure(report.curves, repeats=report.repeats), _describe_error(report))
    propagating = [curve for curve in report.curves if is_known(curve.certainty)]
    if propagating:
        found["pseudo_labels"] = (pseudo_labels_figure(propagating, repeats=report.repeats), _describe_labels(report))
    if report.curves and all(is_known(curve.loss) for curve in report.curves):
        words = f"Loss by epoch, {_describe_ends([curve.loss for curve in report.curves], '{:.3g}')}."
        found["loss"] = (loss_figure(report.curves, repeats=report.repeats), words)
    if report.curves and report.repeats and is_known(report.curves[0].rate):
        found["schedule"] = (schedule_figure(report.curves[0]), "Learning rate and weight of the teacher's word.")
    if report.histogram:
        found["histogram"] = (histogram_figure(report.histogram), _describe_histogram(report))
    if report.class_counts and report.class_names:
        spread = report.class_counts["propagated"]
        words = f"Rows of each class; by propagation between {min(spread):,} and {max(spread):,}."
        found["classes"] = (classes_figure(report.class_names, report.class_counts), words)
    return found


def _draw_insights(found: Insights, class_names: Sequence[str]) -> Drawn:
    """The same for the insights of a run."""
    pictures: Drawn = {}
    if found.reliability:
        bins = "; ".join(f"{row[3]} right of {row[1]} at {row[0]}" for row in found.reliability.table[1:])
        pictures["reliability"] = (reliability_figure(found.reliability), f"Right ones by certainty: {bins}.")
    if found.held_out:
        bins = "; ".join(f"{row[3]} right of {row[1]} at {row[0]}" for row in found.held_out.table[1:])
        figure = reliability_figure(found.held_out, "Given labels, each held out", "probability")
        pictures["held_out"] = (figure, f"Held-out labels that were right, by probability: {bins}.")
    if found.confusion and found.confusion.counts:
        words = f"Answers by true class: {found.confusion.words}"
        pictures["confusion"] = (confusion_figure(found.confusion, class_names), words)
    if found.map:
        count = f"{len(found.map.points.row):,} rows on a plane by {found.map.method}"
        given = int(found.map.points.given.sum())
        pictures["map_label"] = (map_by_label(found.map, class_names), f"{count}, by label; {given} are given.")
        sure = float(found.map.points.certainty.mean())
        pictures["map_certainty"] = (
            map_by_certainty(found.map),
            f"{count}, by certainty, {100 * sure:.0f} % on average.",
        )
    return pictures


def _describe_error(report: Report) -> str:
    epochs = max(len(curve.phase) for curve in report.curves)
    return f"Test error over {epochs} epochs, {_describe_ends([pick_error(curve) for curve in report.curves])}."


def _describe_labels(report: Report) -> str:
    return f"Right pseudo-labels by epoch, {_describe_ends([curve.accuracy for curve in report.curves])}."


def _describe_ends(lines: Sequence[Sequence[float | None]], form: str = "{:.1f} %") -> str:
    last = [line[-1] for line in lines if line and line[-1] is not None]
    return f"at the end {', '.join(form.format(value) for value in last)}" if last else "not known at the end"


def _describe_histogram(report: Report) -> str:
    histogram = report.histogram or {}
    if histogram.get("right") is None:
        return f"Certainty of {sum(histogram['all']):,} pseudo-labels."
    return f"Certainty of {sum(histogram['right']):,} right and {sum(histogram['wrong']):,} wrong pseudo-labels."


def make_tables(report: Report) -> dict[str, list[list[str]]]:
    """Name of the picture -> its numbers; those that the report has."""
    insights = report.insights
    found = {
        "learning": report.learning,
        "histogram": make_histogram_rows(report.histogram) if report.histogram else [],
        "classes": make_class_rows(report.class_names, report.class_counts) if report.class_counts else [],
        "reliability": insights.reliability.table if insights.reliability else [],
        "held_out": insights.held_out.table if insights.held_out else [],
        "confused": insights.confusion.pairs if insights.confusion else [],
        "class_errors": insights.confusion.class_rows(report.class_names) if insights.confusion else [],
        "degrees": make_degree_rows(insights.degrees),
    }
    return {name: rows for name, rows in found.items() if len(rows) > 1}


def make_histogram_rows(histogram: Mapping[str, Any]) -> list[list[str]]:
    """Pseudo-labels by certainty: all, and where truth is known right and wrong ones. No empty bins."""
    names = [name for name in ("all", "right", "wrong") if histogram.get(name) is not None]
    rows = [["certainty", *names]]
    for place, (low, high) in enumerate(zip(histogram["edges"], histogram["edges"][1:], strict=False)):
        counts = [histogram[name][place] for name in names]
        if any(counts):
            rows.append([f"{100 * low:.0f} to {100 * high:.0f} %", *(f"{count:,}" for count in counts)])
    return rows


def make_class_rows(class_names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> list[list[str]]:
    """Rows of each class, given and propagated, and the share of it among all propagated ones."""
    total = max(1, sum(counts["propagated"]))
    rows = [["class", "given", "propagated", "share of propagated"]]
    for name, given, spread in zip(class_names, counts["given"], counts["propagated"], strict=False):
        rows.append([name, f"{given:,}", f"{spread:,}", f"{100 * spread / total:.1f} %"])
    return rows
