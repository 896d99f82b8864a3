"""Insights -> pictures: reliability, confusion, the map. matplotlib's object interface, no global state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from .colours import BACKING, BLUE, CERTAINTY, GREY, PALE_SHARES, SHARES, of_labels
from .insights import Confusion, MapOfRows, Reliability
from .names import short
from .pictures import panel

NAMED_CLASSES = 20  # more are not named on the map
NUMBERED_CLASSES = 12  # more have no numbers in the cells of the confusion matrix
LARGE, LARGEST = 20, 50  # classes: more have a matrix as wide as the page; more are not named beside it


def reliability_figure(found: Reliability) -> Figure:
    """Share of right pseudo-labels over their certainty, the rows of each bin as bars; the diagonal for comparison."""
    figure, axes = panel("Right pseudo-labels by certainty", "certainty")
    edges, share = np.array(found.edges), np.array(found.count) / max(found.count)
    style: dict[str, Any] = {"color": "#dde3ea", "edgecolor": GREY, "linewidth": 0.6}
    axes.bar(edges[:-1], share, np.diff(edges), align="edge", label="rows (share of the fullest bin)", **style)
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
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    numbered, large = len(counts) <= NUMBERED_CLASSES, len(counts) > LARGE
    size = (8.6, 8.0) if large else (4.7, 4.7)
    figure, axes = panel("Rows of a true class by pseudo-label, %", "pseudo-label", size)
    # Without numbers a few per cent must show as well: the square root of the share is what is coloured.
    scale = Normalize(0, 100) if numbered else PowerNorm(0.5, 0, 100)
    shades = PALE_SHARES if numbered else SHARES
    image = axes.imshow(share, cmap=shades, norm=scale, aspect="auto", interpolation="nearest")
    ticks = [0, 20, 40, 60, 80, 100] if numbered else [0, 1, 5, 10, 25, 50, 100]
    figure.colorbar(image, ax=axes, shrink=0.7, ticks=ticks, format="{x:.0f}").ax.tick_params(labelsize=8)
    axes.grid(visible=False)
    axes.set_ylabel("true class", fontsize=8)
    _name_classes(axes, [*map(short, class_names), "no label"][: counts.shape[1]], len(counts))
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
    """The rows coloured by label, labelled ones as stars, up to 20 classes named where their rows are densest."""
    figure, axes = _plane("Coloured by label")
    points = found.points
    _scatter(axes, found, of_labels(points.label))
    if len(class_names) <= NAMED_CLASSES:
        for number in np.unique(points.label[points.label >= 0]).tolist():
            own = points.label == number
            x, y = _densest(points.x[own], points.y[own])
            name = short(class_names[number])
            axes.text(x, y, name, ha="center", va="center", fontsize=9, weight="bold", bbox=BACKING, zorder=4)
    return figure


def _densest(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The one of these points that has most others near it: within a tenth of their extent."""
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    at = int((distance <= 0.1 * distance.max()).sum(axis=1).argmax())
    return float(x[at]), float(y[at])


def map_by_certainty(found: MapOfRows) -> Figure:
    """The same rows coloured by certainty, the doubtful ones on top."""
    figure, axes = _plane("Coloured by certainty")
    _scatter(axes, found, CERTAINTY(found.points.certainty), np.argsort(-found.points.certainty, kind="stable"))
    dots = axes.collections[0]
    dots.set(cmap=CERTAINTY, clim=(0, 1))
    bar = figure.colorbar(dots, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("certainty", fontsize=8)
    return figure


def _plane(title: str) -> tuple[Figure, Axes]:
    figure, axes = panel(title, "", (4.7, 4.1))
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
