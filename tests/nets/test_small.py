import pytest
import torch

from fewlabels.errors import ConfigError
from fewlabels.nets import SmallCNN, SmallNetwork


@pytest.mark.parametrize(("size", "width", "descriptor"), [(4, 8, 8), (8, 8, 16), (32, 8, 32), (84, 8, 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_and_a_descriptor_of_length_one_for_every_image(size, width, descriptor, channels):
    config = SmallNetwork(channels, size, 5, width, mean=(100.0,) * channels, std=(50.0,) * channels)
    output = SmallCNN(config)(torch.randint(0, 256, (3, channels, size, size), dtype=torch.uint8))
    assert output.logits.shape == (3, 5)
    assert output.descriptor.shape == (3, descriptor)
    assert torch.allclose(output.descriptor.norm(dim=1), torch.ones(3))


def test_logits_are_the_linear_layer_of_the_descriptor():
    network = SmallCNN(SmallNetwork(1, 8, 4)).eval()
    output = network(torch.rand(2, 1, 8, 8) * 255)
    assert torch.allclose(network.classifier(output.descriptor), output.logits)


def test_brightness_and_contrast_that_the_mean_and_deviation_take_out_do_not_matter():
    torch.manual_seed(0)
    plain = SmallCNN(SmallNetwork(1, 8, 4, mean=(0.0,), std=(1.0,))).eval()
    scaled = SmallCNN(SmallNetwork(1, 8, 4, mean=(7.0,), std=(3.0,))).eval()
    weights = {name: value for name, value in plain.state_dict().items() if name not in ("mean", "std")}
    scaled.load_state_dict(weights, strict=False)
    images = torch.rand(2, 1, 8, 8)
    assert torch.allclose(plain(images).logits, scaled(images * 3 + 7).logits, atol=1e-4)


@pytest.mark.parametrize("bad", [{"image_size": 3}, {"width": 0}, {"mean": (0.0, 0.0)}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match="FL-C19"):
        SmallNetwork(**{"in_channels": 1, "image_size": 8, "num_classes": 2} | bad)
