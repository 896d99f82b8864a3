"""What a person's answers bring who starts from no label at all: the queue of `fewlabels label` against other orders.

    python -m benchmarks.describe.sets --sets cifar10 cifar100
    python -m benchmarks.review.from_zero --descriptors build/descriptors

A simulated person knows the truth and answers 200 questions, one at a time; classes are made as they come up. Ten
draws (seeds 0 to 9) of the rows: 1,500 of the 1,797 digits (raw pixels); 3,000 of CIFAR-10 and 4,000 of CIFAR-100,
described by EfficientNet-Lite0; 2,000 of CIFAR-10 whose classes fall in size by a factor of 20. Every order is answered
by the same engine, whose graph the labels choose as they come. Figures: percent of wrong labels among the rows that
nobody has answered by then; a row of a class that nobody named is wrong. Each cell is a JSON line in
results/from_zero.jsonl.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.accuracy.sets import Set, digits
from benchmarks.common.records import Ledger, print_head, print_table
from fewlabels.graph import GraphSettings
from fewlabels.graph.threads import num_threads
from fewlabels.review.engine.engine import Engine
from fewlabels.review.engine.live import open_live
from fewlabels.review.engine.state import RowQuery
from fewlabels.review.items import Items
from fewlabels.review.store.classes import ClassChange, ClassList

SEEDS, ASKED = 10, (20, 50, 100, 200)
AT_ONCE = 5  # answers of orders that do not look at the graph: it is solved, and may choose, once for so many
TAIL = 20


@dataclass
class Person:
    """Knows the truth, and names a class when it first comes up."""

    engine: Engine
    truth: np.ndarray
    number: dict[int, int] = field(default_factory=dict)
    answered: int = 0

    def answer(self, rows: list[int]) -> None:
        classes = self.engine.classes
        for true in dict.fromkeys(self.truth[rows].tolist()):
            if true not in self.number:
                made = classes.carry_out(ClassChange("class", f"class {true}"), self.answered + 1)
                classes, self.number[true] = classes.replaced(made), made.number
        self.answered += len(rows)
        self.engine.answer({row: self.number[int(self.truth[row])] for row in rows}, self.answered, classes)
        if (find := self.engine.prepare_choice()) is not None:
            self.engine.adopt(find())

    def error(self) -> float:
        """Percent of wrong labels among the rows without an answer."""
        means = np.full(len(self.engine.classes) + 1, -1)
        for true, number in self.number.items():
            means[number] = true
        return 100 * float((means[self.engine.state.label] != self.truth)[self.engine.labels < 0].mean())


Choose = Callable[[Person, np.random.Generator], list[int]]


def by_queue(person: Person, rng: np.random.Generator) -> list[int]:
    """As the page shows it: every fifth row is one of the random sample."""
    return [int(person.engine.select(RowQuery(), 0, 5)[0][4 if person.answered % 5 == 4 else 0])]


def least_certain(person: Person, rng: np.random.Generator) -> list[int]:
    """The row of least certainty; at random until two classes are known."""
    engine = person.engine
    free = np.flatnonzero(engine.labels < 0)
    return [int(rng.choice(free) if engine.propagation is None else free[engine.state.certainty[free].argmin()])]


def at_random(person: Person, rng: np.random.Generator) -> list[int]:
    return rng.choice(np.flatnonzero(person.engine.labels < 0), AT_ONCE, replace=False).tolist()


def clusters_first(person: Person, rng: np.random.Generator) -> list[int]:
    """Rows that stand for most of the others, to the end; at random where they are used up."""
    engine = person.engine
    found = engine._cover(np.flatnonzero(engine.labels < 0))[:AT_ONCE].tolist()
    return found or at_random(person, rng)


ORDERS: dict[str, Choose] = {
    "random order": at_random,
    "least certainty": least_certain,
    "clusters first": clusters_first,
    "queue": by_queue,
}


def described(name: str, folder: Path) -> Set:
    with np.load(folder / f"{name}-lite0-160.npz") as found:
        rows, truth = (np.concatenate([found["train" + end], found["test" + end]]) for end in ("", "_labels"))
    return Set(rows, truth)


def draw(data: Set, count: int, seed: int, tail: int = 1) -> Set:
    """`count` rows at random; the classes' shares fall by a factor of `tail` from the first to the last."""
    rng = np.random.default_rng(seed)
    if tail == 1:
        rows = rng.permutation(len(data.rows))[:count]
    else:
        share = float(tail) ** -np.linspace(0, 1, int(data.truth.max()) + 1)
        sizes = np.round(count * share / share.sum()).astype(int)
        rows = np.concatenate([rng.permutation(np.flatnonzero(data.truth == c))[:n] for c, n in enumerate(sizes)])
        rows = rng.permutation(rows)
    return Set(data.rows[rows], data.truth[rows])


def make_sets(folder: Path) -> dict[str, Callable[[int], Set]]:
    return {
        "digits": lambda seed: draw(digits(), 1500, seed),
        "cifar10": lambda seed: draw(described("cifar10", folder), 3000, seed),
        "long-tailed": lambda seed: draw(described("cifar10", folder), 2000, seed, TAIL),
        "cifar100": lambda seed: draw(described("cifar100", folder), 4000, seed),
    }


def cell(data: Set, choose: Choose, seed: int, most: int) -> dict[str, object]:
    """Errors in percent after the numbers of ASKED up to `most`, and the classes known by then."""
    settings, ids = GraphSettings(seed=seed), [str(row) for row in range(len(data.rows))]
    given = np.full(len(ids), -1)
    items = Items(ids=ids, class_names=[], given=given, descriptors=data.rows, settings=settings)
    engine = Engine(items, {}, classes=ClassList(), live=open_live(data.rows, settings))
    person, rng, found = Person(engine, data.truth), np.random.default_rng([seed, 1]), {"error": [], "classes": []}
    while person.answered < most:
        stop = min(asked for asked in (*ASKED, most) if asked > person.answered)
        person.answer(choose(person, rng)[: stop - person.answered])
        if person.answered in ASKED:
            found["error"].append(person.error())
            found["classes"].append(len(person.number))
    return {**found, "settings_at_end": engine.said}


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--resume", action="store_true", help="take cells of this commit from the results file")
    parser.add_argument("--descriptors", type=Path, default=Path("build/descriptors"))
    parser.add_argument("--sets", nargs="+", default=["digits", "cifar10", "long-tailed", "cifar100"])
    parser.add_argument("--orders", nargs="+", default=list(ORDERS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(SEEDS)))
    parser.add_argument("--most", type=int, default=max(ASKED))
    options = parser.parse_args()
    ledger = Ledger("from_zero", options)
    print_head(ledger, num_threads())
    made = make_sets(options.descriptors)
    for name in options.sets:
        rows = []
        for order in options.orders:
            cells = []
            for seed in options.seeds:
                settings = {"set": name, "order": order, "seed": seed, "most": options.most}
                if (known := ledger.find(settings, 0)) is None:
                    start = time.perf_counter()
                    figures = cell(made[name](seed), ORDERS[order], seed, options.most)
                    known = ledger.write(settings, {**figures, "seconds": round(time.perf_counter() - start, 2)})
                cells.append(known)
            error, classes = (np.array([one[key] for one in cells], float) for key in ("error", "classes"))
            spread = error.std(axis=0, ddof=1) if len(cells) > 1 else np.zeros(error.shape[1])
            columns = [f"{mean:.1f} +/- {std:.1f}" for mean, std in zip(error.mean(axis=0), spread, strict=True)]
            rows.append([order, *columns, f"{classes.mean(axis=0)[min(2, error.shape[1] - 1)]:.1f}"])
        print_table([name, *(str(asked) for asked in ASKED if asked <= options.most), "classes at 100"], rows)


if __name__ == "__main__":
    main()
