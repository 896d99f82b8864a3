"""Whether what `auto` says of itself can be trusted: wrong given labels are found, and its certainty is calibrated.

    python -m benchmarks.choosing.trust              # measures what results/trust.jsonl lacks, then picture and table
    python -m benchmarks.choosing.trust --table      # docs/images/reliability.svg and .png, and the table, alone

Sets and draws are those of benchmarks.choosing.measure. Wrong labels: a tenth of the given ones are made another class;
AUROC of finding them by Answer.suspicion, and by leaving each out of the graph with the paper's settings. Certainty:
with right labels, bins of the largest probability and of the share of right rows, before and after calibration, of the
labels that were held out and of all rows without a label. Run it with one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.choosing.labels import draw_labels
from benchmarks.choosing.sets import read_set
from benchmarks.common.records import RESULTS, commit, machine, print_table, read
from benchmarks.graph.chart import IMAGES

CELLS = {"digits": (20, 6), "cifar10": (50, 2)}  # labels per class, and draws
FLIPPED, BINS = 0.1, 10
BLUE, GREY = "#0072b2", "#999999"
Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "trust.jsonl")
    parser.add_argument("--output", type=Path, default=IMAGES, help="the folder for the picture")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.table:
        measure_missing(options.results)
    found = read(options.results)
    with mpl.rc_context({"svg.hashsalt": "fewlabels", "font.size": 9}):
        figure = draw(found)
        figure.savefig(options.output / "reliability.svg", metadata={"Date": None})
        figure.savefig(options.output / "reliability.png", dpi=200, metadata={"Software": None})
    print_table(HEAD, [line(name, found) for name in list_sets(found)])
    print("\n".join(markdown(found)))


def measure_missing(results: Path) -> None:
    about = {"commit": commit(), "cpu": machine()["cpu"]}
    done = {(one["set"], one["seed"]) for one in read(results)}
    for name, (per_class, draws) in CELLS.items():
        missing = [seed for seed in range(draws) if (name, seed) not in done]
        try:
            data = read_set(name) if missing else None
        except FileNotFoundError as error:
            print(f"{name} left out: {error}", file=sys.stderr, flush=True)
            continue
        for seed in missing:
            labels = draw_labels(data, per_class, seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                figures = find_wrong(data.rows, labels, seed) | measure_bins(data.rows, labels, data.truth)
            with results.open("a") as file:
                file.write(json.dumps({"set": name, "per_class": per_class, "seed": seed, **figures, **about}) + "\n")


def find_wrong(rows: np.ndarray, labels: np.ndarray, seed: int) -> Record:
    """AUROC of the labels that were made wrong, by auto and by the graph with the paper's settings."""
    from fewlabels.choosing import propagate
    from fewlabels.graph import GraphSettings, leave_one_out

    rng, given = np.random.default_rng([seed, 7]), np.flatnonzero(labels >= 0)
    wrong = rng.choice(given, round(FLIPPED * given.size), replace=False)
    flipped, num_classes = labels.copy(), labels.max() + 1
    flipped[wrong] = (labels[wrong] + rng.integers(1, num_classes, wrong.size)) % num_classes
    auto, paper = propagate(rows, flipped).suspicion(), GraphSettings()
    graph = leave_one_out(propagate(rows, flipped, paper), flipped, paper)
    return {
        "auroc_auto": auroc(np.isin(auto.rows, wrong), auto.suspicion),
        "auroc_paper": auroc(np.isin(graph.rows, wrong), graph.suspicion),
    }


def auroc(is_wrong: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs of a wrong and a right one in which the wrong one has the higher score; ties count half."""
    wrong, right = score[is_wrong][:, None], score[~is_wrong][None]
    return float(((wrong > right) + 0.5 * (wrong == right)).mean())


def measure_bins(rows: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> Record:
    """Bins of held-out labels before and after calibration, and of all rows without a label, with their truth."""
    from fewlabels.choosing import propagate

    answer = propagate(rows, labels)
    said, asked = answer.reliability(), labels < 0
    probability = answer.pseudo_labels.distribution[asked].max(axis=1)
    right = (answer.pseudo_labels.label == truth)[asked]
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    unlabelled = [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "count": int((place == number).sum()),
            "probability": float(probability[place == number].mean()),
            "right": float(right[place == number].mean()),
        }
        for number in np.unique(place).tolist()
    ]
    bins = {"before": said.before, "after": said.after}
    return {name: [asdict(one) for one in found] for name, found in bins.items()} | {"unlabelled": unlabelled}


def pool(records: list[Record], name: str) -> list[Record]:
    """The bins of several draws as one: counts add up, means are weighted by them."""
    bins = [one for record in records for one in record[name]]
    found = []
    for low in sorted({one["low"] for one in bins}):
        some = [one for one in bins if one["low"] == low]
        count = sum(one["count"] for one in some)
        means = {key: sum(one[key] * one["count"] for one in some) / count for key in ("probability", "right")}
        found.append({"low": low, "count": count, **means})
    return found


def calibration_error(bins: list[Record]) -> float:
    total = sum(one["count"] for one in bins)
    return sum(one["count"] * abs(one["probability"] - one["right"]) for one in bins) / total


def list_sets(records: list[Record]) -> list[str]:
    return list(dict.fromkeys(one["set"] for one in records))


def draw(records: list[Record]) -> Figure:
    """A panel for each set: held-out labels before and after, and the rows without a label."""
    names = list_sets(records)
    figure = Figure(figsize=(4 * len(names), 3.8), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names), sharey=True)), names, strict=True):
        some = [one for one in records if one["set"] == name]
        axes.plot([0, 1], [0, 1], color="#dddddd", linewidth=1, zorder=0)
        for of, color, marker, label in (
            ("before", GREY, "s", "held-out labels, before calibration"),
            ("after", BLUE, "o", "held-out labels, after it"),
            ("unlabelled", "#d55e00", "D", "all rows without a label, after it"),
        ):
            bins = pool(some, of)
            x, y = [one["probability"] for one in bins], [one["right"] for one in bins]
            shown = f"{label}: ECE {100 * calibration_error(bins):.1f} %"
            axes.plot(x, y, color=color, linewidth=0.8)
            axes.scatter(
                x,
                y,
                s=[8 + 60 * one["count"] / max(b["count"] for b in bins) for one in bins],
                color=color,
                marker=marker,
                label=shown,
                zorder=2,
            )
        axes.set_title(f"{name}, {some[0]['per_class']} labels per class, {len(some)} draws", loc="left", fontsize=10)
        axes.set_xlabel("mean of the largest probability", loc="left")
        axes.legend(frameon=False, fontsize=7, loc="lower right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of right labels")
    return figure


HEAD = (
    "set, labels per class",
    "draws",
    "wrong found: auto",
    "paper",
    "difference",
    "ECE before",
    "after",
    "of all rows",
)


def line(name: str, records: list[Record]) -> tuple[str, ...]:
    """A set's row of the table: AUROC, and expected calibration error in percent."""
    some = [one for one in records if one["set"] == name]
    auto, paper = (np.array([one[f"auroc_{of}"] for one in some]) for of in ("auto", "paper"))
    gap = auto - paper
    error = f" ± {gap.std(ddof=1) / gap.size**0.5:.3f}" if gap.size > 1 else ""
    shares = [f"{100 * calibration_error(pool(some, of)):.1f}" for of in ("before", "after", "unlabelled")]
    row = f"{name}, {some[0]['per_class']}", str(len(some)), f"{auto.mean():.3f}", f"{paper.mean():.3f}"
    return (*row, f"{gap.mean():+.3f}{error}", *shares)


def markdown(records: list[Record]) -> list[str]:
    """The rows of the table of docs/choosing.md."""
    return [f"| {' | '.join(line(name, records))} |" for name in list_sets(records)]


if __name__ == "__main__":
    main()
