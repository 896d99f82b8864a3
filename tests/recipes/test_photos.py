"""Settings of a head on a frozen trunk."""

from dataclasses import replace

import pytest

from fewlabels.nets.settings import NetworkSettings
from fewlabels.recipes.images import ImageOptions
from fewlabels.recipes.photos import PHOTO_GRAPH, photo_settings
from fewlabels.training.method_table import BY_WORD

HEAD = NetworkSettings("frozen:efficientnet-lite0")


def test_a_head_learns_from_all_photos_at_once_for_five_epochs_or_six_hundred_steps():
    many = photo_settings(50, 9950, HEAD, ImageOptions(graph=PHOTO_GRAPH))
    assert [(phase.method, phase.epochs) for phase in many.phases] == [("lp", 5)]
    few = photo_settings(20, 1000, HEAD, ImageOptions())
    assert [(phase.method, phase.epochs, phase.batch_labeled) for phase in few.phases] == [("lp", 30, 20)]
    assert many.graph == PHOTO_GRAPH


def test_alone_the_labels_have_a_phase_of_their_own():
    found = photo_settings(50, 9950, HEAD, ImageOptions("supervised"))
    assert [(phase.method, phase.epochs) for phase in found.phases] == [("supervised", 200)]


@pytest.mark.parametrize("method", BY_WORD)
def test_other_methods_keep_their_phases_and_heads(method):
    found = photo_settings(50, 950, HEAD, ImageOptions(method, epochs=7))
    expected = [name for name in BY_WORD[method].phases if name != "supervised"] or ["supervised"]
    assert [phase.method for phase in found.phases] == expected
    assert found.network == replace(HEAD, heads=2 if expected[0] == "mean_teacher" else 1)
    assert found.phases[-1].epochs == 7


def test_the_only_change_of_a_photo_is_its_mirror_image_where_it_was_described_too():
    assert not photo_settings(50, 950, HEAD, ImageOptions()).augment.flip
    mirrored = photo_settings(50, 950, replace(HEAD, mirror=True), ImageOptions()).augment
    assert (mirrored.flip, mirrored.translate, mirrored.rotate) == (True, 0, 0)


@pytest.mark.parametrize("method", ["match", "strong-lp", "match+lp"])
def test_descriptors_have_no_strong_view(method):
    made = photo_settings(50, 950, HEAD, ImageOptions(method))
    assert made.matching.strong is None
    assert (made.consistency.weight, made.consistency.rampup_epochs) == (1.0, 0)
