"""A run of two steps, how to look at its folder, and how to forge one."""

import json
import os
import warnings

import torch

from fewlabels.errors import CheckpointWarning
from fewlabels.storage import durable
from fewlabels.training.checkpoint import STATE, Snapshot

IDENTITY = {
    "settings": {"graph": {"alpha": 0.99, "n_neighbors": 50}, "phases": ({"epochs": 2}, {"epochs": 3})},
    "data": "5f2c",
    "versions": {"torch": "2.13", "numpy": "2.3"},
    "threads": 1,
    "world_size": 1,
    "device": "cpu",
}


def state(step):
    return Snapshot({"conv.weight": torch.full((3, 2), float(step)), "label": torch.arange(step)}, {"epoch": step})


def place(store, step):
    return store.folder / f"step-{step:08d}"


def tree(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def passed_over(store):
    """Step of the newest good checkpoint, and the warnings; nothing is changed by asking."""
    before = tree(store.folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = store.read_newest()
    assert tree(store.folder) == before
    assert {one.category for one in caught} <= {CheckpointWarning}
    return found[0], [str(one.message) for one in caught]


def reseal(folder, **facts):
    """Make every hash right again: what somebody would do who knows the format."""
    facts = durable.read_manifest(folder).facts | facts
    (folder / durable.MANIFEST).unlink()
    durable.write_manifest(folder, **facts)


def change_state(folder, change):
    document = json.loads((folder / STATE).read_text())
    change(document)
    (folder / STATE).write_text(json.dumps(document))
    reseal(folder)


def truncated(share):
    """Cuts a file after this share of it."""
    return lambda path: os.truncate(path, int(share * path.stat().st_size))
