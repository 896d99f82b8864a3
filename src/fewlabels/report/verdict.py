"""What a run comes to, in one sentence, and what to do next: what stands first in its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import shown
from ..runs import Run
from .words import find_error

GOOD, USABLE = 5.0, 20.0  # percent wrong: at most so many are good, or usable with a look at the doubtful ones


@dataclass(frozen=True)
class Verdict:
    """judgement: how many labels are wrong, or that it is not known. step: what to do next; command: by what."""

    judgement: str
    step: str
    command: str


def judge_run(run: Run, name: str, suspicious: Mapping[str, int] | None) -> Verdict | None:
    """The verdict on a run that has ended, else None. name: of its folder, for the command.

    suspicious: labels checked and contradicted, if they were.
    """
    if not run.results:
        return None
    wrong, source = _find_wrong(run)
    step, what = _choose_step(run, shown(name), wrong, suspicious)
    return Verdict(_judge(wrong, source), step, f"fewlabels {what}")


def _find_wrong(run: Run) -> tuple[float | None, str]:
    """Percent wrong and what says so: a labelling's random sample, held-out labels, true labels, or test images."""
    results = run.results
    estimated = results.get("estimated") or {}
    if estimated.get("percent") is not None:
        span = f"95 % interval {100 - estimated['high']:.0f} to {100 - estimated['low']:.0f} %"
        return 100 - estimated["percent"], f"{estimated['num']:,} answers drawn at random say so ({span})"
    error = (results.get("choice") or {}).get("error") or {}
    if error.get("value") is not None:
        return 100 * error["value"], f"{error['count']:,} given labels, each held out, say so"
    methods = [str(phase.get("method")) for phase in run.settings.get("phases", [])]
    test = find_error(methods[-1], results) if methods else None
    if test is not None:
        return test, "the test images say so"
    right = results.get("pseudo_label_accuracy_last")
    return (None, "") if right is None else (100 - right, "the true labels say so")


def _judge(wrong: float | None, source: str) -> str:
    if wrong is None:
        return "How many of these labels are right is not known: nothing that could tell was given."
    levels = {GOOD: "Good", USABLE: "Usable, with a look at the doubtful ones", 100.0: "Not good enough"}
    words = next(words for most, words in levels.items() if wrong <= most)
    return f"{words}: about {wrong:.1f} % are wrong; {source}."


def _choose_step(run: Run, name: str, wrong: float | None, suspicious: Mapping[str, Any] | None) -> tuple[str, str]:
    """What to do, and the command without its first word."""
    unreached, contradicted = run.results.get("unreached"), (suspicious or {}).get("num_contradicted")
    take_all = "Take all labels, with their certainty", f"export {name} --all --out labels.csv"
    source = run.facts.get("source") or {}
    if unreached and run.kind != "label":
        return f"Label one of each group of the {unreached:,} rows that no label reaches", f"review {name}"
    if contradicted:
        labels = f"{contradicted:,} given label" + ("s" if contradicted > 1 else "")
        return f"Look at the {labels} that the others contradict (order: suspicious given labels)", f"review {name}"
    if run.kind == "label" and source.get("kind") == "images":
        return "Train a network on the answers", f"train {shown(source['path'])} --labels {name}"
    if run.kind != "label" and (wrong is None or wrong > GOOD):
        return "Answer what is asked first: those answers move most other labels", f"review {name}"
    return take_all
