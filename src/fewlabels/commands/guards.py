"""Does training still do what it should? Guards over the epoch events so far: pure, so a resumed run finds the same.

Four look at nothing but the training itself; two of them in one phase are taken for a collapse, which may stop a run.
The fifth compares test errors. It only ever warns: whether and when a run ends must not depend on test labels.
Every bound is set so that healthy runs keep silent (tests/commands/test_guards.py, docs/watching.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

OnCollapse = Literal["warn", "stop"]
LABEL_FREE = ("one_class", "few_classes", "certainty", "loss")
ENOUGH = 2  # of them make a collapse

MOST_OF_ONE_CLASS = 0.5  # of the pseudo-labels, and
TIMES_ITS_SHARE = 3.0  # of the labels given; with few classes, where that is too much,
OF_THE_REST = 0.75  # of what is between its share and all
LEAST_ENTROPY = 0.25  # of that of the labels given, which is log(classes) where each has as many
LOSS_JUMP = 10.0  # times the median of the epochs before
CERTAINTY_FALL = 0.7  # times the median of the epochs before
EPOCHS_BEFORE = 10  # that medians are taken over
ENOUGH_BEFORE = 3  # epochs for certainty to have a usual value
ERROR_RISE = 10.0  # points above the best,
TIMES_THE_BEST = 1.5  # as many errors, for an error that is still high goes up and down,
DEVIATIONS = 3.0  # and this many standard deviations of the difference, for few test images differ by chance
LOOKS = 3  # in a row: with few labels an epoch is a step or two, and at two looks a jump is no rise yet (docs/log.md)

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Alarm:
    """What one guard saw. guard: which of them. words: with its numbers. values: these numbers, for events.jsonl."""

    guard: str
    words: str
    values: dict[str, float]


@dataclass(frozen=True)
class Known:
    """What guards measure by. given: labelled rows of each class. class_names. num_test: images the error is of."""

    given: Sequence[int]
    class_names: Sequence[str]
    num_test: int


def find_alarms(events: Sequence[Event], known: Known) -> list[Alarm]:
    """Alarms of the epoch that the events end with, without those that were given in this phase before."""
    epochs = _select_last_phase(events, "epoch")
    given_before = {event["guard"] for event in _select_last_phase(events, "guard")}
    found = (guard(epochs, known) for guard in GUARDS)
    return [alarm for alarm in found if alarm is not None and alarm.guard not in given_before]


def find_collapse(events: Sequence[Event]) -> list[str]:
    """What the label-free guards of this phase said, if enough of them did; nothing otherwise."""
    said = [event["message"] for event in _select_last_phase(events, "guard") if event["guard"] in LABEL_FREE]
    return said if len(said) >= ENOUGH else []


def _select_last_phase(events: Sequence[Event], kind: str) -> list[Event]:
    epochs = [event for event in events if event["event"] == "epoch"]
    phase = epochs[-1]["phase_index"] if epochs else None
    return [event for event in events if event["event"] == kind and event["phase_index"] == phase]


def one_class(epochs: Sequence[Event], known: Known) -> Alarm | None:
    """One class has most of the pseudo-labels, and far more than its share of the labels given."""
    shares, given = _measure_shares(epochs, known)
    for name, share, expected in zip(known.class_names, shares, given, strict=False):
        bound = min(TIMES_ITS_SHARE * expected, expected + OF_THE_REST * (1 - expected))
        if share > max(MOST_OF_ONE_CLASS, bound):
            words = (
                f"{100 * share:.0f} % of the pseudo-labels are {name!r}, which has {100 * expected:.0f} % of the labels"
            )
            return Alarm("one_class", words, {"share": share, "labeled_share": expected})
    return None


def few_classes(epochs: Sequence[Event], known: Known) -> Alarm | None:
    """Pseudo-labels are spread over far fewer classes than the labels given."""
    shares, given = _measure_shares(epochs, known)
    found, expected = _measure_entropy(shares), _measure_entropy(given)
    if not shares or found >= LEAST_ENTROPY * expected:
        return None
    words = f"the entropy of the classes of pseudo-labels is {found:.2f}, that of the labels is {expected:.2f}"
    return Alarm("few_classes", words, {"entropy": found, "labeled_entropy": expected})


def certainty(epochs: Sequence[Event], known: Known) -> Alarm | None:
    """Pseudo-labels are far less certain than in the epochs before: descriptors say nothing any more."""
    found = [value for epoch in epochs[-1 - EPOCHS_BEFORE :] if (value := epoch.get("mean_certainty")) is not None]
    if len(found) <= ENOUGH_BEFORE:
        return None
    usual = float(np.median(found[:-1]))
    if found[-1] >= CERTAINTY_FALL * usual:
        return None
    words = f"the mean certainty is {found[-1]:.3g}, after {usual:.3g} in the epochs before"
    return Alarm("certainty", words, {"certainty": found[-1], "usual": usual})


def loss(epochs: Sequence[Event], known: Known) -> Alarm | None:
    """The loss is many times that of the epochs before, and worse than that of a blind guess, log(classes).

    Early in a phase, with nothing to compare with, it must be as many times that of a blind guess.
    """
    if not epochs:
        return None
    blind = math.log(max(2, len(known.class_names)))
    before = [epoch["loss"] for epoch in epochs[-1 - EPOCHS_BEFORE : -1]]
    usual = max(float(np.median(before)), blind / LOSS_JUMP) if before else blind
    if epochs[-1]["loss"] <= LOSS_JUMP * usual:
        return None
    words = f"the loss is {epochs[-1]['loss']:.3g}, expected about {usual:.3g}"
    return Alarm("loss", words, {"loss": epochs[-1]["loss"], "usual": usual})


def rising_error(epochs: Sequence[Event], known: Known) -> Alarm | None:
    """The test error was far above the phase's best at the last three looks. It never stops a run."""
    measured = [error for epoch in epochs if (error := pick_error(epoch)) is not None]
    if len(measured) <= LOOKS:
        return None
    best, now = min(measured[:-LOOKS]), min(measured[-LOOKS:])
    variance = sum(error / 100 * (1 - error / 100) for error in (best, now)) / max(1, known.num_test)
    bound = max(best + ERROR_RISE, TIMES_THE_BEST * best, best + DEVIATIONS * 100 * math.sqrt(variance))
    if now <= bound:
        return None
    words = f"the test error is {measured[-1]:.1f} %, after {best:.1f} % earlier in this phase"
    return Alarm("test_error", words, {"error": measured[-1], "best": best})


GUARDS = (one_class, few_classes, certainty, loss, rising_error)


def pick_error(epoch: Event) -> float | None:
    """The test error of what a phase is after: its teacher where that is a network, else the network itself."""
    teacher: float | None = epoch.get("teacher_test_error")
    return epoch.get("test_error") if teacher is None else teacher


def _measure_shares(epochs: Sequence[Event], known: Known) -> tuple[list[float], list[float]]:
    """Share of each class among the pseudo-labels and among the labels given; nothing where there are none."""
    counts = epochs[-1].get("class_counts") if epochs else None
    if counts is None:
        return [], []
    spread = [max(0, count - given) for count, given in zip(counts, known.given, strict=True)]
    if not sum(spread) or not sum(known.given):
        return [], []
    return [count / sum(spread) for count in spread], [count / sum(known.given) for count in known.given]


def _measure_entropy(shares: Sequence[float]) -> float:
    return -sum(share * math.log(share) for share in shares if share > 0)
