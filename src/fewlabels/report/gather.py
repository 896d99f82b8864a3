"""Run folders -> the values that a report shows. No HTML, no pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..choosing.words import (
    describe_abstaining,
    describe_calibration,
    describe_error,
    describe_prior,
    list_candidates,
)
from ..errors import ConfigError, RunError, shown
from ..runs import Run, checks, read_run
from ..runs.changes import find_changes
from .comparison import are_repeats, find_differences, find_doubles, merge_settings, merge_versions
from .curves import Curve, make_curve_rows, read_curve
from .insights import Galleries, Insights, make_component_rows, read_galleries, read_insights
from .verdict import Verdict, judge_run
from .words import (
    MEANINGS,
    describe_length,
    describe_phases,
    distinct_names,
    format_number,
    list_warnings,
    summarize,
    write_sentence,
)

MOST_CARDS = 6
FOLDED = {  # where there are more numbers than that
    "mean_teacher_error",
    "mt_lp_error",
    "match_error",
    "strong_lp_error",
    "match_lp_error",
    "pseudo_label_accuracy_first",
    "certainty_right_first",
    "certainty_wrong_first",
    "certainty_right",
    "certainty_wrong",
    "certainty_ece",
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that one page shows. Parts that are not known are None or empty."""

    title: str
    verdict: Verdict | None  # of one run that has ended
    sentence: str
    finished: bool
    warnings: list[str]
    notes: list[str]  # to read the headline by; nothing is wrong
    cards: list[Card]
    more: list[list[str]]  # numbers for which there is no card: header, then a row for each
    curves: list[Curve]
    phases: list[str]  # of one run: what each phase does
    repeats: bool  # runs that differ by their seed alone: their mean says something
    histogram: Mapping[str, Any] | None
    class_names: list[str]
    class_counts: Mapping[str, list[int]] | None
    table: list[list[str]]  # several runs: header, then a row for each measure
    changes: list[list[str]]  # from the first of two runs to the second: header, then a row for each kind
    differences: list[list[str]]  # runs that are no repeats: header, then a row for each thing that differs
    health: list[tuple[str, str]]
    solver: list[list[str]]  # header, then a row for each class
    choice: ChoiceText | None  # of one run whose settings the labels chose
    insights: Insights
    galleries: Galleries | None
    learning: list[list[str]]  # of one run: header, then some of its epochs
    settings_title: str  # whose they are
    settings: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    origin: list[tuple[str, str]]  # command, start, seed


@dataclass(frozen=True)
class ChoiceText:
    """reason: what answers, and why. candidates: header, then the best of them; empty where none were compared.

    notes: error, class shares, calibration and what to leave to a person, a sentence each.
    """

    reason: str
    candidates: list[list[str]]
    notes: list[str]


def _read_choice(results: Mapping[str, Any]) -> ChoiceText | None:
    choice, abstain = results.get("choice"), results.get("abstain")
    if choice is None:
        return None
    said = [describe_error(choice), describe_prior(choice), describe_calibration(choice)]
    said += [describe_abstaining(abstain)] if abstain else []
    return ChoiceText(shown(choice["reason"], 1000), list_candidates(choice), [line for line in said if line])


def _list_changes(runs: Sequence[Run]) -> list[list[str]]:
    """What changed from the first of two runs to the second; nothing of other numbers of runs, or of unlike data."""
    found = find_changes(*runs) if len(runs) == 2 else None
    return [] if found is None else found.rows()


def gather(folders: Sequence[str | Path]) -> Report:
    """One report of one or several runs, finished or not.

    A folder of kind "seeds" stands for the runs inside it. Raises RunError for what is no run folder or a damaged one,
    ConfigError (C25) for no folder at all.
    """
    if not folders:
        raise ConfigError("C25", "no run to report on", do="name one run folder or more")
    given = [read_run(folder) for folder in folders]
    runs = [run for one in given for run in _expand_seeds(one)]
    alone, (given_names, names) = runs[0] if len(runs) == 1 else None, (_name_runs(given), _name_runs(runs))
    classes = [shown(name) for name in runs[0].facts.get("class_names", [])]
    repeats = are_repeats(runs)
    curves = [curve for run, name in zip(runs, names, strict=True) if (curve := read_curve(run, name)).phase]
    insights = read_insights(alone, classes) if alone else Insights()
    settings_title, settings = merge_settings(runs, names, repeats)
    cards, more = make_cards(alone.results, insights.suspicious) if alone else ([], [])
    return Report(
        title=_choose_title(given, given_names, repeats),
        verdict=judge_run(alone, names[0], insights.suspicious) if alone else None,
        sentence=write_sentence(runs, repeats),
        finished=all(run.results for run in [*given, *runs]),
        warnings=_list_warnings(runs, names, repeats),
        notes=_list_notes(runs, names, repeats),
        cards=cards,
        more=[["number", "value", "what it means"], *([card.name, card.value, card.meaning] for card in more)],
        curves=curves,
        phases=describe_phases(curves[0]) if len(curves) == 1 else [],
        repeats=repeats,
        histogram=alone.results.get("certainty_histogram") if alone else None,
        class_names=classes,
        class_counts=alone.results.get("class_counts") if alone else None,
        table=[] if alone else _compare_results(runs, names, repeats),
        changes=[] if repeats else _list_changes(runs),
        differences=[] if repeats else find_differences(runs, names),
        health=_make_health_rows(alone) if alone else [],
        solver=_make_solver_rows(alone) if alone else [],
        choice=_read_choice(alone.results) if alone else None,
        insights=insights,
        galleries=read_galleries(alone, classes) if alone else None,
        learning=make_curve_rows(curves[0]) if alone and curves else [],
        settings_title=settings_title,
        settings=settings,
        versions=merge_versions(given, given_names),
        origin=[row for at, run in enumerate(given) for row in _list_origin(run, given_names[at], len(given))],
    )


@dataclass(frozen=True)
class Card:
    """A headline number: what it is, the number as text, one line on what it means."""

    name: str
    value: str
    meaning: str


def make_cards(results: Mapping[str, Any], suspicious: Mapping[str, int] | None) -> tuple[list[Card], list[Card]]:
    """At most MOST_CARDS for the top, and the rest. suspicious: labels checked and contradicted, if they were."""
    hidden = {"certainty"} if results.get("certainty_right") is not None else set()
    cards = {
        key: Card(name, format_number(results[key], unit), meaning)
        for key, (name, unit, meaning) in MEANINGS.items()
        if results.get(key) is not None and key not in hidden and not (key == "unreached" and results[key] == 0)
    }
    error = (results.get("choice") or {}).get("error") or {"value": None}
    if error["value"] is not None:
        cards = {"held_out_error": _make_error_card(error)} | cards
    elif suspicious and suspicious["num_checked"]:
        errors = {key: card for key, card in cards.items() if key.endswith("_error")}
        cards = errors | {"contradicted": _make_contradicted_card(suspicious)} | cards
    if (estimated := results.get("estimated") or {}).get("percent") is not None:
        cards = {"estimated": _make_estimate_card(estimated)} | cards
    if len(cards) <= MOST_CARDS:
        return list(cards.values()), []
    top = [key for key in cards if key not in FOLDED][:MOST_CARDS]
    return [cards[key] for key in top], [card for key, card in cards.items() if key not in top]


def _make_error_card(error: Mapping[str, Any]) -> Card:
    span = f"{100 * error['low']:.1f} to {100 * error['high']:.1f} %"
    meaning = f"Of {error['count']:,} given labels, each held out in turn; 95 % interval {span}."
    return Card("Cross-validated error", f"{100 * error['value']:.1f} %", meaning)


def _make_estimate_card(found: Mapping[str, Any]) -> Card:
    span = f"{found['low']:.0f} to {found['high']:.0f} %"
    meaning = f"As the page showed them, by {found['num']:,} answers drawn at random; 95 % interval {span}."
    return Card("Right labels, estimated", f"{found['percent']:.0f} %", meaning)


def _make_contradicted_card(suspicious: Mapping[str, int]) -> Card:
    number_of = f"{suspicious['num_contradicted']:,} of {suspicious['num_checked']:,}"
    return Card("Given labels contradicted", number_of, "Each was left out in turn, and the others asked.")


def _name_runs(runs: Sequence[Run]) -> list[str]:
    return distinct_names([Path(os.path.abspath(run.folder)) for run in runs])


def _list_warnings(runs: Sequence[Run], names: Sequence[str], repeats: bool) -> list[str]:
    lines = [line for run, name in zip(runs, names, strict=True) for line in list_warnings(run, name)]
    return [*find_doubles(runs, names), *lines] if repeats else lines


def _list_notes(runs: Sequence[Run], names: Sequence[str], repeats: bool) -> list[str]:
    """Of repeats one stands for all: they have the same schedule. Of runs that have not ended none."""
    named = [
        (name, describe_length(read_curve(run, name))) for run, name in zip(runs, names, strict=True) if run.results
    ]
    notes = [(name, note) for name, note in named if note]
    return [note for _, note in notes[:1]] if repeats else [f"{name}: {note}" for name, note in notes]


def _choose_title(given: Sequence[Run], names: Sequence[str], repeats: bool) -> str:
    """That of the first run; of runs that are not the same but for the seed, the names of their folders."""
    if len(given) > 1 and not repeats:
        return " beside ".join(names)
    return str(given[0].facts.get("title") or names[0])


def _expand_seeds(run: Run) -> list[Run]:
    if run.kind != "seeds":
        return [run]
    places = [run.folder / f"seed-{seed}" for seed in run.facts["seeds"]]
    runs = [read_run(place) for place in places if place.exists()]  # the later ones may not have begun
    if nested := next((one for one in runs if one.kind == "seeds"), None):
        raise RunError("K16", "several seeds within one seed", where=nested.folder, do=checks.FOREIGN)
    return runs or [run]


def _compare_results(runs: Sequence[Run], names: Sequence[str], repeats: bool) -> list[list[str]]:
    rows = [["result", *names, *(["mean", "std"] if repeats else [])]]
    for key, (name, unit, _) in MEANINGS.items():
        found = summarize([run.results.get(key) for run in runs])
        if any(value is not None for value in found.values):
            over_all = [found.mean, found.std] if repeats else []
            head, within = (f"{name} (%)", "") if unit == "%" else (name, unit)
            rows.append([head, *(format_number(value, within) for value in [*found.values, *over_all])])
    return rows


def _make_health_rows(run: Run) -> list[tuple[str, str]]:
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
    return known_rows + make_component_rows(run.insights.get("components"))


def _make_solver_rows(run: Run) -> list[list[str]]:
    solver = run.results.get("solver")
    if not solver:
        return []
    names = run.facts.get("class_names", range(len(solver["steps"])))
    columns = zip(names, solver["steps"], solver["residual"], solver["converged"], strict=False)
    return [
        ["class", "steps", "residual", "solved"],
        *([shown(name), str(steps), f"{left:.1e}", "yes" if ok else "no"] for name, steps, left, ok in columns),
    ]


def _list_origin(run: Run, called: str, num_runs: int) -> list[tuple[str, str]]:
    facts, names = run.facts, ("seed", "seeds", "device", "threads", "processes", "speed", "precision")
    rows = [("command", " ".join(str(word) for word in facts["command"])), ("started", str(facts["started"]))]
    rows += [(name, str(facts[name])) for name in names if name in facts]
    if run.resumed:
        steps = ", ".join(f"{again['step']:,}" for again in run.resumed)
        times = "once" if len(run.resumed) == 1 else f"{len(run.resumed)} times"
        rows.append(("taken up again", f"{times}, after step {steps}"))
    return [(f"{called}: {name}" if num_runs > 1 else name, value) for name, value in rows]
