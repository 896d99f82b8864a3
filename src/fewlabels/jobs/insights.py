"""What a report shows beyond headline numbers, computed once from a propagation at the end of a run.

Nothing here grows with the number of rows but a sort and a few sums: what needs more is done for a sample.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..conventions import UNLABELED
from ..errors import ConvergenceWarning
from ..graph import GraphSettings, LeaveOneOut, Propagation
from ..graph import influence as leave_one_out
from ..runs.insights import Insights, MapPoints
from .embedding_map import Plane, plane
from .galleries import Rows, extremes, suspicious
from .reliability import confusion, reliability

FEWEST_CHECKED, MOST_CHECKED = 8, 1000  # given labels
CHECKED_NODES = 8_000_000  # labels checked times nodes: a few seconds
LARGEST_COMPONENTS = 5
CHECK, MAP = "given labels left out one by one", "map"  # the stages that take time


@dataclass(frozen=True)
class Material:
    """What a run ends with. labels, truth: (n,) int64, -1 for none; truth None: all unknown. descriptors: (n, d).

    id_of, image_of: the id of a row, and the PNG that stands for it; None for a row without an image.
    """

    propagation: Propagation
    labels: np.ndarray
    truth: np.ndarray | None
    num_classes: int
    descriptors: np.ndarray
    settings: GraphSettings
    id_of: Callable[[int], str]
    image_of: Callable[[int], bytes | None] = lambda row: None


def insights_of(material: Material, on_stage: Callable[[str], None] = lambda stage: None) -> Insights:
    """All of it: values for insights.json, the map, the galleries. The same material gives the same bytes.

    on_stage: told CHECK and MAP as they begin.
    """
    on_stage(CHECK)
    found = material.propagation.pseudo_labels
    rows = Rows(
        found.label,
        found.certainty,
        material.labels,
        material.truth,
        material.num_classes,
        material.id_of,
        material.image_of,
    )
    checked = _checked(material)
    on_stage(MAP)
    shown = plane(material.descriptors, material.labels, by_cosine=material.settings.metric == "cosine")
    values = {
        "reliability": reliability_of(material.propagation, material.labels, material.truth),
        "confusion": _confusion(material),
        "degrees": _degrees(material.propagation),
        "components": _components(material.propagation, material.labels),
        "map": {"method": shown.method, "num_rows": int(found.label.size), "num_shown": int(shown.rows.size)},
        "suspicious": {
            "num_labelled": checked.num_labelled,
            "num_checked": int(checked.judged.sum()),
            "num_contradicted": int((checked.suspicion > 0).sum()),
        },
    }
    return Insights(values, _points(shown, rows), [*extremes(rows), *suspicious(rows, checked)])


def reliability_of(propagation: Propagation, labels: np.ndarray, truth: np.ndarray | None) -> dict[str, Any] | None:
    """`reliability` of the pseudo-labels whose truth is known; a row without one counts as wrong, with certainty 0."""
    if truth is None:
        return None
    found, asked = propagation.pseudo_labels, (labels == UNLABELED) & (truth != UNLABELED)
    return reliability(found.certainty[asked], (found.label == truth)[asked])


def _confusion(material: Material) -> dict[str, Any] | None:
    if material.truth is None:
        return None
    asked = (material.labels == UNLABELED) & (material.truth != UNLABELED)
    return confusion(material.propagation.pseudo_labels.label[asked], material.truth[asked], material.num_classes)


def _checked(material: Material) -> LeaveOneOut:
    """Given labels against all others: those with the least support where there are too many for a few seconds."""
    nodes = material.propagation.z.shape[0]
    most = min(MOST_CHECKED, max(FEWEST_CHECKED, CHECKED_NODES // nodes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return leave_one_out(material.propagation, material.labels, material.settings, most=most)


def _degrees(propagation: Propagation) -> dict[str, list[int]]:
    """How many nodes have how many edges: none, 1, 2 to 3, 4 to 7, ... counts: of edges[i] up to edges[i + 1]."""
    degree = np.asarray(propagation.graph.degree, np.int64)
    steps = max(1, int(degree.max()).bit_length())
    edges = np.concatenate([[0], 2 ** np.arange(steps + 1)])
    return {"edges": edges.tolist(), "counts": np.histogram(degree, edges)[0].tolist()}


def _components(propagation: Propagation, labels: np.ndarray) -> dict[str, Any]:
    """Rows of the largest connected components, and how many have no label in them."""
    of_row = propagation.graph.component[propagation.graph.node]
    sizes = np.bincount(of_row)
    labelled = np.zeros(sizes.size, bool)
    labelled[of_row[labels != UNLABELED]] = True
    return {
        "largest": np.sort(sizes)[::-1][:LARGEST_COMPONENTS].tolist(),
        "num_without_label": int((~labelled).sum()),
        "rows_without_label": int(sizes[~labelled].sum()),
    }


def _points(shown: Plane, rows: Rows) -> MapPoints:
    at, places = shown.rows, shown.places
    given = rows.given[at] != UNLABELED
    return MapPoints(at, places[:, 0], places[:, 1], rows.label[at], rows.certainty[at].astype(np.float32), given)
