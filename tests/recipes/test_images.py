"""Settings from the size of the user's task."""

from dataclasses import asdict, replace

import pytest

from fewlabels.errors import ConfigError
from fewlabels.graph.settings import GraphSettings
from fewlabels.nets.settings import NetworkSettings
from fewlabels.recipes.images import ImageOptions, image_settings
from fewlabels.training.method_table import BY_WORD
from fewlabels.training.settings import AugmentSettings, Optimization, Phase, StrongAugment, TrainSettings


def test_unless_asked_for_something_else_it_is_label_propagation_on_the_small_network():
    found = image_settings(30, 970, 32, ImageOptions(seed=4))
    assert asdict(found) == asdict(
        TrainSettings(
            phases=(Phase("supervised", 400, 0.05, 30), Phase("lp", 32, 0.05, 30, 50)),
            graph=GraphSettings(),
            augment=AugmentSettings(translate=4, flip=True, rotate=5, stretch=0.1),
            network=NetworkSettings(dropout=0.3),
            optimization=Optimization(clip_norm=2.0),
            seed=4,
        )
    )


@pytest.mark.parametrize("method", BY_WORD)
def test_each_method_has_its_phases_and_epochs_go_to_the_last(method):
    settings = image_settings(100, 900, 32, ImageOptions(method=method, epochs=3))
    assert tuple(phase.method for phase in settings.phases) == BY_WORD[method].phases
    assert settings.phases[-1].epochs == 3
    assert all(phase.epochs > 3 for phase in settings.phases[:-1])


def test_mean_teacher_has_two_heads_and_the_papers_weights_and_others_their_share_of_labels():
    taught = image_settings(100, 900, 32, ImageOptions(method="mt+lp"))
    assert (taught.network.heads, taught.network.unit_descriptor, taught.consistency.weight) == (2, False, 100)
    weights = [image_settings(100, 900, 32, ImageOptions(method=name)).consistency.weight for name in ("pi", "te")]
    assert weights == pytest.approx([10, 3])


def test_another_network_keeps_its_own_dropout():
    options = ImageOptions(network="cnn13")
    assert image_settings(100, 900, 32, options).network == NetworkSettings("cnn13")
    assert image_settings(100, 900, 32, replace(options, network="small")).network.dropout == 0.3


def test_a_learning_rate_is_that_of_every_phase():
    made = image_settings(100, 900, 32, ImageOptions(method="mt+lp", learning_rate=0.01))
    assert [phase.learning_rate for phase in made.phases] == [0.01, 0.01]
    assert image_settings(100, 900, 32, ImageOptions()).phases[0].learning_rate == 0.05
    with pytest.raises(ConfigError, match="FL-C21"):
        image_settings(100, 900, 32, ImageOptions(learning_rate=0))


def test_a_scale_shortens_every_phase_but_named_epochs_stay():
    whole = image_settings(100, 900, 32, ImageOptions())
    short = image_settings(100, 900, 32, ImageOptions(scale=0.1))
    assert [phase.epochs for phase in short.phases] == [max(1, round(phase.epochs * 0.1)) for phase in whole.phases]
    assert replace(short, phases=whole.phases, optimization=whole.optimization, consistency=whole.consistency) == whole
    named = image_settings(100, 900, 32, ImageOptions(scale=0.1, epochs=7))
    assert [phase.epochs for phase in named.phases] == [short.phases[0].epochs, 7]
    with pytest.raises(ConfigError, match="FL-C58"):
        image_settings(100, 900, 32, ImageOptions(scale=0))


@pytest.mark.parametrize("method", ["match", "strong-lp", "match+lp"])
def test_methods_of_strong_views_count_pseudo_labels_whole_from_the_start_and_follow_in_a_hundred_steps(method):
    made = image_settings(100, 900, 32, ImageOptions(method=method))
    assert (made.consistency.weight, made.consistency.rampup_epochs, made.consistency.ema_decay) == (1.0, 0, 0.99)
    assert (made.matching.memory, made.matching.threshold, made.matching.strong) == (0.99, None, StrongAugment())
    assert (made.network.heads, made.network.unit_descriptor) == (1, False)
