"""TensorBoard's view of a run: its own reader finds every number once."""

import re
from dataclasses import replace

import pytest

from fewlabels.commands import watching
from fewlabels.commands.reproduce.cells import Variant, list_cells
from fewlabels.commands.reproduce.run import Request, reproduce_from
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.commands.watching import CheckpointPolicy
from fewlabels.data.benchmarks.facts import CIFAR10
from fewlabels.errors import ConfigError, Interrupted, install_command
from fewlabels.graph import GraphSettings
from fewlabels.nets import NetworkSettings
from fewlabels.runs import read_run, verify_run
from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings

SHOWN = RunOptions(quiet=True, tensorboard=True)
SETTINGS = TrainSettings(
    phases=(Phase("supervised", 3, 0.05, 6), Phase("mt_lp", 2, 0.05, 6, 18)),
    graph=GraphSettings(n_neighbors=12),
    augment=AugmentSettings(translate=1, flip=False),
    network=NetworkSettings(width=4),
)


def scalars(folder):
    """Tag -> [(step, value)] as TensorBoard reads the folder."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def expected(folder):
    """The same from events.jsonl."""
    steps, found = 0, {}
    for epoch in read_run(folder).of("epoch"):
        steps += epoch["steps"]
        for name, tag in watching.SCALARS.items():
            if epoch.get(name) is not None:
                found.setdefault(tag, []).append((steps, pytest.approx(epoch[name])))
    return found


def test_it_shows_every_number_of_every_epoch_and_is_sealed(stripes, tmp_path):
    pytest.importorskip("tensorboard")
    run_training(stripes, SETTINGS, tmp_path / "run", SHOWN)
    assert scalars(tmp_path / "run") == expected(tmp_path / "run")
    assert set(watching.SCALARS.values()) - set(scalars(tmp_path / "run")) <= {"pseudo_labels/certainty_of_wrong_ones"}
    assert verify_run(tmp_path / "run") == []
    next((tmp_path / "run" / "tensorboard").iterdir()).unlink()
    assert [problem.reason for problem in verify_run(tmp_path / "run")] == ["missing"]


def test_a_run_taken_up_shows_nothing_twice(stripes, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    asked = []

    def stop():
        """Of the tenth look on: signal 15, after which the run is saved."""
        asked.append(True)
        return 15 if len(asked) > 10 else None

    with monkeypatch.context() as patch:
        init = CheckpointPolicy.__init__
        patch.setattr(CheckpointPolicy, "__init__", lambda self, **given: init(self, **given | {"stop": stop}))
        with pytest.raises(Interrupted):
            run_training(stripes, SETTINGS, tmp_path / "run", SHOWN)
    assert 0 < len(scalars(tmp_path / "run")["loss"]) < 5
    run_training(stripes, SETTINGS, tmp_path / "run", replace(SHOWN, resume=True))
    assert len(scalars(tmp_path / "run")["loss"]) == 5
    assert scalars(tmp_path / "run") == expected(tmp_path / "run")
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1


def test_where_it_is_missing_nothing_is_begun(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="FL-C66 .*" + re.escape(install_command("tensorboard"))):
        run_training(stripes, SETTINGS, tmp_path / "run", SHOWN)
    with pytest.raises(ConfigError, match="FL-C66"):  # and not for want of the images
        reproduce_from(Request(list_cells(CIFAR10, 500, "lp"), [10], Variant(), tmp_path), tmp_path / "none", SHOWN)
    assert not list(tmp_path.iterdir())
