"""A choice in words: tables and sentences for terminals and pages, from what `Choice.to_json` holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .choice import Member

MOST_CANDIDATES = 7  # in a table, the best first; results.json has all
PRIORS = {"uniform": "equal class shares", "labels": "the labels' class shares"}
WHY = {
    "uniform": "it was near them by itself (labels-are random says that labels were drawn like the data)",
    "labels": "they have different numbers, as if drawn like the data (labels-are balanced says otherwise)",
}


def name_member(member: Mapping[str, Any]) -> str:
    """Such as `graph k=10 alpha=0.9`."""
    known = Member.__dataclass_fields__
    return Member(**{name: value for name, value in member.items() if name in known}).name


def list_candidates(choice: Mapping[str, Any]) -> list[list[str]]:
    """Header, then the best candidates: cross-validated error, log loss above the best's and its spread, share.

    Empty where nothing was compared, as with few labels.
    """
    shares = {name_member(member): member["share"] for member in choice["members"]}
    rows = [["candidate", "error", "log loss", "in the answer"]]
    best = choice["candidates"][:MOST_CANDIDATES]
    for one in best:
        name = name_member(one["member"])
        above = f"+{one['above_best']:.3f} ± {one['spread']:.3f}" if one is not best[0] else f"{one['log_loss']:.3f}"
        share = shares.get(name)
        rows.append([name, f"{100 * one['error']:.1f} %", above, "-" if share is None else f"{100 * share:.0f} %"])
    return rows if len(rows) > 2 else []


def describe_error(choice: Mapping[str, Any]) -> str:
    """The cross-validated error with its interval, in one sentence."""
    error, balanced = choice["error"], choice.get("balanced_error")
    if error["value"] is None:
        return "No error is known: no label could be held out (two labels of a class are needed)."
    span = f"{100 * error['low']:.1f} to {100 * error['high']:.1f} %"
    mean = ""
    if balanced is not None and abs(balanced - error["value"]) >= 0.0005:
        mean = f"; mean over the classes {100 * balanced:.1f} %"
    count = f"{error['count']:,} given labels, each held out"
    return f"Cross-validated error: {100 * error['value']:.1f} % (95 % interval {span}) of {count}{mean}."


def describe_prior(choice: Mapping[str, Any]) -> str:
    """What the classes were matched to, and why; empty for nothing."""
    prior = choice.get("prior")
    if prior not in PRIORS:
        return ""
    why = "as asked" if (choice.get("asked") or {}).get("labels_are") else WHY[prior]
    return f"The answer was matched to {PRIORS[prior]}: {why}."


def describe_calibration(choice: Mapping[str, Any]) -> str:
    """How far probabilities are from the share of right ones on held-out labels; empty where that is not known."""
    before, after = choice.get("calibration_before"), choice.get("calibration_after")
    if before is None or after is None:
        return ""
    return f"Probabilities are off by {after:.3f} on average (ECE on held-out labels; {before:.3f} as they come)."


def describe_abstaining(found: Mapping[str, Any]) -> str:
    """What to leave to a person for a wanted error, in one sentence."""
    wanted = f"{100 * found['wanted']:g} %"
    if not found["supported"]:
        return f"Which rows have an error of at most {wanted} the labels cannot tell: {found['reason']}."
    if not found["probability"]:
        return f"Of the held-out labels at most {wanted} were wrong: none has to be left to a person for that."
    return (
        f"For an error of at most {wanted}, keep the {found['num_rows']:,} propagated labels whose probability is "
        f"{found['probability']:.2f} or more; look at the others (fewlabels review)."
    )


def describe_estimated(found: Mapping[str, Any]) -> str:
    """How many labels of a labelling are right, by its random sample; empty where too few of it were answered.

    found: `estimated` of its run.json.
    """
    if found.get("percent") is None:
        return ""
    span = f"95 % interval {found['low']:.0f} to {found['high']:.0f} %"
    return f"about {found['percent']:.0f} % of the labels are right ({span}, by {found['num']} answers drawn at random)"
