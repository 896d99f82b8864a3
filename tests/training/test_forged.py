"""Checkpoints that nobody of ours wrote, with every hash right: refused in bounded time and memory."""

import json
import os
import pickle
import re
import struct
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors_bytes

from fewlabels.storage import durable
from fewlabels.training.checkpoint import FILES, STATE, TENSORS
from tests.training.stores import change_state, passed_over, place, reseal

pytestmark = pytest.mark.lane("F4")


class Bomb:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def header(length, rest=b""):
    return struct.pack("<Q", length) + rest


@pytest.mark.parametrize(
    "data",
    [
        header(2**64 - 1),
        header(1 << 30, b"{}"),
        header(2, b"[]"),
        header(2, b"{}"),
        header(40, b'{"__metadata__": {"fewlabels": "[1, 2]"}}'),
        b"PK\x03\x04" + bytes(1000),
        b"",
        b"\x00" * 7,
        header(200_008, b'{"a":' + b"[" * 200_003),
        safetensors_bytes({"a": torch.zeros(2)}),
    ],
    ids=["length-2^64-1", "length-2^30", "list", "no-metadata", "metadata", "zip", "empty", "short", "deep", "foreign"],
)
def test_tensors_that_are_none_of_ours_are_refused(store, data):
    (place(store, 20) / TENSORS).write_bytes(data)
    reseal(place(store, 20))
    step, warned = passed_over(store)
    assert step == 10
    assert "(FL-K8" in warned[0]


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_under_any_name_is_refused_and_not_run(store, tmp_path, name):
    canary = tmp_path / "canary"
    (place(store, 20) / name).write_bytes(pickle.dumps(Bomb(canary)))
    if name != durable.MANIFEST:
        reseal(place(store, 20))
    assert passed_over(store)[0] == 10
    assert not canary.exists()


@pytest.mark.parametrize(("name", "size"), [(TENSORS, 1 << 40), (STATE, 1 << 40), (durable.MANIFEST, 1 << 40)])
def test_a_file_larger_than_it_can_be_is_not_read(store, name, size):
    manifest = json.loads((place(store, 20) / durable.MANIFEST).read_text())
    for entry in manifest["files"]:
        if entry["name"] == name:
            entry["size"] = size
    (place(store, 20) / durable.MANIFEST).write_text(json.dumps(manifest))
    os.truncate(place(store, 20) / name, size)  # sparse: takes no room
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert store.read_newest()[0] == 10
    assert re.search(r"FL-K8 1099511627776 bytes, at most|FL-K4 the manifest is larger", str(caught[0].message))


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("values"),
        lambda document: document.update(step="20"),
        lambda document: document.update(tensors=[]),
        lambda document: document["tensors"].update(label=["int64"]),
        lambda document: document["tensors"].update(label=["Tensor", [20]]),
        lambda document: document["tensors"].update(label=["int64", [10**4000]]),
        lambda document: document.pop("format"),
    ],
)
def test_a_state_of_another_form_is_refused(store, change):
    change_state(place(store, 20), change)
    step, warned = passed_over(store)
    assert step == 10
    assert re.search(r"\(FL-K(7|8)", warned[0])


@pytest.mark.parametrize("text", ["[1]", "7", "[" * 100_000, "\xff", ""])
@pytest.mark.parametrize("name", [STATE, durable.MANIFEST])
def test_json_of_another_form_is_refused(store, text, name):
    (place(store, 20) / name).write_bytes(text.encode("latin-1"))
    if name == STATE:
        reseal(place(store, 20))
    assert passed_over(store)[0] == 10


@pytest.mark.parametrize("facts", [{"step": None}, {"step": [1]}, {"run": {}}, {"step": 1e999}])
def test_a_manifest_that_says_something_odd_is_refused(store, facts):
    path = place(store, 20) / durable.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    assert passed_over(store)[0] == 10
