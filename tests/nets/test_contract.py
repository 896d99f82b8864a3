"""The check of a network on two images: in both modes, and without changing it."""

import pytest
import torch
from torch import nn

from fewlabels.errors import ConfigError
from fewlabels.nets import ImageInput, NetworkSettings, bring_network, build_network, check_network

GREY = ImageInput(1, 8, (128.0,), (64.0,))
UNIT = NetworkSettings("module:my_nets:wide")
FREE = NetworkSettings("module:my_nets:wide", unit_descriptor=False)


class Described(nn.Module):
    """Descriptors by a method, wider in training mode if so said; heads are to be added."""

    def __init__(self, widening=1):
        super().__init__()
        self.layer = nn.Linear(64, 6)
        self.widening = widening

    def features(self, images):
        return self.layer(images.flatten(1)).repeat(1, self.widening if self.training else 1)


class Headed(nn.Module):
    """Heads of its own."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(64, 6), nn.Linear(6, 3)

    def forward(self, images):
        descriptor = self.layer(images.flatten(1))
        return self.last(descriptor), descriptor


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_another_type_of_number_is_refused(dtype):
    class Raw(Headed):
        def forward(self, images):
            return tuple(part.to(dtype) for part in super().forward(images))

    with pytest.raises(ConfigError, match=r"FL-C53 logits is float\d+ .*expected float32"):
        check_network(Raw(), GREY, 3)


def test_the_check_leaves_the_network_and_its_modes_as_they_were():
    network = build_network(NetworkSettings(width=4, dropout=0.5), GREY, 3).train()
    network.trunk[0].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    check_network(network, GREY, 3)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert network.training
    assert not network.trunk[0].training


class Restless(nn.Module):
    """A network that draws numbers, and whose statistics change in training, one in place and one by a new tensor."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Dropout(0.5))
        self.last = nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(1), persistent=False)
        self.register_buffer("wide", torch.ones(1).expand(3))
        self.scale = torch.rand(1)

    def forward(self, images):
        descriptor = self.layers(images) * torch.rand(1)
        if self.training:
            self.seen = self.seen + 1
        return self.last(descriptor) * self.wide, descriptor


def test_the_try_in_training_mode_leaves_statistics_and_random_numbers_as_they_were():
    network = Restless().eval()
    before = {name: value.clone() for name, value in network.named_buffers()}
    seen, drawn = network.seen, torch.get_rng_state()
    check_network(network, GREY, 3)
    assert all(torch.equal(before[name], value) for name, value in network.named_buffers())
    assert network.seen is seen
    assert torch.equal(drawn, torch.get_rng_state())
    assert not any(module.training for module in network.modules())


class Moody(Headed):
    """Gives something else in training mode."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, images):
        parts = super().forward(images)
        return self.change(*parts) if self.training else parts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda logits, descriptor: logits, r"the network gave float32 \(2, 3\), expected a tuple"),
        (lambda logits, descriptor: (logits[:, :2], descriptor), r"logits is float32 \(2, 2\), expected \(2, 3\)"),
        (lambda logits, descriptor: descriptor @ descriptor, "the network failed on images of shape .*RuntimeError"),
        (lambda logits, descriptor: (logits, descriptor / 0), "descriptor has NaN or infinity"),
        (
            lambda logits, descriptor: (logits, descriptor, logits),
            r"the network gives a tuple of 3 .*expected a tuple of 2",
        ),
        (lambda logits, descriptor: (logits, descriptor[:, :4]), r"float32 \(2, 4\)\), expected .* as in eval mode"),
    ],
)
def test_what_a_network_breaks_in_training_mode_alone_is_told_before_the_training(change, said):
    module = Moody(change)
    with pytest.raises(ConfigError, match=f"FL-C53 in training mode:? .*{said}"):
        bring_network(module, FREE, GREY, 3)
    assert module.training
    with pytest.raises(ConfigError, match="FL-C53 in training mode"):
        check_network(module.eval(), GREY, 3)
    assert not module.training


def test_features_that_are_wider_in_training_mode_are_told():
    with pytest.raises(ConfigError, match=r"FL-C53 in training mode: the network failed .*RuntimeError"):
        bring_network(Described(widening=2), UNIT, GREY, 3)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("my_nets:wide", r"the module is a str, expected a torch\.nn\.Module"),
        (None, "the module is a NoneType"),
        (lambda images: images, "the module is a function"),
        (Described, "the class Described itself, expected .*call the class"),
    ],
)
def test_what_is_no_module_is_told_plainly(module, said):
    for check in (lambda: bring_network(module, UNIT, GREY, 3), lambda: check_network(module, GREY, 3)):
        with pytest.raises(ConfigError, match=f"FL-C53 {said}"):
            check()


def test_a_module_without_heads_is_no_network_yet():
    with pytest.raises(ConfigError, match=r"FL-C53 Described has `features` and no `forward`.*bring_network"):
        check_network(Described(), GREY, 3)
    check_network(bring_network(Described(), UNIT, GREY, 3), GREY, 3)
