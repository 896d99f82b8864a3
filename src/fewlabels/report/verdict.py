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
    step, what = _choose_step(run, wrong, suspicious)
    return Verdict(_judge(wrong, source), step, f"fewlabels {what.format(name=shown(name))}")


def _find_wrong(run: Run) -> tuple[float | None, str]:
    """Percent wrong and what says so: held-out labels, the truth of the pseudo-labels, or test images."""
    results = run.results
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


def _choose_step(run: Run, wrong: float | None, suspicious: Mapping[str, Any] | None) -> tuple[str, str]:
    """What to do, and the command without its first word."""
    unreached, contradicted = run.results.get("unreached"), (suspicious or {}).get("num_contradicted")
    if unreached:
        return f"Label one of each group of the {unreached:,} rows that no label reaches", "review {name}"
    if contradicted:
        labels = f"{contradicted:,} given label" + ("s" if contradicted > 1 else "")
        return f"Look at the {labels} that the others contradict (order: suspicious given labels)", "review {name}"
    if wrong is None or wrong > GOOD:
        return "Answer what is asked first: those answers move most other labels", "review {name}"
    return "Take all labels, with their certainty", "export {name} --all --out labels.csv"
