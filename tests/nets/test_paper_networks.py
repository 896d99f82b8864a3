"""The paper's two networks: parameter counts, layers and initial weights, against numbers from outside."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from fewlabels.nets import ImageInput, NetworkSettings, build_network, count_parameters
from fewlabels.nets.networks import NormedConv2d, NormedLinear

CIFAR = ImageInput(3, 32, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7))


@pytest.fixture(scope="module")
def cnn13():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_network(NetworkSettings("cnn13", heads=2), CIFAR, 10)


@pytest.mark.parametrize(
    ("heads", "num_classes", "parameters"), [(1, 10, 3_125_908), (2, 10, 3_127_208), (1, 100, 3_137_608)]
)
def test_cnn13_has_the_papers_parameters(heads, num_classes, parameters):
    network = build_network(NetworkSettings("cnn13", heads=heads), CIFAR, num_classes)
    assert count_parameters(network) == parameters


@pytest.mark.parametrize(
    ("heads", "num_classes", "more"),
    [(1, 100, 512 * 100 + 100), (2, 10, 2 * (512 * 10 + 10) + 10)],  # fc2 has weight norm, fc1 has not
)
def test_resnet18_has_the_known_parameters(heads, num_classes, more):
    network = build_network(NetworkSettings("resnet18", heads=heads), ImageInput(3, 84), num_classes)
    assert count_parameters(network.trunk) == 11_176_512
    assert count_parameters(network) == 11_176_512 + more


def test_cnn13_averages_6_x_6_pixels_of_128_channels_as_a_pooling_of_that_size_does(cnn13):
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    with torch.no_grad():
        features = cnn13.eval().trunk(cnn13.pixels(pixels))
        assert features.shape == (2, 128, 6, 6)
        pooled = nn.functional.normalize(nn.AvgPool2d(6)(features).flatten(1), dim=1)
        assert torch.allclose(cnn13(pixels).descriptor, pooled, atol=1e-6)


def test_resnet18_halves_84_pixels_five_times():
    network = build_network(NetworkSettings("resnet18"), ImageInput(3, 84), 2).eval()
    with torch.no_grad():
        assert network.trunk(torch.zeros(1, 3, 84, 84)).shape == (1, 512, 3, 3)


def test_cnn13_drops_half_after_each_of_two_poolings(cnn13):
    layers = list(cnn13.trunk)
    places = [number for number, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    assert len(places) == 2
    assert all(layers[place].p == 0.5 and isinstance(layers[place - 1], nn.MaxPool2d) for place in places)


def test_cnn13_is_convolution_then_norm_then_a_leak_of_a_tenth(cnn13):
    layers = [layer for layer in cnn13.trunk if not isinstance(layer, nn.MaxPool2d | nn.Dropout)]
    assert [type(layer) for layer in layers] == [NormedConv2d, nn.BatchNorm2d, nn.LeakyReLU] * 9
    assert all((layer.momentum, layer.eps) == (0.1, 1e-5) for layer in layers[1::3])
    for leak in layers[2::3]:
        assert leak(torch.tensor([-1.0, 2.0])).tolist() == pytest.approx([-0.1, 2])


def test_cnn13_starts_from_torchs_own_draw_whatever_the_data(cnn13):
    for layer in cnn13.trunk:
        if isinstance(layer, NormedConv2d):
            bound = 1 / math.sqrt(layer.weight_v[0].numel())
            assert torch.allclose(layer.weight(), layer.weight_v, atol=1e-6)
            assert float(layer.weight_v.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
            assert layer.weight_v.abs().max() <= bound
            assert 0 < layer.bias.abs().max() <= bound


def test_resnet18_starts_from_hes_draw():
    network = build_network(NetworkSettings("resnet18"), ImageInput(3, 84), 10)
    convolutions = [layer for layer in network.trunk.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 20
    for layer in convolutions:
        fan_out = layer.out_channels * layer.kernel_size[0] ** 2
        assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
        assert layer.bias is None


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_weight_norm_of_a_convolution_is_torchs_in_value_and_gradient(kernel_size, memory_format):
    torch.manual_seed(0)
    theirs = weight_norm(nn.Conv2d(5, 7, kernel_size, padding=1))
    torch.manual_seed(0)
    ours = NormedConv2d(5, 7, kernel_size, padding=1).to(memory_format=memory_format)
    compare(ours, theirs, torch.randn(2, 5, 6, 6))


def test_weight_norm_of_a_linear_layer_is_torchs_in_value_and_gradient():
    torch.manual_seed(0)
    theirs = weight_norm(nn.Linear(5, 7))
    torch.manual_seed(0)
    compare(NormedLinear(5, 7), theirs, torch.randn(2, 5))


def compare(ours, theirs, features):
    """Drawn alike; then moved away from g = |v|, and compared."""
    original = theirs.parametrizations.weight
    pairs = [(ours.bias, theirs.bias), (ours.weight_g, original.original0), (ours.weight_v, original.original1)]
    with torch.no_grad():
        for one, other in pairs:
            assert torch.allclose(one, other, atol=1e-6)
            moved = other * 1.5 + 0.1
            one.copy_(moved)
            other.copy_(moved)
    assert torch.allclose(ours(features), theirs(features), atol=1e-5)
    ours(features).square().sum().backward()
    theirs(features).square().sum().backward()
    assert all(torch.allclose(one.grad, other.grad, rtol=1e-4, atol=1e-3) for one, other in pairs)
