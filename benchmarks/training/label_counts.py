"""Error against the number of labels, as in the paper's figure: what it published, and our shortened runs beside it.

    python -m benchmarks.training.label_counts

Draws docs/images/label-counts.png from benchmarks/results/evidence.jsonl and recipes/published.py. The two halves are
not the same experiment, which their titles say: ours is a network of 73,000 parameters and six epochs on all images.
"""

from __future__ import annotations

import statistics

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.data import ROOT
from benchmarks.common.records import RESULTS, read
from benchmarks.training.evidence import METHODS, newest, of
from fewlabels.recipes.published import PAPER
from fewlabels.training.method_table import BY_NAME

Points = list[tuple[int, float, float]]  # (labels, mean error, standard deviation)


def published(method: str) -> Points:
    word = BY_NAME[method].word
    found = [(count, number) for (data, count, row), number in PAPER.items() if (data, row) == ("cifar10", word)]
    return [(count, number.mean, number.std) for count, number in sorted(found, key=lambda one: one[0])]


def measured(method: str) -> Points:
    lines = newest(read(RESULTS / "evidence.jsonl"))
    points = []
    for count in sorted({line["labels"] for line in lines}):
        errors = [line["error"] for line in of(lines, count, method)]
        if len(errors) > 1:
            points.append((count, statistics.mean(errors), statistics.stdev(errors)))
    return points


def draw() -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for method, (name, _, colour) in METHODS.items():
        draw_points(left, published(method), name, colour)
        draw_points(right, measured(method), name, colour)
    left.set(title="published: 13 layers, 180 epochs, ten splits", ylabel="test error, %")
    right.set(title="ours: small network, 6 epochs, three splits")
    for axes in (left, right):
        axes.set(xscale="log", xlabel="labels, CIFAR-10", ylim=(0, 60))
        axes.set_xticks([500, 1000, 2000, 4000], ["500", "1,000", "2,000", "4,000"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=8)
    return figure


def draw_points(axes: Axes, points: Points, name: str, colour: str) -> None:
    counts, means, spreads = zip(*points, strict=True)
    axes.errorbar(counts, means, spreads, color=colour, label=name, marker="o", markersize=4, capsize=3, linewidth=1.5)


if __name__ == "__main__":
    draw().savefig(ROOT / "docs" / "images" / "label-counts.png", dpi=150, metadata={"Software": None})
