"""Training on CIFAR-10 without a GPU: a small network and a shortened schedule, from 500 and 4,000 labels.

    make evidence          # the runs (about an hour on two quiet cores), then this script
    python -m benchmarks.training.evidence runs/evidence

Reads the finished runs of evidence_runs.py below a folder, appends one line for each to
benchmarks/results/evidence.jsonl, and draws docs/images/evidence.png from the newest line of each cell and split.
These are not the paper's numbers: network and schedule are not the paper's. Errors are those of the last epoch.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common.data import ROOT
from benchmarks.common.records import RESULTS, Record, machine, read
from fewlabels.runs import Run, read_run

METHODS = {  # phase -> name, whose error is told, colour
    "supervised": ("supervised", "test_error", "#555555"),
    "lp": ("LP", "test_error", "#0072b2"),
    "mean_teacher": ("Mean Teacher", "teacher_test_error", "#e69f00"),
    "mt_lp": ("MT + LP", "teacher_test_error", "#d55e00"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", help="folders with finished runs below them; none: draw again")
    parser.add_argument("--results", type=Path, default=RESULTS / "evidence.jsonl")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "evidence.png")
    options = parser.parse_args()
    known = read(options.results)
    fresh = [line for run in finished(options.runs) for line in lines_of(run)]
    with options.results.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in fresh if line not in known)
    lines = newest(read(options.results))
    print(table(lines))
    draw(lines).savefig(options.output, dpi=150, metadata={"Software": None})


def finished(folders: Sequence[Path]) -> Iterator[Run]:
    for folder in folders:
        for manifest in sorted(folder.rglob("manifest.json")):
            if (manifest.parent / "results.json").exists():
                yield read_run(manifest.parent)


def lines_of(run: Run) -> Iterator[Record]:
    """One line for each phase of a run: its last epoch, and the curve up to there."""
    facts, epochs = run.facts, run.of("epoch")
    images = list(accumulate(e["steps"] * _batch(run, e) for e in epochs))
    for number in dict.fromkeys(epoch["phase_index"] for epoch in epochs):
        of_phase = [(seen, e) for seen, e in zip(images, epochs, strict=True) if e["phase_index"] == number]
        last = of_phase[-1][1]
        name = METHODS[last["phase"]][1]
        yield {
            "benchmark": "evidence",
            "title": facts["title"],
            "method": last["phase"],
            "labels": run.results["num_labeled"],
            "split": facts["seed"],
            "error": last[name],
            "student_error": last["test_error"],
            "pseudo_label_accuracy": last.get("pseudo_label_accuracy"),
            "curve": [[seen, e[name]] for seen, e in of_phase if e[name] is not None],
            "epochs": len(of_phase),
            "seconds": round(sum(e["seconds"] for _, e in of_phase), 1),
            "speed": facts["speed"],
            "commit": facts["versions"]["commit"],
            "machine": machine(),
            "torch": facts["versions"]["torch"],
            "started": facts["started"],
        }


def _batch(run: Run, epoch: Record) -> int:
    phase = run.settings["phases"][epoch["phase_index"]]
    return int(phase["batch_labeled"] + phase["batch_unlabeled"])


def newest(lines: Sequence[Record]) -> list[Record]:
    """The last line of each method, number of labels and split."""
    return list({(line["labels"], line["method"], line["split"]): line for line in lines}.values())


def of(lines: Sequence[Record], labels: int, method: str) -> list[Record]:
    return [line for line in lines if (line["labels"], line["method"]) == (labels, method)]


def table(lines: Sequence[Record]) -> str:
    """Markdown: error of the last epoch, mean and standard deviation (n - 1) over the splits."""
    counts = sorted({line["labels"] for line in lines})
    rows = ["| | " + " | ".join(f"{count:,} labels" for count in counts) + " |", "|---" * (len(counts) + 1) + "|"]
    for method, (name, _, _) in METHODS.items():
        cells = [[line["error"] for line in of(lines, count, method)] for count in counts]
        rows.append(f"| {name} | " + " | ".join(map(shown, cells)) + " |")
    return "\n".join(rows)


def shown(errors: Sequence[float]) -> str:
    if not errors:
        return "-"
    spread = f" +- {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
    return f"{statistics.mean(errors):.2f}{spread} ({len(errors)})"


def draw(lines: Sequence[Record]) -> Figure:
    counts = sorted({line["labels"] for line in lines})
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, count in zip(figure.subplots(1, len(counts), squeeze=False)[0], counts, strict=True):
        for method in METHODS:
            draw_method(axes, of(lines, count, method), method)
        axes.set(title=f"{count:,} labels", xlabel="million images trained on", ylabel="test error, %")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return figure


def draw_method(axes: Axes, lines: Sequence[Record], method: str) -> None:
    """Each split thin, their mean thick."""
    if not lines:
        return
    name, _, colour = METHODS[method]
    seen = [images / 1e6 for images, _ in lines[0]["curve"]]
    for line in lines:
        axes.plot(seen, [error for _, error in line["curve"]], color=colour, linewidth=0.6, alpha=0.5)
    means = [statistics.mean(errors) for errors in zip(*([e for _, e in line["curve"]] for line in lines), strict=True)]
    axes.plot(seen, means, color=colour, linewidth=2, label=name)


if __name__ == "__main__":
    main()
