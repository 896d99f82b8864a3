"""What a propagation over partitions can do, what it takes, and how it is cut up: said before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import GraphError, StorageError
from ..graph.compiled import instructions
from ..graph.cost import ENTRIES_PER_NEIGHBOR, MOST_ENTRIES
from ..graph.settings import EXACT_UP_TO, GraphSettings, Refinement
from .engine import Engine
from .layout import MOST_ROWS, Layout

USUAL_BYTES = 4 * 2**30  # of a worker that does not say
BASE_BYTES = 200 * 2**20  # of a process with its packages
TASK_SHARE = 0.45  # of the rest, for the arrays of one task
HELD_SHARE = 0.2  # for the rows that are searched among at a time, and their panels
LEAST_HELD = 4096  # rows
SHARD_SHARE = 0.06
REFINED_BYTES = 40  # of a node and class: distributions in float64, and copies
MOST_REFINED = 4 * 2**30
COLUMNS = 32  # classes that are solved at a time


@dataclass(frozen=True)
class Sizes:
    """partitions: of the rows. held_rows: searched among at a time. shard_bytes: of rows that are read at a time.

    solve_bytes: of the solver, all blocks together. worker_bytes: what one worker may take.
    """

    partitions: int
    held_rows: int
    shard_bytes: int
    solve_bytes: int
    worker_bytes: int


def demand_known(settings: GraphSettings, shape: tuple[int, int]) -> None:
    """Raise GraphError (G30) for what only one machine can do yet."""
    rest = "this is not done over partitions yet"
    if instructions() is None:
        raise GraphError("G30", f"no compiled kernels here: {rest}", do="install fewlabels where there is a C compiler")
    if shape[0] > MOST_ROWS:
        raise GraphError("G30", f"{shape[0]:,} rows; expected at most {MOST_ROWS:,}", do="propagate parts of them")
    if settings.search_recall == "exact" and shape[0] > EXACT_UP_TO:
        raise GraphError("G30", f"all pairs of {shape[0]:,} rows: {rest}", do="give a recall, such as recall=0.999")
    if settings.dtype(MOST_ROWS) != np.float32:
        what = f"precision {settings.precision!r} with alpha {settings.alpha:g} is float64: {rest}"
        raise GraphError("G30", what, do="use precision='single' or 'auto', and alpha up to 0.99999")


def demand_refinable(shape: tuple[int, int], settings: GraphSettings) -> None:
    """Raise StorageError (G21) where a refinement needs more than the process that leads may take. shape: (n, c)."""
    needed = REFINED_BYTES * shape[0] * shape[1]
    if settings.refinement != Refinement() and needed > MOST_REFINED:
        what = f"a refinement of {shape[0]:,} rows and {shape[1]} classes takes {needed / 2**30:.1f} GiB in one process"
        raise StorageError("G21", what, do="leave the refinement out")


def demand_clusters(enough: int, layout: Layout) -> None:
    """Raise GraphError (G30) where each row would have to be compared with most others."""
    num = layout.start.size - 1
    if enough > num // 2:
        what = f"the rows form no clusters: each would be searched in {enough} of {num}"
        raise GraphError("G30", what, do="a lower recall (--recall 0.95) probes fewer; or use one machine")


def demand_held(num_probes: int, layout: Layout, sizes: Sizes) -> None:
    """The same, of codes, where the rows of most clusters are more than are held at a time."""
    num = layout.start.size - 1
    if num_probes > num // 2 and layout.size > sizes.held_rows:
        demand_clusters(num_probes, layout)


def codes_tell_too_little(recall: float) -> GraphError:
    """The error (G30) of rows whose codes do not choose the candidates that a recall needs."""
    what = f"codes tell too little of these rows to find {100 * recall:g} % of the neighbours"
    return GraphError("G30", what, do="a lower recall (--recall 0.95) may do; or use one machine")


def is_small(num_points: int, settings: GraphSettings) -> bool:
    """Whether one machine compares all pairs of so few."""
    return num_points <= max(EXACT_UP_TO, min(settings.n_neighbors, num_points) + 1)


def plan_sizes(
    shape: tuple[int, int],
    num_classes: int,
    settings: GraphSettings,
    engine: Engine,
    partitions: int | None,
    worker_bytes: int | None,
) -> Sizes:
    """As many partitions as the memory of a worker asks for, one a worker at least."""
    (n, d), k = shape, settings.n_neighbors
    most = worker_bytes or engine.worker_bytes or USUAL_BYTES
    room = max(most - BASE_BYTES, most // 4)
    row_bytes = 44 * k + 40  # of the largest stage: lists, who lists them, and W, with copies
    needed = math.ceil(n * row_bytes / (TASK_SHARE * room))
    width = -(-min(num_classes, COLUMNS) // 8) * 8
    solve_bytes = int(n * (8 * ENTRIES_PER_NEIGHBOR * k + 4 * 5 * width + 12))
    return Sizes(
        partitions=partitions or max(engine.num_blocks, needed),
        held_rows=max(LEAST_HELD, int(HELD_SHARE * room / (8 * d))),
        shard_bytes=max(1 << 20, int(SHARD_SHARE * room)),
        solve_bytes=solve_bytes,
        worker_bytes=most,
    )


def demand_countable(num_rows: int, settings: GraphSettings, engine: Engine) -> None:
    """Raise GraphError (G30) where a worker would hold more entries of W than its kernels count."""
    entries = ENTRIES_PER_NEIGHBOR * settings.n_neighbors * num_rows
    if entries > MOST_ENTRIES * engine.num_blocks:
        what = f"about {entries:,.0f} entries of W for {engine.num_blocks} workers, which count {MOST_ENTRIES:,} each"
        workers = math.ceil(entries / MOST_ENTRIES)
        raise GraphError("G30", what, do=f"use {workers} workers or more, or a smaller --n-neighbors")


def demand_room(sizes: Sizes, engine: Engine) -> None:
    """Raise StorageError (G21) where W and the vectors of the solver do not fit into all workers together."""
    room = engine.num_blocks * (sizes.worker_bytes - BASE_BYTES)
    if sizes.solve_bytes > room:
        gib = 2**30
        what = f"the solver takes about {sizes.solve_bytes / gib:.1f} GiB, and {engine.num_blocks} workers have"
        raise StorageError(
            "G21",
            f"{what} {room / gib:.1f} GiB beside what they start with",
            do="use more workers, or a smaller --n-neighbors",
        )
