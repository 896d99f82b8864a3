"""What choosing settings will take beside one propagation: memory and time, before anything is computed."""

from __future__ import annotations

import math
from dataclasses import replace

from ..graph.cost import (
    BASE_BYTES,
    ENTRIES_PER_NEIGHBOR,
    ROW_BYTES,
    SECONDS_PER_ENTRY,
    SECONDS_PER_MULTIPLICATION,
    SECONDS_PER_STEP_CLASS,
    SECONDS_PER_STEP_ENTRY,
    SOLVER_BLOCKS,
    SOLVER_COLUMNS,
    STEPS,
    Cost,
    estimate,
)
from ..graph.settings import GraphSettings
from .candidates import FOLD_STEPS, HEAD_FOLDS, MOST_STEPS, graph_grid
from .choose import count_folds
from .settings import (
    CHOICE_ROWS,
    HEAD_ROWS,
    MANY_ROWS,
    NEIGHBORS,
    NEIGHBORS_OF_MANY,
    PENALTIES,
    Auto,
)

NARROW = 32  # columns that a product takes as long as, at least
SECONDS_PER_SHARE = 1.2e-8  # of the softmax of one row and class in a step of L-BFGS
SECONDS_PER_HELD_OUT = 4e-6  # of fitting temperatures, for each candidate, held-out label and class
CANDIDATES = 10  # that temperatures are fitted to, in each of the folds and over all
MEMBERS = 2  # graphs that answer, as a rule
SPARE = 1.1  # times the memory that arrays take: what is allocated is not given back at once
AT_LEAST = 0.6  # seconds of choosing, however few rows there are
LOOSE = 0.7  # steps of a solve to 1e-4, to those of one to 1e-6


def find_widest(num_rows: int, auto: Auto) -> GraphSettings:
    """Settings of the graph with the most neighbours that is compared."""
    usual = NEIGHBORS_OF_MANY if num_rows > MANY_ROWS else NEIGHBORS
    return replace(auto.base, n_neighbors=auto.n_neighbors or max(usual))


def estimate_choice(
    shape: tuple[int, int],
    num_classes: int,
    num_labels: int,
    auto: Auto,
    *,
    held_bytes: int = 0,
    threads: int = 1,
) -> Cost:
    """Memory and time of `propagate` over (n, d) descriptors with settings that the labels choose.

    num_labels: given ones. held_bytes, threads: as in fewlabels.graph.estimate.
    The stages are those of fewlabels.choosing.propagate: the search for the longest lists, the candidates, the answer.
    """
    n, d = shape
    chosen_on = min(n, CHOICE_ROWS)
    widest, folds = find_widest(n, auto), count_folds(chosen_on, num_classes)
    columns = max(num_classes, min(folds * num_classes, num_labels))
    search = estimate(n, d, num_classes, widest, held_bytes=held_bytes, threads=threads)
    searches = search.stage_seconds["neighbors"]
    if n > chosen_on:
        searches += estimate(chosen_on, d, columns, widest, threads=threads).stage_seconds["neighbors"]
    return Cost(
        bytes=math.ceil(
            BASE_BYTES
            + held_bytes
            + SPARE * max(search.bytes - BASE_BYTES - held_bytes, _bytes((n, d), num_classes, columns, widest))
        ),
        stage_seconds={
            "neighbors": searches,
            "choose": AT_LEAST
            + _graph_seconds(chosen_on, columns, auto, threads)
            + _head_seconds((chosen_on, d), num_classes, num_labels, folds, auto) / threads
            + SECONDS_PER_HELD_OUT * CANDIDATES * num_labels * num_classes,
            "solve": MEMBERS * (search.stage_seconds["affinity"] + search.stage_seconds["solve"]),
            "pseudo_labels": 4 * search.stage_seconds["pseudo_labels"],
        },
    )


def _bytes(shape: tuple[int, int], num_classes: int, columns: int, widest: GraphSettings) -> float:
    """The larger of choosing and answering. All arrays of the graph in single precision."""
    (n, d), k = shape, widest.n_neighbors
    chosen_on = min(n, CHOICE_ROWS)
    rows, lists, w = 4 * n * d, 8 * k, 8 * ENTRIES_PER_NEIGHBOR * k  # the last two of each row
    sample = 4 * chosen_on * d if n > chosen_on else 0
    heads = 16 * min(n, HEAD_ROWS) * d  # in float64 and float32, and what of it L-BFGS works on
    solving = 4 * (columns + (SOLVER_BLOCKS + 1) * min(columns, SOLVER_COLUMNS))
    choosing = rows + sample + chosen_on * (lists + w + solving) + heads
    answering = rows + sample + n * (lists + w + 4 * num_classes * (2 * MEMBERS + 3) + ROW_BYTES)
    return max(choosing, answering)


def _graph_seconds(n: int, columns: int, auto: Auto, threads: int) -> float:
    """Building the candidate graphs and solving each with all columns."""
    if not {"graph", "graph_linear"} & set(auto.kinds):
        return 0.0
    grid = graph_grid(n, find_widest(n, auto).n_neighbors, auto)
    widest = max(grid.neighbors)
    pairs = [(k, alpha) for k in grid.neighbors for alpha in grid.alphas]
    pairs += [(widest, alpha) for alpha in grid.more_alphas]
    per_entry = SECONDS_PER_STEP_ENTRY + columns * SECONDS_PER_STEP_CLASS
    steps = sum(k * STEPS * math.sqrt(0.01 / (1 - alpha)) for k, alpha in pairs)
    built = sum(grid.neighbors) + widest * bool(grid.more_alphas)
    entries = ENTRIES_PER_NEIGHBOR * n
    return entries * (LOOSE * steps * per_entry + built * SECONDS_PER_ENTRY) / threads


def _head_seconds(shape: tuple[int, int], num_classes: int, num_labels: int, folds: int, auto: Auto) -> float:
    """L-BFGS on one core: two products of rows, features and classes a step, and a softmax."""
    n, d = shape

    def step(rows: int, width: int) -> float:
        products = 2 * width * max(num_classes, NARROW) * SECONDS_PER_MULTIPLICATION
        return rows * (products + num_classes * SECONDS_PER_SHARE)

    seconds = 0.0
    if "linear" in auto.kinds:  # in float64
        fits = len(PENALTIES) * (folds + 1)
        seconds += 2 * fits * MOST_STEPS * step(num_labels, min(d, num_labels))
    if "graph_linear" in auto.kinds:
        seconds += (MOST_STEPS + HEAD_FOLDS * FOLD_STEPS) * step(min(n, HEAD_ROWS), d)
    return seconds
