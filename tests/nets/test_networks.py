"""What holds for every network of fewlabels: shapes, heads, descriptors, copies, files, precision."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from fewlabels.errors import ImageError
from fewlabels.nets import ImageInput, NetworkSettings, Output, build_network
from fewlabels.nets.networks import Pixels

COLOUR = ImageInput(3, 32, (120.0, 115.0, 105.0), (63.0, 62.0, 67.0))
EACH = {
    "small": NetworkSettings(width=8),
    "small, stride 2": NetworkSettings(width=8, first_stride=2),
    "cnn13": NetworkSettings("cnn13"),
    "resnet18": NetworkSettings("resnet18"),
}
DIMENSIONS = {"small": 32, "small, stride 2": 32, "cnn13": 128, "resnet18": 512}
each = pytest.mark.parametrize("kind", EACH)


def built(settings, image_input=COLOUR, num_classes=10, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(settings, image_input, num_classes)


def images(number=4, image_input=COLOUR):
    shape = (number, image_input.channels, image_input.size, image_input.size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@each
@pytest.mark.parametrize(("channels", "size"), [(1, 20), (3, 32), (3, 84)])
def test_logits_and_a_descriptor_for_every_image(kind, channels, size):
    image_input = ImageInput(channels, size, (100.0,) * channels, (50.0,) * channels)
    output = built(EACH[kind], image_input, 5)(images(2, image_input))
    assert isinstance(output, Output)
    assert output.logits.shape == (2, 5)
    assert output.descriptor.shape == (2, DIMENSIONS[kind])
    assert output.consistency_logits is None
    assert output.consistency is output.logits


@each
def test_a_second_head_gives_other_logits_of_the_same_descriptor(kind):
    network = built(replace(EACH[kind], heads=2)).eval()
    output = network(images())
    assert torch.equal(output.consistency, network.fc2(output.descriptor))
    assert torch.equal(output.logits, network.fc1(output.descriptor))
    assert output.consistency_logits.shape == output.logits.shape
    assert not torch.allclose(output.consistency, output.logits)


@each
def test_a_unit_descriptor_is_the_other_scaled_to_length_one_and_is_what_the_classifier_sees(kind):
    unit, free = built(EACH[kind]).eval(), built(replace(EACH[kind], unit_descriptor=False)).eval()
    free.load_state_dict(unit.state_dict())
    one, other = unit(images()), free(images())
    lengths = other.descriptor.norm(dim=1, keepdim=True)
    assert torch.allclose(one.descriptor.norm(dim=1), torch.ones(4))
    assert (lengths - 1).abs().min() > 0.01
    assert torch.allclose(one.descriptor, other.descriptor / lengths, atol=1e-6)
    assert torch.allclose(one.logits, unit.fc1(other.descriptor / lengths), atol=1e-5)
    assert torch.allclose(other.logits, unit.fc1(other.descriptor), atol=1e-5)


@each
def test_bytes_and_floats_in_either_memory_order_give_the_same(kind):
    network = built(EACH[kind]).eval()
    whole = network(images()).logits
    assert torch.equal(network(images().float()).logits, whole)
    assert torch.equal(network(images().contiguous(memory_format=torch.channels_last)).logits, whole)


@each
def test_weights_are_channels_last_and_that_changes_nothing_but_the_rounding(kind):
    network = built(EACH[kind]).eval()
    weights = [value for value in network.parameters() if value.dim() == 4]
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in weights)
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    plain.pixels.memory_format = torch.contiguous_format
    assert torch.allclose(plain(images()).logits, network(images()).logits, atol=1e-4)


@pytest.mark.parametrize("order", [torch.channels_last, torch.contiguous_format])
def test_pixels_are_normalised_as_the_formula_says_to_the_bit(order):
    pixels = Pixels(ImageInput(3, 12, [125.3, 122.9, 113.9], [63.0, 62.1, 66.7]), order)
    given = torch.randint(0, 256, (5, 3, 12, 12), dtype=torch.uint8)
    found = pixels(given)
    assert torch.equal(found, (given.float() - pixels.mean) / pixels.std)
    assert found.is_contiguous(memory_format=order)


@each
def test_images_of_another_shape_are_refused(kind):
    network = built(EACH[kind])
    for wrong in (torch.zeros(2, 3, 28, 28), torch.zeros(2, 1, 32, 32), torch.zeros(3, 32, 32)):
        with pytest.raises(ImageError, match=r"FL-I50 images of shape .*takes \(b, 3, 32, 32\)"):
            network(wrong)


def test_brightness_and_contrast_that_the_mean_and_deviation_take_out_do_not_matter():
    plain = built(NetworkSettings(width=8), ImageInput(1, 8, (0.0,), (1.0,))).eval()
    scaled = built(NetworkSettings(width=8), ImageInput(1, 8, (7.0,), (3.0,))).eval()
    pixels = torch.rand(2, 1, 8, 8)
    assert torch.allclose(plain(pixels).logits, scaled(pixels * 3 + 7).logits, atol=1e-4)


def test_one_mean_and_deviation_may_stand_for_all_channels():
    one = built(NetworkSettings(width=8), ImageInput(3, 32, (7.0,), (3.0,))).eval()
    three = built(NetworkSettings(width=8), ImageInput(3, 32, (7.0,) * 3, (3.0,) * 3)).eval()
    assert torch.equal(one(images()).logits, three(images()).logits)


@each
def test_dropout_acts_in_training_alone(kind):
    network = built(EACH[kind] if kind == "resnet18" else replace(EACH[kind], dropout=0.5))
    network.eval()
    assert torch.equal(network(images()).logits, network(images()).logits)
    network.train()  # two passes of the same batch: its statistics are the same, what is dropped is not
    assert torch.equal(network(images()).logits, network(images()).logits) == (kind == "resnet18")


@each
def test_a_copy_is_a_network_of_its_own(kind):
    network = built(replace(EACH[kind], heads=2))
    teacher = copy.deepcopy(network)
    before = [value.clone() for value in network.state_dict().values()]
    with torch.no_grad():
        for value in teacher.parameters():
            value.add_(1)
    teacher(images())
    assert all(torch.equal(a, b) for a, b in zip(before, network.state_dict().values(), strict=True))
    assert not torch.equal(teacher.eval()(images()).logits, network.eval()(images()).logits)


@each
def test_weights_come_back_from_safetensors_to_the_bit_and_in_the_same_memory_order(kind):
    network, other = built(replace(EACH[kind], heads=2)), built(replace(EACH[kind], heads=2), seed=1)
    network(images())  # moves the running statistics
    other.load_state_dict(load(save({name: value.contiguous() for name, value in network.state_dict().items()})))
    assert torch.equal(network.eval()(images()).consistency, other.eval()(images()).consistency)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        assert one.stride() == two.stride()


@each
def test_under_autocast_descriptors_logits_and_statistics_are_float32_and_gradients_finite(kind):
    network = built(replace(EACH[kind], heads=2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(images(8))
    assert all(part.dtype == torch.float32 for part in output)
    assert (output.descriptor.norm(dim=1) - 1).abs().max() < 1e-6  # bfloat16 would leave some 0.001
    (output.logits.logsumexp(1).sum() + output.consistency.logsumexp(1).sum()).backward()
    gradients = [value.grad for value in network.parameters()]
    assert all(gradient.dtype == torch.float32 and torch.isfinite(gradient).all() for gradient in gradients)
    assert all(value.dtype in (torch.float32, torch.int64) for value in network.state_dict().values())


@each
def test_a_fresh_network_neither_shrinks_nor_blows_up_what_it_sees(kind):
    output = built(replace(EACH[kind], unit_descriptor=False))(images(16))
    assert 0.01 < output.descriptor.std() < 10
    assert 0.01 < output.logits.std() < 10


@each
def test_weights_are_drawn_from_torchs_generator(kind):
    one, same, other = (built(EACH[kind], seed=seed).fc1(torch.ones(1, DIMENSIONS[kind])) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("size", "stride", "descriptor"), [(4, 1, 8), (8, 1, 16), (8, 2, 8), (16, 2, 16), (32, 1, 32), (32, 2, 32)]
)
def test_the_small_network_has_more_stages_for_larger_images(size, stride, descriptor):
    image_input = ImageInput(1, size)
    network = built(NetworkSettings(width=8, first_stride=stride), image_input)
    assert network(images(2, image_input)).descriptor.shape == (2, descriptor)


@pytest.mark.parametrize(("stride", "left"), [(1, 32), (2, 16)])
def test_a_stride_of_two_halves_the_image_in_the_first_convolution(stride, left):
    network = built(NetworkSettings(width=8, first_stride=stride))
    assert network.trunk[0](torch.zeros(1, 3, 32, 32)).shape == (1, 8, left, left)
    assert network.trunk[1](torch.zeros(1, 8, left, left)).shape == (1, 8, left, left)
