"""The labels choose: candidates compared by cross-validation over the given labels, and the answer made of the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .candidates import (
    Labelled,
    Tried,
    graph_member,
    held_out_loss,
    try_graph,
    try_graph_head,
    try_graphs,
    try_heads,
)
from .choice import Candidate, Choice, Member
from .combine import Combined, Measured, Policy, combine, measure
from .folds import MOST_FOLDS, deal_folds, group_copies
from .graphs import Lists, share_columns
from .heads import LinearHead
from .rows import Space
from .scores import expected_calibration_error
from .settings import COLUMNS, COLUMNS_OF_MANY, FIXED, LEAST_PER_CLASS, MANY_ROWS, Auto

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

    @property
    def is_fixed(self) -> bool:
        """Whether there were too few labels to choose by."""
        return not self.choice.candidates


def hold_out(
    rows: NDArray[np.float32],
    labelled: NDArray[np.int64],
    classes: NDArray[np.int64],
    weight: NDArray[np.float64],
    num_classes: int,
    lists: Lists | None,
    groups: NDArray[np.generic] | None = None,
) -> Labelled:
    """Folds over the labelled rows. rows: (l, d) comparable ones. lists: of all rows; None without. groups: (l,)."""
    group = group_copies(rows, 0.0 if lists is None else lists.usual_distance(), groups)
    fold = deal_folds(rows, classes, group, count_folds(0 if lists is None else lists.node.size, num_classes))
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


def count_folds(num_rows: int, num_classes: int) -> int:
    """Folds of so many rows, where there are labels enough."""
    columns = COLUMNS_OF_MANY if num_rows > MANY_ROWS else COLUMNS
    return max(FEWEST_FOLDS, min(MOST_FOLDS, columns // max(num_classes, 1)))


def choose(lists: Lists | None, spaces: Sequence[Space], labelled: Labelled, auto: Auto) -> Chosen:
    """What answers, by the labels; a fixed choice where there are fewer than three labels per class.

    lists: of the rows of the spaces, which heads are fitted in; None where no graph is asked for.
    """
    if auto.kept is not None:
        return _keep(auto.kept, lists, spaces, labelled, auto)
    present = np.unique(labelled.classes).size
    few = present < 2 or labelled.scored.sum() < LEAST_PER_CLASS * present
    fixed = fixed_members(lists.most, auto) if lists is not None and "graph" in auto.kinds else ()
    only_fixed = few and auto.answer is None and bool(fixed)
    heads: dict[str, LinearHead] = {}
    if only_fixed and lists is not None:
        tried = [try_graph(member, lists, labelled, auto) for member in fixed]
    else:
        tried, heads = _try_all(lists, spaces, labelled, auto)
    policy = Policy(fixed=fixed, only_fixed=only_fixed, most=max(auto.most_members, len(fixed) * only_fixed))
    combined, measured = combine(tried, labelled, labelled.scored, policy), measure(tried, labelled, policy)
    choice = _record(combined, measured, labelled, auto, explain_choice(combined, only_fixed, labelled))
    choice = replace(choice, candidates=()) if only_fixed else choice
    return Chosen(choice=choice, measured=measured, graph_head=heads.get("graph_linear"))


def _keep(kept: Choice, lists: Lists | None, spaces: Sequence[Space], labelled: Labelled, auto: Auto) -> Chosen:
    """The members of an earlier choice, in their shares, fitted and measured with today's labels."""
    bare = tuple(replace(member, temperature=1.0, share=1.0) for member in kept.members)
    tried, heads = _try_members(bare, lists, spaces, labelled, auto)
    shares = tuple(member.share for member in kept.members)
    policy = Policy(fixed=bare, only_fixed=True, most=len(bare), shares=shares)
    combined, measured = combine(tried, labelled, labelled.scored, policy), measure(tried, labelled, policy)
    reason = f"{_list_members(combined)}: kept from the choice of {kept.num_labels} labels, not compared again"
    choice = _record(combined, measured, labelled, auto, reason)
    choice = choice if kept.candidates else replace(choice, candidates=())
    return Chosen(choice=choice, measured=measured, graph_head=heads.get("graph_linear"))


def _record(combined: Combined, measured: Measured, labelled: Labelled, auto: Auto, reason: str) -> Choice:
    return Choice(
        asked=describe_asked(auto),
        members=combined.members,
        candidates=combined.candidates,
        reason=reason,
        num_labels=labelled.row.size,
        num_held_out=measured.error.count,
        num_folds=np.unique(labelled.fold).size,
        error=measured.error,
        balanced_error=measured.balanced_error,
        calibration_before=expected_calibration_error(measured.before, measured.classes),
        calibration_after=measured.calibration,
        temperature=combined.temperature,
    )


def _try_members(
    members: Sequence[Member], lists: Lists | None, spaces: Sequence[Space], labelled: Labelled, auto: Auto
) -> tuple[list[Tried], dict[str, LinearHead]]:
    """These members alone, and the head on a graph under its kind, where one is among them."""
    tried: list[Tried] = []
    heads: dict[str, LinearHead] = {}
    for member in members:
        space = next((space for space in spaces if space.lengths == member.lengths), spaces[0])
        if member.n_neighbors is None:
            alone = replace(auto, answer=member.kind)
            tried += [one for one in try_heads(space, labelled, alone) if one.member.penalty == member.penalty]
            continue
        assert lists is not None
        sample = None if member.kind == "graph" else space.sample
        found = try_graph(replace(member, kind="graph", lengths=False), lists, labelled, auto, sample)
        if member.kind != "graph":
            found, heads["graph_linear"] = try_graph_head(found, space, labelled)
        tried.append(found)
    return tried, heads


def fixed_members(most: int, auto: Auto) -> tuple[Member, ...]:
    """The graphs of the fixed choice, with what is given instead of theirs. most: length of the lists."""
    members: list[Member] = []
    for n_neighbors, alpha in FIXED:
        member = graph_member(min(auto.n_neighbors or n_neighbors, max(1, most)), auto.alpha or alpha, auto)
        members += [member] * (member not in members)
    return tuple(members)


def _try_all(
    lists: Lists | None, spaces: Sequence[Space], labelled: Labelled, auto: Auto
) -> tuple[list[Tried], dict[str, LinearHead]]:
    """Every candidate that is allowed, and the head on the best graph under its kind, where there is one."""
    on_graph = "graph_linear" in auto.kinds and lists is not None
    graphs = try_graphs(lists, labelled, auto, spaces[0].sample if on_graph else None) if lists is not None else []
    heads = [one for space in spaces for one in try_heads(space, labelled, auto)]
    if not on_graph:
        return [*graphs, *heads], {}
    best = min(heads, key=lambda one: held_out_loss(one, labelled)) if len(spaces) > 1 and heads else None
    space = next(space for space in spaces if space.lengths == (best is not None and best.member.lengths))
    found, head = try_graph_head(next(one for one in graphs if one.mass is not None), space, labelled)
    return [*(graphs if "graph" in auto.kinds else []), *heads, found], {"graph_linear": head}


def describe_asked(auto: Auto) -> dict[str, Any]:
    """What was given, by name."""
    named = {name: getattr(auto, name) for name in ("n_neighbors", "alpha", "answer", "labels_are")}
    return {name: value for name, value in named.items() if value is not None}


def explain_choice(combined: Combined, is_fixed: bool, labelled: Labelled) -> str:
    """One sentence: what answers, and why."""
    members = _list_members(combined)
    if is_fixed:
        return f"{members}: fewer than {LEAST_PER_CLASS:g} labels per class are too few to choose by"
    if len(combined.candidates) == 1:
        return f"{members}: as asked"
    return f"{members}: least log loss on {int(labelled.scored.sum())} held-out labels{_compare(combined.candidates)}"


def _list_members(combined: Combined) -> str:
    if len(combined.members) == 1:
        return combined.members[0].name
    return " + ".join(f"{100 * member.share:.0f} % {member.name}" for member in combined.members)


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
