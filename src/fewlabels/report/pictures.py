"""Values -> pictures. One function each; matplotlib's object interface, no global state."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, Normalize, PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from matplotlib.transforms import Bbox

from ..training.method_table import BY_NAME
from .curves import Curve, is_known
from .insights import Confusion, MapOfRows, Reliability
from .words import shorten, shorten_names

PALETTE = (  # the first six are the furthest apart
    "#0072b2",
    "#d55e00",
    "#409f80",
    "#680d27",
    "#8a87a9",
    "#2e5002",
    "#a77a46",
    "#6a486f",
    "#8081ed",
    "#9b3846",
)
BLUE, ORANGE, GREEN = PALETTE[:3]
GREY = "#888888"  # lines and bars that stand back; what has no label
SOFT = "#545e6f"  # text that stands back
BACKING = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}  # text over lines
CERTAINTY: Colormap = ListedColormap(colormaps["plasma"](np.linspace(0.6, 0, 256)))  # doubtful red, certain deep blue
SHARES: Colormap = colormaps["Blues"]
PALE_SHARES: Colormap = ListedColormap(SHARES(np.linspace(0, 0.45, 256)))  # black numbers can be read on it


def colour_labels(label: np.ndarray) -> np.ndarray:
    """(m, 4) RGBA for (m,) class numbers, grey for -1; from the eleventh class on colours come again."""
    table = np.array([to_rgba(name) for name in PALETTE])
    return np.where(label[:, None] >= 0, table[label % len(table)], to_rgba(GREY))


DASHES = ("-", "--", ":")  # the next of them where colours come again
MOST_BARS = 40
NARROW = 0.45  # share of the axis that a phase needs to hold its name


def png(figure: Figure) -> bytes:
    """The picture as PNG. The same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a class name may use letters that the font lacks
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


@dataclass(frozen=True)
class Lines:
    """What one panel draws. x, y: an array for each curve. names: of the curves. repeats: one mean stands for all."""

    x: list[np.ndarray]
    y: list[np.ndarray]
    names: list[str]
    repeats: bool

    def means(self) -> Lines:
        """The mean as far as the shortest goes, if these are repeats; otherwise all of them."""
        if not self.repeats:
            return self
        shortest = min(map(len, self.y))
        return Lines([self.x[0][:shortest]], [np.mean([line[:shortest] for line in self.y], axis=0)], [""], True)


def error_figure(curves: Sequence[Curve], *, repeats: bool = True) -> Figure:
    """Test error over all training steps. Repeats are thin, with their mean; otherwise each curve has its colour.

    Where a teacher averages, the error is the teacher's; for repeats the student's is drawn beside it.
    """
    figure, axes = make_panel("Test error, %", "training steps")
    known = [curve for curve in curves if curve.measured]
    points = [np.array(curve.measured, float) for curve in known]
    lines = Lines([at[:, 0] for at in points], [at[:, 1] for at in points], [curve.name for curve in known], repeats)
    if repeats:
        _draw_students(axes, known)
    _draw(axes, lines, PALETTE)
    begun = int((points[0][:, 2] == 0).sum()) if known[0].first_of_last_phase else 0
    means = lines.means()
    of_last_phase = np.concatenate([line[max(0, begun - 1) :] for line in means.y])
    top = max(5.0, min(100.0, 1.6 * float(of_last_phase.max())))
    axes.set_ylim(0, top)
    if max(line.max() for line in means.y) > top:
        axes.set_title("Test error, % (higher ones cut off)", loc="left", fontsize=10)
    _mark_phases(axes, known, names=True)
    if repeats:
        for place in {begun - 1, len(means.y[0]) - 1} - {-1}:
            _mark(axes, means.x[0][place], means.y[0][place])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def _draw_students(axes: Axes, curves: Sequence[Curve]) -> None:
    """The error of the network beside that of its teacher, from the first phase that has one."""
    taught = [curve for curve in curves if is_known(curve.teacher_error)]
    if not taught:
        return
    pairs = [[(x, y) for x, y in zip(curve.at, curve.error, strict=True) if y is not None] for curve in taught]
    points = [np.array(pair, float) for pair in pairs]
    lines = Lines([at[:, 0] for at in points], [at[:, 1] for at in points], [curve.name for curve in taught], True)
    means = lines.means()
    axes.plot(means.x[0], means.y[0], color=ORANGE, linewidth=1, alpha=0.8, label="student")
    axes.plot([], [], color=BLUE, linewidth=1.8, label="teacher")


def pseudo_labels_figure(curves: Sequence[Curve], *, repeats: bool = True) -> Figure:
    """Right pseudo-labels over the epochs that had some, as error_figure; for repeats their certainty as well.

    For others it is the certainty alone where not all know which ones are right.
    """
    names = [curve.name for curve in curves]
    shown = _list_label_lines(curves)
    if not repeats:
        shown = [one for one in shown if not any(np.isnan(line).all() for line in one[2])][:1]
    title = "Pseudo-labels, %" if repeats or not shown else f"Pseudo-labels, %: {shown[0][0]}"
    figure, axes = make_panel(title, "epoch with pseudo-labels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for words, color, values in shown:
        if np.isnan(np.concatenate(values)).all():
            continue
        lines = Lines([np.arange(1, len(line) + 1) for line in values], values, names, repeats)
        _draw(axes, lines, (color,) if repeats else PALETTE)
        if repeats:
            axes.lines[-1].set_label(f"{words}: {lines.means().y[0][-1]:.1f} at the end")
    axes.set_ylim(0, 104)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="best")
    return figure


def _list_label_lines(curves: Sequence[Curve]) -> list[tuple[str, str, list[np.ndarray]]]:
    """(what, colour, percent for each curve): certainty of right and wrong ones apart where the truth is known."""
    some = [[value is not None for value in curve.certainty] for curve in curves]

    def each(name: str, scale: float) -> list[np.ndarray]:
        return [scale * _to_numbers(getattr(curve, name))[at] for curve, at in zip(curves, some, strict=True)]

    right = ("right", GREEN, each("accuracy", 1))
    if not all(is_known(curve.certainty_right) for curve in curves):
        return [right, ("mean certainty", ORANGE, each("certainty", 100))]
    of_right = ("certainty of right ones", BLUE, each("certainty_right", 100))
    return [right, of_right, ("certainty of wrong ones", ORANGE, each("certainty_wrong", 100))]


def loss_figure(curves: Sequence[Curve], *, repeats: bool = True) -> Figure:
    """Mean loss of each epoch over all training steps, as error_figure. Losses of two phases are not of one kind."""
    figure, axes = make_panel("Loss, mean of each epoch", "training steps")
    y = [_to_numbers(curve.loss) for curve in curves]
    lines = Lines([np.array(curve.at) for curve in curves], y, [curve.name for curve in curves], repeats)
    _draw(axes, lines, PALETTE)
    axes.set_ylim(0, 1.15 * float(np.nanmax(np.concatenate(y))))
    _mark_phases(axes, curves, names=True)
    return figure


def schedule_figure(curve: Curve) -> Figure:
    """Learning rate and, where there is one, weight of the teacher's word, each as a share of its maximum."""
    figure, axes = make_panel("Schedule, % of the maximum", "training steps")
    named = (("learning rate", GREEN, curve.rate), ("weight of the teacher", ORANGE, curve.weight))
    for name, color, values in named:
        y = np.nan_to_num(_to_numbers(values))
        if y.any():
            axes.plot(curve.at, 100 * y / y.max(), color=color, linewidth=1.5, label=f"{name}, at most {y.max():.3g}")
    axes.set_ylim(0, 130)
    axes.set_yticks(range(0, 101, 20))
    _mark_phases(axes, [curve], names=False)
    axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=2)
    return figure


def _mark_phases(axes: Axes, curves: Sequence[Curve], *, names: bool) -> None:
    """A dashed line where each phase but the first begins; the names of the phases before and after it.

    There are none where the curves have their phases at different places.
    """
    curve = curves[0]
    if any((one.methods, one.begins) != (curve.methods, curve.begins) for one in curves):
        return
    called = [BY_NAME[method].short if method in BY_NAME else method for method in curve.methods]
    for number, begin in enumerate(curve.begins[1:], 1):
        share = curve.at[begin - 1] / max(curve.at)
        axes.axvline(curve.at[begin - 1], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)))
        if not names:
            continue
        if number == 1 and share > NARROW / 2:
            _name_phase(axes, curve.at[begin - 1], called[0], "right")
        if share < 1 - NARROW:
            _name_phase(axes, curve.at[begin - 1], called[number], "left")
        else:
            _name_phase(axes, max(curve.at), called[number], "right", 0.93)


def _name_phase(axes: Axes, x: float, words: str, side: str, height: float = 1.0) -> None:
    """Above the lines, between them and the title; a name that needs the place of the one before it is inside."""
    note = axes.text(x, height, f" {words} ", ha=side, va="bottom", fontsize=8, color=SOFT)
    note.set_transform(axes.get_xaxis_transform())
    if height < 1:
        note.set_bbox(BACKING)
    axes.set_title(axes.get_title(loc="left"), loc="left", fontsize=10, pad=18)


def make_panel(title: str, x_label: str, size: tuple[float, float] = (4.7, 3.1)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, color="#888888")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(x_label, fontsize=8)
    return figure, axes


def _mark(axes: Axes, x: float, value: float) -> None:
    """A point with its value, readable across a line."""
    axes.plot([x], [value], "o", color=BLUE, markersize=4)
    shift = (-4, 7)  # points
    axes.annotate(
        f"{value:.1f}", (x, value), shift, textcoords="offset points", ha="right", fontsize=9, color=BLUE, bbox=BACKING
    )


def _draw(axes: Axes, lines: Lines, colors: Sequence[str]) -> None:
    if lines.repeats and len(lines.y) > 1:
        for x, y in zip(lines.x, lines.y, strict=True):
            axes.plot(x, y, color=colors[0], linewidth=0.7, alpha=0.35)
    means = lines.means()
    for place, (x, y, name) in enumerate(zip(means.x, means.y, shorten_names(means.names), strict=True)):
        again, place_of_color = divmod(place, len(colors))
        style: dict[str, Any] = {"color": colors[place_of_color], "linestyle": DASHES[again % len(DASHES)]}
        axes.plot(x, y, linewidth=1.8, label=name or None, **style)
    if not lines.repeats:
        axes.legend(frameon=False, fontsize=8)


def _to_numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], float)


def histogram_figure(histogram: Mapping[str, Any]) -> Figure:
    """How many pseudo-labels have which certainty: right and wrong ones, or all where truth is unknown."""
    figure, axes = make_panel("Number of pseudo-labels by certainty", "certainty")
    edges = np.array(histogram["edges"])
    width = np.diff(edges)
    if histogram.get("right") is not None:
        right, wrong = np.array(histogram["right"]), np.array(histogram["wrong"])
        axes.bar(edges[:-1], right, width, align="edge", color=GREEN, label=f"right ({right.sum():,})")
        axes.bar(edges[:-1], wrong, width, bottom=right, align="edge", color=ORANGE, label=f"wrong ({wrong.sum():,})")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    else:
        axes.bar(edges[:-1], histogram["all"], width, align="edge", color=BLUE)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(edges[0], edges[-1])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure


def classes_figure(class_names: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Figure:
    """Rows of each class, given and propagated; the first 40 classes."""
    names = [shorten(name) for name in class_names[:MOST_BARS]]
    given, spread = np.array(counts["given"][:MOST_BARS]), np.array(counts["propagated"][:MOST_BARS])
    figure, axes = make_panel("Rows of each class", "rows", (4.7, max(3.1, 0.9 + 0.24 * len(names))))
    places = np.arange(len(names))
    axes.barh(places, given, color=GREY, label="given")
    axes.barh(places, spread, left=given, color=BLUE, label="propagated")
    for place, total in enumerate((given + spread).tolist()):
        axes.text(total, place, f" {total:,}", va="center", fontsize=7, color=SOFT)
    axes.set_yticks(places, names, fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False)
    axes.margins(x=0.1)
    axes.legend(frameon=False, fontsize=8, loc="lower right", ncols=2, bbox_to_anchor=(1, 1))
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
        axes.scatter(x, y, s=9, c=colour_labels(shown), alpha=np.clip(opacity, 0, 1), linewidths=0)
        stars = axes.scatter(x[known], y[known], s=110, c=colour_labels(given[known]), marker="*", zorder=3)
        stars.set(edgecolor="black", linewidth=1.4)
        axes.set_title(title, fontsize=12)
        axes.set_aspect("equal")
        axes.set_axis_off()
    return figure


NAMED_CLASSES = 20  # more are not named on the map
GAP = 4  # pixels around a name
NUMBERED_CLASSES = 12  # more have no numbers in the cells of the confusion matrix
LARGE, LARGEST = 20, 50  # classes: more have a matrix as wide as the page; more are not named beside it


def reliability_figure(
    found: Reliability, title: str = "Right pseudo-labels by certainty", scale: str = "certainty"
) -> Figure:
    """Share of right ones over their certainty, the rows of each bin as bars; the diagonal for comparison.

    scale: what the horizontal axis is, certainty or probability.
    """
    figure, axes = make_panel(title, scale)
    edges, share = np.array(found.edges), np.array(found.count) / max(found.count)
    style: dict[str, Any] = {"color": "#dde3ea", "edgecolor": GREY, "linewidth": 0.6}
    axes.bar(edges[:-1], share, np.diff(edges), align="edge", label="rows (share of the fullest bin)", **style)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label=f"{scale} = share of right ones")
    bins = zip(found.certainty, found.right, strict=True)
    points = np.array([(x, y) for x, y in bins if x is not None and y is not None], float)
    axes.plot(points[:, 0], points[:, 1], "o-", color=BLUE, linewidth=1.8, markersize=5, label="share of right ones")
    axes.set(xlim=(0, 1), ylim=(0, 1.32), yticks=np.linspace(0, 1, 6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def confusion_figure(found: Confusion, class_names: Sequence[str]) -> Figure:
    """A row for each true class: the shares of its rows that got each class. Numbers and names where there is room."""
    counts = np.array(found.counts, float)
    if not counts[:, -1].any():
        counts = counts[:, :-1]  # every row has a label
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    numbered, large = len(counts) <= NUMBERED_CLASSES, len(counts) > LARGE
    size = (8.6, 8.0) if large else (4.7, 4.7)
    figure, axes = make_panel("Rows of a true class by pseudo-label, %", "pseudo-label", size)
    # Without numbers a few per cent must show as well: the square root of the share is what is coloured.
    scale = Normalize(0, 100) if numbered else PowerNorm(0.5, 0, 100)
    shades = PALE_SHARES if numbered else SHARES
    image = axes.imshow(share, cmap=shades, norm=scale, aspect="auto", interpolation="nearest")
    ticks = [0, 20, 40, 60, 80, 100] if numbered else [0, 1, 5, 10, 25, 50, 100]
    figure.colorbar(image, ax=axes, shrink=0.7, ticks=ticks, format="{x:.0f}").ax.tick_params(labelsize=8)
    axes.grid(visible=False)
    axes.set_ylabel("true class", fontsize=8)
    _name_classes(axes, [*map(shorten, class_names), "no label"][: counts.shape[1]], len(counts))
    if numbered:
        for (row, column), value in np.ndenumerate(share):
            if value > 0:
                text = f"{value:.1f}" if value < 10 else f"{value:.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=7)
    return figure


def _name_classes(axes: Axes, names: Sequence[str], num_classes: int) -> None:
    """At both sides of the matrix, upright where they are short; with too many classes their numbers stay."""
    if num_classes > LARGEST:
        axes.set_xlabel("pseudo-label (number of the class, from 0)", fontsize=8)
        axes.set_ylabel("true class (number, from 0)", fontsize=8)
        return
    across: dict[str, Any] = {"rotation": 45, "ha": "right"}
    if num_classes <= NUMBERED_CLASSES and max(map(len, names)) <= 3:
        across = {}
    if num_classes > LARGE:
        across = {"rotation": 90}
    axes.set_xticks(range(len(names)), names, fontsize=8, **across)
    axes.set_yticks(range(num_classes), names[:num_classes], fontsize=8)


def map_by_label(found: MapOfRows, class_names: Sequence[str]) -> Figure:
    """The rows coloured by label, labelled ones as stars, up to 20 classes named where their rows are densest.

    A name that would lie on another, or leave the picture, goes to the densest place of its class where it does not.
    """
    figure, axes = _make_plane("Coloured by label")
    points = found.points
    _scatter(axes, found, colour_labels(points.label))
    if len(class_names) <= NAMED_CLASSES:
        count = np.bincount(points.label[points.label >= 0], minlength=len(class_names))
        figure.draw_without_rendering()  # which gives the axes their place
        taken: list[Bbox] = []
        for number in np.argsort(-count, kind="stable").tolist():
            if count[number]:
                own = points.label == number
                places = _list_dense(points.x[own], points.y[own])
                taken.append(_write_name(axes, shorten(class_names[number]), number, places, taken))
    return figure


def _list_dense(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(m, 2) these points, those with most others near them, within a tenth of their extent, first."""
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    near = (distance <= 0.1 * distance.max()).sum(axis=1)
    return np.column_stack([x, y])[np.argsort(-near, kind="stable")]


def _write_name(axes: Axes, name: str, number: int, places: np.ndarray, taken: Sequence[Bbox]) -> Bbox:
    """Write the name at the first of the places with room, or the one that covers least; returns what it covers."""
    backing = {**BACKING, "alpha": 0.9, "edgecolor": PALETTE[number % len(PALETTE)], "linewidth": 1.2}
    x, y = places[0].tolist()
    text = axes.text(x, y, name, ha="center", va="center", fontsize=9, weight="bold", bbox=backing, zorder=4)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # as in png
        box, panel = text.get_window_extent().padded(GAP), axes.get_window_extent()
    shifts = axes.transData.transform(places) - axes.transData.transform(places[:1])
    best = int(np.argmin([_measure_cover(_move(box, shift), panel, taken) for shift in shifts]))
    text.set_position(places[best])
    return _move(box, shifts[best])


def _move(box: Bbox, by: np.ndarray) -> Bbox:
    return Bbox(box.get_points() + by)


def _measure_cover(box: Bbox, panel: Bbox, taken: Sequence[Bbox]) -> float:
    """The area of a box that lies on others or outside the panel."""
    inside = Bbox.intersection(box, panel)
    shared = [Bbox.intersection(box, other) for other in taken]
    area = box.width * box.height
    outside = area - (inside.width * inside.height if inside else 0)
    return round(outside + sum(one.width * one.height for one in shared if one), 6)


def map_by_certainty(found: MapOfRows) -> Figure:
    """The same rows coloured by certainty, the doubtful ones on top."""
    figure, axes = _make_plane("Coloured by certainty")
    _scatter(axes, found, CERTAINTY(found.points.certainty), np.argsort(-found.points.certainty, kind="stable"))
    dots = axes.collections[0]
    dots.set(cmap=CERTAINTY, clim=(0, 1))
    bar = figure.colorbar(dots, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
    bar.set_label("certainty", fontsize=8)
    return figure


def _make_plane(title: str) -> tuple[Figure, Axes]:
    figure, axes = make_panel(title, "", (4.7, 4.1))
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure, axes


def _scatter(axes: Axes, found: MapOfRows, color: np.ndarray, order: np.ndarray | None = None) -> None:
    points = found.points
    order = np.arange(points.x.size) if order is None else order
    axes.scatter(points.x[order], points.y[order], s=7, c=color[order], linewidths=0)
    given = points.given
    size = min(90, max(20, 5400 / max(1, given.sum())))  # many stars would hide what they stand on
    style = {"s": size, "c": color[given], "marker": "*", "edgecolors": "black", "linewidths": 0.01 * size}
    axes.scatter(points.x[given], points.y[given], **style)
