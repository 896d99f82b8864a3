"""How one step moves the weights."""

import copy
from types import SimpleNamespace

import pytest
import torch

from fewlabels.training.execution import Execution
from fewlabels.training.step import Learner, update


@pytest.mark.parametrize(("clip_norm", "moved"), [(None, 5.0), (6.0, 5.0), (0.5, 0.5)])
def test_gradients_longer_than_is_allowed_are_scaled_down_as_a_whole(clip_norm, moved):
    network = torch.nn.Linear(2, 2)
    before = copy.deepcopy(network.state_dict())
    rate = torch.zeros(())
    learner = Learner(
        network=network,
        teacher=None,
        method=None,
        optimizer=torch.optim.SGD(network.parameters(), rate),
        images=torch.zeros(1),
        execution=Execution(),
        clip_norm=clip_norm,
    )
    losses = torch.full((1,), torch.nan)
    loss = 3 * network.weight[0, 0] - 4 * network.bias[1]  # a gradient of length 5
    update(learner, SimpleNamespace(rate=torch.tensor([1.0])), torch.tensor([0]), loss, losses)
    weight, bias = network.weight - before["weight"], network.bias - before["bias"]
    torch.testing.assert_close(weight, torch.tensor([[-3.0, 0], [0, 0]]) * moved / 5)
    torch.testing.assert_close(bias, torch.tensor([0, 4.0]) * moved / 5)
    torch.testing.assert_close(losses, loss.detach()[None])
