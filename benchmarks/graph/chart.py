"""Draws docs/images/propagate-seconds.svg and .png: seconds and peak memory against the rows, ours and the peers.

    python -m benchmarks.graph.chart --classes 10

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

from benchmarks.common.data import BLOBS, ROOT
from benchmarks.common.records import RESULTS, Record, read

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
MARKERS = "osD^vPX"
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
        fits = fits and settings.get("data", BLOBS) == BLOBS  # records before there were others do not name them
        if fits and record["status"] in ("measured", "over limit"):
            found.setdefault(settings["method"], {})[settings["rows"]] = record
    return {method: dict(sorted(cells.items())) for method, cells in found.items()}


def draw(cells: dict[str, dict[int, Record]], classes: int) -> Figure:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    panel(left, cells, "seconds", lambda value: f"{value:g} s" if value < 60 else f"{value / 60:g} min")
    panel(right, cells, "peak_mib", lambda value: f"{value:g} MiB" if value < 1024 else f"{value / 1024:g} GiB")
    left.set_title(f"Descriptors to labels: time ({classes} classes)", loc="left", fontsize=10)
    right.set_title("Peak memory, input and interpreter included", loc="left", fontsize=10)
    names, lines = {}, left.get_legend_handles_labels()
    names.update(zip(lines[1][::-1], lines[0][::-1], strict=True))  # ours first
    figure.legend(names.values(), names.keys(), loc="outside right center", frameon=False)
    return figure


def panel(axes: Axes, cells: dict[str, dict[int, Record]], name: str, form) -> None:
    """One quantity against the rows, a line for each method."""
    drawn = [method for method in STYLES if method in cells]
    for number, method in reversed(list(enumerate(drawn))):  # ours on top
        color, label = STYLES[method]
        marker = MARKERS[number]
        points = [(n, record[name]) for n, record in cells[method].items() if name in record]
        stopped = [(n, record["limit"]) for n, record in cells[method].items() if name not in record][:1]
        if not points:
            continue
        thick = 2.8 if method == OURS else 1.4
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=color, linewidth=thick, marker=marker, markersize=3 + thick, label=label)
        if stopped and name == "seconds":
            axes.plot(*zip(points[-1], *stopped, strict=True), color=color, linewidth=1, linestyle=":")
            axes.plot(*stopped[0], color=color, marker="^", markersize=6, markerfacecolor="white")
    rows = sorted({n for found in cells.values() for n in found})
    scales(axes, rows, TICKS[name], form)


def scales(axes: Axes, rows: Sequence[int], ticks: Sequence[float], form) -> None:
    """Logarithmic axes with round numbers on them."""
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
    axes.set_xlabel("rows", loc="left")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
