"""`propagate` with settings that the labels choose: what `fewlabels.propagate` does where none are given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..conventions import UNLABELED
from ..errors import ConfigError, LabelError, UnreachedWarning, warn
from ..graph import propagation as graph_propagation
from ..graph.blas import one_blas_thread
from ..graph.label_matrix import CheckedLabels, check_labels, check_weight, drop_labels
from ..graph.pseudo_labels import pseudo_labels
from ..graph.rows import densify, digest_rows, make_comparable, warn_of_rounding
from ..graph.settings import GraphSettings
from ..graph.system import Propagation, PropagationSystem, warn_of_contradictions, warn_of_unreached, warn_of_unsolved
from ..graph.types import Comparable, Graph, Progress, no_progress
from .answer import BLOCK, Answer, Part, mix_parts
from .candidates import Labelled, degree_weight, fit_head, settings_of
from .choice import Member
from .choose import Chosen, choose, hold_out
from .combine import rescale
from .graphs import Lists, search_lists
from .novelty import arriving_mass, nearest_similarity
from .prior import expect_error, match_classes
from .rows import Rows, Space, make_spaces, measure_lengths, pick_rows, say_something
from .scores import suppose_temperature, temper
from .settings import CHOICE_ROWS, MANY_ROWS, NEIGHBORS, NEIGHBORS_OF_MANY, Auto

PRIOR_ROWS = 20_000  # rows that the shares of the classes are matched on
STAGES = ("neighbors", "choose", "solve", "pseudo_labels")
Named = Literal["auto", "paper", "released"]


@overload
def propagate(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: Auto | Literal["auto"] | None = None,
    *,
    class_names: Sequence[str] | None = None,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    on_progress: Progress = no_progress,
) -> Answer: ...


@overload
def propagate(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: GraphSettings | Literal["paper", "released"],
    *,
    class_names: Sequence[str] | None = None,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    on_progress: Progress = no_progress,
) -> Propagation: ...


def propagate(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: Auto | GraphSettings | Named | None = None,
    *,
    class_names: Sequence[str] | None = None,
    weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    on_progress: Progress = no_progress,
) -> Answer | Propagation:
    """Labels for every row from a few, by settings that these labels choose (page "How settings are chosen").

    descriptors: (n, d) real numbers; a sparse matrix is made dense. labels: (n,) integers from 0 up, -1 where
        unlabelled.
    settings: None or "auto": all chosen. Auto(n_neighbors=10, ...): what is given is fixed, the rest chosen.
        GraphSettings, "paper" or "released": nothing is chosen, and this is fewlabels.graph.propagate.
    class_names: as in fewlabels.graph.propagate. weight: (n,) what the label of each row counts, from 0 up.
    groups: (n,) such as patients, cameras or bursts: labelled rows of one group are held out together.
    on_progress: called as on_progress(stage, fraction) with each of STAGES, from 0 where it starts.

    Raises as fewlabels.graph.propagate does; LabelError (L43) for such weights, (L23) for groups of another length;
    ConfigError (C120) for a name that is none of the three, and for weights or groups where nothing is chosen.

    >>> import numpy as np
    >>> corners = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> propagate(corners, np.array([0, -1, 1, -1])).pseudo_labels.label
    array([0, 0, 1, 1])
    """
    settings = _resolve(settings)
    if isinstance(settings, GraphSettings):
        if weight is not None or groups is not None:
            what = "weight and groups are for settings that are chosen"
            raise ConfigError("C120", what, do="use fewlabels.build_graph and fewlabels.spread for weights")
        return graph_propagation.propagate(
            descriptors, labels, settings, class_names=class_names, on_progress=on_progress
        )
    task = _check(descriptors, labels, settings, class_names, weight, groups)
    with one_blas_thread():
        return _answer(task, settings, on_progress)


def _resolve(settings: Auto | GraphSettings | Named | None) -> Auto | GraphSettings:
    if settings is None or settings == "auto":
        return Auto()
    if settings == "paper" or settings == "released":
        return GraphSettings(mode=settings)
    if not isinstance(settings, (Auto, GraphSettings)):
        what = f"settings are {settings!r}, expected 'auto', 'paper', 'released', Auto(...) or GraphSettings(...)"
        raise ConfigError("C120", what)
    return settings


@dataclass(frozen=True, kw_only=True)
class Task:
    """What was handed in, checked. bad: rows with NaN or infinity. groups: (n,) or None."""

    descriptors: NDArray[np.generic]
    rows: Rows
    bad: NDArray[np.int64]
    labels: CheckedLabels
    weight: NDArray[np.float64]
    groups: NDArray[np.generic] | None
    class_names: tuple[str, ...] | None


def _check(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    auto: Auto,
    class_names: Sequence[str] | None,
    weight: ArrayLike | None,
    groups: ArrayLike | None,
) -> Task:
    descriptors, base = densify(descriptors), auto.base
    rows = make_comparable(descriptors, base.metric, drop_bad_rows=base.drop_bad_rows)
    size = len(rows.values)
    checked = drop_labels(check_labels(labels, size, base, class_names), rows.bad, base, class_names)
    counts = np.ones(size) if weight is None else check_weight(weight, size)
    if weight is not None:
        checked = replace(checked, weight=counts)
    together = None if groups is None else np.asarray(groups)
    if together is not None and together.shape != (size,):
        raise LabelError("L23", f"groups have shape {together.shape}, and there are {size} descriptors")
    names = None if class_names is None else tuple(map(str, class_names))
    length = measure_lengths(descriptors) if base.metric == "cosine" else np.ones(size)
    seen = Rows(values=rows.values, length=length.astype(np.float32) if say_something(length) else None)
    return Task(
        descriptors=descriptors,
        rows=seen,
        bad=rows.bad,
        labels=checked,
        weight=counts,
        groups=together,
        class_names=names,
    )


def _answer(task: Task, auto: Auto, on_progress: Progress) -> Answer:
    """Choose on all rows, or on a sample where there are very many; then answer for all."""
    values, label = task.rows.values, task.labels.label
    usable = np.flatnonzero((label != UNLABELED) & values.any(axis=1) & (task.weight > 0))
    used = pick_rows(values, usable, CHOICE_ROWS, auto.base.seed)
    rows = task.rows if used.size == len(values) else task.rows.take(used)
    lists = _search(Comparable(rows.values, np.flatnonzero(np.isin(used, task.bad))), auto, on_progress)
    on_progress("choose", 0.0)
    place = np.searchsorted(used, usable)
    spaces = make_spaces(rows, place, auto.base.seed)
    labelled = hold_out(
        rows.values[place],
        place,
        label[usable],
        task.weight[usable],
        task.labels.num_classes,
        lists,
        None if task.groups is None else task.groups[usable],
    )
    chosen = choose(lists, spaces, labelled, auto)
    chosen = replace(chosen, measured=replace(chosen.measured, row=used[chosen.measured.row]))
    if used.size < len(values):
        lists = _search_again(Comparable(values, task.bad), chosen, auto, on_progress)
    on_progress("solve", 0.0)
    parts = _make_parts(task, auto, chosen, lists, spaces, labelled)
    return _assemble(task, auto, chosen, parts, on_progress)


def _search(rows: Comparable, auto: Auto, on_progress: Progress) -> Lists | None:
    if not {"graph", "graph_linear"} & set(auto.kinds):
        return None
    many = len(rows.values) > MANY_ROWS
    usual = max(NEIGHBORS_OF_MANY if many else NEIGHBORS)
    most = auto.n_neighbors or max(1, min(usual, len(rows.values) - 1))  # more that were given are warned of (E7)
    return search_lists(rows, auto.base, most, on_progress)


def _search_again(rows: Comparable, chosen: Chosen, auto: Auto, on_progress: Progress) -> Lists | None:
    """The lists of all rows, as long as the chosen graphs need them."""
    most = [member.n_neighbors or 0 for member in chosen.choice.members if member.kind == "graph"]
    return search_lists(rows, auto.base, max(most), on_progress) if most else None


def _make_parts(
    task: Task, auto: Auto, chosen: Chosen, lists: Lists | None, spaces: Sequence[Space], labelled: Labelled
) -> tuple[Part, ...]:
    parts = []
    for member in chosen.choice.members:
        if member.kind == "graph":
            assert lists is not None
            parts.append(Part(member=member, propagation=_spread(task, auto, member, lists)))
        elif member.kind == "graph_linear":
            parts.append(Part(member=member, head=chosen.graph_head))
        else:
            space = next(space for space in spaces if space.lengths == member.lengths)
            parts.append(Part(member=member, head=fit_head(member, space, labelled, auto)))
    return tuple(parts)


def _spread(task: Task, auto: Auto, member: Member, lists: Lists) -> Propagation:
    """The propagation of one graph, solved to the end, as fewlabels.graph.propagate would."""
    settings = settings_of(member, auto)
    graph = replace(lists.graph(settings), rows_digest=digest_rows(task.rows.values), settings=settings)
    system = PropagationSystem(graph, settings)
    labels = weigh_by_degree(graph, task.labels, task.weight) if member.by_degree else task.labels
    found, _ = system.spread_by(system.solve, labels)
    warn_of_unsolved(found.solution, settings)
    return found


def weigh_by_degree(graph: Graph, labels: CheckedLabels, weight: NDArray[np.float64]) -> CheckedLabels:
    """The same labels with the weights of `degree_weight`. weight: (n,) what the label of each row counts before."""
    given, weighted = np.flatnonzero(labels.label != UNLABELED), np.zeros(labels.label.size)
    weighted[given] = degree_weight(graph, given, labels.label[given], weight[given])
    return replace(labels, weight=weighted)


def solve_graphs(
    descriptors: NDArray[np.generic], labels: NDArray[np.integer], members: Sequence[Member], base: GraphSettings
) -> dict[int, Propagation]:
    """The propagations of the graphs among `members`, by their places: those of an answer that was made before.

    descriptors, labels: as of `propagate`, the same as then. base: the settings of one of its graphs.
    Raises as `propagate` does.
    """
    graphs = {place: member for place, member in enumerate(members) if member.kind == "graph"}
    if not graphs:
        return {}
    task = _check(descriptors, labels, Auto(base=base), None, None, None)
    auto = Auto(base=base, refinement=base.refinement)
    most = max(member.n_neighbors or 0 for member in graphs.values())
    lists = search_lists(Comparable(task.rows.values, task.bad), base, most, no_progress)
    return {place: _spread(task, auto, member, lists) for place, member in graphs.items()}


def _assemble(task: Task, auto: Auto, chosen: Chosen, parts: tuple[Part, ...], on_progress: Progress) -> Answer:
    """Average of the parts, prior, pseudo-labels, and the warnings that `propagate` gives."""
    on_progress("pseudo_labels", 0.0)
    rows = task.rows
    sample = pick_rows(rows.values, np.empty(0, np.int64), PRIOR_ROWS, auto.base.seed)
    whole = mix_parts(parts, rows.take(sample), sample, chosen.choice.temperature)
    supposed = _suppose_certainty(chosen, *whole)
    temperature = chosen.choice.temperature * supposed
    whole = (np.exp(temper(np.log(np.maximum(whole[0], 1e-30)), supposed)), whole[1])
    prior, scale = match_classes(*whole, task.labels, chosen, auto)
    measured = rescale(chosen.measured, scale, supposed)
    choice = replace(
        chosen.choice,
        temperature=temperature,
        error=measured.error,
        balanced_error=measured.balanced_error,
        calibration_after=measured.calibration,
        prior=prior,
        class_scale=None if prior is None else tuple(scale.tolist()),
    )
    answer = Answer(
        pseudo_labels=pseudo_labels(_mix_all(parts, rows, temperature, scale), task.labels.label, auto.base.rules),
        choice=choice,
        parts=parts,
        settings=auto.base,
        labeled=task.labels.label != UNLABELED,
        nearness=_measure_nearness(task, parts),
        measured=measured,
        class_names=task.class_names,
        unit=_find_unit(task) if auto.base.metric == "inner_product" else 1.0,
    )
    _warn(task, auto, answer)
    return answer


def _suppose_certainty(chosen: Chosen, distribution: NDArray[np.float64], reached: NDArray[np.bool_]) -> float:
    """What a fixed choice is flattened by (below 1: sharpened), so that its mean certainty is its expected accuracy.

    Too few labels were held out to fit a temperature to them: all of one class, or none. 1 for a choice by labels.
    """
    if not chosen.is_fixed or not reached.any():
        return 1.0
    return suppose_temperature(
        np.log(np.maximum(distribution[reached], 1e-30)), 1 - expect_error(chosen.measured.error)
    )


def _find_unit(task: Task) -> float:
    """The largest absolute value of all descriptors, by which comparable rows of inner products are divided."""
    values = task.rows.values
    ends = (values.argmax(), values.argmin())
    return max(abs(float(task.descriptors[np.unravel_index(end, values.shape)])) for end in ends) or 1.0


def _measure_nearness(task: Task, parts: tuple[Part, ...]) -> NDArray[np.float64]:
    """By the graph whose labels travel farthest, else by the nearest labelled row."""
    graphs = [part for part in parts if part.propagation is not None]
    if not graphs:
        labelled = np.flatnonzero((task.labels.label != UNLABELED) & task.rows.values.any(axis=1))
        return nearest_similarity(task.rows.values, labelled)
    farthest = max(graphs, key=lambda part: part.member.alpha or 0.0).propagation
    assert farthest is not None
    return arriving_mass(farthest)


def _mix_all(
    parts: tuple[Part, ...], rows: Rows, temperature: float, scale: NDArray[np.float64]
) -> NDArray[np.floating]:
    """(n, c) distributions of all rows, zeros where nothing answers; float32 where there are many rows."""
    count = len(rows.values)
    dtype = np.float64 if count <= BLOCK else np.float32
    distribution, reached = np.empty((count, scale.size), dtype), np.empty(count, bool)
    for start in range(0, count, BLOCK):
        some = np.arange(start, min(start + BLOCK, count))
        distribution[some], reached[some] = mix_parts(parts, rows.take(some), some, temperature, scale)
    distribution[~reached] = 0
    return distribution


def _warn(task: Task, auto: Auto, answer: Answer) -> None:
    propagation = answer.propagation
    if propagation is not None:
        graph = propagation.graph
        warn_of_rounding(task.descriptors, graph.node, auto.base)
        warn_of_contradictions(task.labels.label, graph.node)
        warn_of_unreached(answer.pseudo_labels, graph.component[graph.node])
    elif not answer.pseudo_labels.reached.all():
        missed = int((~answer.pseudo_labels.reached).sum())
        what = f"FL-G1 {missed} rows have no direction: no head answers them, and they have no label ({UNLABELED})"
        warn(UnreachedWarning(what))
