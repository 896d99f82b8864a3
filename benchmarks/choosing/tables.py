"""Writes benchmarks/results/choosing.md from choosing.jsonl: who is right how often, losses included.

python -m benchmarks.choosing.tables
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.choosing.labels import PER_CLASS, SEEDS
from benchmarks.choosing.peers import FIXED, PEERS
from benchmarks.choosing.results import OURS, Cell, Figures, Gap, standard_error
from benchmarks.choosing.sets import LIKE_THE_DATA, LONG_TAILED, MAX_ROWS, SOURCES
from benchmarks.common.records import RESULTS, Record, machine, read

NEAR, LOST = 0.3, 1.0  # points below the best peer: as good as the best; a loss, where beyond the standard error too
FIRST_CHOSEN = 3  # labels per class from which choosing is promised to be right
UNEVEN = (*LIKE_THE_DATA, *LONG_TAILED)  # sets whose balanced accuracy is shown as well
HEAD = f"""
# Which settings, which answer: few labels on real data

Accuracy of the labels of the unlabelled rows in percent, on real data sets that packages bring and on photos.
{len(SEEDS)} draws of {", ".join(map(str, PER_CLASS))} labels per class (seeds 0 to {len(SEEDS) - 1}), fixed before
anything was measured; a cell is left out where half the rows would not stay unlabelled. Sets of more than {MAX_ROWS:,}
rows are a random part of them. "±" is the standard error of the mean over draws; differences are paired over draws.

- **auto**: everything chosen from the given labels. **paper**: k = 50, alpha = .99. **k 20, alpha .9** and
  **k 5, alpha .9**: fixed. These four are fewlabels'.
- **LabelSpreading** (scikit-learn, knn, at its limit): k of 7, 20, 50 and alpha of .2, .9, .99 by folds.
  **Poisson learning** on GraphLearning's graphs: k of 10, 25, 50 by folds. Both on the usual features.
- **nearest mean**, **nearest labelled** (k of 1, 3, 5, 10, weighted by 1 / distance), **Gaussian head** (one shrunk
  covariance, closed form), **logistic regression** (C of 1, 10, 100, 1000): each on the rows as they come, of length 1
  or with standardised columns, whichever its folds like best.
- **self-training** (scikit-learn, threshold .75) on that logistic regression: the first five draws only, and not with a
  hundred classes, for it takes up to minutes a draw.
- Folds: three (two where no class has three labels), the same for all peers; most held-out labels right wins. With one
  label of each class nothing can be held out, and each peer's first setting is taken (`benchmarks/choosing/peers.py`).
- Tables and time series come with standardised columns for everyone, as users are told to do.
- "random": labels drawn like the data, at least one of each class; elsewhere as many of each class; at 1
  label per class both are the same. "10:1": class sizes fall in equal ratios to a tenth. "reuters" is "random".
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS / "choosing.jsonl")
    options = parser.parse_args()
    lines = read(options.results)
    figures = Figures(lines)
    parts = [
        HEAD.strip(),
        made(lines, figures),
        *summary(figures),
        *means(figures),
        *sets_table(figures),
        *each_set(figures),
    ]
    options.results.with_suffix(".md").write_text("\n".join(parts) + "\n")


def made(lines: list[Record], figures: Figures) -> str:
    processors = ", ".join(dict.fromkeys(line["cpu"] for line in lines))
    return f"\nCommits {', '.join(figures.commits)}; one core of {machine()['cores']}, {processors}.\n"


def summary(figures: Figures) -> Iterator[str]:
    """auto against the best peer of each cell, chosen with hindsight."""
    cells = [(name, count) for name in figures.sets() for count in figures.counts(name)]
    gaps = {cell: gap for cell in cells if (gap := figures.best_peer(cell, "accuracy"))}
    if not gaps:
        return
    strict = {cell: gap for cell in cells if (gap := figures.best_peer(cell, "accuracy", PEERS))}
    yield "## auto against the best of the others in each cell, chosen with hindsight\n"
    yield f"{counted(gaps)}\n\nWith {' and '.join(FIXED)} among the others: {counted(strict)}\n"
    yield from head(["set", *(f"{count} per class" for count in PER_CLASS)])
    for name in figures.sets():
        yield row([name, *(difference(gaps.get((name, count))) for count in PER_CLASS)])
    yield ""


def counted(gaps: dict[Cell, Gap]) -> str:
    near = sum(gap.mean >= -NEAR for gap in gaps.values())
    lost = [
        f"{name} at {count} ({gap.mean:+.1f}, {gap.other})"
        for (name, count), gap in gaps.items()
        if count >= FIRST_CHOSEN and is_lost(gap)
    ]
    close = f"best or within {NEAR} of it in {near} of {len(gaps)} cells"
    below = f"more than {LOST:g} point below it beyond the standard error in {len(lost)}"
    return f"{close}; from {FIRST_CHOSEN} labels per class up, {below}{': ' if lost else ''}{', '.join(lost)}."


def is_lost(gap: Gap) -> bool:
    return gap.mean + np.nan_to_num(gap.error) < -LOST


def difference(gap: Gap | None) -> str:
    return f"{gap.mean:+.1f} ± {gap.error:.1f} ({gap.other})" if gap else ""


def means(figures: Figures) -> Iterator[str]:
    """Mean over the sets that have all methods at this number of labels."""
    yield "## Mean accuracy over the sets\n"
    methods = [method for method in figures.methods() if method != "self-training"]
    shared = {
        count: [
            name
            for name in figures.sets()
            if all(figures.draws((name, count), method, "accuracy").size for method in methods)
        ]
        for count in PER_CLASS
    }
    yield from head(["", *(f"{count} per class ({len(shared[count])} sets)" for count in PER_CLASS)])
    for method in methods:
        values = [
            [figures.draws((name, count), method, "accuracy").mean() for name in shared[count]] for count in PER_CLASS
        ]
        yield row([method, *(f"{np.mean(each):.1f}" if each else "" for each in values)])
    yield ""


def sets_table(figures: Figures) -> Iterator[str]:
    yield "## The sets\n"
    yield from head(["set", "what", "rows", "numbers", "classes (of rows)", "kind", "package", "licence of the data"])
    for name in figures.sets():
        source, found = SOURCES[LONG_TAILED.get(name, (name, ""))[0]], figures.shapes[name]
        classes = f"{found['classes']} ({found['smallest']} to {found['largest']})"
        size = [f"{found['rows']:,}", f"{found['features']:,}", classes]
        yield row([name, source.about, *size, source.kind, source.package or "`FEWLABELS_DESCRIPTORS`", source.licence])
    yield ""


def each_set(figures: Figures) -> Iterator[str]:
    for name in figures.sets():
        for measure in ("accuracy", "balanced accuracy") if name in UNEVEN else ("accuracy",):
            yield from set_table(figures, name, measure)


def set_table(figures: Figures, name: str, measure: str) -> Iterator[str]:
    counts = figures.counts(name)
    yield f"## {name}, {measure}\n"
    yield from head(["", *(f"{count} per class" for count in counts)])
    best = {
        count: max(
            (d.mean() for m in figures.methods() if (d := figures.draws((name, count), m, measure)).size), default=0
        )
        for count in counts
    }
    for method in figures.methods():
        values = [figures.draws((name, count), method, measure) for count in counts]
        shown = [mean_and_error(each, best[count]) for count, each in zip(counts, values, strict=True)]
        yield row([f"**{method}**" if method == OURS else method, *shown])
    draws = ", ".join(str(max(len(d) for d in figures.values[name, count].values())) for count in counts)
    yield f"\nDraws: {draws}.\n"


def mean_and_error(values: np.ndarray, best: float) -> str:
    """Bold where nobody's mean is higher."""
    if not values.size:
        return ""
    text = f"{values.mean():.1f} ± {standard_error(values):.1f}"
    return f"**{text}**" if values.mean() >= best else text


def head(columns: list[str]) -> Iterator[str]:
    yield row(columns)
    yield "|" + "---|" * len(columns)


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
