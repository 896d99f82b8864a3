"""A report as one self-contained HTML page: no scripts, no requests, every string escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from .gather import Report, gather, mean
from .pictures import classes_figure, curves_figure, histogram_figure, png

MOST_OPEN_ROWS = 13  # longer tables are folded
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
    return page.render(report=report, pictures=_pictures(report), most_open_rows=MOST_OPEN_ROWS)


def _pictures(report: Report) -> dict[str, tuple[str, str]]:
    """Name -> (data URI, what the picture shows in words and numbers)."""
    found: dict[str, tuple[str, str]] = {}
    if any(value is not None for curve in report.curves for value in (*curve.error, *curve.certainty)):
        found["curves"] = (_uri(curves_figure(report.curves)), _of_curves(report))
    if report.histogram:
        found["histogram"] = (_uri(histogram_figure(report.histogram)), _of_histogram(report))
    if report.class_counts and report.class_names:
        spread = report.class_counts["propagated"]
        words = f"Rows of each class; by propagation between {min(spread):,} and {max(spread):,}."
        found["classes"] = (_uri(classes_figure(report.class_names, report.class_counts)), words)
    return found


def _uri(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(png(figure)).decode()


def _of_curves(report: Report) -> str:
    last = [curve.error[-1] for curve in report.curves if curve.error and curve.error[-1] is not None]
    ends = f"Test error ends at {mean([value for value in last if value is not None]):.1f} %. " if last else ""
    epochs = max(len(curve.phase) for curve in report.curves)
    return f"{ends}Learning curves over {epochs} epochs of {len(report.curves)} run(s)."


def _of_histogram(report: Report) -> str:
    histogram = report.histogram or {}
    if histogram.get("right") is None:
        return f"Certainty of {sum(histogram['all']):,} pseudo-labels."
    return f"Certainty of {sum(histogram['right']):,} right and {sum(histogram['wrong']):,} wrong pseudo-labels."
