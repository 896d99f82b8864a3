"""Settings of networks: what is refused, and with which words."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from fewlabels.errors import ConfigError
from fewlabels.nets import ImageInput, NetworkSettings, build_network


@pytest.mark.parametrize(
    "bad",
    [
        {"heads": 3},
        {"heads": True},
        {"width": 0},
        {"width": 3.5},
        {"first_stride": 3},
        {"dropout": 1.0},
        {"dropout": float("nan")},
        {"dropout": "0.5"},
        {"unit_descriptor": None},
        {"unit_descriptor": 1},
        {"pretrained": "no", "name": "timm:resnet18"},
    ],
)
def test_a_value_out_of_range_is_refused(bad):
    with pytest.raises(ConfigError, match=f"FL-C19 {next(iter(bad))} is "):
        NetworkSettings(**bad)


@pytest.mark.parametrize("name", ["resnet50", "", "small:", "cnn13:wide", "timm:", "timm", "module:nets", "module::f"])
def test_an_unknown_name_is_refused_with_those_there_are(name):
    with pytest.raises(
        ConfigError,
        match=r"FL-C50 network is .*small, cnn13, resnet18, efficientnet-lite0, .*, timm:MODEL",
    ):
        NetworkSettings(name)


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("small", {"pretrained": True}),
        ("cnn13", {"width": 32}),
        ("resnet18", {"dropout": 0.5}),
        ("timm:vgg11", {"first_stride": 2}),
        ("module:nets:f", {"dropout": 0.0}),
    ],
)
def test_an_option_that_a_network_does_not_have_is_refused_not_ignored(name, ignored):
    with pytest.raises(ConfigError, match=f"FL-C51 {next(iter(ignored))} is .*leave it out"):
        NetworkSettings(name, **ignored)


def test_options_are_those_asked_for_or_the_networks_own():
    assert NetworkSettings().option("width") == 32
    assert NetworkSettings(width=8).option("width") == 8
    assert NetworkSettings("cnn13").option("dropout") == 0.5
    assert NetworkSettings("cnn13", dropout=0.0).option("dropout") == 0.0


@pytest.mark.parametrize(
    "bad",
    [
        {"channels": 0},
        {"size": 0},
        {"mean": (0.0, 0.0)},
        {"std": ()},
        {"std": (0.0,)},
        {"mean": (float("nan"),)},
    ],
)
def test_images_that_cannot_be_are_refused(bad):
    with pytest.raises(ConfigError, match="FL-C19"):
        ImageInput(**{"channels": 1, "size": 8} | bad)


@pytest.mark.parametrize(("name", "size"), [("small", 3), ("cnn13", 11), ("resnet18", 7)])
def test_images_too_small_for_a_network_are_refused_when_it_is_built(name, size):
    with pytest.raises(ConfigError, match=f"FL-C19 images of {size} x {size} pixels: .* and more"):
        build_network(NetworkSettings(name), ImageInput(1, size), 2)


def test_a_network_without_classes_is_refused():
    with pytest.raises(ConfigError, match="FL-C19 num_classes is 0"):
        build_network(NetworkSettings(), ImageInput(1, 8), 0)


def test_settings_come_back_from_json_equal():
    settings, images = NetworkSettings("cnn13", heads=2, dropout=0.1), ImageInput(3, 32, [1, 2, 3], [4, 5, 6])
    assert NetworkSettings(**json.loads(json.dumps(asdict(settings)))) == settings
    assert ImageInput(**json.loads(json.dumps(asdict(images)))) == images


def test_settings_load_no_torch():
    code = "import sys; from fewlabels.nets import NetworkSettings; NetworkSettings(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
