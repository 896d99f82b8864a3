"""Runs, classes and numbers in words: names, headline, warnings, what happens where a phase begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ..errors import SHOWN_ROWS
from ..runs import Run, schema
from ..training.method_table import BY_NAME
from .curves import Curve, is_known, pick_error


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation over runs.

    values: one for each run, None where it has none. mean: None where a value is missing, since a mean of the others
    would be taken for one of all. std: n - 1; None for fewer than two values too.
    """

    values: list[float | None]
    mean: float | None
    std: float | None


def summarize(values: Sequence[float | None]) -> Summary:
    """Mean and standard deviation of what several runs came to."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return Summary(list(values), None, None)
    mean = sum(known) / len(known)
    if len(known) == 1:
        return Summary(list(values), mean, None)
    variance = sum((value - mean) ** 2 for value in known) / (len(known) - 1)
    return Summary(list(values), mean, variance**0.5)


def format_number(value: float | None, unit: str = "") -> str:
    """Counts with separators, durations as a person says them, shares in percent, other numbers with two places.

    unit: "%", "s", "share" (0 to 1) or none. "-" for None.
    """
    if value is None:
        return "-"
    if unit == "s":
        return format_duration(value)
    if unit == "share":
        return f"{100 * value:.1f} %"
    text = f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
    return f"{text} {unit}".rstrip()


def format_duration(seconds: float) -> str:
    """ "0.4 s", "61 s", "19 min", "2 h 5 min": seconds up to a minute and a half, hours from 90 minutes on."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60:,} h"


LONGEST_NAME = 14  # in a chart
LONGEST_LINE = 40  # in a legend, where names that differ would be cut to the same


def distinct_names(paths: Sequence[PurePath]) -> list[str]:
    """As few trailing parts of each path as make different paths different, the same number of parts for all.

    The same path given twice has the same name twice.
    """
    names: list[str] = []
    for count in range(1, 1 + max((len(path.parts) for path in paths), default=0)):
        names = [type(path)(*path.parts[-count:]).as_posix() for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names


def shorten(name: str) -> str:
    """A name as charts show it: printable, cut, never read as a formula."""
    return _keep_begin(_make_printable(name), LONGEST_NAME)


def shorten_names(names: Sequence[str]) -> list[str]:
    """Names as a legend shows them: those that differ still do. Where that would be too long they are numbered."""
    plain, wanted = [_make_printable(name) for name in names], len(set(names))
    for length in range(LONGEST_NAME, LONGEST_LINE + 1):
        for cut in (_keep_begin, _keep_end):
            found = [cut(name, length) for name in plain]
            if len(set(found)) == wanted:
                return found
    return [f"{place}: {shorten(name)}" for place, name in enumerate(names, 1)]


def _make_printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")


def _keep_begin(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _keep_end(name: str, length: int) -> str:
    return name if len(name) <= length else "…" + name[1 - length :]


LAST = "last epoch, never the best one."
STUDENT = "Test error of the network that the teacher averages."
MEANINGS = {
    "supervised_error": ("Test error, labels alone", "%", "The same network trained on the given labels only."),
    "pi_model_error": ("Test error, Pi-model", "%", f"After its phase; {LAST}"),
    "temporal_ensembling_error": ("Test error, temporal ensembling", "%", f"After its phase; {LAST}"),
    "mean_teacher_teacher_error": ("Test error, Mean Teacher", "%", f"The averaging teacher's; {LAST}"),
    "mean_teacher_error": ("Mean Teacher, its student", "%", STUDENT),
    "lp_error": ("Test error, label propagation", "%", f"After training on everything; {LAST}"),
    "mt_lp_teacher_error": ("Test error, Mean Teacher with label propagation", "%", f"The averaging teacher's; {LAST}"),
    "mt_lp_error": ("The same, its student", "%", STUDENT),
    "match_teacher_error": ("Test error, strong-view matching", "%", f"The averaging teacher's; {LAST}"),
    "match_error": ("Strong-view matching, its student", "%", STUDENT),
    "strong_lp_teacher_error": ("Test error, propagation on strong views", "%", f"The averaging teacher's; {LAST}"),
    "strong_lp_error": ("Propagation on strong views, its student", "%", STUDENT),
    "match_lp_teacher_error": ("Test error, matching with propagation", "%", f"The averaging teacher's; {LAST}"),
    "match_lp_error": ("Matching with propagation, its student", "%", STUDENT),
    "cross_validated_error": (
        "Error, cross-validated",
        "%",
        "Given labels that were held out in turn, by heads that had not seen them. Few labels: a wide interval.",
    ),
    "pseudo_label_accuracy_first": ("Right at first", "%", "Pseudo-labels that were right when propagation began."),
    "pseudo_label_accuracy_last": ("Right at the end", "%", "Pseudo-labels that are right among those written out."),
    "certainty_right_first": ("Certainty of right ones at first", "share", "Mean, when propagation began."),
    "certainty_wrong_first": ("Certainty of wrong ones at first", "share", "Lower is better: they count for less."),
    "certainty_right": ("Certainty of right ones", "share", "Mean at the end."),
    "certainty_wrong": ("Certainty of wrong ones", "share", "Mean at the end: lower is better."),
    "certainty": ("Mean certainty", "share", "Over the propagated labels. It orders guesses; it is no probability."),
    "certainty_auroc": (
        "Certainty tells right from wrong",
        "share",
        "AUROC: how often a right pseudo-label is more certain than a wrong one. 50 % is a coin, 100 % is always.",
    ),
    "certainty_ece": (
        "Certainty is off by",
        "share",
        "ECE: mean distance of certainty from the share of right ones. Certainty is no probability: it need not be 0.",
    ),
    "unreached": ("Unreached rows", "", "Rows that no label can get to on the graph; they stay without a label."),
    "wall_seconds": ("Time", "s", "Wall time of the whole run; where it was taken up again, without what was lost."),
}


UP_AGAIN = 2.0  # times the learning rate before, where a phase begins
FAR_LONGER = 20  # times the training steps of the phase before
SOON = 0.2  # share of a phase in which its beginning still shows


def find_error(method: str, results: Mapping[str, Any]) -> float | None:
    """A method's test error: of its averaging teacher where it has one, else of the network."""
    taught = results.get(f"{method}_teacher_error")
    error: float | None = results.get(f"{method}_error") if taught is None else taught
    return error


def write_sentence(runs: Sequence[Run], repeats: bool) -> str:
    """What happened, in one sentence with the numbers that are known."""
    if not repeats:
        return f"{len(runs)} runs that differ in their settings or data, side by side."
    results = runs[0].results
    if runs[0].kind == "seeds":
        return "None of the runs of this folder is there."
    if not results:
        return "This run has not ended: what is here is what it had written so far."
    labels = f"{results['num_labeled']:,} labels"
    over = f" on average over {len(runs)} runs" if len(runs) > 1 else ""
    methods = [str(phase.get("method")) for phase in runs[0].settings.get("phases", [])]
    errors = [_mean_error(runs, method) for method in methods]
    if errors and errors[-1] is not None:
        who = f"From {labels} for {results['num_rows']:,} images, {BY_NAME[methods[-1]].phrase}"
        if len(set(methods)) == 1 or errors[0] is None:
            return f"{who} came to a test error of {errors[-1]:.1f} %{over}."
        verb = "brought" if errors[-1] < errors[0] else "took"
        return f"{who} {verb} the test error from {errors[0]:.1f} % to {errors[-1]:.1f} %{over}."
    spread = results["num_rows"] - results["num_labeled"] - results["unreached"]
    return f"{labels[0].upper()}{labels[1:]} were spread to {spread:,} other rows of {results['num_rows']:,}."


def _mean_error(runs: Sequence[Run], method: str) -> float | None:
    return summarize([find_error(method, run.results) for run in runs]).mean


def list_warnings(run: Run, name: str) -> list[str]:
    """What deserves a look, each with the name of the run."""
    results, lines = run.results, []
    if unknown := schema.find_unknown_settings(run.settings):
        named = ", ".join(unknown[:SHOWN_ROWS]) + ", ..." * (len(unknown) > SHOWN_ROWS)
        lines.append(f"It was made with settings that this version of fewlabels does not know: {named}.")
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
    if noted := sum(results.get("notes", {}).values()):
        lines.append(f"{noted:,} rows or images of the input were not taken as they are: see notes.csv.")
    lines += [f"Training looked wrong in {guard['message']}." for guard in run.of("guard")]
    lines += [
        f"It was taken up at step {again['step']:,} although {difference}: not to the byte an undisturbed run."
        for again in run.resumed
        for difference in again["differences"]
    ]
    return [f"{name}: {line}" for line in lines]


def describe_length(curve: Curve) -> str | None:
    """That the last phase trained for far longer than the one before it, where the errors of both are known."""
    begins, steps = curve.begins[-2:], curve.phase_steps[-2:]
    if len(steps) < 2 or steps[1] <= FAR_LONGER * steps[0]:
        return None
    errors = pick_error(curve)
    if not is_known(errors[begins[0] : begins[1]]) or not is_known(errors[begins[1] :]):
        return None
    first, second = ("first phase", "second") if len(curve.begins) == 2 else ("last phase but one", "last")
    return (
        f"The {first} had {steps[0]:,} step{'s' if steps[0] != 1 else ''} and the {second} {steps[1]:,}: "
        "part of the difference may be the longer training."
    )


def describe_phases(curve: Curve) -> list[str]:
    """One note for each phase: what happens in it, and what its beginning does to the error."""
    notes = []
    for number, (method, begin) in enumerate(zip(curve.methods, curve.begins, strict=True)):
        if known := BY_NAME.get(method):
            notes.append(f"Phase {number + 1}, {known.phrase}: {known.does}{_explain_jump(curve, begin)}")
    return notes


def _explain_jump(curve: Curve, begin: int) -> str:
    """Why the error may rise where a phase begins; nothing if the learning rate does not."""
    before, now = (curve.rate[begin - 1], curve.rate[begin]) if begin and curve.rate else (None, None)
    if before is None or now is None or now < UP_AGAIN * before:
        return ""
    why = (
        f" As it begins, the learning rate is back at its maximum ({now:.2g} after {before:.2g}) and weights move far "
        "again, so the error may rise before it falls"
    )
    errors = pick_error(curve)
    earlier = [error for error in errors[:begin] if error is not None]
    end = next((place for place in curve.begins if place > begin), len(errors))
    soon = begin + max(3, round(SOON * (end - begin)))
    early = [error for error in errors[begin : min(soon, end)] if error is not None]
    whole = [error for error in errors[begin:end] if error is not None]
    if earlier and whole and whole[-1] > earlier[-1]:
        return f"{why}; here it went from {earlier[-1]:.1f} % up to {max(whole):.1f} % and came to {whole[-1]:.1f} %."
    if earlier and early and max(early) > earlier[-1]:
        return f"{why}: here from {earlier[-1]:.1f} % to {max(early):.1f} %."
    return f"{why}."
