"""Models of timm, the library itself: random weights, weight files, the hub's cache, and what is said without them."""

import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fewlabels.errors import ConfigError
from fewlabels.nets import ImageInput, NetworkSettings, Preprocessing, build_network, load_backbone, timm_models

NAME = "timm:test_vit.r160_in1k"
IMAGES = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model(timm):
    """A model of timm with random weights, as if they were trained."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return timm.create_model("test_vit").eval()


@pytest.fixture(scope="module")
def expected(model):
    """What it gives before its classifier, by timm's own methods."""
    with torch.no_grad():
        return model.forward_head(model.forward_features((IMAGES / 255 - 0.5) / 0.5), pre_logits=True)


@pytest.fixture
def weights(model, tmp_path):
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


@pytest.fixture
def hub(timm, tmp_path, monkeypatch):
    """The hub's cache in a folder of the test, and a hub that is not there."""
    library = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(library.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(library.constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


def put_into(hub: Path, weights: Path) -> None:
    """The weights where the hub's library keeps them once they are downloaded."""
    repository = hub / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    weights.rename(repository / "snapshots" / ("0" * 40) / "model.safetensors")


def test_a_file_of_weights_gives_timms_own_descriptors_with_the_models_preprocessing(weights, expected):
    backbone = load_backbone(NAME, weights=weights)
    assert torch.allclose(backbone.trunk(IMAGES), expected, atol=1e-5)
    assert backbone.width == expected.shape[1]
    assert (backbone.source, backbone.licence) == ("file vit.safetensors", "apache-2.0")
    own = backbone.preprocessing
    assert (own.size, own.crop, own.interpolation) == (160, 0.95, "bicubic")
    assert own.mean == own.std == (127.5,) * 3


def test_a_file_without_the_classifier_gives_the_same(model, tmp_path, expected):
    trunk = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("head.")}
    save_file(trunk, tmp_path / "trunk.safetensors")
    assert torch.allclose(
        load_backbone(NAME, weights=tmp_path / "trunk.safetensors").trunk(IMAGES), expected, atol=1e-5
    )


def test_a_file_that_lacks_a_weight_is_refused_as_it_would_stay_random(model, tmp_path):
    part = {name: tensor for name, tensor in model.state_dict().items() if name != "norm.bias"}
    save_file(part, tmp_path / "part.safetensors")
    with pytest.raises(ConfigError, match=r"FL-C112 the weights are not those of 'test_vit.*norm\.bias") as caught:
        load_backbone(NAME, weights=tmp_path / "part.safetensors")
    assert "\n" not in str(caught.value)


def test_a_file_of_another_model_is_refused(timm, weights):
    with pytest.raises(ConfigError, match=r"FL-C112 the weights are not those of 'test_resnet.r160_in1k'"):
        load_backbone("timm:test_resnet.r160_in1k", weights=weights)


def test_a_file_that_is_no_safetensors_or_not_there_is_refused(timm, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"a pickle, perhaps")
    for name in ("x.safetensors", "y.safetensors"):
        with pytest.raises(ConfigError, match=r"FL-C112 the weights cannot be read: .*format safetensors"):
            load_backbone(NAME, weights=tmp_path / name)


def test_weights_in_the_hubs_cache_need_no_connection(hub, weights, expected):
    put_into(hub, weights)
    backbone = load_backbone(NAME)
    assert torch.allclose(backbone.trunk(IMAGES), expected, atol=1e-5)
    assert backbone.source == "hub:timm/test_vit.r160_in1k"


def test_a_hub_out_of_reach_is_told_in_one_line_within_seconds(hub):
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"FL-C112 .*cannot be fetched from the hub \(.*--weights FILE") as caught:
        load_backbone(NAME)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 10


def test_a_hub_that_is_forbidden_is_told(hub, monkeypatch):
    monkeypatch.setattr(sys.modules["huggingface_hub"].constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"FL-C112 .*HF_HUB_OFFLINE"):
        load_backbone(NAME)


def test_another_size_is_taken_by_models_that_can(model, weights):
    backbone = load_backbone(NAME, weights=weights, size=96)
    assert backbone.preprocessing.size == 96
    assert backbone.trunk(IMAGES[:, :, :96, :96]).shape == (2, backbone.width)


def test_a_network_starts_from_the_weights_with_the_models_normalisation(hub, weights, expected):
    put_into(hub, weights)
    settings = NetworkSettings(NAME, pretrained=True, heads=2, unit_descriptor=False)
    output = build_network(settings, ImageInput(3, 160, (1.0,), (2.0,)), 3).eval()(IMAGES)
    assert torch.allclose(output.descriptor, expected, atol=1e-5)
    assert output.logits.shape == output.consistency.shape == (2, 3)


def test_a_network_without_its_weights_takes_the_datas_normalisation_and_grey_images(timm):
    network = build_network(NetworkSettings("timm:test_resnet"), ImageInput(1, 32, (5.0,), (6.0,)), 3)
    assert network.pixels.mean.item() == 5
    assert network(IMAGES[:, :1, :32, :32]).logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonesuch", "FL-C52 timm .* has no model 'nonesuch'.*list_models"),
        (
            "test_vit.nonesuch",
            "FL-C112 timm knows no weights 'test_vit.nonesuch'; weights of this model: test_vit.r160",
        ),
    ],
)
def test_a_model_or_weights_that_timm_does_not_have_are_told(timm, name, said):
    with pytest.raises(ConfigError, match=said):
        load_backbone(f"timm:{name}")


def test_a_network_that_timm_cannot_make_is_told(timm):
    with pytest.raises(ConfigError, match=r"FL-C52 timm cannot make 'nonesuch'.*list_models"):
        build_network(NetworkSettings("timm:nonesuch"), ImageInput(3, 32), 3)


def test_without_timm_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # makes its import fail
    with pytest.raises(ConfigError, match=r"FL-C52 .*need that library.*pip install .*\[timm\]"):
        build_network(NetworkSettings("timm:resnet18"), ImageInput(3, 32), 3)


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("2.13.0+cpu", "'torchvision==0.28.*' --extra-index-url https://download.pytorch.org/whl/cpu"),
        ("2.11.0+cu130", "'torchvision==0.26.*' --extra-index-url https://download.pytorch.org/whl/cu130"),
        ("2.10.0", "pip install timm 'torchvision==0.25.*'"),
        ("3.0.0", "[timm]"),
    ],
)
def test_the_torchvision_to_install_is_the_one_made_for_this_torch(monkeypatch, version, command):
    monkeypatch.setattr(timm_models.torch, "__version__", version)
    assert command in timm_models._torchvision_command()


def test_preprocessing_is_the_models_own_for_every_tower_that_the_documentation_names(timm):
    sizes = {}
    for name in ("vit_small_patch14_dinov2.lvd142m", "vit_base_patch16_siglip_224.webli", "convnext_tiny.fb_in22k"):
        found = timm.get_pretrained_cfg(name)
        model = type("Model", (), {"pretrained_cfg": found.to_dict()})
        sizes[name] = timm_models.own_preprocessing(model)
    assert [one.size for one in sizes.values()] == [518, 224, 224]
    assert sizes["convnext_tiny.fb_in22k"].mean == pytest.approx((123.675, 116.28, 103.53))
    assert sizes["convnext_tiny.fb_in22k"].std == pytest.approx((58.395, 57.12, 57.375))
    assert sizes["vit_base_patch16_siglip_224.webli"] == Preprocessing(
        size=224, mean=(127.5,) * 3, std=(127.5,) * 3, crop=0.9, interpolation="bicubic"
    )
