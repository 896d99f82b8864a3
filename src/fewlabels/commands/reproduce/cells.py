"""A cell of the paper's tables (data set, number of labels, method): its settings, its folder, its name."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ...data.benchmarks.facts import Benchmark
from ...graph.settings import Mode
from ...nets.settings import NetworkSettings
from ...recipes.paper import PROTOCOLS, paper_settings, scale_schedule
from ...training.method_table import BY_WORD, MethodWord
from ...training.settings import TrainSettings

OWN_RUNS: tuple[MethodWord, ...] = ("supervised", "lp", "mt", "mt+lp")  # whose numbers the paper did not copy
COPIED, NEWER = ["neither Laine and Aila's network nor their input"], ["a method newer than the paper"]
DEPARTURES: dict[MethodWord, list[str]] = {
    word: NEWER if method.matches else COPIED for word, method in BY_WORD.items() if word not in OWN_RUNS
}


@dataclass(frozen=True)
class Variant:
    """How cells are trained; by default as the paper's numbers were made.

    scale: share of the schedule. network: another one, for whose heads and unit_descriptor the recipe's are taken.
    """

    mode: Mode = "released"
    scale: float = 1.0
    network: NetworkSettings | None = None

    @property
    def changes(self) -> list[str]:
        """In words, what is not the paper's."""
        words = []
        if self.network is not None:
            options = {name: getattr(self.network, name) for name in ("width", "first_stride", "dropout", "pretrained")}
            given = [f"{name} {value}" for name, value in options.items() if value is not None]
            words.append(", ".join([f"network {self.network.name}", *given]))
        if self.scale != 1:
            words.append(f"{self.scale:g} of its schedule")
        return words

    @property
    def suffix(self) -> str:
        """For names of folders; empty for the paper's way."""
        words = [*(["mode paper"] if self.mode == "paper" else []), *self.changes]
        return "".join("_" + re.sub(r"[^\w.]+", "-", word.replace(" of its schedule", "")) for word in words)


@dataclass(frozen=True)
class Cell:
    benchmark: Benchmark
    num_labels: int
    method: MethodWord

    @property
    def name(self) -> str:
        return f"{self.benchmark.name}-{self.num_labels}-{self.method}"

    def settings(self, variant: Variant, split: int) -> TrainSettings:
        """The seed is the number of the split: the paper's runs differ in both."""
        made = paper_settings(self.benchmark, self.num_labels, self.method, seed=split, mode=variant.mode)
        made = scale_schedule(made, variant.scale)
        if variant.network is None:
            return made
        paper = made.network
        network = replace(variant.network, heads=paper.heads, unit_descriptor=paper.unit_descriptor)
        return replace(made, network=network)

    def departures(self, variant: Variant) -> list[str]:
        """In words, all that keeps our number from being one of the paper's experiment."""
        return variant.changes + DEPARTURES.get(self.method, [])

    def title(self, variant: Variant) -> str:
        mode = ", mode paper" if variant.mode == "paper" else ""
        text = f"{self.benchmark.name}, {self.num_labels} labels, {BY_WORD[self.method].title}{mode}"
        departures = self.departures(variant)
        return f"{text}; not the paper's protocol: {', '.join(departures)}" if departures else text

    def folder(self, out: Path, variant: Variant) -> Path:
        """Holds a run folder for each split."""
        return out / f"{self.name}{variant.suffix}"

    def sources(self) -> list[tuple[Cell, int]]:
        """Cells that train this one's phases first, and the number of the phase that ends it: itself, and LP on it."""
        mine = BY_WORD[self.method].phases
        words = [word for word, method in BY_WORD.items() if method.phases[: len(mine)] == mine]
        words.sort(key=lambda word: len(BY_WORD[word].phases))
        return [(replace(self, method=word), len(mine) - 1) for word in words]


def list_cells(benchmark: Benchmark, num_labels: int | None = None, method: MethodWord | None = None) -> list[Cell]:
    """Cells of the paper's tables; all label counts, or all methods, where none is named."""
    counts = PROTOCOLS[benchmark.name].label_counts if num_labels is None else (num_labels,)
    methods = OWN_RUNS if method is None else (method,)
    return [Cell(benchmark, count, word) for count in counts for word in methods]


def drop_parts(cells: list[Cell]) -> list[Cell]:
    """Those that are not the first phase of another one in the list: supervised goes with LP, Mean Teacher likewise."""
    return [cell for cell in cells if not any(source in cells for source, _ in cell.sources()[1:])]
