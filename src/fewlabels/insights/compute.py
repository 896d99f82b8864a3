"""What a report shows of single rows: the map, examples of each class, suspicious labels, reliability."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..choosing import Answer
from ..choosing.candidates import weigh_left
from ..conventions import UNLABELED
from ..errors import ConvergenceWarning
from ..graph import GraphSettings, LeaveOneOut, Propagation, PseudoLabels, leave_one_out
from ..graph.influence import judge_labels, mass_of_others
from .map import Plane, place_rows
from .schema import CERTAIN, DOUBTFUL, SUSPICIOUS, Insights, MapPoints, Tile

FEWEST_CHECKED, MOST_CHECKED = 8, 1000  # given labels
CHECKED_NODES = 8_000_000  # labels checked times nodes: a few seconds
LARGEST_COMPONENTS = 5
CHECK, MAP = "given labels left out one by one", "map"  # the stages that take time
EACH = 6  # rows of a class that are most certain, and as many that are least
MOST_TILES = 480  # of both; with more than 40 classes each has fewer
MOST_SUSPICIOUS = 24
BINS = 10
MOST_CLASSES = 100  # with a whole matrix; more have their most confused pairs only
MOST_PAIRS = 30

Describe = Callable[[int], tuple[str, bytes | None]]


def compute_insights(
    propagation: Propagation | Answer,
    descriptors: np.ndarray,
    labels: np.ndarray,
    settings: GraphSettings,
    describe: Describe,
    *,
    truth: np.ndarray | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Insights:
    """What a report shows of single rows: values for insights.json, the map, the galleries. Same input, same bytes.

    descriptors: (n, d). labels, truth: (n,) int64, -1 for none; truth None: all unknown. describe: row -> its id, and
    the PNG that stands for it, None for none. on_stage: called with CHECK and MAP as they begin.
    propagation, settings: what is written out, an Answer too; its graph is the one with the largest share.
    """
    found, num_classes = propagation.pseudo_labels, propagation.pseudo_labels.distribution.shape[1]
    solved = propagation.propagation if isinstance(propagation, Answer) else propagation
    on_stage(CHECK)
    checked = _check_labels(propagation, labels, settings)
    on_stage(MAP)
    shown = place_rows(descriptors, labels, by_cosine=settings.metric == "cosine")
    values = {
        "reliability": measure_reliability(propagation, labels, truth),
        "confusion": _measure_confusions(propagation, labels, truth),
        **({"held_out": _measure_held_out(propagation)} if isinstance(propagation, Answer) else {}),
        "degrees": None if solved is None else _count_degrees(solved),
        "components": None if solved is None else _count_components(solved, labels),
        "map": {"method": shown.method, "num_rows": int(found.label.size), "num_shown": int(shown.rows.size)},
        "suspicious": {
            "num_labelled": checked.num_labelled,
            "num_checked": int(checked.judged.sum()),
            "num_contradicted": int((checked.suspicion > 0).sum()),
        },
    }
    picks = [*_pick_extremes(found, labels, num_classes), *_pick_contradicted(checked)]
    return Insights(values, _make_map_points(shown, found, labels), [_make_tile(one, describe, truth) for one in picks])


def measure_reliability(
    propagation: Propagation | Answer, labels: np.ndarray, truth: np.ndarray | None
) -> dict[str, Any] | None:
    """How certainty agrees with the truth where that is known. A row without a label counts as wrong, certainty 0."""
    if truth is None:
        return None
    found, asked = propagation.pseudo_labels, (labels == UNLABELED) & (truth != UNLABELED)
    return bin_by_certainty(found.certainty[asked], (found.label == truth)[asked])


def _measure_held_out(answer: Answer) -> dict[str, Any] | None:
    """How the probability of the most probable class agrees with the given labels, each held out; None without."""
    if answer.measured is None:
        return None
    logs, classes = answer.measured.logs, answer.measured.classes
    return bin_by_certainty(np.exp(logs.max(axis=1)), logs.argmax(axis=1) == classes) if classes.size else None


def _measure_confusions(
    propagation: Propagation | Answer, labels: np.ndarray, truth: np.ndarray | None
) -> dict[str, Any] | None:
    if truth is None:
        return None
    asked = (labels == UNLABELED) & (truth != UNLABELED)
    found = propagation.pseudo_labels
    return count_confusions(found.label[asked], truth[asked], found.distribution.shape[1])


def _check_labels(propagation: Propagation | Answer, labels: np.ndarray, settings: GraphSettings) -> LeaveOneOut:
    """Given labels against all others: those with the least support where there are too many for a few seconds.

    Of one graph by its rows of the inverse; of any other answer by what it said of each label that was held out.
    """
    if isinstance(propagation, Answer):
        solved = propagation.propagation
        if solved is None or len(propagation.parts) > 1 or solved.graph.settings is None:
            return _judge_held_out(propagation, labels)
        return _leave_out_of(propagation, solved, labels, solved.graph.settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return leave_one_out(propagation, labels, settings, most=_most_checked(propagation))


def _most_checked(propagation: Propagation) -> int:
    return min(MOST_CHECKED, max(FEWEST_CHECKED, CHECKED_NODES // len(propagation.z)))


def _leave_out_of(answer: Answer, solved: Propagation, labels: np.ndarray, settings: GraphSettings) -> LeaveOneOut:
    """What an answer of one graph would say without each label: counted, calibrated and scaled as in the answer."""
    by_degree = answer.parts[0].member.by_degree
    weigh = partial(weigh_left, solved.graph) if by_degree else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rows, mass = mass_of_others(solved, labels, settings, most=_most_checked(solved), weigh=weigh)
    count = np.bincount(labels[labels != UNLABELED], minlength=mass.shape[1])
    return judge_labels(rows, labels, answer.judge_mass(mass), count, divided=by_degree)


def _judge_held_out(answer: Answer, labels: np.ndarray) -> LeaveOneOut:
    """What the answer said of each label that could be held out, in the folds that it was chosen by."""
    num_classes, measured = answer.pseudo_labels.distribution.shape[1], answer.measured
    rows = np.empty(0, np.int64) if measured is None else measured.row
    totals = np.empty((0, num_classes)) if measured is None else np.exp(measured.logs)
    count = np.bincount(labels[labels != UNLABELED], minlength=num_classes)
    order = np.argsort(rows, kind="stable")
    return judge_labels(rows[order], labels, totals[order], count, divided=False)


def _count_degrees(propagation: Propagation) -> dict[str, list[int]]:
    """How many nodes have how many edges: none, 1, 2 to 3, 4 to 7, ... counts: of edges[i] up to edges[i + 1]."""
    degree = np.asarray(propagation.graph.degree, np.int64)
    steps = max(1, int(degree.max()).bit_length())
    edges = np.concatenate([[0], 2 ** np.arange(steps + 1)])
    return {"edges": edges.tolist(), "counts": np.histogram(degree, edges)[0].tolist()}


def _count_components(propagation: Propagation, labels: np.ndarray) -> dict[str, Any]:
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


def _make_map_points(shown: Plane, found: PseudoLabels, labels: np.ndarray) -> MapPoints:
    at, places = shown.rows, shown.places
    return MapPoints(
        row=at,
        x=places[:, 0],
        y=places[:, 1],
        label=found.label[at],
        certainty=found.certainty[at].astype(np.float32),
        given=labels[at] != UNLABELED,
    )


class _Pick(NamedTuple):
    """A row for a gallery, as `Tile` has it but for what is known of the row besides."""

    group: str
    row: int
    class_number: int
    label: int
    certainty: float
    score: float


def _pick_extremes(found: PseudoLabels, labels: np.ndarray, num_classes: int) -> Iterator[_Pick]:
    """Pseudo-labels of each class: the least certain first, then the most certain. Equal ones in the order of rows."""
    each = max(1, min(EACH, MOST_TILES // (2 * num_classes)))
    spread = np.flatnonzero((labels == UNLABELED) & (found.label != UNLABELED))
    order = spread[np.lexsort((found.certainty[spread], found.label[spread]))]
    ends = np.searchsorted(found.label[order], np.arange(num_classes + 1))
    for number in range(min(num_classes, MOST_TILES // 2)):
        own = order[ends[number] : ends[number + 1]]
        low, high = min(each, (own.size + 1) // 2), min(each, own.size // 2)
        top = own[own.size - high :]
        top = top[np.lexsort((top, -found.certainty[top]))]
        for row in own[:low].tolist():
            yield _Pick(DOUBTFUL, row, number, number, found.certainty[row], 1 - found.certainty[row])
        for row in top.tolist():
            yield _Pick(CERTAIN, row, number, number, found.certainty[row], found.certainty[row])


def _pick_contradicted(checked: LeaveOneOut) -> Iterator[_Pick]:
    """Given labels that the others contradict, the most suspicious first: 24 at most."""
    for at in np.argsort(-checked.suspicion, kind="stable")[:MOST_SUSPICIOUS].tolist():
        if checked.suspicion[at] > 0:
            row, given, label = int(checked.rows[at]), int(checked.given[at]), int(checked.label[at])
            yield _Pick(SUSPICIOUS, row, given, label, checked.certainty[at], checked.suspicion[at])


def _make_tile(pick: _Pick, describe: Describe, truth: np.ndarray | None) -> Tile:
    id, image = describe(pick.row)
    return Tile(
        group=pick.group,
        class_number=pick.class_number,
        id=id,
        label=pick.label,
        truth=UNLABELED if truth is None else int(truth[pick.row]),
        certainty=float(pick.certainty),
        score=float(pick.score),
        image=image,
    )


def auroc(certainty: np.ndarray, right: np.ndarray) -> float | None:
    """How often a right row is more certain than a wrong one, ties counting half; None if all are right or all wrong.

    certainty: (m,) float. right: (m,) bool.
    """
    wrong = np.sort(certainty[~right])
    good = certainty[right]
    if not wrong.size or not good.size:
        return None
    below, up_to = np.searchsorted(wrong, good, "left"), np.searchsorted(wrong, good, "right")
    return float((below + up_to).sum() / (2 * wrong.size * good.size))


def bin_by_certainty(certainty: np.ndarray, right: np.ndarray) -> dict[str, Any] | None:
    """Share of right rows in each of ten bins of certainty, AUROC and ECE; None for no rows.

    ECE is the mean distance of a bin's certainty from its share of right ones, weighted by its rows.
    """
    if not certainty.size:
        return None
    edges = np.linspace(0, 1, BINS + 1)
    bin_of = np.clip(np.searchsorted(edges, certainty, "right") - 1, 0, BINS - 1)
    count = np.bincount(bin_of, minlength=BINS)
    good = np.bincount(bin_of, right, BINS)
    total = np.bincount(bin_of, certainty, BINS)
    held = np.maximum(count, 1)
    return {
        "num_rows": int(certainty.size),
        "edges": edges.round(6).tolist(),
        "count": count.tolist(),
        "right": [float(share) if some else None for share, some in zip(good / held, count, strict=True)],
        "certainty": [float(share) if some else None for share, some in zip(total / held, count, strict=True)],
        "auroc": auroc(certainty, right),
        "ece": float(np.abs(good - total).sum() / certainty.size),
    }


def count_confusions(label: np.ndarray, truth: np.ndarray, num_classes: int) -> dict[str, Any] | None:
    """How often rows of each true class got which pseudo-label; None for no rows.

    label: (m,) int64, -1 for none. truth: (m,) int64 from 0 up.
    counts: num_classes rows of num_classes + 1 numbers, the last for no label; None for more than 100 classes.
    pairs: [truth, label, rows], the most frequent mistakes first, 30 at most.
    """
    if not label.size:
        return None
    said = np.where(label < 0, num_classes, label)
    code, number = np.unique(truth * (num_classes + 1) + said, return_counts=True)
    true, taken = np.divmod(code, num_classes + 1)
    counts = None
    if num_classes <= MOST_CLASSES:
        matrix = np.zeros((num_classes, num_classes + 1), np.int64)
        matrix[true, taken] = number
        counts = matrix.tolist()
    wrong = np.flatnonzero(true != taken)
    first = wrong[np.argsort(-number[wrong], kind="stable")][:MOST_PAIRS]
    pairs = [
        [int(true[at]), -1 if taken[at] == num_classes else int(taken[at]), int(number[at])] for at in first.tolist()
    ]
    return {"num_rows": int(label.size), "num_wrong": int((label != truth).sum()), "counts": counts, "pairs": pairs}
