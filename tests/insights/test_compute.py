import io

import numpy as np
import pytest
from PIL import Image

from fewlabels.data.images.pictures import thumbnail
from fewlabels.graph import GraphSettings, propagate
from fewlabels.insights.compute import compute_insights
from fewlabels.insights.schema import gallery_bytes, map_bytes

SETTINGS = GraphSettings(n_neighbors=5)


def computed(num_rows=90, wrong=(), known=True):
    """(insights, propagation, labels) of rows around three centres, every ninth labelled, some of these with the next
    class."""
    rng = np.random.default_rng(1)
    truth = np.arange(num_rows) % 3
    rows = rng.normal(size=(3, 6))[truth] + 0.1 * rng.normal(size=(num_rows, 6))
    labels = np.where(np.arange(num_rows) // 3 % 3 == 0, truth, -1)
    labels[list(wrong)] = (truth[list(wrong)] + 1) % 3
    found = propagate(rows, labels, SETTINGS)
    truth = truth if known else None
    insights = compute_insights(found, rows, labels, SETTINGS, lambda row: (f"row {row}", None), truth=truth)
    return insights, found, labels


def test_a_given_label_that_all_others_contradict_is_in_the_gallery_with_what_they_say():
    found, _, _ = computed(wrong=[9])
    first = next(tile for tile in found.tiles if tile.group == "suspicious")
    assert (first.id, first.class_number, first.label, first.truth) == ("row 9", 1, 0, 0)
    assert found.values["suspicious"]["num_checked"] == 30
    assert found.values["suspicious"]["num_contradicted"] >= 1


def test_each_class_shows_its_least_and_its_most_certain_rows_in_order():
    found, propagation, labels = computed()
    certainty = propagation.pseudo_labels.certainty
    for number in range(3):
        own = np.flatnonzero((propagation.pseudo_labels.label == number) & (labels < 0))
        for group, order in (("doubtful", certainty[own]), ("certain", -certainty[own])):
            shown = [tile for tile in found.tiles if tile.group == group and tile.class_number == number]
            wanted = own[np.argsort(order, kind="stable")][:6]
            assert [tile.certainty for tile in shown] == certainty[wanted].tolist()
            assert len({tile.id for tile in shown}) == 6


def test_a_class_of_few_rows_shows_none_of_them_twice():
    found, _, _ = computed(num_rows=12)
    shown = [tile.id for tile in found.tiles if tile.group != "suspicious"]
    assert len(shown) == len(set(shown)) == 6


def test_the_same_run_gives_the_same_bytes():
    one, other = (computed(num_rows=240, wrong=[9])[0] for _ in range(2))
    assert one.values == other.values
    assert gallery_bytes(one.tiles) == gallery_bytes(other.tiles)
    assert map_bytes(one.points) == map_bytes(other.points)


def test_what_needs_the_truth_is_left_out_where_it_is_unknown():
    found, _, _ = computed(known=False)
    assert found.values["reliability"] is found.values["confusion"] is None
    assert {tile.truth for tile in found.tiles} == {-1}


def test_degrees_and_components_add_up():
    found, propagation, _ = computed()
    values = found.values
    assert sum(values["degrees"]["counts"]) == propagation.graph.degree.size
    assert sum(values["components"]["largest"]) <= 90
    assert values["components"]["rows_without_label"] == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 200])
def test_a_thumbnail_is_a_png_of_at_most_64_pixels(channels, side):
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, channels), dtype=np.uint8)
    image = Image.open(io.BytesIO(thumbnail(pixels)))
    assert image.format == "PNG"
    assert image.size == (min(side, 64), min(side, 64))
    assert thumbnail(pixels) == thumbnail(pixels)
