"""From held-out log-probabilities to the members of the answer, their shares, and an honest error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .candidates import Labelled, Tried
from .choice import Candidate, Member
from .heads import log_shares
from .scores import (
    HELD_OUT,
    Interval,
    balanced_error,
    expected_calibration_error,
    fit_temperature,
    log_losses,
    temper,
    wilson,
)

Float = NDArray[np.float64]
MEASURED_FOLDS = 10
LEAST_SHARE = 0.05  # of an average; members with less are left out
EVIDENCE = 6.0  # a difference of so much log-likelihood, all held-out labels together, divides a share by e
BEFORE = 10.0  # labels that the fixed choice counts as much as


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How shares are given.

    fixed: members of the fixed choice, or of one that is kept. only_fixed: these alone, whatever the labels say.
    shares: of these then; None: equal ones. most: members at most.
    """

    fixed: tuple[Member, ...]
    only_fixed: bool
    most: int
    shares: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Combined:
    """members: with shares and temperatures. temperature: of their average. candidates: all, best first."""

    members: tuple[Member, ...]
    temperature: float
    candidates: tuple[Candidate, ...]


def average(logs: Sequence[Float], shares: Sequence[float]) -> Float:
    """(q, c) log of the weighted mean of probabilities, floored at 1e-30."""
    total = sum(share * np.exp(one) for share, one in zip(shares, logs, strict=True))
    return np.asarray(np.log(np.maximum(total, 1e-30)))


def combine(tried: Sequence[Tried], labelled: Labelled, rows: NDArray[np.bool_], policy: Policy) -> Combined:
    """Members and shares by the log loss of the labelled rows `rows`, (l,) bool, each held out.

    Each candidate is calibrated by a temperature of its own first. See `give_shares` for the shares.
    """
    classes, weight = labelled.classes[rows], labelled.weight[rows]
    temperatures = [fit_temperature(one.held_out[rows], classes, weight) for one in tried]
    calibrated = [temper(one.held_out[rows], t) for one, t in zip(tried, temperatures, strict=True)]
    losses = np.stack([log_losses(one, classes) for one in calibrated])
    mean = np.average(losses, axis=1, weights=weight) if classes.size else np.zeros(len(tried))
    order = np.argsort(mean, kind="stable")
    shares = give_shares([one.member for one in tried], mean, int(rows.sum()), policy)
    by_share = np.argsort(-shares, kind="stable")[: policy.most]
    chosen = by_share[shares[by_share] >= LEAST_SHARE * shares[by_share].sum()]
    members = tuple(
        replace(tried[at].member, temperature=temperatures[at], share=float(shares[at] / shares[chosen].sum()))
        for at in chosen
    )
    together = average([calibrated[at] for at in chosen], [member.share for member in members])
    temperature = fit_temperature(together, classes, weight) if len(members) > 1 else 1.0
    return Combined(
        members=members,
        temperature=temperature,
        candidates=tuple(
            _record(tried[at], temperatures[at], calibrated[at], classes, losses[at] - losses[order[0]])
            for at in (order if classes.size else [])
        ),
    )


def give_shares(members: Sequence[Member], losses: Float, count: int, policy: Policy) -> Float:
    """(candidates,) shares that sum to 1: the best of each family by its log-likelihood, and the fixed choice.

    losses: mean log loss of each on `count` held-out labels. A family is all graphs, all heads on single rows, or heads
    on graphs. Its best member's share falls off with the log-likelihood that it lacks to the best of all. The fixed
    choice counts as BEFORE labels: with a handful of labels it leads, with hundreds it is gone.
    """
    fixed = np.array([float(member in policy.fixed) for member in members])
    if policy.only_fixed:
        given = dict(zip(policy.fixed, policy.shares or fixed[fixed > 0], strict=True))
        found = np.array([given.get(member, 0.0) for member in members])
        return np.asarray(found / found.sum())
    family = np.array([FAMILIES.get(member.kind, len(FAMILIES)) for member in members])
    shares = np.zeros(len(members))
    for number in np.unique(family):
        best = np.flatnonzero(family == number)[losses[family == number].argmin()]
        shares[best] = np.exp(-(losses[best] - losses.min()) * count / EVIDENCE)
    shares /= shares.sum()
    if not fixed.any():
        return shares
    return np.asarray((count * shares + BEFORE * fixed / fixed.sum()) / (count + BEFORE))


FAMILIES = {"graph": 0, "graph_linear": 1}  # all others are heads on single rows


def _record(tried: Tried, temperature: float, logs: Float, classes: NDArray[np.int64], above: Float) -> Candidate:
    spread = float(above.std(ddof=1) / np.sqrt(above.size)) if above.size > 1 else 0.0
    return Candidate(
        member=replace(tried.member, temperature=temperature, share=0.0),
        log_loss=float(log_losses(logs, classes).mean()),
        above_best=float(above.mean()),
        spread=spread,
        error=float((logs.argmax(axis=1) != classes).mean()),
    )


def apply(combined: Combined, tried: Sequence[Tried], *, calibrated: bool = True) -> tuple[Float, Float]:
    """(l, c) held-out log-probabilities of the answer, before and after the temperature of the average.

    calibrated: whether the members have their own temperatures.
    """
    by_name = {one.member.name: one for one in tried}
    logs = [
        temper(by_name[member.name].held_out, member.temperature if calibrated else 1.0) for member in combined.members
    ]
    together = average(logs, [member.share for member in combined.members])
    return together, temper(together, combined.temperature)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of the whole procedure, chosen on all folds but one and asked of that one.

    row: (h,) the labelled rows that were held out. logs: (h, c) log-probabilities. before: (h, c) the same without any
    temperature. classes: (h,) their labels. calibration: expected calibration error.
    """

    row: NDArray[np.int64]
    logs: Float
    before: Float
    classes: NDArray[np.int64]
    error: Interval
    balanced_error: float | None
    calibration: float | None


def measure(tried: Sequence[Tried], labelled: Labelled, policy: Policy) -> Measured:
    """The error of choosing and answering: in turn, members and temperatures come from the other folds alone.

    So the error is not that of the luckiest of the candidates. It is that of answers from a few labels less.
    """
    turns = labelled.fold % MEASURED_FOLDS
    logs, seen = np.zeros((labelled.row.size, labelled.num_classes)), np.zeros(labelled.row.size, bool)
    before = logs.copy()
    for turn in np.unique(turns):
        own = (turns == turn) & labelled.scored
        others = (turns != turn) & labelled.scored
        if own.any() and others.any():
            combined = combine(tried, labelled, others, policy)
            logs[own] = apply(combined, tried)[1][own]
            before[own] = apply(combined, tried, calibrated=False)[0][own]
            seen |= own
    return _measured(labelled.row[seen], logs[seen], before[seen], labelled.classes[seen])


def _measured(row: NDArray[np.int64], logs: Float, before: Float, classes: NDArray[np.int64]) -> Measured:
    found = logs.argmax(axis=1)
    return Measured(
        row=row,
        logs=logs,
        before=before,
        classes=classes,
        error=wilson(float((found != classes).sum()), classes.size, HELD_OUT),
        balanced_error=balanced_error(found, classes),
        calibration=expected_calibration_error(logs, classes),
    )


def rescale(measured: Measured, class_scale: Float, temperature: float = 1.0) -> Measured:
    """The same where every distribution is tempered, then multiplied by (c,) class_scale."""
    scaled = log_shares(temper(measured.logs, temperature) + np.log(class_scale))
    return _measured(measured.row, scaled, measured.before, measured.classes)
