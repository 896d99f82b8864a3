"""Backbones by name: what is asked for, what one's own declare, and what is said of those that are none."""

import pytest
import torch
from torch import nn

from fewlabels.errors import ConfigError, ImageError
from fewlabels.nets import (
    ImageInput,
    NetworkSettings,
    Preprocessing,
    backbone_names,
    bring_network,
    build_network,
    load_backbone,
    make_backbone,
)
from fewlabels.nets.pretrained import digest_weights

OWN = Preprocessing(size=8, mean=(10.0, 20.0, 30.0), std=(2.0,), crop=0.5, interpolation="bilinear")
NAME = "module:my_backbones:mine"


class Averages(nn.Module):
    """Gives the average of each channel, by calling it; `scale` keeps it from having no weights."""

    def __init__(self, preprocessing=OWN):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.preprocessing = preprocessing

    def forward(self, images):
        return images.mean(dim=(2, 3)) * self.scale


class Maps(Averages):
    """Gives maps, by a method."""

    def features(self, images):
        return images * self.scale


@pytest.fixture
def mine(importable):
    """Makes a function of one's own that gives this."""

    def make(gives):
        importable("my_backbones", mine=gives)
        return NAME

    return make


def test_the_default_is_lite0_frozen_with_what_descriptors_are_told_apart_by():
    backbone = load_backbone()
    assert backbone_names()[0] == backbone.name == load_backbone("lite0").name == "efficientnet-lite0"
    assert (backbone.preprocessing.size, backbone.width, backbone.licence) == (160, 1280, "Apache-2.0")
    assert backbone.weights_digest == "5b10730f862abb1ae72fd43fe32cbf702c5438492015fbde999c02fa1650e149"
    assert not any(weight.requires_grad for weight in backbone.trunk.parameters())
    assert not backbone.trunk.training


def test_random_numbers_stay_as_they_are():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    load_backbone()
    assert torch.rand(1) == expected


@pytest.mark.parametrize("number", [torch.bfloat16, torch.float16])
def test_half_precision_gives_float32_descriptors_close_to_those_of_single(number):
    backbone = load_backbone(size=32)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    single, half = backbone.trunk(images), backbone.trunk.to(number)(images)
    assert half.dtype == torch.float32
    assert torch.cosine_similarity(single, half).min() > 0.99


def test_uint8_and_float_pixels_are_the_same_and_other_shapes_are_refused():
    trunk = load_backbone(size=32).trunk
    images = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(trunk(images), trunk(images.float()))
    with pytest.raises(ImageError, match=r"FL-I50 images of shape \(1, 3, 32, 33\).*takes \(b, 3, 32, 32\)"):
        trunk(torch.zeros(1, 3, 32, 33))


@pytest.mark.parametrize("name", ["lite1", "", "timm:", "timm", "module:", "efficientnet-lite0:x"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ConfigError, match=r"FL-C110 backbone is .*expected one of efficientnet-lite0, .*, timm:MODEL"):
        load_backbone(name)


def test_what_a_backbone_does_not_have_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"FL-C111 weights .*efficientnet-lite0.*has its own"):
        load_backbone(weights=tmp_path / "x")
    with pytest.raises(ConfigError, match="FL-C19 size is 0"):
        load_backbone(size=0)


def test_ones_own_declares_its_normalisation_and_size(mine):
    backbone = load_backbone(mine(Averages))
    assert (backbone.preprocessing, backbone.width, backbone.licence) == (OWN, 3, "unknown")
    images = torch.full((1, 3, 8, 8), 40, dtype=torch.uint8)
    assert backbone.trunk(images).tolist() == [[15.0, 10.0, 5.0]]


def test_ones_own_may_give_maps_or_a_whole_backbone(mine):
    images = torch.full((1, 3, 8, 8), 40, dtype=torch.uint8)
    assert load_backbone(mine(Maps)).trunk(images).tolist() == [[15.0, 10.0, 5.0]]
    whole = make_backbone("x", Averages(), OWN, source="a shelf", licence="MIT")
    backbone = load_backbone(mine(lambda: whole))
    assert (backbone.source, backbone.licence, backbone.name) == ("a shelf", "MIT", NAME)
    assert backbone.weights_digest == whole.weights_digest


def broken():
    return [][0]


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda: Averages(preprocessing=None), "FL-C53 .*expected a Backbone, or .*attribute `preprocessing`"),
        (lambda: "text", "FL-C53 .*gave a str, expected a Backbone"),
        (lambda: Averages()[0], "FL-C52 .*TypeError: .*expected a function without arguments"),
        (broken, "FL-C52 .*IndexError: list index out of range"),
        (lambda needed: needed, "FL-C52 .*TypeError: .*expected a function without arguments"),
        ("text", "FL-C52 .*TypeError"),
    ],
)
def test_ones_own_that_is_no_backbone_is_refused_with_what_it_gave(mine, gives, said):
    with pytest.raises(ConfigError, match=said):
        load_backbone(mine(gives))


def test_a_network_that_gives_no_descriptors_is_refused():
    with pytest.raises(ConfigError, match=r"FL-C53 backbone 'x' gave \(1, 3, 64\) for one photo"):
        make_backbone("x", nn.Flatten(2), OWN, source="", licence="")
    with pytest.raises(ConfigError, match="FL-C53 backbone 'x' failed on a photo of 8 pixels"):
        make_backbone("x", nn.Linear(3, 3), OWN, source="", licence="")


def test_a_digest_tells_weights_apart_by_value_name_and_type():
    same, other = nn.Linear(2, 2), nn.Linear(2, 2)
    other.load_state_dict(same.state_dict())
    assert digest_weights(same) == digest_weights(other)
    assert digest_weights(nn.Sequential(same)) != digest_weights(same)
    assert digest_weights(other.half()) != digest_weights(same)


@pytest.mark.parametrize(
    "wrong", [{"crop": 0}, {"crop": 1.5}, {"interpolation": "cubic"}, {"size": 0}, {"std": (0.0,)}]
)
def test_preprocessing_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="FL-C19"):
        Preprocessing(**{"size": 8, "mean": (0.0,), "std": (1.0,)} | wrong)


def test_a_module_with_heads_may_declare_its_normalisation_and_size():
    settings = NetworkSettings("module:my_nets:wide", unit_descriptor=False)
    data = ImageInput(3, 8, mean=(1.0,), std=(7.0,))
    network = bring_network(Maps(), settings, data, 2)
    images = torch.full((1, 3, 8, 8), 40, dtype=torch.uint8)
    assert network(images).descriptor.tolist() == [[15.0, 10.0, 5.0]]
    with pytest.raises(ConfigError, match=r"FL-C53 the module declares images of 8 x 8 pixels, these have 9"):
        bring_network(Maps(), settings, ImageInput(3, 9), 2)


def test_a_network_by_its_other_name_is_the_same():
    assert NetworkSettings("lite0") == NetworkSettings("efficientnet-lite0")
    assert build_network(NetworkSettings("lite0"), ImageInput(1, 32), 2)(torch.zeros(1, 1, 32, 32)).logits.shape == (
        1,
        2,
    )
