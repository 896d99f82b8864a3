"""The network of a finished run is what the run ended with."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fewlabels.commands.trained import load_network
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.errors import ConfigError, RunError
from fewlabels.graph import GraphSettings
from fewlabels.nets import NetworkSettings
from fewlabels.runs import read_run
from fewlabels.storage import durable
from fewlabels.training.settings import Phase, TrainSettings

SETTINGS = TrainSettings(
    phases=(Phase("mean_teacher", 2, 0.05, 6, 18),),
    graph=GraphSettings(n_neighbors=12),
    network=NetworkSettings(width=4, dropout=0.1, heads=2, unit_descriptor=False),
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the one run of this file is."""
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def run(kept, stripes, tmp_path):
    """A copy of it."""
    if not kept.exists():
        run_training(stripes, SETTINGS, kept, RunOptions(quiet=True))
    return shutil.copytree(kept, tmp_path / "run")


def weights(network):
    return torch.cat([value.flatten().double() for value in network.state_dict().values()])


def sealed_again(run):
    (run / "manifest.json").unlink()
    durable.write_manifest(run)
    return run


def test_the_student_gives_the_descriptors_and_the_error_of_the_run(run, stripes):
    trained = load_network(run, teacher=False)
    assert trained.class_names == ("rows", "columns", "plain")
    assert (trained.image_input.channels, trained.image_input.size) == (1, 8)
    assert not trained.network.training
    with torch.no_grad():
        output = trained.network(torch.from_numpy(stripes.pixels).permute(0, 3, 1, 2))
        tested = trained.network(torch.from_numpy(stripes.test_pixels).permute(0, 3, 1, 2))
    assert np.allclose(output.descriptor.numpy(), np.load(run / "descriptors.npy"), atol=1e-5)
    error = 100 * np.mean(tested.logits.argmax(dim=1).numpy() != stripes.test_truth)
    assert error == pytest.approx(read_run(run).results["mean_teacher_error"])


def test_the_teacher_is_taken_where_there_is_one_and_not_refused(run):
    averaged, taught = (load_file(run / f"{name}.safetensors") for name in ("teacher", "model"))
    for choice, expected in ((None, averaged), (True, averaged), (False, taught)):
        found = load_network(run, teacher=choice).network.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
    (run / "teacher.safetensors").unlink()
    assert torch.equal(
        weights(load_network(sealed_again(run)).network), weights(load_network(run, teacher=False).network)
    )
    with pytest.raises(ConfigError, match=r"FL-C88 a run without a teacher at .*leave out teacher=True"):
        load_network(run, teacher=True)


def test_loading_leaves_random_numbers_as_they_are(run):
    drawn = torch.get_rng_state()
    load_network(run)
    assert torch.equal(drawn, torch.get_rng_state())


def test_an_unfinished_run_has_no_network(run):
    (run / "manifest.json").unlink()
    with pytest.raises(ConfigError, match=r"FL-C88 a run without a network at .*finished run"):
        load_network(run)


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match="FL-K4"):
        load_network(tmp_path)


@pytest.mark.parametrize("name", ["teacher.safetensors", "model.json"])
def test_a_damaged_file_is_told_and_one_that_is_not_needed_does_not_matter(run, name):
    data = bytearray((run / name).read_bytes())
    data[-2] ^= 1
    (run / name).write_bytes(data)
    with pytest.raises(RunError, match=f"FL-K2 damaged: content changed .*{name}"):
        load_network(run)
    if name == "teacher.safetensors":
        load_network(run, teacher=False)


def test_weights_of_another_network_are_told(run):
    config = json.loads((run / "model.json").read_text())
    config["network"]["width"] = 8
    (run / "model.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"FL-K7 .*size mismatch"):
        load_network(sealed_again(run))


def test_pretrained_weights_are_not_downloaded_to_be_replaced(run, monkeypatch):
    config = json.loads((run / "model.json").read_text())
    config["network"] |= {"name": "timm:tiny", "pretrained": True, "width": None, "dropout": None}
    (run / "model.json").write_text(json.dumps(config))
    asked = []
    monkeypatch.setattr(
        "fewlabels.commands.trained.build_network", lambda settings, *_: asked.append(settings) or torch.nn.Module()
    )
    with pytest.raises(RunError, match="FL-K7"):
        load_network(sealed_again(run))
    assert [settings.option("pretrained") for settings in asked] == [False]
