"""Photos and class names by one open_clip model, tiny and with random weights; skipped without that library."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fewlabels.cli.main import run as run_command
from fewlabels.errors import ConfigError
from fewlabels.nets.pretrained import load_backbone
from tests.review.labelling import label_by

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
NAME = "open_clip:tiny-test"


@pytest.fixture(scope="module")
def library(timm):  # which makes torchvision importable beside any torch
    return pytest.importorskip("open_clip", reason="open_clip, of the extra clip, is not installed", exc_type=Exception)


@pytest.fixture
def weights(library, tmp_path):
    (tmp_path / "tiny-test.json").write_text(json.dumps(TINY))
    library.add_model_config(tmp_path / "tiny-test.json")
    torch.manual_seed(0)
    torch.save(library.create_model("tiny-test").state_dict(), tmp_path / "tiny.pt")
    return tmp_path / "tiny.pt"


def test_photos_and_names_are_described_as_the_library_does(library, weights):
    backbone = load_backbone(NAME, weights=weights)
    model = library.create_model("tiny-test", pretrained=str(weights)).eval()
    pixels = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(1)).float()
    mean, std = (torch.tensor(part)[:, None, None] for part in (model.visual.image_mean, model.visual.image_std))
    with torch.no_grad():
        expected = model.encode_image((pixels / 255 - mean) / std)
        torch.testing.assert_close(backbone.trunk(pixels), expected, rtol=1e-4, atol=1e-5)
        texts = model.encode_text(library.get_tokenizer("tiny-test")(["a photo of a cat", "a photo of a dog"]))
    found = backbone.describe_names(["cat", "dog"], "a photo of a {}")
    np.testing.assert_allclose(found, texts.numpy(), rtol=1e-4, atol=1e-5)
    assert backbone.width == found.shape[1] == 16


def test_weights_are_named_or_given_and_must_be_those_of_the_model(library, weights, tmp_path):
    with pytest.raises(ConfigError, match="FL-C112 open_clip knows no weights 'nothing'"):
        load_backbone("open_clip:ViT-B-32/nothing")
    with pytest.raises(ConfigError, match="FL-C52 open_clip has no model 'no-such'"):
        load_backbone("open_clip:no-such/tag")
    torch.save({"other": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="FL-C112 the weights"):
        load_backbone(NAME, weights=tmp_path / "other.pt")


@pytest.mark.filterwarnings("ignore")
def test_a_labelling_of_photos_begins_with_the_names_of_its_classes(library, weights, tmp_path, monkeypatch):
    pytest.importorskip("fastapi")
    monkeypatch.setenv("FEWLABELS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    seen = []
    words = (tmp_path / "photos", "--backbone", NAME, "--weights", weights, "--class-names", "cat,dog")
    do = lambda person: seen.append(person.page.get("/api/session").json())  # noqa: E731
    assert label_by(monkeypatch, do, (*words, "--out", tmp_path / "run", "--device", "cpu")) == 0
    assert seen[0]["classes"] == ["cat", "dog"]
    assert seen[0]["answered"] == 0
    bad = (*words, "--template", "a cat", "--out", tmp_path / "other")
    assert label_by(monkeypatch, do, bad) == 2


def test_a_backbone_without_a_text_side_says_so(tmp_path, monkeypatch, capsys):
    pytest.importorskip("fastapi")
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    words = ["label", str(tmp_path / "photos"), "--class-names", "cat,dog", "--out", str(tmp_path / "run")]
    assert run_command([*words, "--no-browser"]) == 2
    assert (
        "FL-C153 class names for the backbone 'efficientnet-lite0', which has no text side" in capsys.readouterr().err
    )


def test_nothing_of_it_is_imported_before_it_is_asked_for():
    code = "import sys, fewlabels.nets.pretrained; sys.exit('open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
