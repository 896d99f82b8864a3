"""What must be the same for a run to go on."""

import json
import re

import pytest

from fewlabels.errors import CheckpointWarning, ConfigError
from fewlabels.training.checkpoint import Checkpoints
from fewlabels.training.identity import check_differences
from tests.training.stores import IDENTITY, place, state


def varied(**changes):
    identity = json.loads(json.dumps(IDENTITY))
    for key, value in changes.items():
        *path, last = key.split("__")
        inner = identity
        for name in path:
            inner = inner[int(name) if name.isdigit() else name]
        inner[last] = value
    return identity


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"settings__graph__alpha": 0.95}, "settings.graph.alpha: 0.99 there, 0.95 now"),
        ({"settings__phases__1__epochs": 4}, "settings.phases.1.epochs: 3 there, 4 now"),
        ({"settings__graph__n_neighbors": 50.0}, "settings.graph.n_neighbors: 50 there, 50.0 now"),
        ({"settings__graph__gamma": 3}, "settings.graph.gamma: nothing there, 3 now"),
        ({"data": "77", "threads": 2}, 'data: "5f2c" there, "77" now, threads: 1 there, 2 now'),
    ],
)
def test_other_settings_or_data_are_refused_with_every_difference(store, changes, text, allow):
    other = Checkpoints(store.folder, varied(**changes), allow_inexact=allow)
    with pytest.raises(
        ConfigError, match=re.escape(f"FL-C12 the checkpoint is of a run with other settings or data: {text}")
    ):
        other.read_newest()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"threads": 2}, "threads: 1 there, 2 now"),
        ({"versions__torch": "2.14"}, 'versions.torch: "2.13" there, "2.14" now'),
        ({"world_size": 2, "device": "cuda"}, 'world_size: 1 there, 2 now, device: "cpu" there, "cuda" now'),
    ],
)
def test_other_versions_or_hardware_are_refused_unless_an_inexact_resume_is_allowed(store, changes, text):
    with pytest.raises(ConfigError, match=re.escape(f"FL-C12 the run cannot go on to the same bytes: {text}")):
        Checkpoints(store.folder, varied(**changes)).read_newest()
    allowed = Checkpoints(store.folder, varied(**changes), allow_inexact=True)
    with pytest.warns(CheckpointWarning, match=re.escape(f"FL-C12 the run goes on, but not to the same bytes: {text}")):
        step, _ = allowed.read_newest()
    assert step == 20
    assert ", ".join(map(str, allowed.differences)) == text
    assert allowed.save(30, state(30)) == place(store, 30)
    assert allowed.read_newest()[0] == 30
    assert allowed.differences == ()


def test_the_same_identity_has_no_differences(store):
    again = Checkpoints(store.folder, varied())
    assert again.read_newest()[0] == 20
    assert again.differences == ()


def test_of_many_differences_the_first_twenty_are_shown():
    now = {"settings": {str(number): number for number in range(30)}}
    with pytest.raises(ConfigError, match=r"settings\.20: nothing there, 20 now, and 9 more"):
        check_differences({"settings": {"0": 0}}, now)
