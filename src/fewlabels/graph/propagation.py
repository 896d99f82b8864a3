"""Descriptors and a few labels -> labels for every row: the graph stages in a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .build import assemble_graph, find_neighbors
from .cost import demand_countable
from .label_matrix import check_labels, drop_labels, warn_of_narrow_classes
from .rows import densify, digest_rows, make_comparable, warn_of_rounding
from .settings import GraphSettings
from .system import Propagation, PropagationSystem, name_classes
from .types import Graph, Progress, no_progress

STAGES = ("neighbors", "affinity", "solve", "pseudo_labels")


def propagate(
    descriptors: NDArray[np.generic],
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    on_progress: Progress = no_progress,
) -> Propagation:
    """Spread a few labels over the nearest-neighbour graph of the descriptors.

    descriptors: (n, d) real numbers, compared by cosine; a sparse matrix is made dense. labels: (n,) integers from 0
        up, -1 where unlabelled.
    settings: None for the paper's.
    class_names: one name for each class, for messages; it also says how many classes there are.
    on_progress: called as on_progress(stage, fraction) with each of STAGES, from 0 where it starts.

    Solves (I - alpha W) Z = Y, released code lp/db_semisuper.py:261-339; neither argument is changed.
    Raises EmbeddingError, LabelError or GraphError for input that cannot be used, each naming the rows.
    Warns (UnreachedWarning) of rows that no label reaches, (ConvergenceWarning) of classes not solved to `tol`,
    (InputWarning) of equal rows with different labels (G15), of differences that float32 does not have (E11), and of
    rows with NaN or infinity where settings.drop_bad_rows leaves them out (E1).

    >>> import numpy as np
    >>> corners = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> result = propagate(corners, np.array([0, -1, 1, -1]), GraphSettings(n_neighbors=1))
    >>> result.pseudo_labels.label
    array([0, 0, 1, 1])
    """
    settings, descriptors = settings or GraphSettings(), densify(descriptors)
    rows = make_comparable(descriptors, settings.metric, drop_bad_rows=settings.drop_bad_rows)
    demand_countable(len(rows.values), settings)
    checked = check_labels(labels, len(rows.values), settings, class_names)  # before minutes of searching neighbours
    checked = drop_labels(checked, rows.bad, settings, class_names)
    warn_of_narrow_classes(len(rows.values), checked.num_classes, settings)
    found, node = find_neighbors(rows, settings, None, on_progress)
    rows_digest = digest_rows(rows.values)
    del rows  # as large as the descriptors
    graph = replace(assemble_graph(found, node, settings, on_progress), rows_digest=rows_digest, settings=settings)
    del found, node
    warn_of_rounding(descriptors, graph.node, settings)
    return name_classes(PropagationSystem(graph, settings).spread_checked(checked, None, on_progress), class_names)


def spread(
    graph: Graph,
    labels: NDArray[np.integer],
    settings: GraphSettings | None = None,
    *,
    class_names: Sequence[str] | None = None,
    weight: NDArray[np.float64] | None = None,
    start: NDArray[np.floating] | None = None,
    on_progress: Progress = no_progress,
) -> Propagation:
    """Spread a few labels over a graph: the second half of `propagate`. For many label sets, use PropagationSystem.

    graph: of `build_graph`, or of an earlier propagation. labels, class_names, on_progress: as in `propagate`.
    settings: None for the paper's; those of the solver and the pseudo-labels count.
    weight: (n,) what the label of each row counts, from 0 up; 1 each if None. It means nothing on unlabelled rows.
    start: (m, c), solution.x of an earlier propagation over this graph; the solver then only has the difference to go.
    Raises LabelError as `propagate` does and for such a weight (L43), GraphError for a start of another shape (G12).
    """
    system = PropagationSystem(graph, settings)
    return system.spread(labels, class_names=class_names, weight=weight, start=start, on_progress=on_progress)
