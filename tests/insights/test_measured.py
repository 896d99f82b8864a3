"""Mistakes on held-out labels and on test images, as a report shows them."""

import numpy as np
import pytest

from fewlabels.commands.cross_validation import CrossValidated
from fewlabels.insights.measured import Measured, add_held_out, add_tested
from fewlabels.insights.schema import SUSPICIOUS, WRONG, Insights, Tile

TILE = Tile(group=SUSPICIOUS, class_number=0, id="by heart", label=1, truth=-1, certainty=1.0, score=0.5, image=None)
BEFORE = Insights({"confusion": None, "suspicious": {"num_contradicted": 0}}, None, [TILE])
CHECKED = CrossValidated(
    rows=np.array([3, 5, 8]),
    classes=np.array([0, 1, 1]),
    logits=np.array([[4.0, 0.0], [0.0, 4.0], [3.0, 0.0]]),
    num_labeled=4,
    num_folds=3,
)


def describe(row):
    return f"photo {row}", None


def test_held_out_labels_say_what_is_contradicted_instead_of_a_network_that_knows_them():
    found = add_held_out(BEFORE, CHECKED.contradictions(), describe)
    assert found.values["suspicious"] == {"num_labelled": 4, "num_checked": 3, "num_contradicted": 1}
    assert [(tile.id, tile.class_number, tile.label) for tile in found.tiles] == [("photo 8", 1, 0)]
    assert found.values["confusion"]["of"] == "held_out"
    assert found.values["confusion"]["counts"] == [[1, 0, 0], [1, 1, 0]]


def test_test_images_come_before_held_out_labels_in_the_confusions():
    tested = Measured(
        label=np.array([0, 1, 1, 0]),
        truth=np.array([0, 0, 1, 1]),
        probability=np.array([0.9, 0.6, 0.8, 0.7]),
        num_classes=2,
    )
    found = add_held_out(add_tested(BEFORE, tested, describe), CHECKED.contradictions(), describe)
    assert found.values["confusion"]["of"] == "test"
    assert found.values["confusion"]["num_wrong"] == 2
    wrong = [(tile.id, tile.label, tile.truth, tile.certainty) for tile in found.tiles if tile.group == WRONG]
    assert wrong == [("photo 3", 0, 1, 0.7), ("photo 1", 1, 0, 0.6)]


def test_the_cross_validated_error_has_an_interval_and_counts_by_class():
    facts = CHECKED.facts()
    assert facts["error"] == pytest.approx(100 / 3)
    assert facts["low"] < facts["error"] < facts["high"]
    assert (facts["class_held_out"], facts["class_wrong"]) == ([1, 2], [0, 1])
