"""The training loop on a task of seconds: two kinds of stripes, a handful of labels."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewlabels.errors import NumericsError
from fewlabels.graph import GraphSettings
from fewlabels.nets import ImageInput, NetworkSettings, build_network
from fewlabels.training.callbacks import Callbacks, Request
from fewlabels.training.epoch import batch_size, count_steps
from fewlabels.training.evaluate import error_percent, evaluate
from fewlabels.training.execution import Execution
from fewlabels.training.loop import train
from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings
from fewlabels.training.targets import PartialLabels

SETTINGS = TrainSettings(
    phases=(Phase("supervised", 4, 0.05, 4), Phase("lp", 3, 0.05, 4, 12)),
    graph=GraphSettings(n_neighbors=5),
    augment=AugmentSettings(translate=1, flip=True),
    network=NetworkSettings(width=4),
)


def trained(task, settings=SETTINGS, on_epoch=None, build=None, **more):
    """The network after training on the task; the first draws weights as the second phase's teacher would."""
    images, labels, _ = task
    callbacks = Callbacks(on_epoch=on_epoch) if on_epoch else None
    return train(build or builder(settings), images, labels, settings, callbacks=callbacks, **more).network


def builder(settings):
    def build(purpose):
        torch.manual_seed(len(purpose))
        return build_network(settings.network, ImageInput(1, 8), 2)

    return build


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_learns(stripes):
    images, _, truth = stripes
    longer = replace(SETTINGS, phases=(Phase("supervised", 20, 0.05, 4), Phase("lp", 10, 0.05, 4, 12)))
    assert error_percent(evaluate(trained(stripes, longer), images).logits, truth) == 0


def test_the_watcher_sees_every_epoch_with_its_targets(stripes):
    reports, targets = [], []

    def noted(found):
        targets.append(found)
        return {"reached": int((found.label >= 0).sum())}

    callbacks = Callbacks(on_epoch=reports.append, on_targets=noted)
    train(builder(SETTINGS), stripes[0], stripes[1], SETTINGS, callbacks=callbacks)
    assert [(r.phase.method, r.phase_index, r.number, r.steps) for r in reports] == [
        *(("supervised", 0, number, 1) for number in range(4)),
        *(("lp", 1, number, 4) for number in range(3)),
    ]
    assert all(found.propagation is None for found in targets[:4])
    assert all((found.label >= 0).all() and found.propagation is not None for found in targets[4:])
    assert [report.facts for report in reports] == [{"reached": 4}] * 4 + [{"reached": 60}] * 3
    assert [reports[0].learning_rate, reports[4].learning_rate < 0.05] == [0.05, True]  # the last step of each
    assert all(np.isfinite(r.loss) for r in reports)


def test_the_same_seed_gives_the_same_weights_to_the_bit(stripes):
    assert same(trained(stripes), trained(stripes))
    assert not same(trained(stripes), trained(stripes, replace(SETTINGS, seed=1)))


def test_dropout_is_drawn_by_counter_too_and_leaves_the_global_generator_alone(stripes):
    dropped = replace(SETTINGS, network=NetworkSettings(width=4, dropout=0.3))
    torch.manual_seed(1)
    first, after = trained(stripes, dropped), torch.rand(3)
    torch.rand(100)  # whatever else draws in between
    torch.manual_seed(1)
    assert same(first, trained(stripes, dropped))
    assert torch.equal(after, torch.rand(3))


def test_a_watcher_that_draws_changes_nothing(stripes):
    assert same(trained(stripes), trained(stripes, on_epoch=lambda report: torch.rand(3)))


def test_images_in_another_order_of_labels_train_another_network(stripes):
    images, labels, truth = stripes
    other = labels.label.copy()
    other[[4, 5]] = truth[[4, 5]]
    assert not same(trained(stripes), trained((images, PartialLabels(other, labels.class_names), truth)))


def test_descriptors_are_taken_from_clean_images_in_eval_mode(stripes):
    images, *_ = stripes
    network = trained(stripes).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    whole = evaluate(network, images)
    assert torch.allclose(whole.descriptors[10:20], evaluate(network, images[10:20]).descriptors, atol=1e-6)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert whole.logits.shape == (60, 2)
    assert torch.allclose(whole.descriptors.norm(dim=1), torch.ones(60), atol=1e-5)


def test_a_loss_that_is_not_finite_stops_before_the_update(stripes):
    images, labels, _ = stripes
    network = builder(SETTINGS)("student")
    with torch.no_grad():
        network.fc1.bias[0] = float("nan")
    before = network.trunk[0][0].weight.clone()
    with pytest.raises(NumericsError, match=r"FL-P22 the loss is nan in phase 1, epoch 1, step 1") as caught:
        train(lambda purpose: network, images, labels, SETTINGS)
    assert caught.value.exit_status == 5
    assert sorted(caught.value.rows) == [0, 1, 2, 3]
    assert torch.equal(before, network.trunk[0][0].weight)


class LikeAGpu(Execution):
    """Losses are looked at now and then, and a step goes on without looking."""

    on_gpu = True

    def algorithms(self):
        return nullcontext()


def test_a_loss_that_is_looked_at_later_names_the_first_step_that_was_not_finite(stripes):
    images, labels, _ = stripes
    saved = []
    settings = replace(SETTINGS, phases=(Phase("lp", 1, 1e30, 4, 12),))
    callbacks = Callbacks(request=lambda: Request.SAVE, save=saved.append)
    with pytest.raises(NumericsError, match=r"FL-P22 the loss is .* in phase 1, epoch 1, step [2-5];") as caught:
        train(builder(settings), images, labels, settings, LikeAGpu(images.device, captured=False), callbacks)
    assert len(caught.value.rows) == 16
    assert all(snapshot.values["place"]["done"] == 0 for snapshot in saved)


def test_rows_without_truth_do_not_count_in_the_error():
    assert error_percent(torch.tensor([[1.0, 0], [1, 0], [1, 0]]), np.array([0, 1, -1])) == 50


@pytest.mark.parametrize("sizes", [(4, 12), (3, 20), (1, 56), (4, 1)])
def test_the_size_of_an_epoch_is_known_before_it_begins(stripes, sizes):
    phases = (Phase("supervised", 1, 0.05, sizes[0]), Phase("lp", 1, 0.05, *sizes))
    _, labels, _ = stripes
    reports, images = [], []
    callbacks = Callbacks(on_epoch=reports.append, on_steps=images.append)
    settings = replace(SETTINGS, phases=phases)
    train(builder(settings), stripes[0], labels, settings, callbacks=callbacks)
    assert [report.steps for report in reports] == [count_steps(phase, labels.label) for phase in phases]
    expected = [batch_size(phase, labels.label) for phase in phases for _ in range(count_steps(phase, labels.label))]
    assert images == expected
