"""A run that ended before its first checkpoint, and one that could not begin."""

import json
from dataclasses import replace

import pytest

from fewlabels.commands import training
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.errors import ConfigError, NumericsError, RunError
from fewlabels.graph import GraphSettings
from fewlabels.nets import NetworkSettings
from fewlabels.runs import read_run
from fewlabels.training import loop
from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings

SHORT = TrainSettings(
    phases=(Phase("supervised", 1, 0.05, 6), Phase("lp", 1, 0.05, 6, 18)),
    graph=GraphSettings(n_neighbors=12),
    augment=AugmentSettings(translate=1, flip=False),
    network=NetworkSettings(width=4, dropout=0.1),
)


@pytest.fixture
def killed(stripes, tmp_path, monkeypatch):
    """A run that ended before its first checkpoint."""

    def dies(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "train", dies)
        with pytest.raises(KeyboardInterrupt):
            run_training(stripes, SHORT, tmp_path / "run", RunOptions(quiet=True))
    assert not (tmp_path / "run" / ".checkpoints").exists()
    return tmp_path / "run"


def test_before_the_first_checkpoint_too_other_settings_data_and_speeds_are_refused(stripes, killed):
    resume = RunOptions(quiet=True, resume=True)
    flipped = replace(stripes, truth=stripes.truth[::-1].copy())
    for task, settings, how, told in [
        (stripes, replace(SHORT, seed=1), resume, "settings.seed: 0 there, 1 now"),
        (flipped, SHORT, resume, "data.truth: "),
        (stripes, SHORT, replace(resume, speed="fast"), "speed: "),
    ]:
        with pytest.raises(ConfigError, match=f"FL-C12.*{told}"):
            run_training(task, settings, killed, how)
    run_training(stripes, SHORT, killed, resume)
    assert json.loads((killed / "resumed.jsonl").read_text())["step"] == 0
    assert json.loads((killed / "run.json").read_text())["identity"]["data"] == stripes.fingerprint()


def test_a_network_that_cannot_be_built_leaves_no_run_behind(stripes, tmp_path):
    settings = replace(SHORT, network=NetworkSettings("module:nowhere:build"))
    with pytest.raises(ConfigError, match="FL-C52"):
        run_training(stripes, settings, tmp_path / "run", RunOptions(quiet=True))
    run_training(stripes, SHORT, tmp_path / "run", RunOptions(quiet=True))  # the folder is free


def test_a_network_whose_code_changed_goes_on_only_if_told(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "source_digest", lambda name: "before")
    monkeypatch.setattr(training, "train", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_training(stripes, SHORT, tmp_path / "run", RunOptions(quiet=True))
    monkeypatch.setattr(training, "source_digest", lambda name: "now")
    with pytest.raises(ConfigError, match=r'FL-C12 .*code: "before" there, "now" now'):
        run_training(stripes, SHORT, tmp_path / "run", RunOptions(quiet=True, resume=True))


def test_descriptors_that_are_not_finite_name_their_images(stripes, tmp_path, monkeypatch):
    real = loop.evaluate

    def evaluate(*given):
        found = real(*given)
        found.descriptors[3] = float("nan")
        return found

    monkeypatch.setattr(loop, "evaluate", evaluate)
    with pytest.raises(NumericsError, match=r"FL-P22 the network describes 1 of 60 images by NaN .*image 3"):
        run_training(stripes, SHORT, tmp_path / "run", RunOptions(quiet=True))


@pytest.mark.parametrize("name", ["results.json", "events.jsonl", "run.json", "insights.json"])
def test_a_finished_run_is_read_only_as_it_was_written(stripes, tmp_path, name):
    run_training(stripes, SHORT, tmp_path / "run", RunOptions(quiet=True))
    file = tmp_path / "run" / name
    file.write_text(file.read_text() + "\n")
    with pytest.raises(RunError, match=f"FL-K2 not as the run wrote it: .*{name}"):
        read_run(tmp_path / "run")
