"""The labels choose: candidates compared by cross-validation over the given labels, and the answer made of the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.system import PropagationSystem
from .candidates import (
    Labelled,
    Space,
    Tried,
    settings_of,
    try_graph,
    try_graph_head,
    try_graphs,
    try_heads,
)
from .choice import Candidate, Choice, Member
from .combine import Combined, Measured, Policy, apply, combine, measure
from .folds import MOST_FOLDS, deal_folds, group_copies
from .graphs import Lists, share_columns
from .heads import LinearHead
from .scores import expected_calibration_error
from .settings import FIXED, LEAST_PER_CLASS, Auto

MOST_COLUMNS = 120  # that all folds of one graph are solved by; with many classes there are fewer folds
FEWEST_FOLDS = 3
CLOSE = 1.0  # standard errors within which two candidates are as good


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """choice: what is told. measured: held-out log-probabilities of the whole procedure.

    graph_head: the head on all rows, where the answer has one.
    """

    choice: Choice
    measured: Measured
    graph_head: LinearHead | None = None


def hold_out(
    rows: NDArray[np.float32],
    labelled: NDArray[np.int64],
    classes: NDArray[np.int64],
    weight: NDArray[np.float64],
    num_classes: int,
    usual: float,
    groups: NDArray[np.generic] | None = None,
) -> Labelled:
    """Folds over the labelled rows. rows: (l, d) comparable ones. usual: as in `group_copies`. groups: (l,)."""
    group = group_copies(rows, usual, groups)
    most = max(FEWEST_FOLDS, min(MOST_FOLDS, MOST_COLUMNS // max(num_classes, 1)))
    fold = deal_folds(rows, classes, group, most)
    folds_of_class = np.array([np.unique(fold[classes == number]).size for number in range(num_classes)])
    return Labelled(
        row=labelled,
        classes=classes,
        weight=weight,
        fold=fold,
        scored=folds_of_class[classes] > 1,
        columns=share_columns(classes, fold),
        num_classes=num_classes,
    )


def choose(lists: Lists | None, space: Space, labelled: Labelled, auto: Auto) -> Chosen:
    """What answers, by the labels; a fixed choice where there are fewer than three labels per class.

    lists: of the rows of `space`; None where no graph is asked for.
    """
    present = np.unique(labelled.classes).size
    few = present < 2 or labelled.scored.sum() < LEAST_PER_CLASS * present
    if few and auto.answer is None and lists is not None:
        tried, heads = _try_fixed(lists, labelled, auto), {}
        policy = Policy(most=len(tried), equal=True)
    else:
        tried, heads = _try_all(lists, space, labelled, auto)
        policy = Policy(most=auto.most_members, equal=False)
    combined, measured = combine(tried, labelled, labelled.scored, policy), measure(tried, labelled, policy)
    before, _ = apply(combined, tried, calibrated=False)
    classes = labelled.classes[labelled.scored]
    choice = Choice(
        asked=describe_asked(auto),
        members=combined.members,
        candidates=combined.candidates if not policy.equal else (),
        reason=explain_choice(combined, few and policy.equal, labelled),
        num_labels=labelled.row.size,
        num_held_out=measured.error.count,
        num_folds=np.unique(labelled.fold).size,
        error=measured.error,
        balanced_error=measured.balanced_error,
        calibration_before=expected_calibration_error(before[labelled.scored], classes),
        calibration_after=measured.calibration,
        temperature=combined.temperature,
    )
    answering = {member.kind for member in choice.members}
    return Chosen(choice=choice, measured=measured, graph_head=heads.get("graph_linear" in answering))


def _try_fixed(lists: Lists, labelled: Labelled, auto: Auto) -> list[Tried]:
    """The graphs of the fixed choice, with what is given instead of theirs."""
    members = []
    for n_neighbors, alpha in FIXED:
        k = min(auto.n_neighbors or n_neighbors, max(1, lists.most))
        member = Member(kind="graph", n_neighbors=k, alpha=auto.alpha or alpha)
        members += [member] * (member not in members)
    return [try_graph(member, lists, labelled, auto) for member in members]


def _try_all(
    lists: Lists | None, space: Space, labelled: Labelled, auto: Auto
) -> tuple[list[Tried], Mapping[bool, LinearHead]]:
    """Every candidate that is allowed, and the head on the best graph (under True) where there is one."""
    graphs = list(try_graphs(lists, labelled, auto)) if lists is not None else []
    tried = [*graphs, *try_heads(space, labelled, auto)] if "graph" in auto.kinds else list(
        try_heads(space, labelled, auto)
    )
    if "graph_linear" not in auto.kinds or lists is None or not labelled.scored.any():
        return tried or graphs, {}
    best = combine(graphs, labelled, labelled.scored, Policy(most=1, equal=False)).members[0]
    base = next(one for one in graphs if one.member.name == best.name)
    settings = settings_of(base.member, auto)
    system = PropagationSystem(lists.graph(settings), settings)
    found, head = try_graph_head(base, system, space, labelled)
    return [*tried, found], {True: head}


def describe_asked(auto: Auto) -> dict[str, Any]:
    """What was given, by name."""
    named = {name: getattr(auto, name) for name in ("n_neighbors", "alpha", "answer", "labels_are")}
    return {name: value for name, value in named.items() if value is not None}


def explain_choice(combined: Combined, is_fixed: bool, labelled: Labelled) -> str:
    """One sentence: what answers, and why."""
    members = " + ".join(f"{100 * member.share:.0f} % {member.name}" for member in combined.members)
    if len(combined.members) == 1:
        members = combined.members[0].name
    if is_fixed:
        return f"{members}: fewer than {LEAST_PER_CLASS:g} labels per class are too few to choose by"
    if len(combined.candidates) == 1:
        return f"{members}: as asked"
    return f"{members}: least log loss on {int(labelled.scored.sum())} held-out labels{_compare(combined.candidates)}"


def _compare(candidates: Sequence[Candidate]) -> str:
    """How the best graph and the best head on single rows compare, where both were tried."""
    graph = next((one for one in candidates if one.member.kind in ("graph", "graph_linear")), None)
    head = next((one for one in candidates if one.member.kind not in ("graph", "graph_linear")), None)
    if graph is None or head is None:
        return ""
    if max(graph.above_best, head.above_best) <= CLOSE * max(graph.spread, head.spread):
        return f"; the graph is no clear gain: a {head.member.name} is as good"
    better, worse = (graph, head) if graph.above_best < head.above_best else (head, graph)
    gap = worse.above_best - better.above_best
    return f"; {better.member.name} is ahead of {worse.member.name} by {gap:.2f} ± {worse.spread:.2f}"
