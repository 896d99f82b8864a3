"""Values -> pictures. One function each; matplotlib's object interface, no global state."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .gather import Curve

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#888888"  # told apart by the colour-blind too
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LONGEST_NAME = 14
MOST_BARS = 40


def png(figure: Figure) -> bytes:
    """The picture as PNG. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a class name may use letters that the font lacks
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def short(name: str) -> str:
    """A name as charts show it: printable, cut, never read as a formula."""
    clean = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return clean if len(clean) <= LONGEST_NAME else clean[: LONGEST_NAME - 1] + "…"


def curves_figure(curves: Sequence[Curve]) -> Figure:
    """Test error over all epochs, and right pseudo-labels and certainty over those with pseudo-labels.

    Several curves are thin, their mean is thick. A panel without any number is left out.
    """
    wanted = []
    if any(value is not None for curve in curves for value in curve.error):
        wanted.append(_draw_error)
    if any(value is not None for curve in curves for value in curve.certainty):
        wanted.append(_draw_pseudo_labels)
    figure = Figure(figsize=(4.9 * max(1, len(wanted)), 3.3), layout="constrained")
    for place, draw in enumerate(wanted):
        draw(_axes(figure, len(wanted), place), curves)
    return figure


def _axes(figure: Figure, count: int, place: int) -> Axes:
    axes = figure.add_subplot(1, count, place + 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color="#888888")
    return axes


def _draw_error(axes: Axes, curves: Sequence[Curve]) -> None:
    lines = [_numbers(curve.error) for curve in curves]
    _line(axes, lines, BLUE, offset=1)
    middle = _mean(lines)
    start = curves[0].first_of_last_phase
    axes.set_ylim(0, max(5.0, min(100.0, 1.6 * float(np.nanmax(middle[max(0, start - 1) :])))))
    if start:
        axes.axvline(start + 0.5, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(start, 0.97, "labels alone ", ha="right", va="top", fontsize=8, color=GREY, transform=_wide(axes))
        axes.text(start + 1, 0.97, " + propagation", va="top", fontsize=8, color=GREY, transform=_wide(axes))
        _mark(axes, start, middle[start - 1])
    _mark(axes, len(middle), middle[-1])
    axes.set_title("Test error, %", loc="left", fontsize=10)
    axes.set_xlabel("epoch", fontsize=8)


def _wide(axes: Axes) -> Any:
    return axes.get_xaxis_transform()


def _mark(axes: Axes, x: float, value: float) -> None:
    axes.plot([x], [value], "o", color=BLUE, markersize=4)
    axes.annotate(f"{value:.1f}", (x, value), (-4, 6), textcoords="offset points", ha="right", fontsize=9, color=BLUE)


def _draw_pseudo_labels(axes: Axes, curves: Sequence[Curve]) -> None:
    kept = [curve.first_of_last_phase for curve in curves]
    certainty = [_numbers(curve.certainty[start:]) * 100 for curve, start in zip(curves, kept, strict=True)]
    _line(axes, certainty, ORANGE, offset=1)
    _name_end(axes, _mean(certainty), "mean certainty, in hundredths", ORANGE)
    accuracy = [_numbers(curve.accuracy[start:]) for curve, start in zip(curves, kept, strict=True)]
    if not np.isnan(np.concatenate(accuracy)).all():
        _line(axes, accuracy, GREEN, offset=1)
        _name_end(axes, _mean(accuracy), "right, %", GREEN)
    axes.set_ylim(0, 108)
    axes.set_title("Pseudo-labels", loc="left", fontsize=10)
    axes.set_xlabel("epoch of label propagation", fontsize=8)


def _name_end(axes: Axes, line: np.ndarray, name: str, color: str) -> None:
    above = 5 if name.startswith("right") else -12
    end = (len(line), line[-1])
    axes.annotate(
        f"{name}: {line[-1]:.0f}", end, (0, above), textcoords="offset points", ha="right", fontsize=8, color=color
    )


def _line(axes: Axes, lines: Sequence[np.ndarray], color: str, *, offset: int) -> None:
    if len(lines) > 1:
        for line in lines:
            axes.plot(np.arange(len(line)) + offset, line, color=color, linewidth=0.7, alpha=0.35)
    middle = _mean(lines)
    axes.plot(np.arange(len(middle)) + offset, middle, color=color, linewidth=1.8)


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)


def _mean(lines: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over the runs, as far as the shortest goes."""
    return np.asarray(np.mean([line[: min(map(len, lines))] for line in lines], axis=0))


def histogram_figure(histogram: Mapping[str, Any]) -> Figure:
    """How many pseudo-labels have which certainty: right and wrong ones, or all where truth is unknown."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = _axes(figure, 1, 0)
    edges = np.array(histogram["edges"])
    width = np.diff(edges)
    if histogram.get("right") is not None:
        right, wrong = np.array(histogram["right"]), np.array(histogram["wrong"])
        axes.bar(edges[:-1], right, width, align="edge", color=GREEN, alpha=0.75, label=f"right ({right.sum():,})")
        axes.bar(edges[:-1], wrong, width, bottom=right, align="edge", color=ORANGE, label=f"wrong ({wrong.sum():,})")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    else:
        axes.bar(edges[:-1], histogram["all"], width, align="edge", color=BLUE)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("certainty", fontsize=8)
    axes.set_title("Pseudo-labels by certainty", loc="left", fontsize=10)
    return figure


def classes_figure(class_names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Rows of each class, given and propagated; the first 40 classes."""
    names = [short(name) for name in class_names[:MOST_BARS]]
    given, spread = np.array(counts["given"][:MOST_BARS]), np.array(counts["propagated"][:MOST_BARS])
    figure = Figure(figsize=(6.4, 0.9 + 0.24 * len(names)), layout="constrained")
    axes = _axes(figure, 1, 0)
    places = np.arange(len(names))
    axes.barh(places, given, color=GREY, label="given")
    axes.barh(places, spread, left=given, color=BLUE, label="propagated")
    for place, total in enumerate((given + spread).tolist()):
        axes.text(total, place, f" {total:,}", va="center", fontsize=7, color="#444444")
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.margins(x=0.1)
    axes.legend(frameon=False, fontsize=8, loc="lower right", ncols=2, bbox_to_anchor=(1, 1))
    axes.set_title("Rows of each class", loc="left", fontsize=10)
    return figure


def spreading_figure(points: np.ndarray, given: np.ndarray, label: np.ndarray, certainty: np.ndarray) -> Figure:
    """Three panels: the few given labels; every point labelled by the nearest of them; labels spread over the graph.

    points: (n, 2). given: (n,) -1 where unlabelled. label: (n,) propagated. certainty: (n,) in [0, 1].
    """
    known = np.flatnonzero(given >= 0)
    distance = ((points[:, None] - points[known][None]) ** 2).sum(axis=2)
    nearest = given[known][distance.argmin(axis=1)]
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    nobody, half = np.full(len(points), -1), np.full(len(points), 0.5)
    panels = (
        (f"{len(known)} labels, {len(points) - len(known):,} points without", nobody, half),
        ("each point as its nearest label", nearest, half + 0.3),
        ("labels spread over the graph", label, 0.25 + 0.65 * certainty / max(certainty[given < 0].max(), 1e-9)),
    )
    for place, (title, shown, opacity) in enumerate(panels):
        axes = figure.add_subplot(1, 3, place + 1)
        x, y = points.T
        axes.scatter(x, y, s=9, c=_colors(shown), alpha=np.clip(opacity, 0, 1), linewidths=0)
        stars = axes.scatter(x[known], y[known], s=110, c=_colors(given[known]), marker="*", zorder=3)
        stars.set(edgecolor="black", linewidth=1.4)
        axes.set_title(title, fontsize=12)
        axes.set_aspect("equal")
        axes.set_axis_off()
    return figure


def _colors(label: np.ndarray) -> list[str]:
    return [GREY if number < 0 else PALETTE[number % len(PALETTE)] for number in label]
