"""Accuracy and honesty of pseudo-labels: fewlabels, each of its refinements, and three other ways to use few labels.

    FEWLABELS_DATA=data python -m benchmarks.accuracy.descriptors
    python -m benchmarks.accuracy.measure

Ten balanced draws (seeds 0 to 9) of 1, 5 and 50 labels per class on four data sets. Each cell is one JSON line in
results/accuracy.jsonl; a run that was interrupted goes on where it stopped, for the same commit. Tables go to
results/accuracy.md. All measures are of the rows without a label:

accuracy: share of right labels in percent; a row that got none counts as wrong.
AUROC: of the certainty, 1 - entropy / log c of a row's shares, for telling right from wrong labels.
ECE: expected calibration error of the confidence, the largest share, in 15 bins of equal width, in percent.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.accuracy.methods import CANDIDATES, METHODS, PENALTY, SPREADING, VOTERS, Method, Ready
from benchmarks.accuracy.sets import SETS
from fewlabels.data.benchmarks.splits import draw_split

RESULTS = Path(__file__).parents[1] / "results"
PER_CLASS, SEEDS, TUNING_SEEDS = (1, 5, 50), range(10), range(100, 103)
MEASURES = {"accuracy": 1, "auroc": 3, "ece": 1}  # and decimals
BINS = 15
SETTINGS = f"""
Shares: fewlabels' distributions, LabelSpreading's label_distributions_, the others' predict_proba. fewlabels runs with
its defaults. The others' settings did best on average over the data sets at 5 labels per class on draws 100 to 102:
LabelSpreading k = {SPREADING["n_neighbors"]}, alpha = {SPREADING["alpha"]}, until it converges; vote of {VOTERS}
nearest labelled rows by cosine, weighted by 1 / distance; logistic regression C = {PENALTY:g}, on unit rows. "prior
given" is told the true class shares. With one label of each class nothing can be held out, so nothing is calibrated.
digits: 1,797 rows, raw pixels. cifar10: 10,000 training images, described by accuracy/descriptors.py, whose network
learnt from 5,000 others. blobs: 10,000 rows, ten equal classes; long-tailed: the largest has 20 times the rows of the
smallest, and the draws are balanced all the same.
"""
Cell = dict[str, object]


def measures(shares: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """shares: (n, c), rows of sum 1, or zeros where there is no label."""
    asked = labels < 0
    shares, truth = shares[asked], truth[asked]
    none = ~shares.any(axis=1)
    shares = np.where(none[:, None], 1 / shares.shape[1], shares)
    right = (shares.argmax(axis=1) == truth) & ~none
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    certainty = 1 + (shares * logs).sum(axis=1) / np.log(shares.shape[1])
    return {
        "accuracy": 100 * float(right.mean()),
        "auroc": float(roc_auc_score(right, certainty)) if 0 < right.mean() < 1 else float("nan"),
        "ece": 100 * calibration_error(shares.max(axis=1), right),
        "confidence": 100 * float(shares.max(axis=1).mean()),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean over the rows of |share of right ones - mean confidence| of the row's bin."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gap = np.bincount(place, weights=right, minlength=BINS) - np.bincount(place, weights=confidence, minlength=BINS)
    return float(np.abs(gap).sum() / right.size)


def cell(ready: Ready, method: Method, per_class: int, seed: int) -> Cell:
    labels = draw_split(ready.data.truth, per_class, np.random.default_rng(seed))
    start = time.perf_counter()
    shares = method(ready, labels)
    seconds = round(time.perf_counter() - start, 3)
    return {**measures(shares, labels, ready.data.truth), "seconds": seconds}


def run(path: Path, commit: str) -> None:
    """All cells that the file does not have yet for this commit, one line each."""
    done = {key(line) for line in lines(path) if line["commit"] == commit}
    for name, make in SETS.items():
        ready = Ready(make())
        for per_class in PER_CLASS:
            for seed in SEEDS:
                for method_name, method in METHODS.items():
                    head = {"set": name, "per_class": per_class, "seed": seed, "method": method_name, "commit": commit}
                    if key(head) in done:
                        continue
                    line = json.dumps({**head, **cell(ready, method, per_class, seed)})
                    with path.open("a") as file:
                        file.write(line + "\n")
            print(f"{name}, {per_class} per class: done", flush=True)


def key(line: Cell) -> tuple[object, ...]:
    return tuple(line[part] for part in ("set", "per_class", "seed", "method"))


def lines(path: Path) -> list[Cell]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def tune() -> None:
    """Mean accuracy of each candidate at 5 labels per class, on draws that are not reported."""
    found = defaultdict(list)
    for make in SETS.values():
        ready = Ready(make())
        for name, method in CANDIDATES.items():
            found[name].append(np.mean([cell(ready, method, 5, seed)["accuracy"] for seed in TUNING_SEEDS]))
    for name, means in found.items():
        print(f"{name:<32} {np.mean(means):6.2f}   {'  '.join(f'{mean:6.2f}' for mean in means)}")


def tables(cells: Iterable[Cell]) -> Iterator[str]:
    """Markdown: a table for each measure, a row for each method, mean and standard deviation (n - 1) over the draws."""
    found = defaultdict(list)
    for line in cells:
        found[line["set"], line["per_class"], line["method"]].append(line)
    for measure, decimals in MEASURES.items():
        for name in SETS:
            yield f"\n**{name}, {measure}**\n\n| | {' | '.join(f'{count} per class' for count in PER_CLASS)} |"
            yield "|---" * (len(PER_CLASS) + 1) + "|"
            for method in METHODS:
                values = [[float(line[measure]) for line in found[name, count, method]] for count in PER_CLASS]
                yield f"| {method} | {' | '.join(mean_and_std(each, decimals) for each in values)} |"


def differences(cells: Iterable[Cell]) -> Iterator[str]:
    """Markdown: what each refinement adds to plain fewlabels' accuracy, draw by draw; mean and standard deviation."""
    found = {(line["set"], line["per_class"], line["method"], line["seed"]): float(line["accuracy"]) for line in cells}
    plain, *others = (method for method in METHODS if method.startswith(("fewlabels", "+")))
    for name in SETS:
        yield f"\n**{name}, accuracy minus that of fewlabels on the same draw**\n"
        yield f"| | {' | '.join(f'{count} per class' for count in PER_CLASS)} |"
        yield "|---" * (len(PER_CLASS) + 1) + "|"
        for method in others:
            gains = [
                [found[name, count, method, seed] - found[name, count, plain, seed] for seed in SEEDS]
                for count in PER_CLASS
            ]
            yield f"| {method} | {' | '.join(mean_and_std(each, 1) for each in gains)} |"


def mean_and_std(values: list[float], decimals: int) -> str:
    if not values:
        return ""
    std = np.std(values, ddof=1) if len(values) > 1 else float("nan")
    return f"{np.mean(values):.{decimals}f} ± {std:.{decimals}f}"


def head(commit: str, num_cells: int) -> str:
    names = [line.split(":")[1].strip() for line in _output("lscpu").splitlines() if line.startswith("Model name")]
    machine = f"{platform.platform()}, {names[0] if names else platform.processor()}, {os.cpu_count()} cores"
    about = "\n\n".join(str(__doc__).split("\n\n")[2:])
    return (
        f"# Pseudo-labels from few labels\n\n{about}\n{SETTINGS.strip()}\n\n"
        f"Mean and standard deviation (n - 1) over the draws. Commit {commit}, {num_cells} cells, {machine}.\n"
    )


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", action="store_true", help="compare settings of the other methods, and stop")
    parser.add_argument("--tables", action="store_true", help="write the tables of the last commit that was measured")
    options = parser.parse_args()
    if options.tune:
        tune()
        return
    path = RESULTS / "accuracy.jsonl"
    if options.tables:
        commit = str(lines(path)[-1]["commit"])
    else:
        commit = _output("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*")
        run(path, commit)
    cells = [line for line in lines(path) if line["commit"] == commit]
    text = head(commit, len(cells)) + "\n".join([*tables(cells), *differences(cells)]) + "\n"
    (RESULTS / "accuracy.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
