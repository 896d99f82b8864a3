"""Every constant of the paper's protocol, in the settings that `fewlabels reproduce` trains with."""

from dataclasses import replace

import numpy as np
import pytest

from fewlabels.data.benchmarks.facts import BENCHMARKS, CIFAR10, CIFAR100, MINI_IMAGENET
from fewlabels.errors import ConfigError
from fewlabels.nets import ImageInput, build_network, count_parameters
from fewlabels.recipes.paper import FORWARDS, PROTOCOLS, paper_settings, petaflops, scale_schedule
from fewlabels.training.epoch import adam_beta1, batch_size, consistency_weight, count_steps, ema_decay, learning_rate
from fewlabels.training.method_table import BY_WORD
from fewlabels.training.methods import METHODS
from fewlabels.training.settings import Matching

OWN = ("supervised", "lp", "mt", "mt+lp")


def labels(num_labels, num_images=50_000):
    found = np.full(num_images, -1)
    found[:num_labels] = 0
    return found


def steps(benchmark, num_labels, method):
    """Steps of an epoch in each phase, as the loop counts them."""
    phases = paper_settings(benchmark, num_labels, method).phases
    return [count_steps(phase, labels(num_labels)) for phase in phases]


@pytest.mark.parametrize(
    ("benchmark", "num_labels", "labeled_only", "two_streams"),
    [
        (CIFAR10, 500, 5, 990),
        (CIFAR10, 1000, 10, 980),
        (CIFAR10, 2000, 20, 960),
        (CIFAR10, 4000, 40, 920),
        (CIFAR100, 4000, 31, 474),
        (CIFAR100, 10_000, 78, 412),
        (MINI_IMAGENET, 4000, 31, 474),
        (MINI_IMAGENET, 10_000, 78, 412),
    ],
)
def test_an_epoch_has_the_papers_steps(benchmark, num_labels, labeled_only, two_streams):
    assert steps(benchmark, num_labels, "supervised") == [labeled_only]
    assert steps(benchmark, num_labels, "lp") == [labeled_only, two_streams]
    assert steps(benchmark, num_labels, "mt") == [two_streams]
    assert steps(benchmark, num_labels, "mt+lp") == [two_streams, two_streams]
    for method in OWN:
        phases = paper_settings(benchmark, num_labels, method).phases
        counted = [phase.count_steps(num_labels, benchmark.num_train - num_labels) for phase in phases]
        assert counted == steps(benchmark, num_labels, method)


@pytest.mark.parametrize(("num_labels", "total"), [(500, 900), (1000, 1800), (2000, 3600), (4000, 7200)])
def test_labelled_images_alone_take_180_epochs_of_cifar10(num_labels, total):
    (phase,) = paper_settings(CIFAR10, num_labels, "supervised").phases
    assert phase.epochs * count_steps(phase, labels(num_labels)) == total


def test_two_streams_take_178200_steps_of_cifar10_with_500_labels():
    for method, number in (("lp", 1), ("mt", 0), ("mt+lp", 0), ("mt+lp", 1)):
        phase = paper_settings(CIFAR10, 500, method).phases[number]
        assert phase.epochs * count_steps(phase, labels(500)) == 178_200


@pytest.mark.parametrize(
    ("benchmark", "labeled", "unlabeled", "rate"),
    [(CIFAR10, 50, 50, 0.05), (CIFAR100, 31, 97, 0.2), (MINI_IMAGENET, 31, 97, 0.2)],
)
def test_batches_and_learning_rates_are_the_papers(benchmark, labeled, unlabeled, rate):
    for method in OWN:
        assert paper_settings(benchmark, 4000, method).optimization.clip_norm is None
        for phase in paper_settings(benchmark, 4000, method).phases:
            assert (phase.epochs, phase.learning_rate) == (180, rate)
            assert batch_size(phase, labels(4000)) == labeled + unlabeled
            if phase.method == "supervised":
                assert (phase.batch_labeled, phase.batch_unlabeled) == (labeled + unlabeled, 0)
            else:
                assert (phase.batch_labeled, phase.batch_unlabeled) == (labeled, unlabeled)


@pytest.mark.parametrize("method", OWN)
@pytest.mark.parametrize(("benchmark", "last"), [(CIFAR10, 0.002476), (CIFAR100, 0.009903), (MINI_IMAGENET, 0.009903)])
def test_every_phase_begins_at_its_largest_learning_rate_and_ends_a_twentieth_below(method, benchmark, last):
    settings = paper_settings(benchmark, 4000, method)
    for phase in settings.phases:
        assert learning_rate(phase, settings.optimization, 0) == PROTOCOLS[benchmark.name].learning_rate
        assert learning_rate(phase, settings.optimization, 180) == pytest.approx(last, abs=5e-7)
        assert learning_rate(phase, settings.optimization, 90) == pytest.approx(
            phase.learning_rate * 0.5 * (1 + np.cos(np.pi * 90 / 210))
        )


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
@pytest.mark.parametrize("method", OWN)
def test_the_optimiser_is_the_released_codes(benchmark, method):
    optimization = paper_settings(benchmark, 4000, method).optimization
    assert (optimization.optimizer, optimization.momentum, optimization.weight_decay) == ("sgd", 0.9, 2e-4)


def test_the_teachers_word_grows_as_in_the_released_code():
    consistency = paper_settings(CIFAR10, 500, "mt+lp").consistency
    found = [consistency_weight(consistency, epoch) for epoch in range(7)]
    assert found == pytest.approx([0.674, 4.076, 16.53, 44.93, 81.87, 100, 100], rel=1e-3)


def test_the_teacher_averages_as_in_the_released_code():
    decay = paper_settings(CIFAR10, 500, "mt").consistency.ema_decay
    found = [ema_decay(step, decay) for step in (1, 2, 32, 33, 1000)]
    assert found == pytest.approx([0.5, 2 / 3, 32 / 33, 0.97, 0.97])
    assert found[2] < 0.97


def test_two_heads_are_kept_together_with_a_hundredth():
    settings = paper_settings(CIFAR10, 500, "mt")
    assert settings.consistency.logit_distance == 0.01
    assert len(METHODS["mean_teacher"](settings).terms) == 3  # classes, consistency, distance of the heads


@pytest.mark.parametrize(
    ("benchmark", "method", "parameters"),
    [
        (CIFAR10, "lp", 3_125_908),
        (CIFAR10, "mt+lp", 3_127_208),
        (CIFAR100, "supervised", 3_137_608),
        (MINI_IMAGENET, "lp", 11_176_512 + 51_300),
    ],
)
def test_the_network_has_the_papers_parameters(benchmark, method, parameters):
    settings = paper_settings(benchmark, 4000, method)
    network = build_network(settings.network, ImageInput(3, benchmark.side), benchmark.num_classes)
    assert count_parameters(network) == parameters


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_descriptors_have_unit_length_for_lp_and_heads_are_two_for_mean_teacher(benchmark):
    for method, unit, heads in (("supervised", True, 1), ("lp", True, 1), ("mt", False, 2), ("mt+lp", False, 2)):
        network = paper_settings(benchmark, 4000, method).network
        assert (network.unit_descriptor, network.heads) == (unit, heads)
        assert network.name == ("resnet18" if benchmark is MINI_IMAGENET else "cnn13")
    assert paper_settings(CIFAR10, 500, "lp").network.option("dropout") == 0.5


@pytest.mark.parametrize("method", BY_WORD)
def test_the_graph_is_the_papers_in_the_mode_asked_for(method):
    graph = paper_settings(CIFAR10, 500, method).graph
    assert (graph.n_neighbors, graph.gamma, graph.alpha, graph.mode) == (50, 3, 0.99, "released")
    rules = paper_settings(CIFAR10, 500, method, mode="paper").rules
    assert (rules.augmented_descriptors, rules.fresh_teacher, rules.keep_momentum) == (False, False, False)
    rules = paper_settings(CIFAR10, 500, method).rules
    assert (rules.augmented_descriptors, rules.fresh_teacher, rules.keep_momentum) == (True, True, True)


def test_images_are_changed_as_in_the_released_code():
    for benchmark in (CIFAR10, CIFAR100):
        augment = paper_settings(benchmark, 4000, "lp").augment
        assert (augment.translate, augment.flip, augment.rotate, augment.pad) == (4, True, 0, "reflect")
    augment = paper_settings(MINI_IMAGENET, 4000, "lp").augment
    assert (augment.translate, augment.flip, augment.rotate, augment.pad) == (8, True, 10, "zeros")


def test_images_are_normalised_as_in_the_released_code():
    for benchmark in (CIFAR10, CIFAR100):  # both with CIFAR-10's numbers
        assert benchmark.mean == (0.4914, 0.4822, 0.4465)
        assert benchmark.std == (0.2470, 0.2435, 0.2616)
    assert [255 * value for value in MINI_IMAGENET.mean] == pytest.approx([120.396, 115.594, 104.540])
    assert [255 * value for value in MINI_IMAGENET.std] == pytest.approx([70.682, 68.276, 72.545])


def test_the_papers_splits_are_ten_and_three():
    assert PROTOCOLS["cifar10"].splits == tuple(range(10, 20))
    assert PROTOCOLS["cifar100"].splits == PROTOCOLS["mini-imagenet"].splits == (10, 11, 12)
    assert [len(protocol.label_counts) for protocol in PROTOCOLS.values()] == [4, 2, 2]


@pytest.mark.parametrize(
    ("benchmark", "num_labels", "work"),
    [
        (CIFAR10, 500, (0.39, 91.8, 104, 222)),
        (CIFAR10, 4000, (3.2, 89, 97, 207)),
        (CIFAR100, 4000, (3.1, 64, 64, 141)),
        (CIFAR100, 10_000, (7.9, 63, 56, 124)),
        (MINI_IMAGENET, 4000, (1.3, 26, 26, 57)),
        (MINI_IMAGENET, 10_000, (3.2, 25, 22, 50)),
    ],
)
def test_the_work_of_a_split_is_what_was_counted_by_hand(benchmark, num_labels, work):
    found = [petaflops(paper_settings(benchmark, num_labels, method), num_labels, benchmark) for method in OWN]
    assert found == pytest.approx(work, rel=0.025)


@pytest.mark.parametrize(
    ("benchmark", "num_labels", "method", "weight"),
    [
        (CIFAR10, 4000, "pi", 8.0),
        (CIFAR10, 500, "pi", 1.0),
        (CIFAR10, 4000, "te", 2.4),
        (CIFAR100, 10_000, "pi", 20.0),
        (CIFAR100, 10_000, "te", 20.0),
    ],
)
def test_ensembling_methods_have_laine_and_ailas_constants(benchmark, num_labels, method, weight):
    settings = paper_settings(benchmark, num_labels, method)
    (phase,) = settings.phases
    assert (phase.epochs, phase.learning_rate, phase.batch_labeled + phase.batch_unlabeled) == (300, 0.003, 100)
    assert count_steps(phase, labels(num_labels)) == 500  # as 50,000 images in batches of 100
    assert phase.batch_labeled / 100 == num_labels / 50_000
    assert settings.consistency.memory == 0.6
    assert consistency_weight(settings.consistency, 80) == pytest.approx(weight)
    assert consistency_weight(settings.consistency, 0) == pytest.approx(weight * np.exp(-5))
    assert (settings.optimization.optimizer, settings.augment.translate) == ("adam", 2)
    rates = [learning_rate(phase, settings.optimization, epoch) for epoch in (0, 80, 250, 300)]
    assert rates == pytest.approx([0.003 * np.exp(-5), 0.003, 0.003, 0.003 * np.exp(-12.5)])
    betas = [adam_beta1(phase, settings.optimization, epoch) for epoch in (0, 250, 300)]
    assert betas == pytest.approx([0.9, 0.9, 0.5], abs=1e-5)


def test_a_scaled_schedule_is_shorter_throughout_and_falls_as_far():
    whole = paper_settings(CIFAR10, 500, "mt+lp", seed=3)
    short = scale_schedule(whole, 0.05)
    assert [phase.epochs for phase in short.phases] == [9, 9]
    assert short.consistency.rampup_epochs == 1
    for one, other in zip(short.phases, whole.phases, strict=True):
        assert replace(one, epochs=180) == other
        assert learning_rate(one, short.optimization, 9) == pytest.approx(learning_rate(other, whole.optimization, 180))
    ramps = scale_schedule(paper_settings(CIFAR10, 4000, "te"), 0.1)
    assert (ramps.phases[0].epochs, ramps.optimization.rampup_epochs, ramps.optimization.rampdown_epochs) == (30, 8, 5)
    assert [phase.epochs for phase in scale_schedule(whole, 1e-6).phases] == [1, 1]
    assert scale_schedule(whole, 1) == whole


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_a_scale_that_is_no_share_is_refused(share):
    with pytest.raises(ConfigError, match="FL-C58"):
        scale_schedule(paper_settings(CIFAR10, 500, "lp"), share)


def test_what_the_paper_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="FL-C54"):
        paper_settings(replace(CIFAR10, name="svhn"), 500, "lp")
    with pytest.raises(ConfigError, match="FL-C24"):
        paper_settings(CIFAR10, 500, "vat")


@pytest.mark.parametrize("method", ["match", "strong-lp", "match+lp"])
def test_newer_methods_have_fixmatchs_constants_on_the_papers_data_network_and_batches(method):
    made, paper = (paper_settings(CIFAR10, 500, word) for word in (method, "lp"))
    (phase,) = made.phases
    assert replace(phase, method="lp") == paper.phases[1]
    assert (made.network.name, made.network.option("dropout"), made.augment) == ("cnn13", 0.0, paper.augment)
    assert (made.optimization.weight_decay, made.optimization.cosine_stretch) == (5e-4, 1.0)
    assert (made.consistency.weight, made.consistency.rampup_epochs, made.consistency.ema_decay) == (1.0, 0, 0.999)
    assert not made.network.unit_descriptor
    assert made.matching == Matching()
    assert FORWARDS[phase.method] == FORWARDS["mt_lp"]
