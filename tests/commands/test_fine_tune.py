"""Fine-tuning: first a head on a frozen trunk, then blocks of the trunk with it."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import fewlabels
from fewlabels.commands.export_model import ExportOptions, run_export_model
from fewlabels.commands.frozen import choose_blocks, estimate_tuning, take_trunk
from fewlabels.errors import ConfigError, Interrupted
from fewlabels.nets.frozen import frozen_settings, list_blocks
from fewlabels.nets.model import read_model
from fewlabels.nets.pretrained import Trunk, load_backbone
from fewlabels.training.settings import Phase

from .test_frozen import SHORT, TINY, place  # noqa: F401  a fixture

TRUNK = "trunk.network.weight"
TUNED = SHORT | {"fine_tune": True, "learning_rate": 0.5}


@pytest.fixture(scope="module")
def tuned(place):  # noqa: F811
    return fewlabels.train("photos", labels="few.csv", test_labels="all.csv", out="tuned", **TUNED)


def weights(run):
    return load_file(run.folder / "model.safetensors")


def test_the_trunk_is_trained_in_a_phase_of_its_own_and_the_installed_one_stays(tuned):
    assert [phase.get("unfrozen", 0) for phase in tuned.settings["phases"]] == [0, 1]
    assert tuned.settings["augment"]["rotate"] == 5
    assert not np.array_equal(weights(tuned)[TRUNK], np.ones(12))
    assert float(load_backbone(TINY).trunk.network.weight.min()) == 1


def test_the_model_answers_from_photos_what_the_run_wrote(tuned):
    model = fewlabels.load_model(tuned)
    assert np.allclose(model.describe("photos"), np.load(tuned.folder / "descriptors.npy"), atol=1e-5)
    assert np.mean(np.array(model.predict("photos").label) == ["across", "down", "plain"] * 20) > 0.8
    assert tuned.results["num_test"] == 42
    assert "lp_error" in tuned.results


def test_nothing_is_said_of_held_out_labels_that_the_trunk_has_seen(tuned):
    assert "cross_validated" not in tuned.results
    assert not fewlabels.load_model(tuned).predict("photos").calibrated


def test_the_same_photos_and_seed_give_the_same_bytes(tuned):
    again = fewlabels.train("photos", labels="few.csv", test_labels="all.csv", out="tuned-again", **TUNED)
    assert (again.folder / "model.safetensors").read_bytes() == (tuned.folder / "model.safetensors").read_bytes()


def test_a_run_that_is_stopped_is_taken_up_to_the_same_bytes(tuned, monkeypatch):
    given = {"labels": "few.csv", "test_labels": "all.csv", "out": "stopped"} | TUNED
    from fewlabels.training import loop

    report, seen = loop._report, []

    def stop_in_the_second_phase(run, state, plan, seconds):
        report(run, state, plan, seconds)
        seen.append(state.position.phase)
        if seen.count(1) == 1:
            os.kill(os.getpid(), 2)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_report", stop_in_the_second_phase)
        with pytest.raises(Interrupted):
            fewlabels.train("photos", **given)
    assert seen[-1] == 1
    resumed = fewlabels.train("photos", resume=True, **given)
    for name in ("model.safetensors", "pseudo_labels.parquet", "descriptors.npy"):
        assert (resumed.folder / name).read_bytes() == (tuned.folder / name).read_bytes()


def test_the_model_file_says_that_the_trunk_was_trained_on_and_so_does_the_card(tuned, tmp_path):
    told = json.loads((tuned.folder / "model.json").read_text())
    assert told["backbone"]["fine_tuned"]
    assert told["backbone"]["weights_digest"] == load_backbone(TINY).weights_digest
    run_export_model(tuned.folder, ExportOptions(folder=tmp_path / "model"))
    assert "trained on with the photos" in (tmp_path / "model" / "README.md").read_text()
    shown = fewlabels.load_model(tmp_path / "model").describe("photos")
    assert np.allclose(shown, np.load(tuned.folder / "descriptors.npy"), atol=1e-5)
    with pytest.raises(ConfigError, match="FL-C132 --without-trunk of a model whose trunk was fine-tuned"):
        run_export_model(tuned.folder, ExportOptions(folder=tmp_path / "head", without_trunk=True))


def test_a_run_goes_on_from_a_trained_trunk_and_keeps_it(tuned):
    kept = {name: value for name, value in SHORT.items() if name != "backbone"}
    more = fewlabels.train("photos", labels="few.csv", continue_from=tuned, out="goes-on", **kept)
    assert np.array_equal(weights(more)[TRUNK], weights(tuned)[TRUNK])
    assert json.loads((more.folder / "model.json").read_text())["backbone"]["fine_tuned"]
    again = fewlabels.train("photos", labels="few.csv", continue_from=more, out="goes-on-again", **kept)
    assert np.array_equal(weights(again)[TRUNK], weights(tuned)[TRUNK])


def test_descriptors_of_a_trained_trunk_are_kept_under_a_digest_of_their_own(tuned):
    backbone = load_backbone(TINY)
    found = take_trunk(backbone, read_model(tuned))
    assert found.fine_tuned
    assert found.weights_digest != backbone.weights_digest


def test_without_a_backbone_there_is_nothing_to_fine_tune(place):  # noqa: F811
    with pytest.raises(ConfigError, match="FL-C134 --fine-tune without a backbone"):
        fewlabels.train("photos", labels="few.csv", network="small", fine_tune=True, out="no", quiet=True)


def test_a_few_blocks_are_trained_on_a_processor_and_all_on_a_gpu():
    lite = load_backbone("lite0", size=64)
    assert len(list_blocks(lite.trunk)) == 18
    assert choose_blocks(lite, "cpu") == 6
    assert choose_blocks(lite, "cuda") == 18
    last = sum(part.numel() for block in list_blocks(lite.trunk)[-6:] for part in block)
    assert last / sum(part.numel() for part in lite.trunk.parameters()) > 0.7
    with pytest.raises(ConfigError, match=r"FL-C134 .* has no weights"):
        choose_blocks(replace(lite, trunk=Trunk(torch.nn.Identity(), lite.preprocessing)), "cpu")


def test_the_time_of_an_epoch_is_estimated_by_a_step():
    backbone = load_backbone(TINY)
    labels = np.repeat([0, 1, -1], [5, 5, 90])
    settings, phase = frozen_settings(backbone), Phase("lp", 2, 0.01, 10, 45, unfrozen=1)
    assert estimate_tuning(backbone, settings, phase, labels, "cpu") > 0
    assert backbone.trunk.network.weight.grad is None
