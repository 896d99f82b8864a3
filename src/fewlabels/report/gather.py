"""Run folders -> the values that a report shows. No HTML, no pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, shown
from ..runs import Run, read_run
from .cards import Card, cards_of
from .curves import Curve, curve_of, curve_rows
from .galleries import Galleries, galleries_of
from .insights import Insights, component_rows, insights_of
from .numbers import number, summary
from .sentences import MEANINGS, phase_notes, sentence, warnings


@dataclass(frozen=True)
class Report:
    """All that one page shows. Parts that are not known are None or empty."""

    title: str
    sentence: str
    finished: bool
    warnings: list[str]
    cards: list[Card]
    more: list[list[str]]  # numbers for which there is no card: header, then a row for each
    curves: list[Curve]
    phases: list[str]  # of one run: what each phase does
    repeats: bool  # runs that differ by their seed alone: their mean says something
    histogram: Mapping[str, Any] | None
    class_names: list[str]
    class_counts: Mapping[str, list[int]] | None
    table: list[list[str]]  # several runs: header, then a row for each measure
    differences: list[list[str]]  # runs that are no repeats: header, then a row for each setting that differs
    health: list[tuple[str, str]]
    solver: list[list[str]]  # header, then a row for each class
    insights: Insights
    galleries: Galleries | None
    learning: list[list[str]]  # of one run: header, then some of its epochs
    settings: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    origin: list[tuple[str, str]]  # command, start, seed


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
    names = [shown(name) for name in runs[0].facts.get("class_names", [])]
    repeats = all(_but_seed(run) == _but_seed(runs[0]) for run in runs)
    curves = [curve for run in runs if (curve := curve_of(run)).phase]
    insights = insights_of(alone, names) if alone else Insights()
    cards, more = cards_of(alone.results, insights.suspicious) if alone else ([], [])
    return Report(
        title=_title(given, repeats),
        sentence=sentence(runs, repeats),
        finished=all(run.results for run in [*given, *runs]),
        warnings=[line for run in runs for line in warnings(run)],
        cards=cards,
        more=[["number", "value", "what it means"], *([card.name, card.value, card.meaning] for card in more)],
        curves=curves,
        phases=phase_notes(curves[0]) if len(curves) == 1 else [],
        repeats=repeats,
        histogram=alone.results.get("certainty_histogram") if alone else None,
        class_names=names,
        class_counts=alone.results.get("class_counts") if alone else None,
        table=[] if alone else _comparison(runs, repeats),
        differences=[] if repeats else _differences(runs),
        health=_health(alone) if alone else [],
        solver=_solver(alone) if alone else [],
        insights=insights,
        galleries=galleries_of(alone, names) if alone else None,
        learning=curve_rows(curves[0]) if alone and curves else [],
        settings=_flat(runs[0].settings),
        versions=[(name, str(version)) for name, version in head.facts["versions"].items()],
        origin=[pair for run in given for pair in _origin(run, named=len(given) > 1)],
    )


def _title(given: Sequence[Run], repeats: bool) -> str:
    """That of the first run; of runs that are not the same but for the seed, the names of their folders."""
    if len(given) > 1 and not repeats:
        return " beside ".join(run.folder.name for run in given)
    return str(given[0].facts.get("title") or given[0].folder.name)


def _expanded(run: Run) -> list[Run]:
    if run.kind != "seeds":
        return [run]
    places = [run.folder / f"seed-{seed}" for seed in run.facts["seeds"]]
    return [read_run(place) for place in places if place.exists()] or [run]  # the later ones may not have begun


def _but_seed(run: Run) -> tuple[object, ...]:
    return run.kind, run.facts.get("title"), {**run.settings, "seed": None}


def _comparison(runs: Sequence[Run], repeats: bool) -> list[list[str]]:
    rows = [["result", *(run.folder.name for run in runs), *(["mean", "std"] if repeats else [])]]
    for key, (name, unit, _) in MEANINGS.items():
        found = summary([run.results.get(key) for run in runs])
        if any(value is not None for value in found.values):
            over_all = [found.mean, found.std] if repeats else []
            rows.append([f"{name} ({unit})" if unit else name, *map(number, [*found.values, *over_all])])
    return rows


def _differences(runs: Sequence[Run]) -> list[list[str]]:
    """Inputs and settings that are not the same in all runs, seeds left out; none of them: only the header."""
    each = [_inputs(run) | dict(_flat(run.settings)) for run in runs]
    names = dict.fromkeys(name for settings in each for name in settings if name != "seed")
    rows = [[name, *(settings.get(name, "-") for settings in each)] for name in names]
    return [["setting", *(run.folder.name for run in runs)], *(row for row in rows if len(set(row[1:])) > 1)]


def _inputs(run: Run) -> dict[str, str]:
    source, start = run.facts.get("source") or {}, run.facts.get("continued_from") or {}
    named = {"title": run.facts.get("title"), "data": source.get("path"), "labels": source.get("labels")}
    named["continued from"] = start.get("run")
    return {name: str(value) for name, value in named.items() if value}


def _health(run: Run) -> list[tuple[str, str]]:
    results = run.results
    graph = results.get("graph", {})
    names = {
        "num_nodes": "nodes (rows with equal descriptors share one)",
        "num_edges": "edges",
        "num_components": "connected components",
        "num_isolated": "nodes without an edge",
        "degree_min": "fewest edges of a node",
        "degree_median": "edges of a node, median",
        "degree_max": "most edges of a node",
    }
    rows = [("rows", results.get("num_rows")), ("labelled", results.get("num_labeled"))]
    rows += [("rows that no label reaches", results.get("unreached"))]
    rows += [(text, graph.get(key)) for key, text in names.items()]
    known_rows = [(text, f"{value:,g}") for text, value in rows if value is not None]
    return known_rows + component_rows(run.insights.get("components"))


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


def _origin(run: Run, *, named: bool) -> list[tuple[str, str]]:
    facts, names = run.facts, ("seed", "seeds", "device", "threads", "processes", "speed", "precision")
    rows = [("command", " ".join(str(word) for word in facts["command"])), ("started", str(facts["started"]))]
    rows += [(name, str(facts[name])) for name in names if name in facts]
    if run.resumed:
        steps = ", ".join(f"{again['step']:,}" for again in run.resumed)
        times = "once" if len(run.resumed) == 1 else f"{len(run.resumed)} times"
        rows.append(("taken up again", f"{times}, after step {steps}"))
    return [(f"{run.folder.name}: {name}" if named else name, value) for name, value in rows]
