"""Run folders -> the values that a report shows. No HTML, no pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..errors import ConfigError, shown
from ..runs import Run, read_run


@dataclass(frozen=True)
class Card:
    """A headline number: what it is, the number as text, one line on what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Curve:
    """One training run, epoch by epoch; None where a number is not known. The test error is not measured every time.

    phase: number of the phase. steps: of the epoch. error: test error, percent. accuracy: right pseudo-labels,
    percent. certainty: mean.
    """

    name: str
    phase: list[int]
    steps: list[int]
    error: list[float | None]
    accuracy: list[float | None]
    certainty: list[float | None]

    @property
    def first_of_last_phase(self) -> int:
        """Number of epochs before the last phase."""
        return self.phase.index(self.phase[-1]) if self.phase else 0

    @property
    def measured(self) -> list[tuple[int, float, bool]]:
        """Where the test error is known: training steps so far, the error, and whether it is in the last phase."""
        rows = zip(accumulate(self.steps), self.error, self.phase, strict=True)
        return [(steps, error, phase == self.phase[-1]) for steps, error, phase in rows if error is not None]


@dataclass(frozen=True)
class Report:
    """All that one page shows. Parts that are not known are None or empty."""

    title: str
    sentence: str
    finished: bool
    warnings: list[str]
    cards: list[Card]
    curves: list[Curve]
    repeats: bool  # runs that differ by their seed alone: their mean says something
    histogram: Mapping[str, Any] | None
    class_names: list[str]
    class_counts: Mapping[str, list[int]] | None
    table: list[list[str]]  # several runs: header, then a row for each measure
    differences: list[list[str]]  # runs that are no repeats: header, then a row for each setting that differs
    health: list[tuple[str, str]]
    solver: list[list[str]]  # header, then a row for each class
    settings: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    origin: list[tuple[str, str]]  # command, start, seed


MEANINGS = {
    "supervised_error": ("Test error, labels alone", "%", "The same network trained on the given labels only."),
    "pi_model_error": ("Test error, Pi-model", "%", "Trained to say the same of two views; last epoch."),
    "temporal_ensembling_error": ("Test error, temporal ensembling", "%", "Taught by its earlier words; last epoch."),
    "mean_teacher_error": ("Test error, Mean Teacher", "%", "Of the student; last epoch, never the best one."),
    "mean_teacher_teacher_error": ("Test error, Mean Teacher's teacher", "%", "Of the averaged network."),
    "lp_error": ("Test error, label propagation", "%", "After training on everything; last epoch, never the best one."),
    "mt_lp_error": ("Test error, Mean Teacher + label propagation", "%", "Of the student; last epoch."),
    "mt_lp_teacher_error": ("Test error, its teacher", "%", "Of the averaged network after the last phase."),
    "pseudo_label_accuracy_first": ("Right at first", "%", "Pseudo-labels that were right when propagation began."),
    "pseudo_label_accuracy_last": ("Right at the end", "%", "Pseudo-labels that are right among those written out."),
    "certainty_right_first": ("Certainty of right ones at first", "", "Mean, 0 to 1, when propagation began."),
    "certainty_wrong_first": ("Certainty of wrong ones at first", "", "Lower is better: they count for less."),
    "certainty_right": ("Certainty of right ones", "", "Mean, 0 to 1, at the end."),
    "certainty_wrong": ("Certainty of wrong ones", "", "Mean at the end: lower is better."),
    "certainty": ("Mean certainty", "", "Over the propagated labels, 0 to 1. It orders guesses; it is no probability."),
    "unreached": ("Unreached rows", "", "Rows that no label can get to on the graph; they stay without a label."),
    "wall_seconds": ("Time", "s", "Wall time of the whole run."),
}


def gather(folders: Sequence[str | Path]) -> Report:
    """One report of one or several runs, finished or not.

    A folder of kind "seeds" stands for the runs inside it. Raises RunError for what is no run folder or a damaged one,
    ConfigError (C25) for no folder at all.
    """
    if not folders:
        raise ConfigError("C25", "no run to report on", do="name one run folder or more")
    given = [read_run(folder) for folder in folders]
    runs = [run for one in given for run in _expanded(one)]
    head = given[0]
    alone = runs[0] if len(runs) == 1 else None
    repeats = all(_but_seed(run) == _but_seed(runs[0]) for run in runs)
    return Report(
        title=str(head.facts.get("title") or head.folder.name),
        sentence=_sentence(runs, repeats),
        finished=all(run.results for run in [*given, *runs]),
        warnings=[line for run in runs for line in _warnings(run)],
        cards=_cards(alone.results) if alone else [],
        curves=[curve for run in runs if (curve := _curve(run)).phase],
        repeats=repeats,
        histogram=alone.results.get("certainty_histogram") if alone else None,
        class_names=[str(name) for name in runs[0].facts.get("class_names", [])],
        class_counts=alone.results.get("class_counts") if alone else None,
        table=[] if alone else _comparison(runs, repeats),
        differences=[] if repeats else _differences(runs),
        health=_health(alone.results) if alone else [],
        solver=_solver(alone) if alone else [],
        settings=_flat(runs[0].settings),
        versions=[(name, str(version)) for name, version in head.facts["versions"].items()],
        origin=_origin(head),
    )


def _expanded(run: Run) -> list[Run]:
    if run.kind != "seeds":
        return [run]
    places = [run.folder / f"seed-{seed}" for seed in run.facts["seeds"]]
    return [read_run(place) for place in places if place.exists()] or [run]  # the later ones may not have begun


def _but_seed(run: Run) -> tuple[object, ...]:
    return run.kind, run.facts.get("title"), {**run.settings, "seed": None}


def _curve(run: Run) -> Curve:
    epochs = run.of("epoch")
    return Curve(
        name=run.folder.name,
        phase=[epoch["phase_index"] for epoch in epochs],
        steps=[epoch["steps"] for epoch in epochs],
        error=[epoch.get("test_error") for epoch in epochs],
        accuracy=[epoch.get("pseudo_label_accuracy") for epoch in epochs],
        certainty=[epoch.get("mean_certainty") for epoch in epochs],
    )


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Standard deviation (n - 1); None for fewer than two values."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return float((sum((value - middle) ** 2 for value in values) / (len(values) - 1)) ** 0.5)


def _known(runs: Sequence[Run], name: str) -> list[float]:
    return [run.results[name] for run in runs if run.results.get(name) is not None]


def _sentence(runs: Sequence[Run], repeats: bool) -> str:
    """What happened, in one sentence with the numbers that are known."""
    if not repeats:
        return f"{len(runs)} runs that differ in their settings or data, side by side."
    results = runs[0].results
    if not results:
        return "This run has not ended: what is here is what it had written so far."
    labels = f"{results['num_labeled']:,} labels"
    before, after = _known(runs, "supervised_error"), _known(runs, "lp_error")
    over = f" on average over {len(runs)} runs" if len(runs) > 1 else ""
    if before and after:
        change = f"the test error from {mean(before):.1f} % to {mean(after):.1f} %{over}"
        verb = "brought" if mean(after) < mean(before) else "took"
        return f"From {labels} for {results['num_rows']:,} images, label propagation {verb} {change}."
    spread = results["num_rows"] - results["num_labeled"] - results["unreached"]
    return f"{labels[0].upper()}{labels[1:]} were spread to {spread:,} other rows of {results['num_rows']:,}."


def _warnings(run: Run) -> list[str]:
    results, lines = run.results, []
    if results.get("unreached"):
        lines.append(
            f"No label reaches {results['unreached']:,} of {results['num_rows']:,} rows. They have no label and "
            "certainty 0. Label one in each group of them, or raise n_neighbors."
        )
    mode = run.settings.get("graph", {}).get("mode")
    solved = results.get("solver", {}).get("converged", [])
    if mode != "released" and not all(solved):  # released mode stops at 20 steps by design
        lines.append(f"The solver stopped early for {solved.count(False)} of {len(solved)} classes: raise max_steps.")
    if results.get("num_rejected"):
        lines.append(f"{results['num_rejected']:,} images could not be read and are left out: see rejected.csv.")
    return [f"{run.folder.name}: {line}" for line in lines]


def number(value: float | None, unit: str = "") -> str:
    """Counts with separators, seconds from ten up whole, other numbers with two places, "-" for none."""
    if value is None:
        return "-"
    whole = isinstance(value, int) or (unit == "s" and value >= 10)
    text = f"{value:,.0f}" if whole else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def _cards(results: Mapping[str, Any]) -> list[Card]:
    hidden = {"certainty"} if results.get("certainty_right") is not None else set()
    return [
        Card(name, number(results[key], unit), meaning)
        for key, (name, unit, meaning) in MEANINGS.items()
        if results.get(key) is not None and key not in hidden and not (key == "unreached" and results[key] == 0)
    ]


def _comparison(runs: Sequence[Run], repeats: bool) -> list[list[str]]:
    rows = [["", *(run.folder.name for run in runs), *(["mean", "std"] if repeats else [])]]
    for key, (name, unit, _) in MEANINGS.items():
        values = _known(runs, key)
        if values:
            each = [number(run.results.get(key)) for run in runs]
            summary = [number(float(mean(values))), number(deviation(values))] if repeats else []
            rows.append([f"{name} ({unit})" if unit else name, *each, *summary])
    return rows


def _differences(runs: Sequence[Run]) -> list[list[str]]:
    """Settings that are not the same in all runs, seeds left out; none of them: only the header."""
    each = [dict(_flat(run.settings)) for run in runs]
    names = dict.fromkeys(name for settings in each for name in settings if name != "seed")
    rows = [[name, *(settings.get(name, "-") for settings in each)] for name in names]
    return [["setting", *(run.folder.name for run in runs)], *(row for row in rows if len(set(row[1:])) > 1)]


def _health(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    graph = results.get("graph", {})
    names = {
        "num_nodes": "nodes (rows with equal descriptors share one)",
        "num_edges": "edges",
        "num_components": "connected components",
        "num_isolated": "nodes without an edge",
        "degree_min": "fewest edges of a node",
        "degree_median": "median",
        "degree_max": "most",
    }
    rows = [("rows", results.get("num_rows")), ("labelled", results.get("num_labeled"))]
    rows += [("rows that no label reaches", results.get("unreached"))]
    rows += [(text, graph.get(key)) for key, text in names.items()]
    return [(text, f"{value:,g}") for text, value in rows if value is not None]


def _solver(run: Run) -> list[list[str]]:
    solver = run.results.get("solver")
    if not solver:
        return []
    names = run.facts.get("class_names", range(len(solver["steps"])))
    columns = zip(names, solver["steps"], solver["residual"], solver["converged"], strict=False)
    return [
        ["class", "steps", "residual", "solved"],
        *([shown(name), str(steps), f"{left:.1e}", "yes" if ok else "no"] for name, steps, left, ok in columns),
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, value)."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            rows += [row for place, item in enumerate(value) for row in _flat(item, f"{prefix}{key}[{place}].")]
        else:
            rows.append((prefix + key, str(value)))
    return rows


def _origin(run: Run) -> list[tuple[str, str]]:
    facts = run.facts
    rows = [("command", " ".join(str(word) for word in facts["command"])), ("started", str(facts["started"]))]
    return rows + [(name, str(facts[name])) for name in ("seed", "seeds", "device", "threads") if name in facts]
