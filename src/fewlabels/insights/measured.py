"""What held-out labels and test images add to the insights of a run: mistakes that the network really makes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph import LeaveOneOut
from .compute import MOST_SUSPICIOUS, Describe, count_confusions
from .schema import SUSPICIOUS, WRONG, Insights, Tile

MOST_WRONG = 24


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a network said of test images. label, truth: (t,) int64. probability: (t,) of the label. num_classes: c."""

    label: NDArray[np.int64]
    truth: NDArray[np.int64]
    probability: NDArray[np.float64]
    num_classes: int


def add_held_out(insights: Insights, checked: LeaveOneOut, describe: Describe) -> Insights:
    """Insights whose contradicted labels and, where nothing else is known, confusions are those of held-out labels.

    checked: what networks that had not seen them said of given labels. describe: row -> id and PNG.
    """
    suspicious = {
        "num_labelled": checked.num_labelled,
        "num_checked": len(checked.rows),
        "num_contradicted": int((checked.suspicion > 0).sum()),
    }
    values = insights.values | {"suspicious": suspicious}
    if values.get("confusion") is None:
        values |= _name(count_confusions(checked.label, checked.given, checked.distribution.shape[1]), "held_out")
    worst = np.argsort(-checked.suspicion, kind="stable")[:MOST_SUSPICIOUS]
    tiles = [_make_suspicious(checked, at, describe) for at in worst.tolist() if checked.suspicion[at] > 0]
    kept = [tile for tile in insights.tiles if tile.group != SUSPICIOUS]
    return replace(insights, values=values, tiles=[*kept, *tiles])


def add_tested(insights: Insights, tested: Measured, describe: Describe) -> Insights:
    """Insights with the confusions of test images, and those that the network got wrong and was surest of.

    describe: number of a test image -> id and PNG.
    """
    found = _name(count_confusions(tested.label, tested.truth, tested.num_classes), "test")
    wrong = np.flatnonzero(tested.label != tested.truth)
    worst = wrong[np.argsort(-tested.probability[wrong], kind="stable")][:MOST_WRONG]
    tiles = []
    for at in worst.tolist():
        id, image = describe(at)
        sure = float(tested.probability[at])
        label, truth = int(tested.label[at]), int(tested.truth[at])
        tile = Tile(
            group=WRONG,
            class_number=label,
            id=id,
            label=label,
            truth=truth,
            certainty=sure,
            score=sure,
            image=image,
        )
        tiles.append(tile)
    return replace(insights, values=insights.values | found, tiles=[*insights.tiles, *tiles])


def _name(confusion: dict[str, Any] | None, of: str) -> dict[str, Any]:
    """The confusions under their key. of: whose they are, "test" or "held_out"; without it they are pseudo-labels'."""
    return {"confusion": None if confusion is None else confusion | {"of": of}}


def _make_suspicious(checked: LeaveOneOut, at: int, describe: Describe) -> Tile:
    id, image = describe(int(checked.rows[at]))
    return Tile(
        group=SUSPICIOUS,
        class_number=int(checked.given[at]),
        id=id,
        label=int(checked.label[at]),
        truth=-1,
        certainty=float(checked.certainty[at]),
        score=float(checked.suspicion[at]),
        image=image,
    )
