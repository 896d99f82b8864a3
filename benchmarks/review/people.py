"""What a person's answers bring: the queue of `fewlabels review` against other orders of asking.

    FEWLABELS_DATA=data python -m benchmarks.accuracy.descriptors
    python -m benchmarks.review.people

A simulated person knows the truth and answers 100 questions, one at a time; the graph is solved again after each.
Ten draws (seeds 0 to 9) of one label of each class: digits, 1,797 rows of raw pixels; cifar10, 10,000 rows described by
accuracy/descriptors.py. Figures: percent of wrong labels among the rows that nobody has labelled by then ("error"),
and among all rows without a given label, where an answered one counts as right ("left").
Each cell is a JSON line in results/reviewer.jsonl; the table is printed, with mean and standard deviation (n - 1).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.accuracy.sets import SETS, Set
from benchmarks.common.records import Ledger, print_head, print_table
from fewlabels.data.benchmarks.splits import draw_split
from fewlabels.graph import Graph, GraphSettings, build_graph
from fewlabels.graph.threads import num_threads
from fewlabels.review.engine.engine import Engine
from fewlabels.review.engine.queue import doubt
from fewlabels.review.engine.state import RowQuery
from fewlabels.review.items import Items

NAMES, SEEDS, ASKED, PER_CLASS = ("digits", "cifar10"), range(10), (20, 50, 100), 1
Choose = Callable[[Engine, np.random.Generator], int]


def by_queue(engine: Engine, rng: np.random.Generator) -> int:
    """As the page shows it: every fifth row is one of the random sample."""
    asked = int((engine.labels >= 0).sum() - (engine.items.given >= 0).sum())
    return int(engine.select(RowQuery(), 0, 5)[0][4 if asked % 5 == 4 else 0])


def best(score: Callable[[Engine], np.ndarray]) -> Choose:
    """The row without a label that has the highest score."""

    def choose(engine: Engine, rng: np.random.Generator) -> int:
        return int(np.where(engine.labels < 0, score(engine), -np.inf).argmax())

    return choose


def at_random(engine: Engine, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(engine.labels < 0)))


def unbalanced(engine: Engine) -> np.ndarray:
    """The queue's score without regard to how many labels a class has."""
    count = np.bincount(engine.labels[engine.labels >= 0], minlength=len(engine.items.class_names))
    return engine.state.score * (1 + count[np.maximum(engine.state.label, 0)])


def shares(engine: Engine) -> np.ndarray:
    return doubt(engine.propagation.pseudo_labels.distribution)


ORDERS: dict[str, Choose] = {
    "random order": at_random,
    "least certainty": best(lambda engine: -engine.state.certainty),
    "second share over first": best(shares),
    "queue, classes not balanced": best(unbalanced),
    "queue, no sampled rows": best(lambda engine: engine.state.score),
    "queue": by_queue,
}


def cell(data: Set, graph: Graph, choose: Choose, seed: int) -> dict[str, object]:
    """Errors in percent before and after 20, 50 and 100 answers."""
    given = draw_split(data.truth, PER_CLASS, np.random.default_rng(seed))
    ids, names = [str(row) for row in range(given.size)], [str(c) for c in range(data.truth.max() + 1)]
    items = Items(ids=ids, class_names=names, given=given, descriptors=data.rows, settings=GraphSettings())
    engine = Engine(items, {}, graph)
    rng, found = np.random.default_rng([seed, 1]), {"error": [], "left": []}
    for number in range(max(ASKED) + 1):
        if number in (0, *ASKED):
            wrong = engine.state.label != data.truth
            found["error"].append(100 * float(wrong[engine.labels < 0].mean()))
            found["left"].append(100 * float(wrong[given < 0].mean()))
        row = choose(engine, rng)
        engine.answer({row: int(data.truth[row])}, number + 1)
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--resume", action="store_true", help="take cells of this commit from the results file")
    parser.add_argument("--sets", nargs="+", default=NAMES)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    options = parser.parse_args()
    ledger = Ledger("reviewer", options)
    print_head(ledger, num_threads())
    for name in options.sets:
        data = SETS[name]()
        graph = build_graph(data.rows, GraphSettings())
        rows = []
        for order, choose in ORDERS.items():
            cells = []
            for seed in range(options.seeds):
                settings = {"set": name, "order": order, "seed": seed, "per_class": PER_CLASS}
                if (known := ledger.find(settings, 0)) is None:
                    start = time.perf_counter()
                    figures = cell(data, graph, choose, seed)
                    known = ledger.write(settings, {**figures, "seconds": round(time.perf_counter() - start, 2)})
                cells.append(known)
            rows.append([order, *_columns(cells)])
        head = [name, "error: none", *(str(asked) for asked in ASKED), "left: 100"]
        print_table(head, rows)


def _columns(cells: list[dict[str, list[float]]]) -> list[str]:
    error = np.array([cell["error"] for cell in cells])
    left = np.array([cell["left"] for cell in cells])[:, -1:]
    both = np.concatenate([error, left], axis=1)
    spread = both.std(axis=0, ddof=1) if len(both) > 1 else np.zeros(both.shape[1])
    return [f"{mean:.1f} +/- {std:.1f}" for mean, std in zip(both.mean(axis=0), spread, strict=True)]


if __name__ == "__main__":
    main()
