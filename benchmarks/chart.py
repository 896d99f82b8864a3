"""Draws docs/images/propagate-seconds.svg and .png: seconds and peak memory against the rows, ours and the peers.

    python benchmarks/chart.py --classes 10

Takes the newest figure of each cell in benchmarks/results/propagate.jsonl. A hollow triangle is a cell stopped at its
limit: it takes longer than that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from data import ROOT
from records import RESULTS, Record, read

IMAGES = ROOT / "docs" / "images"
# Okabe and Ito's colours, told apart by the colour-blind too; ours is the only thick line.
STYLES = {
    "fewlabels": ("#0072b2", "fewlabels"),
    "straight recipe": ("#d55e00", "exact faiss + SciPy"),
    "faiss IVF + SciPy": ("#e69f00", "faiss IVF + SciPy"),
    "pynndescent + SciPy": ("#009e73", "pynndescent + SciPy"),
    "GraphLearning Laplace": ("#cc79a7", "GraphLearning"),
    "scikit-learn knn": ("#555555", "scikit-learn knn"),
    "scikit-learn rbf": ("#999999", "scikit-learn rbf"),
}
OURS = "fewlabels"
APART = 0.058  # of the panel's height, between two labels
TICKS = {"seconds": (0.1, 1, 10, 60, 600, 3600), "peak_mib": (64, 256, 1024, 4096, 16384)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "propagate.jsonl")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--output", type=Path, default=IMAGES, help="the folder for the pictures")
    options = parser.parse_args()
    cells = newest(read(options.results), options.classes, options.dimensions)
    if not cells:
        raise SystemExit(f"{options.results} has no figures for {options.classes} classes: run propagate.py first")
    options.output.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "fewlabels", "font.size": 9}):
        figure = draw(cells, options.classes)
        figure.savefig(options.output / "propagate-seconds.svg", metadata={"Date": None})
        figure.savefig(options.output / "propagate-seconds.png", dpi=200, metadata={"Software": None})


def newest(records: Sequence[Record], classes: int, dimensions: int) -> dict[str, dict[int, Record]]:
    """For each method the last record of each number of rows that was measured or stopped at its limit."""
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        settings = record["settings"]
        fits = settings["classes"] == classes and settings["dimensions"] == dimensions and settings["method"] in STYLES
        if fits and record["status"] in ("measured", "over limit"):
            found.setdefault(settings["method"], {})[settings["rows"]] = record
    return {method: dict(sorted(cells.items())) for method, cells in found.items()}


def draw(cells: dict[str, dict[int, Record]], classes: int) -> Figure:
    figure = Figure(figsize=(9.2, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    panel(left, cells, "seconds", lambda value: f"{value:g} s" if value < 60 else f"{value / 60:g} min")
    panel(right, cells, "peak_mib", lambda value: f"{value:g} MiB" if value < 1024 else f"{value / 1024:g} GiB")
    left.set_title(f"Descriptors to labels: time ({classes} classes)", loc="left", fontsize=10)
    right.set_title("Peak memory, input and interpreter included", loc="left", fontsize=10)
    return figure


def panel(axes: Axes, cells: dict[str, dict[int, Record]], name: str, form) -> None:
    """One quantity against the rows, a line and a label at its end for each method."""
    ends = []
    for method in reversed([method for method in STYLES if method in cells]):  # ours on top
        color, label = STYLES[method]
        points = [(n, record[name]) for n, record in cells[method].items() if name in record]
        stopped = [(n, record["limit"]) for n, record in cells[method].items() if name not in record][:1]
        if not points:
            continue
        thick = 2.8 if method == OURS else 1.4
        axes.plot(*zip(*points, strict=True), color=color, linewidth=thick, marker="o", markersize=1.2 + 1.3 * thick)
        if stopped and name == "seconds":
            axes.plot(*zip(points[-1], *stopped, strict=True), color=color, linewidth=1, linestyle=":")
            axes.plot(*stopped[0], color=color, marker="^", markersize=6, markerfacecolor="white")
            points += stopped
        ends.append((points[-1], label, color, method == OURS))
    rows = sorted({n for found in cells.values() for n in found})
    scales(axes, rows, TICKS[name], form)
    place_labels(axes, ends)


def scales(axes: Axes, rows: Sequence[int], ticks: Sequence[float], form) -> None:
    """Logarithmic axes with round numbers on them and room for the labels at the right."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high] or [np.sqrt(low * high)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    axes.xaxis.set_major_locator(FixedLocator(rows))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n / 1e6:g}M" if n >= 1e6 else f"{n / 1e3:g}k"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.set_xlim(rows[0] / 1.15, rows[-1] * max(rows[-1] / rows[0], 2) ** 0.75)
    axes.set_xlabel("rows", loc="left")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def place_labels(axes: Axes, ends: Sequence[tuple[tuple[float, float], str, str, bool]]) -> None:
    """Each method's name at the right, as near to the end of its line as the other names let it."""
    to_panel = axes.transData + axes.transAxes.inverted()
    last = max(point[0] for point, *_ in ends)
    for point, label, color, _ in [end for end in ends if end[0][0] < last / 10]:  # a line that ends far from the right
        axes.annotate(label.replace(" ", "\n"), point, (-2, 7), textcoords="offset points", color=color, linespacing=1)
    near = [end for end in ends if end[0][0] >= last / 10]
    at = sorted(((*to_panel.transform(end[0]), *end[1:]) for end in near), key=lambda end: end[1])
    heights = spread_out([end[1] for end in at])
    right = max(end[0] for end in at)
    line = {"arrowstyle": "-", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
    for (x, y, label, color, bold), height in zip(at, heights, strict=True):
        axes.annotate(
            label,
            (x, y),
            (right + 0.04, height),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=color,
            fontweight="bold" if bold else "normal",
            verticalalignment="center",
            arrowprops={**line, "color": color},
        )


def spread_out(heights: Sequence[float]) -> list[float]:
    """Ascending heights moved apart to APART or more, upwards, then down below the title."""
    up = list(heights)
    for number in range(1, len(up)):
        up[number] = max(up[number], up[number - 1] + APART)
    top = 0.96
    for number in reversed(range(len(up))):
        up[number] = min(up[number], top)
        top = up[number] - APART
    return up


if __name__ == "__main__":
    main()
