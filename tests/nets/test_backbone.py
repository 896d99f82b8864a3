"""Networks from elsewhere: brought in, from timm, and what is said of those that do not keep the contract."""

import pytest
import torch
from torch import nn

from fewlabels.errors import ConfigError
from fewlabels.nets import ImageInput, NetworkSettings, bring_network, build_network

GREY = ImageInput(1, 8, (128.0,), (64.0,))
UNIT = NetworkSettings("module:my_nets:wide")
FREE = NetworkSettings("module:my_nets:wide", unit_descriptor=False)


class Described(nn.Module):
    """Descriptors by a method; heads are to be added."""

    def __init__(self, descriptor=lambda rows: rows):
        super().__init__()
        self.layer = nn.Linear(64, 6)
        self.descriptor = descriptor

    def features(self, images):
        assert images.dtype == torch.float32
        return self.descriptor(self.layer(images.view(len(images), 64)))


class Headed(nn.Module):
    """Heads of its own, and `features` that is no method but a part: nothing is to be added."""

    def __init__(self, change=lambda logits, descriptor: (logits, descriptor)):
        super().__init__()
        self.features, self.last = nn.Linear(64, 6), nn.Linear(6, 3)
        self.change = change

    def forward(self, images):
        descriptor = self.features(images.flatten(1))
        return self.change(self.last(descriptor), descriptor)


def pixels(number=2):
    return torch.randint(0, 256, (number, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normalised():
    return ((pixels().float() - 128) / 64).flatten(1)


def test_a_module_with_features_gets_heads_and_normalised_images():
    module = Described()
    output = bring_network(module, NetworkSettings("module:my_nets:wide", heads=2), GREY, 3)(pixels())
    expected = nn.functional.normalize(module.layer(normalised()), dim=1)
    assert torch.allclose(output.descriptor, expected, atol=1e-6)
    assert output.logits.shape == output.consistency_logits.shape == (2, 3)


def test_a_module_that_gives_feature_maps_is_averaged():
    module = Described(lambda rows: rows[:, :, None, None].expand(-1, -1, 4, 4))
    output = bring_network(module, FREE, GREY, 3)(pixels())
    assert torch.allclose(output.descriptor, module.layer(normalised()), atol=1e-5)


def test_a_module_with_heads_of_its_own_keeps_them():
    module = Headed()
    output = bring_network(module, FREE, GREY, 3)(pixels())
    assert torch.equal(output.logits, module.last(output.descriptor))
    assert output.consistency is output.logits


def test_a_module_with_two_heads_of_its_own_keeps_both():
    settings = NetworkSettings("module:my_nets:wide", heads=2, unit_descriptor=False)
    module = Headed(lambda logits, descriptor: (logits, descriptor, -logits))
    output = bring_network(module, settings, GREY, 3)(pixels())
    assert torch.equal(output.consistency, -output.logits)


def test_what_a_module_gives_under_autocast_is_made_float32():
    network = bring_network(Headed(), FREE, GREY, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(part.dtype == torch.float32 for part in network(pixels())[:2])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda logits, descriptor: logits, r"gave float32 \(2, 3\), expected a tuple"),
        (lambda logits, descriptor: {"logits": logits}, "gave a dict, expected a tuple"),
        (lambda logits, descriptor: (logits,), r"gave a tuple of 1 \(float32 \(2, 3\)\), expected a tuple"),
        (lambda logits, descriptor: (logits, None), r"a tuple of 2 \(float32 \(2, 3\), a NoneType\), expected a tuple"),
        (lambda logits, descriptor: (logits[:, :2], descriptor), r"logits is float32 \(2, 2\), expected \(2, 3\)"),
        (lambda logits, descriptor: (logits[:1], descriptor), r"logits is float32 \(1, 3\), expected .* 2 rows"),
        (lambda logits, descriptor: (logits, descriptor[:, :, None]), r"descriptor is float32 \(2, 6, 1\), expected"),
        (lambda logits, descriptor: (logits, descriptor / 0), "descriptor has NaN or infinity"),
        (lambda logits, descriptor: (logits, descriptor, logits[:, :1]), r"consistency_logits is float32 \(2, 1\)"),
        (lambda logits, descriptor: (logits, descriptor, logits), r"has 2 head\(s\), expected 1"),
        (lambda logits, descriptor: descriptor @ descriptor, "failed on images of shape .*RuntimeError"),
    ],
)
def test_a_module_that_breaks_the_contract_is_refused_with_what_it_gave(change, said):
    with pytest.raises(ConfigError, match=f"FL-C53 .*{said}"):
        bring_network(Headed(change), FREE, GREY, 3)


@pytest.mark.parametrize(
    ("descriptor", "said"),
    [
        (lambda rows: rows[:, :, None], r"descriptor is float32 \(2, 6, 1\)"),
        (lambda rows: rows / 0, "NaN or infinity"),
        (lambda rows: rows[:, :0], r"descriptor is float32 \(2, 0\)"),
        (lambda rows: (rows, rows), "the features are a tuple of 2 .*, expected a tensor"),
    ],
)
def test_features_that_are_no_descriptors_are_refused(descriptor, said):
    with pytest.raises(ConfigError, match=f"FL-C53 .*{said}"):
        bring_network(Described(descriptor), UNIT, GREY, 3)


def test_a_module_whose_descriptors_are_not_of_length_one_is_refused_where_the_settings_say_they_are():
    with pytest.raises(ConfigError, match=r"FL-C53 descriptors have the lengths .*unit_descriptor=False"):
        bring_network(Headed(), UNIT, GREY, 3)


def test_tensors_that_could_not_be_saved_are_refused_before_the_training():
    module = Headed()
    module.again = module.last
    with pytest.raises(ConfigError, match=r"FL-C53 module\.last\.weight and module\.again\.weight share memory"):
        bring_network(module, FREE, GREY, 3)


def test_a_module_is_found_by_its_name(importable):
    asked = []

    def wide(image_input, num_classes):
        asked.append((image_input, num_classes))
        return Described()

    importable("my_nets", wide=wide)
    output = build_network(UNIT, GREY, 3)(pixels())
    assert asked == [(GREY, 3)]
    assert output.logits.shape == (2, 3)


def test_a_module_that_is_not_there_says_what_to_do(importable):
    with pytest.raises(ConfigError, match=r"FL-C52 .*No module named 'my_nets'.*PYTHONPATH"):
        build_network(UNIT, GREY, 3)
    importable("my_nets")
    with pytest.raises(ConfigError, match=r"FL-C52 .*no attribute 'wide'"):
        build_network(UNIT, GREY, 3)
    importable("my_nets", wide=lambda image_input, num_classes: "network")
    with pytest.raises(ConfigError, match=r"FL-C52 .*gave a str, expected a torch\.nn\.Module"):
        build_network(UNIT, GREY, 3)


def wrongargs(num_classes):
    return Described()


def broken(image_input, num_classes):
    return [][num_classes]


@pytest.mark.parametrize(
    ("function", "said", "cause"),
    [
        (wrongargs, r"raised TypeError: wrongargs\(\) takes 1 positional argument but 2 were given", TypeError),
        (broken, "raised IndexError: list index out of range", IndexError),
    ],
)
def test_a_function_that_fails_is_told_with_its_arguments(importable, function, said, cause):
    importable("my_nets", wide=function)
    called = r"wide\(ImageInput\(channels=1, size=8, .*\), 3\)"
    with pytest.raises(
        ConfigError, match=rf"FL-C52 .*{called} {said}; expected a function of \(image_input,"
    ) as caught:
        build_network(UNIT, GREY, 3)
    assert isinstance(caught.value.__cause__, cause)


def test_a_name_that_is_no_function_is_told(importable):
    importable("my_nets", wide="a text")
    with pytest.raises(ConfigError, match=r"FL-C52 .*wide is a str, expected a function of"):
        build_network(UNIT, GREY, 3)


def test_an_error_of_fewlabels_in_the_function_stays_as_it_is(importable):
    importable("my_nets", wide=lambda image_input, num_classes: NetworkSettings("nonesuch"))
    with pytest.raises(ConfigError, match="FL-C50"):
        build_network(UNIT, GREY, 3)


def test_a_file_that_fails_when_it_is_imported_is_told(tmp_path, monkeypatch):
    (tmp_path / "torn_nets.py").write_text("def wide(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"FL-C52 .*importing torn_nets raised SyntaxError"):
        build_network(NetworkSettings("module:torn_nets:wide"), GREY, 3)
