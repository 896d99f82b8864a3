"""The methods on a task of seconds, and their losses by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings
from fewlabels.nets import ImageInput, NetworkSettings, Output, build_network
from fewlabels.training.callbacks import Callbacks
from fewlabels.training.evaluate import error_percent, evaluate
from fewlabels.training.loop import train
from fewlabels.training.losses import LossInputs, consistency, logit_distance, weighted_cross_entropy
from fewlabels.training.method_table import BY_NAME
from fewlabels.training.methods import METHODS
from fewlabels.training.settings import AugmentSettings, Consistency, Optimization, Phase, TrainSettings
from fewlabels.training.targets import BatchTargets
from fewlabels.training.teachers import ema_teacher, ensemble_teacher, pi_teacher

LOGITS = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
HEAD = torch.tensor([[0.5, 0.0], [0.0, 1.0]])
TEACHING = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
TARGETS = BatchTargets(torch.tensor([0, -1]), torch.tensor([2.0, 0.0]))


def settings_for(method, epochs=4, **more):
    phase = Phase(method, epochs, 0.05, 4, 0 if method == "supervised" else 12)
    return TrainSettings(
        phases=(Phase("supervised", 20, 0.05, 4), phase),
        graph=GraphSettings(n_neighbors=5, **more.pop("graph", {})),
        augment=AugmentSettings(translate=1, flip=True),
        network=NetworkSettings(width=4, **more.pop("network", {})),
        **more,
    )


def small():
    return build_network(NetworkSettings(width=4), ImageInput(1, 8), 2)


def builder(settings):
    def build(purpose):
        torch.manual_seed(len(purpose))
        return build_network(settings.network, ImageInput(1, 8), 2)

    return build


def seen(output, weight=100.0):
    return LossInputs(output, TARGETS, TEACHING, torch.tensor(weight), TARGETS.label >= 0)


def test_the_losses_of_a_tiny_batch_by_hand():
    output = Output(LOGITS, torch.zeros(2, 1), HEAD)
    # -log softmax([1, 0])[0] = log(1 + e^-1) = 0.31326; times weight 2, over the whole batch of 2
    assert float(weighted_cross_entropy(seen(output))) == pytest.approx(0.313262, abs=1e-6)
    # softmax of the second head: (0.62246, 0.37754), (0.26894, 0.73106)
    squares = 2 * (0.622459 - 0.9) ** 2 + 2 * (0.268941 - 0.2) ** 2
    assert float(consistency(seen(output))) == pytest.approx(100 * squares / 2 / 2, rel=1e-5)
    assert float(logit_distance(seen(output))) == pytest.approx((0.25 + 1.0) / 2 / 2)


def test_with_one_head_the_class_head_is_the_one_that_agrees():
    output = Output(LOGITS, torch.zeros(2, 1))
    squares = 2 * (0.731059 - 0.9) ** 2 + 2 * (0.119203 - 0.2) ** 2
    assert float(consistency(seen(output, 1.0))) == pytest.approx(squares / 4, rel=1e-5)


@pytest.mark.parametrize("method", BY_NAME)
@pytest.mark.parametrize("heads", [1, 2])
def test_every_method_learns_the_stripes(stripes, method, heads):
    images, labels, truth = stripes
    settings = settings_for(method, 8, network={"heads": heads})
    settings = replace(settings, consistency=Consistency(weight=1.0, rampup_epochs=2))
    found = train(builder(settings), images, labels, settings)
    assert error_percent(evaluate(found.network, images).logits, truth) <= 10
    assert (found.teacher is not None) == BY_NAME[method].ema_teacher
    if found.teacher is not None:
        assert error_percent(evaluate(found.teacher, images).logits, truth) <= 10


def test_methods_are_what_they_are_made_of():
    made = {name: METHODS[name](settings_for(name)) for name in BY_NAME}
    assert {name for name in BY_NAME if made[name].teacher is None} == {"supervised", "lp"}
    assert {name: len(one.terms) for name, one in made.items()} == {
        "supervised": 1,
        "pi_model": 2,
        "temporal_ensembling": 2,
        "mean_teacher": 2,
        "lp": 1,
        "mt_lp": 2,
        "match": 2,
        "strong_lp": 2,
        "match_lp": 2,
    }
    assert len(METHODS["mt_lp"](settings_for("mt_lp", network={"heads": 2})).terms) == 3


@pytest.mark.parametrize("method", ["pi_model", "temporal_ensembling", "mean_teacher"])
def test_a_consistency_of_weight_zero_is_the_loss_of_the_labels_alone(stripes, method):
    """Pseudo-labels and consistency aside, these methods differ from supervised training by their batches alone."""
    images, labels, _ = stripes
    losses = {}
    for name in (method, "mean_teacher"):
        settings = replace(settings_for(name, 2), consistency=Consistency(weight=0.0))
        reports = []
        train(builder(settings), images, labels, settings, callbacks=Callbacks(on_epoch=reports.append))
        losses[name] = [report.loss for report in reports]
    assert losses[method] == losses["mean_teacher"]


def test_the_average_teacher_follows_parameters_and_keeps_its_own_statistics():
    student = small()
    teacher = ema_teacher(student, None)
    start = [value.clone() for value in teacher.network.parameters()]
    with torch.no_grad():
        for value in student.parameters():
            value += 1
        student.trunk[0][1].running_mean += 5
    teacher.follow(torch.tensor(0.75))
    for old, new in zip(start, teacher.network.parameters(), strict=True):
        assert torch.allclose(new, old + 0.25)
    assert not any(value.requires_grad for value in teacher.network.parameters())
    assert torch.equal(teacher.network.trunk[0][1].running_mean, torch.zeros(4))
    before = teacher.network.trunk[0][1].running_mean.clone()
    teacher.teach(torch.rand(6, 1, 8, 8) * 255, torch.arange(6), Output(torch.zeros(6, 2), torch.zeros(6, 1)))
    assert not torch.equal(teacher.network.trunk[0][1].running_mean, before)  # train mode, its own forward pass


def test_the_first_prediction_is_remembered_whole_and_older_ones_fade():
    teacher = ensemble_teacher(3, 2, 0.6, torch.device("cpu"))
    rows = torch.tensor([1])

    def says(*share):
        output = Output(torch.log(torch.tensor([share])), torch.zeros(1, 1))
        return teacher.teach(torch.zeros(1), rows, output)[0].tolist()

    assert says(0.9, 0.1) == pytest.approx([0.9, 0.1])  # nothing remembered yet: its own word
    assert says(0.5, 0.5) == pytest.approx([0.9, 0.1])  # 0.4 * 0.9 / (1 - 0.6)
    assert says(0.5, 0.5) == pytest.approx([0.65, 0.35], abs=1e-6)  # (0.6 * 0.4 * 0.9 + 0.4 * 0.5) / (1 - 0.36)
    assert teacher.state.count.tolist() == [0, 3, 0]


def test_the_pi_model_teaches_without_gradient():
    student = small()
    output = Output(torch.zeros(4, 2), torch.zeros(4))
    taught = pi_teacher(student).teach(torch.rand(4, 1, 8, 8), torch.arange(4), output)
    assert not taught.requires_grad
    assert torch.allclose(taught.sum(dim=1), torch.ones(4))


def test_released_rules_start_each_teacher_from_weights_of_its_own(stripes):
    images, labels, _ = stripes
    asked = {}
    for mode in ("paper", "released"):
        settings = replace(
            settings_for("mt_lp", 1, graph={"mode": mode}),
            phases=(Phase("mean_teacher", 1, 0.05, 4, 12), Phase("mt_lp", 1, 0.05, 4, 12)),
        )
        calls = []

        def build(purpose, calls=calls, settings=settings):
            calls.append(purpose)
            return builder(settings)(purpose)

        train(build, images, labels, settings)
        asked[mode] = calls
    assert asked == {"paper": ["student"], "released": ["student", "teacher 0", "teacher 1"]}


def test_momentum_is_kept_between_phases_by_released_rules_alone(stripes):
    """A second phase with a learning rate of nearly nothing moves on momentum, or does not."""
    images, labels, _ = stripes
    moved = {}
    for mode in ("paper", "released"):
        states = []
        settings = replace(
            settings_for("lp", 1, graph={"mode": mode}),
            phases=(Phase("supervised", 3, 0.05, 4), Phase("supervised", 1, 1e-4, 4)),
            optimization=Optimization(weight_decay=0.0),
        )

        def noted(report, states=states):
            states.append(torch.cat([value.detach().ravel().clone() for value in report.network.parameters()]))

        train(builder(settings), images, labels, settings, callbacks=Callbacks(on_epoch=noted))
        moved[mode] = float((states[-1] - states[-2]).norm())
    assert moved["released"] > 1.5 * moved["paper"]


def test_released_rules_describe_augmented_images(stripes):
    images, labels, _ = stripes
    found = {}
    for mode in ("paper", "released"):
        settings = settings_for("lp", 2, graph={"mode": mode, "recall": "exact"})
        sums = []

        def noted(targets, sums=sums):
            if targets.propagation is not None:
                sums.append(targets.propagation.graph.affinity.sum())
            return {}

        train(builder(settings), images, labels, settings, callbacks=Callbacks(on_targets=noted))
        found[mode] = sums
    assert found["paper"][0] != found["released"][0]
    assert all(np.isfinite(found["released"]))


@pytest.mark.parametrize(
    "bad",
    [
        lambda: Consistency(weight=-1),
        lambda: Consistency(ema_decay=1.0),
        lambda: Consistency(rampup_epochs=-1),
        lambda: Optimization(optimizer="adagrad"),
        lambda: Optimization(schedule="steps"),
        lambda: Optimization(momentum=1.0),
        lambda: Optimization(rampdown_epochs=-1),
        lambda: Optimization(clip_norm=0.0),
        lambda: Phase("magic", 1, 0.1, 1, 1),
        lambda: Phase("mean_teacher", 1, 0.1, 1),
        lambda: Phase("supervised", 1, 0.1, 1, 5),
    ],
)
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match=r"FL-C(13|21|24|37)"):
        bad()


def test_adam_trains_too_with_its_beta_ramped(stripes):
    images, labels, truth = stripes
    settings = replace(
        settings_for("pi_model", 10),
        optimization=Optimization(
            optimizer="adam", weight_decay=0.0, schedule="ramps", rampup_epochs=2, rampdown_epochs=3
        ),
        consistency=Consistency(weight=1.0, rampup_epochs=2),
    )
    found = train(builder(settings), images, labels, settings)
    assert error_percent(evaluate(found.network, images).logits, truth) <= 10
