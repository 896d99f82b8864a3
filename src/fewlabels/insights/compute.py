"""What a report shows of single rows: the map, examples of each class, suspicious labels, reliability."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..conventions import UNLABELED
from ..errors import ConvergenceWarning
from ..graph import GraphSettings, LeaveOneOut, Propagation, leave_one_out
from .map import Plane, plane
from .reliability import confusion, reliability
from .schema import CERTAIN, DOUBTFUL, SUSPICIOUS, Insights, MapPoints, Tile

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


EACH = 6  # rows of a class that are most certain, and as many that are least
MOST_TILES = 480  # of both; with more than 40 classes each has fewer
MOST_SUSPICIOUS = 24


@dataclass(frozen=True)
class Rows:
    """What propagation says of all rows. label, given, truth: (n,) int64, -1 for none; truth None: all unknown.

    certainty: (n,). id_of, image_of: the id of a row, and its thumbnail; None for a row without an image.
    """

    label: np.ndarray
    certainty: np.ndarray
    given: np.ndarray
    truth: np.ndarray | None
    num_classes: int
    id_of: Callable[[int], str]
    image_of: Callable[[int], bytes | None]

    def tile(self, group: str, row: int, number: int, *, label: int, certainty: float, score: float) -> Tile:
        truth = UNLABELED if self.truth is None else int(self.truth[row])
        return Tile(group, number, self.id_of(row), label, truth, float(certainty), float(score), self.image_of(row))


def extremes(rows: Rows) -> Iterator[Tile]:
    """Pseudo-labels of each class: the least certain first, then the most certain. Equal ones in the order of rows."""
    each = max(1, min(EACH, MOST_TILES // (2 * rows.num_classes)))
    spread = np.flatnonzero((rows.given == UNLABELED) & (rows.label != UNLABELED))
    order = spread[np.lexsort((rows.certainty[spread], rows.label[spread]))]
    ends = np.searchsorted(rows.label[order], np.arange(rows.num_classes + 1))
    for number in range(min(rows.num_classes, MOST_TILES // 2)):
        own = order[ends[number] : ends[number + 1]]
        low, high = min(each, (own.size + 1) // 2), min(each, own.size // 2)
        top = own[own.size - high :]
        top = top[np.lexsort((top, -rows.certainty[top]))]
        for group, some in ((DOUBTFUL, own[:low]), (CERTAIN, top)):
            for row in some.tolist():
                sure = rows.certainty[row]
                score = sure if group == CERTAIN else 1 - sure
                yield rows.tile(group, row, number, label=number, certainty=sure, score=score)


def suspicious(rows: Rows, found: LeaveOneOut) -> Iterator[Tile]:
    """Given labels that the others contradict, the most suspicious first: 24 at most."""
    for at in np.argsort(-found.suspicion, kind="stable")[:MOST_SUSPICIOUS].tolist():
        if found.suspicion[at] > 0:
            yield rows.tile(
                SUSPICIOUS,
                int(found.rows[at]),
                int(found.given[at]),
                label=int(found.label[at]),
                certainty=found.certainty[at],
                score=found.suspicion[at],
            )
