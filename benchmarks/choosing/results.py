"""The figures of benchmarks/results/choosing.jsonl, cell by cell, and differences paired over draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.choosing.measure import METHODS, RECIPE
from benchmarks.choosing.peers import RIVALS
from benchmarks.choosing.sets import NAMES
from benchmarks.common.records import Record

MEASURES = {"accuracy": 0, "balanced accuracy": 1, "seconds": 2}  # places in a line's figures
OURS = "auto"
Cell = tuple[str, int]  # set, labels per class


@dataclass(frozen=True)
class Gap:
    """By how many points one method is better than another on the draws of both: mean and its standard error."""

    other: str
    mean: float
    error: float
    draws: int


class Figures:
    """values[cell][method][seed]: accuracy, balanced accuracy, seconds; of two lines with the same, the later one.

    A cell's draws of auto are all of one commit, the last that measured it.
    """

    def __init__(self, lines: Iterable[Record]) -> None:
        self.values: dict[Cell, dict[str, dict[int, list[float]]]] = {}
        self.commits: dict[str, None] = {}
        self.shapes: dict[str, dict[str, int]] = {}
        latest: dict[Cell, str] = {}
        for line in lines:
            if line["recipe"] != RECIPE:
                continue
            self.commits[line["commit"]] = None
            self.shapes[line["set"]] = line["shape"]
            place = line["set"], line["per_class"]
            cell = self.values.setdefault(place, {})
            for method, figures in line["methods"].items():
                if method == OURS and latest.get(place) != line["commit"]:
                    latest[place] = line["commit"]
                    cell.pop(method, None)
                cell.setdefault(method, {})[line["seed"]] = figures

    def sets(self) -> list[str]:
        return [name for name in NAMES if any(found == name for found, _ in self.values)]

    def counts(self, name: str) -> list[int]:
        return sorted(per_class for found, per_class in self.values if found == name)

    def methods(self) -> list[str]:
        return [method for method in METHODS if any(method in cell for cell in self.values.values())]

    def draws(self, cell: Cell, method: str, measure: str) -> np.ndarray:
        """(draws,) in the order of the seeds."""
        found = self.values.get(cell, {}).get(method, {})
        return np.array([found[seed][MEASURES[measure]] for seed in sorted(found)])

    def gap(self, cell: Cell, method: str, other: str, measure: str) -> Gap | None:
        """method minus other; None where they share no draw."""
        found = self.values.get(cell, {})
        one, two = found.get(method, {}), found.get(other, {})
        seeds = sorted(one.keys() & two.keys())
        if not seeds:
            return None
        place = MEASURES[measure]
        apart = np.array([one[seed][place] - two[seed][place] for seed in seeds])
        return Gap(other, float(apart.mean()), standard_error(apart), len(seeds))

    def best_peer(self, cell: Cell, measure: str, peers: Iterable[str] = RIVALS) -> Gap | None:
        """auto minus the peer that does best against it."""
        gaps = [gap for peer in peers if (gap := self.gap(cell, OURS, peer, measure))]
        return min(gaps, key=lambda gap: gap.mean, default=None)


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Of the mean; not a number for a single draw."""
    values = np.asarray(values, dtype=np.float64)
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("nan")
