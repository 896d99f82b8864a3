"""Insights -> pictures: reliability, confusion, the map. matplotlib's object interface, no global state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from .insights import Confusion, MapOfRows, Reliability
from .pictures import BACKING, BLUE, GREY, PALETTE, panel, short

NAMED_CLASSES = 20  # more are not named in a picture
NUMBERED_CLASSES = 12  # more have no numbers in the cells of the confusion matrix


def reliability_figure(found: Reliability) -> Figure:
    """Share of right pseudo-labels over their certainty, the rows of each bin as bars; the diagonal for comparison."""
    figure, axes = panel("Right pseudo-labels by certainty", "certainty")
    edges, share = np.array(found.edges), np.array(found.count) / max(found.count)
    axes.bar(edges[:-1], share, np.diff(edges), align="edge", color="#cfd8e3", label="rows (share of the fullest bin)")
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), label="certainty = share of right ones")
    bins = zip(found.certainty, found.right, strict=True)
    points = np.array([(x, y) for x, y in bins if x is not None and y is not None], float)
    axes.plot(points[:, 0], points[:, 1], "o-", color=BLUE, linewidth=1.8, markersize=5, label="share of right ones")
    axes.set(xlim=(0, 1), ylim=(0, 1.32), yticks=np.linspace(0, 1, 6))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def confusion_figure(found: Confusion, class_names: Sequence[str]) -> Figure:
    """A row for each true class: the shares of its rows that got each class. Numbers and names where there is room."""
    counts = np.array(found.counts, float)
    if not counts[:, -1].any():
        counts = counts[:, :-1]  # every row has a label
    names = [*map(short, class_names), "no label"]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 4.7 if len(counts) <= NAMED_CLASSES else 6.4
    figure, axes = panel("True class (rows), pseudo-label (columns), %", "pseudo-label", (size, size))
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=axes, shrink=0.7).ax.tick_params(labelsize=8)
    axes.grid(visible=False)
    axes.set_ylabel("true class", fontsize=8)
    if len(counts) <= NAMED_CLASSES:
        axes.set_xticks(range(counts.shape[1]), names[: counts.shape[1]], fontsize=8, rotation=45, ha="right")
        axes.set_yticks(range(len(counts)), names[: len(counts)], fontsize=8)
    if len(counts) <= NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(share):
            if value > 0:
                color = "white" if value > 0.5 else "#1c2330"
                text = f"{100 * value:.1f}" if value < 0.1 else f"{100 * value:.0f}"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    return figure


def map_by_label(found: MapOfRows, class_names: Sequence[str]) -> Figure:
    """The rows coloured by label, labelled ones as stars, up to 20 classes named where most of their rows are."""
    figure, axes = _plane("Coloured by label")
    points = found.points
    color = _colors(points.label, len(class_names))
    _scatter(axes, found, color)
    if len(class_names) <= NAMED_CLASSES:
        for number in np.unique(points.label[points.label >= 0]).tolist():
            own = points.label == number
            x, y = np.median(points.x[own]), np.median(points.y[own])
            name = short(class_names[number])
            axes.text(x, y, name, ha="center", va="center", fontsize=9, weight="bold", bbox=BACKING, zorder=4)
    return figure


def map_by_certainty(found: MapOfRows) -> Figure:
    """The same rows coloured by certainty."""
    figure, axes = _plane("Coloured by certainty")
    scale = colormaps["viridis"]
    _scatter(axes, found, scale(found.points.certainty))
    bar = figure.colorbar(axes.collections[0], ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _plane(title: str) -> tuple[Figure, Axes]:
    figure, axes = panel(title, "", (4.7, 4.1))
    axes.grid(visible=False)
    axes.set(xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure, axes


def _scatter(axes: Axes, found: MapOfRows, color: np.ndarray) -> None:
    points = found.points
    dots = axes.scatter(points.x, points.y, s=7, c=color, linewidths=0)
    dots.set_clim(0, 1)
    given = points.given
    size = min(90, max(20, 5400 / max(1, given.sum())))  # many stars would hide what they stand on
    style = {"s": size, "c": color[given], "marker": "*", "edgecolors": "black", "linewidths": 0.01 * size}
    axes.scatter(points.x[given], points.y[given], **style)


def _colors(label: np.ndarray, num_classes: int) -> np.ndarray:
    """(m, 4) one colour for each class, grey for none; beyond twenty classes colours come again."""
    few = num_classes <= len(PALETTE)
    table = np.array([to_rgba(name) for name in PALETTE]) if few else colormaps["tab20"](np.arange(20))
    return np.where(label[:, None] >= 0, table[label % len(table)], to_rgba("#c8c8c8"))
