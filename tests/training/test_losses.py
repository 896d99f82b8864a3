import math

import numpy as np
import pytest
import torch

from fewlabels.graph import GraphSettings, propagate
from fewlabels.nets import Output
from fewlabels.training.losses import LossInputs, weighted_cross_entropy
from fewlabels.training.targets import BatchTargets, PartialLabels, Targets

CPU = torch.device("cpu")


def test_the_loss_of_a_batch_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]))
    targets = Targets(np.array([0, 1, -1]), np.array([1.0, 0.25, 0.0]), np.array([2.0, 4.0])).on(CPU)
    output, given = Output(logits, logits), targets.label >= 0
    loss = weighted_cross_entropy(LossInputs(output, targets, None, torch.zeros(()), given))
    assert float(loss) == pytest.approx((1 * 2 * math.log(2) + 0.25 * 4 * math.log(1 / 0.8)) / 3)


def test_rows_without_a_label_change_neither_loss_nor_gradient_but_count_in_the_batch():
    logits = torch.tensor([[1.0, -1.0], [3.0, 0.5]], requires_grad=True)
    both = BatchTargets(torch.tensor([0, -1]), torch.tensor([1.0, 0.0]))
    loss = weighted_cross_entropy(LossInputs(Output(logits, logits), both, None, torch.zeros(()), both.label >= 0))
    loss.backward()
    assert (logits.grad[1] == 0).all()
    alone = torch.nn.functional.cross_entropy(logits[:1], torch.tensor([0]))
    assert loss.item() == pytest.approx(alone.item() / 2)


def test_given_targets_weigh_every_labelled_row_alike():
    targets = Targets.from_labels(PartialLabels(np.array([1, -1, 0, 1]), ["a", "b"]))
    assert targets.on(CPU).weight.tolist() == [1, 0, 1, 1]
    assert targets.propagation is None


@pytest.mark.parametrize("mode", ["paper", "released"])
def test_propagated_targets_weigh_by_certainty_and_inverse_population_with_mean_one(mode):
    rng = np.random.default_rng(0)
    centres = np.repeat(rng.normal(size=(3, 8)), [30, 20, 10], axis=0)
    labels = np.full(60, -1)
    labels[[0, 30, 50]] = [0, 1, 2]
    found = propagate(centres + 0.1 * rng.normal(size=(60, 8)), labels, GraphSettings(n_neighbors=5, mode=mode))
    targets = Targets.from_propagation(found)
    population = np.bincount(targets.label)
    assert np.allclose(targets.class_weight, 60 / 3 / population)
    assert targets.class_weight[targets.label].mean() == pytest.approx(1)
    assert (targets.weight == found.pseudo_labels.certainty).all()
    assert (targets.weight[[0, 30, 50]] == 1).all()
