"""What choosing settings will take beside one propagation: memory and time, before anything is computed."""

from __future__ import annotations

import math
from dataclasses import replace

from ..graph.cost import (
    ENTRIES_PER_NEIGHBOR,
    SECONDS_PER_ENTRY,
    SECONDS_PER_MULTIPLICATION,
    SECONDS_PER_STEP_CLASS,
    SECONDS_PER_STEP_ENTRY,
    STEPS,
    Cost,
    estimate,
)
from ..graph.settings import GraphSettings
from .candidates import FOLD_STEPS, HEAD_FOLDS, MOST_STEPS, graph_grid
from .folds import MOST_FOLDS
from .settings import (
    CHOICE_ROWS,
    COLUMNS,
    COLUMNS_OF_MANY,
    HEAD_ROWS,
    MANY_ROWS,
    NEIGHBORS,
    NEIGHBORS_OF_MANY,
    PENALTIES,
    Auto,
)

# Time, against processor time on one core, 2026-11-30 (synthetic classes; forecast / measured of the whole): 2,000 x 64
# .7 / 1.5 s, 10,000 x 128 1.9 / 2.2 s, 20,000 x 256 3.8 / 3.6 s; AT_LEAST was added since.
HEAD_EFFORT = 4.0  # times the multiplications of a head's fit: exponentials, and products of few columns
MEMBERS = 2  # graphs that answer, as a rule
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
    many, widest = chosen_on > MANY_ROWS, find_widest(n, auto)
    columns = max(num_classes, min(COLUMNS_OF_MANY if many else COLUMNS, num_labels))
    search = estimate(n, d, num_classes, widest, held_bytes=held_bytes, threads=threads)
    solving = estimate(chosen_on, d, columns, widest, held_bytes=held_bytes, threads=threads)
    searches = search.stage_seconds["neighbors"]
    if n > chosen_on:
        searches += solving.stage_seconds["neighbors"]
    return Cost(
        bytes=math.ceil(max(search.bytes, solving.bytes) + _head_bytes(chosen_on, d)),
        stage_seconds={
            "neighbors": searches,
            "choose": AT_LEAST
            + _graph_seconds(chosen_on, columns, auto, threads)
            + _head_seconds(chosen_on, d, num_classes, num_labels, auto),
            "solve": MEMBERS * (search.stage_seconds["affinity"] + search.stage_seconds["solve"]),
            "pseudo_labels": 4 * search.stage_seconds["pseudo_labels"],
        },
    )


def _head_bytes(n: int, d: int) -> float:
    """The sample that a head is fitted to, in float64 and float32, and what of it L-BFGS works on."""
    return 16 * min(n, HEAD_ROWS) * d


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


def _head_seconds(n: int, d: int, num_classes: int, num_labels: int, auto: Auto) -> float:
    """L-BFGS: two products of rows, features and classes a step."""
    product = 2 * num_classes * SECONDS_PER_MULTIPLICATION * HEAD_EFFORT
    seconds = 0.0
    if "linear" in auto.kinds:
        fits = 2 * len(PENALTIES) * MOST_FOLDS  # of directions, and of rows with their lengths
        seconds += fits * MOST_STEPS * num_labels * min(d, num_labels) * product
    if "graph_linear" in auto.kinds:
        seconds += (MOST_STEPS + HEAD_FOLDS * FOLD_STEPS) * min(n, HEAD_ROWS) * d * product
    return seconds
