"""Draws docs/images/choosing.svg and .png: accuracy of auto, of the best other method and of the paper's settings.

    python -m benchmarks.choosing.chart

A line for each set of benchmarks/results/choosing.jsonl; the best other method is that of each cell, with hindsight.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.choosing.results import OURS, Figures
from benchmarks.common.records import RESULTS, read
from benchmarks.graph.chart import IMAGES

COUNTS = (1, 5, 50)  # labels per class, a panel each
BLUE, RED, GREY = "#0072b2", "#d55e00", "#999999"  # told apart by the colour-blind too, and by their marks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "choosing.jsonl")
    parser.add_argument("--output", type=Path, default=IMAGES, help="the folder for the pictures")
    options = parser.parse_args()
    figures = Figures(read(options.results))
    with mpl.rc_context({"svg.hashsalt": "fewlabels", "font.size": 9}):
        figure = draw(figures)
        figure.savefig(options.output / "choosing.svg", metadata={"Date": None})
        figure.savefig(options.output / "choosing.png", dpi=200, metadata={"Software": None})


def draw(figures: Figures) -> Figure:
    names = figures.sets()
    figure = Figure(figsize=(10, 0.8 + 0.24 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(COUNTS), sharex=True, sharey=True)
    for axes, count in zip(panels, COUNTS, strict=True):
        panel(axes, figures, names, count)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    named = {label: mark for axes in panels for mark, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def panel(axes: Axes, figures: Figures, names: list[str], count: int) -> None:
    """Marks of one number of labels: where auto is left of the best other, the line between them is red."""
    auto, best, paper = [], [], []
    for place, name in enumerate(names):
        cell = (name, count)
        gap = figures.best_peer(cell, "accuracy")
        if gap is None:
            continue
        ours = figures.draws(cell, OURS, "accuracy").mean()
        axes.plot([ours, ours - gap.mean], [place] * 2, color=RED if gap.mean < 0 else BLUE, linewidth=1.5, zorder=1)
        auto.append((ours, place))
        best.append((ours - gap.mean, place))
        if (known := figures.draws(cell, "paper", "accuracy")).size:
            paper.append((known.mean(), place))
    for points, color, marker, face, label in (
        (best, RED, "D", "white", "best other method of this cell, with hindsight"),
        (auto, BLUE, "o", BLUE, "auto"),
        (paper, GREY, "|", GREY, "the paper's settings"),
    ):
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=30, color=color, marker=marker, facecolor=face, label=label, zorder=2)
    axes.set_title(f"{count} label{'s' if count > 1 else ''} per class", loc="left", fontsize=10)
    axes.set_xlabel("right labels in %", loc="left")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
