"""Candidates, and what each says of every labelled row from the labels of the other folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..graph.pseudo_labels import certainties
from ..graph.settings import GraphSettings
from ..graph.system import PropagationSystem
from ..graph.types import Graph
from .choice import Member
from .graphs import Columns, Lists, held_out_mass, solve_columns
from .heads import (
    Head,
    LinearHead,
    NearestHead,
    coordinates,
    fit_gaussian,
    fit_logistic,
    fit_means,
    log_shares,
    rotate_back,
)
from .rows import Space
from .scores import fit_temperature, log_losses, logs_of_shares, temper
from .settings import ALPHAS, MANY_ROWS, NEIGHBORS, PENALTIES, Auto

Float = NDArray[np.float64]
GRAPH_PENALTY = 1e-4  # of the head on all rows; rows have total variance 1
MOST_STEPS, FOLD_STEPS = 80, 40  # of L-BFGS; from zero without a fold, too: from the whole it would remember its labels
HEAD_FOLDS = 3  # folds of folds that the head on a graph is compared by: each is a fit to thousands of rows


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The labelled rows that count, and how they are held out.

    row: (l,) their numbers. classes: (l,). weight: (l,) float64 from above 0. fold: (l,) the turn of each.
    scored: (l,) whether its class has a label in another fold; else nothing can be said of it when it is held out.
    """

    row: NDArray[np.int64]
    classes: NDArray[np.int64]
    weight: Float
    fold: NDArray[np.int64]
    scored: NDArray[np.bool_]
    columns: Columns
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class Tried:
    """member: of the candidate. held_out: (l, c) log-probabilities, each from the labels of the other folds.

    mass: of a graph that a head may be fitted to: (s, columns), what each column brings to the sample's rows.
    """

    member: Member
    held_out: Float
    mass: NDArray[np.floating] | None = None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Graphs that are compared: each of `neighbors` with each of `alphas`, and the best of them with `more_alphas`."""

    neighbors: list[int]
    alphas: list[float]
    more_alphas: list[float]


def graph_grid(num_rows: int, most: int, auto: Auto) -> Grid:
    """The graphs of so many rows with lists of `most` neighbours; what is given is fixed."""
    neighbors = NEIGHBORS if auto.n_neighbors is None else (auto.n_neighbors,)
    fitting = [k for k in neighbors if k <= most] or [max(1, most)]
    alphas = [auto.alpha] if auto.alpha is not None else list(ALPHAS)
    if num_rows <= MANY_ROWS:
        return Grid(neighbors=fitting, alphas=alphas, more_alphas=[])
    middle = alphas[len(alphas) // 2]
    return Grid(neighbors=fitting, alphas=[middle], more_alphas=[alpha for alpha in alphas if alpha != middle])


def graph_member(n_neighbors: int, alpha: float, auto: Auto) -> Member:
    """A graph as a candidate: labels count as in Poisson learning, unless a refinement is given."""
    return Member(kind="graph", n_neighbors=n_neighbors, alpha=alpha, by_degree=auto.refinement is None)


def try_graphs(lists: Lists, labelled: Labelled, auto: Auto, sample: NDArray[np.int64] | None = None) -> list[Tried]:
    """Each pair of neighbours and alpha; of many rows, the other alphas at the best number of neighbours only.

    sample: (s,) rows that a head is fitted to, labelled ones among them; the best graph then has its mass there.
    """
    grid = graph_grid(lists.node.size, lists.most, auto)
    found: list[Tried] = []
    best, least = 0, np.inf
    for one in _try_grid(grid, lists, labelled, auto, sample):
        loss = held_out_loss(one, labelled)
        if not found or loss < least:
            found = [replace(other, mass=None) for other in found]  # each is a large array
            best, least = len(found), loss
        found.append(one if best == len(found) else replace(one, mass=None))
    return found


def _try_grid(
    grid: Grid, lists: Lists, labelled: Labelled, auto: Auto, sample: NDArray[np.int64] | None
) -> Iterator[Tried]:
    first: list[Tried] = []
    for k in grid.neighbors:
        for one in _try_alphas(k, grid.alphas, lists, labelled, auto, sample):
            first.append(replace(one, mass=None))
            yield one
    if grid.more_alphas:
        best = min(first, key=lambda one: held_out_loss(one, labelled)).member.n_neighbors or 1
        yield from _try_alphas(best, grid.more_alphas, lists, labelled, auto, sample)


def held_out_loss(tried: Tried, labelled: Labelled) -> float:
    """Mean log loss on the held-out labels, calibrated by a temperature."""
    logs, classes = tried.held_out[labelled.scored], labelled.classes[labelled.scored]
    return float(log_losses(temper(logs, fit_temperature(logs, classes)), classes).mean()) if classes.size else 0.0


def _try_alphas(
    k: int, alphas: list[float], lists: Lists, labelled: Labelled, auto: Auto, sample: NDArray[np.int64] | None
) -> Iterator[Tried]:
    """The graph of k neighbours, made once."""
    graph: Graph | None = None
    for alpha in alphas:
        member = graph_member(k, alpha, auto)
        settings = settings_of(member, auto)
        graph = lists.graph(settings) if graph is None else graph
        yield _try_graph(member, PropagationSystem(graph, settings), labelled, sample)


def try_graph(
    member: Member, lists: Lists, labelled: Labelled, auto: Auto, sample: NDArray[np.int64] | None = None
) -> Tried:
    """One graph. sample: as in `try_graphs`."""
    settings = settings_of(member, auto)
    return _try_graph(member, PropagationSystem(lists.graph(settings), settings), labelled, sample)


def _try_graph(
    member: Member, system: PropagationSystem, labelled: Labelled, sample: NDArray[np.int64] | None
) -> Tried:
    weight = labelled.weight
    if member.by_degree:
        weight = degree_weight(system.graph, labelled.row, labelled.classes, weight)
    mass = solve_columns(system, labelled.row, weight, labelled.columns, labelled.row if sample is None else sample)
    at_labels = mass if sample is None else mass[np.searchsorted(sample, labelled.row)]
    found = held_out_mass(at_labels, labelled.fold, labelled.columns, labelled.num_classes)
    held_out = logs_of_shares(found * _restore_classes(labelled))
    return Tried(member=member, held_out=held_out, mass=None if sample is None else mass)


def degree_weight(graph: Graph, rows: NDArray[np.int64], classes: NDArray[np.int64], weight: Float) -> Float:
    """(l,) weights as in Poisson learning: divided by the roots of their rows' degrees, each class's sum the same.

    rows, classes, weight: (l,) of the labelled rows. As alpha goes to 1 every label fills the whole graph, in
    proportion to its weight here. With equal sums no class is ahead everywhere, and what differs from row to row
    decides: that is the centring of Calder et al. (ICML 2020), see fewlabels.graph.refinement.centre. The mean weight
    stays; degrees that are not known count as equal.
    """
    if not rows.size:
        return weight
    root = np.ones(rows.size) if graph.root_degree is None else graph.root_degree[graph.node[rows]]
    divided = weight / np.maximum(root, 1e-3 * max(float(root.max()), 1e-30))
    total = np.bincount(classes, weight)[classes]
    divided = np.divide(divided, total, out=np.zeros_like(divided), where=total > 0)
    return np.asarray(divided * (weight.sum() / divided.sum()))


def weigh_left(graph: Graph, rows: NDArray[np.int64], classes: NDArray[np.int64]) -> Float:
    """(l,) `degree_weight` of the labels that are left where others are left out, all given the same weight."""
    return degree_weight(graph, rows, classes, np.ones(rows.size))


def _restore_classes(labelled: Labelled) -> Float:
    """(l, c) factors that give each class its whole weight back where some of its labels are held out.

    Without them a row held out of a class with two labels would find that class at half its strength.
    """
    whole = np.bincount(labelled.classes, labelled.weight, labelled.num_classes)
    factor = np.ones((labelled.row.size, labelled.num_classes))
    for number in np.unique(labelled.fold):
        own = labelled.fold == number
        left = np.bincount(labelled.classes[~own], labelled.weight[~own], labelled.num_classes)
        factor[own] = np.divide(whole, left, out=np.ones_like(whole), where=left > 0)
    return factor


Fit = Callable[[Float, NDArray[np.int64], Float], Head]  # rows, classes, weight


def head_fits(num_classes: int, features: int, auto: Auto) -> list[tuple[Member, Fit]]:
    """The heads on labelled rows that are compared, and how each is fitted."""

    def logistic(strength: float) -> Fit:
        def fit(rows: Float, classes: NDArray[np.int64], weight: Float) -> LinearHead:
            targets = np.eye(num_classes)[classes]
            return fit_logistic(rows, targets, 1 / (strength * len(rows)), weight=weight, most_steps=MOST_STEPS)

        return fit

    fits: list[tuple[Member, Fit]] = [
        (Member(kind="gaussian"), lambda rows, classes, weight: fit_gaussian(rows, classes, num_classes, features)),
        *((Member(kind="linear", penalty=strength), logistic(strength)) for strength in PENALTIES),
        (Member(kind="mean"), lambda rows, classes, weight: fit_means(rows, classes, num_classes)),
        (
            Member(kind="neighbors"),
            lambda rows, classes, weight: NearestHead(rows=rows, classes=classes, num_classes=num_classes),
        ),
    ]
    return [(member, fit) for member, fit in fits if member.kind in auto.kinds]


def try_heads(space: Space, labelled: Labelled, auto: Auto) -> Iterator[Tried]:
    """Each head on labelled rows, in as few numbers as these have."""
    if not head_fits(labelled.num_classes, space.width, auto):
        return
    rows, _ = coordinates(space.take(labelled.row))
    factor = _restore_classes(labelled)
    for member, fit in head_fits(labelled.num_classes, space.width, auto):
        held_out = np.empty((labelled.row.size, labelled.num_classes))
        for number in np.unique(labelled.fold):
            own = labelled.fold == number
            classes = labelled.classes[~own]
            weight = labelled.weight[~own] * factor[own][0][classes]
            if not classes.size:
                held_out[own] = -np.log(labelled.num_classes)
                continue
            held_out[own] = log_shares(fit(rows[~own], classes, weight).scores(rows[own]))
        yield Tried(member=replace(member, lengths=space.lengths), held_out=held_out)


def fit_head(member: Member, space: Space, labelled: Labelled, auto: Auto) -> Head:
    """The head of a member, fitted to all labelled rows, for rows as they are in that space."""
    fit = next(fit for one, fit in head_fits(labelled.num_classes, space.width, auto) if _same(one, member))
    if member.kind == "neighbors":
        return NearestHead(
            rows=space.rows.take(labelled.row).seen(space.lengths),
            classes=labelled.classes,
            num_classes=labelled.num_classes,
            power=1 / space.scale**2,
        )
    rows, axes = coordinates(space.take(labelled.row))
    head = fit(rows, labelled.classes, labelled.weight)
    assert isinstance(head, LinearHead)
    return rotate_back(head, axes, space.centre, space.scale)


def _same(one: Member, other: Member) -> bool:
    return (one.kind, one.penalty) == (other.kind, other.penalty)


def try_graph_head(graph: Tried, space: Space, labelled: Labelled) -> tuple[Tried, LinearHead]:
    """A linear head on what the graph says of the sample, and that head fitted with all labels, for rows as they are.

    As the paper trains: pseudo-labels weighted by certainty and by the inverse population of their class.
    graph: with its mass at the sample.
    """
    mass = graph.mass
    assert mass is not None
    temperature = fit_temperature(graph.held_out[labelled.scored], labelled.classes[labelled.scored])
    rows = space.take(space.sample).astype(np.float32)
    place = np.searchsorted(space.sample, labelled.row)

    def fit(left_out: NDArray[np.bool_], columns_in: NDArray[np.bool_], steps: int) -> LinearHead:
        table = labelled.columns.sums(labelled.num_classes, None) * columns_in[:, None]
        shares = np.exp(temper(logs_of_shares(mass @ table), temperature))
        unreached = ~(mass @ table).any(axis=1)
        kept = ~left_out
        shares[place[kept]] = np.eye(labelled.num_classes)[labelled.classes[kept]]
        certain = np.where(unreached, 0, certainties(shares))
        certain[place[kept]] = 1
        label = shares.argmax(axis=1)
        population = np.bincount(label, minlength=labelled.num_classes)
        weight = certain / population[label]
        return fit_logistic(rows, shares, GRAPH_PENALTY, weight=weight, most_steps=steps)

    nothing = np.zeros(labelled.row.size, bool)
    whole = fit(nothing, np.ones(labelled.columns.fold.size, bool), MOST_STEPS)
    held_out = np.empty((labelled.row.size, labelled.num_classes))
    for turn in range(HEAD_FOLDS):
        own = labelled.fold % HEAD_FOLDS == turn
        if own.any():
            head = fit(own, labelled.columns.fold % HEAD_FOLDS != turn, FOLD_STEPS)
            held_out[own] = log_shares(head.scores(rows[place[own]]))
    member = replace(graph.member, kind="graph_linear", lengths=space.lengths)
    return Tried(member=member, held_out=held_out), rotate_back(whole, np.eye(rows.shape[1]), space.centre, space.scale)


def settings_of(member: Member, auto: Auto) -> GraphSettings:
    """The settings of the graph of a member."""
    assert member.n_neighbors is not None
    assert member.alpha is not None
    return auto.graph_settings(member.n_neighbors, member.alpha)
