"""Damaged checkpoints: each is found, the one before is used, loudly, and nothing is removed."""

import json
import os
import random
import re
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as safetensors_bytes

from fewlabels.errors import FewlabelsError, NumericsError, RunError
from fewlabels.storage import durable
from fewlabels.training import checkpoint
from fewlabels.training import checkpoint as snapshot
from fewlabels.training.checkpoint import FILES, STATE, TENSORS, Checkpoints, Snapshot, demand_tensors
from tests.faults.lanes import size
from tests.training.stores import IDENTITY, change_state, passed_over, place, reseal, state, tree, truncated


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_link(path):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


DAMAGE = {f"cut-at-{share}-of-20": truncated(share / 20) for share in range(20)} | {
    "zeros": zeros,
    "longer": longer,
    "missing": Path.unlink,
    "unreadable-folder": a_folder,
    "link": a_link,
    "pipe": a_pipe,
}


@pytest.mark.lane("F4")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_found_and_the_checkpoint_before_is_used(store, name, damage):
    damage(place(store, 20) / name)
    step, warned = passed_over(store)
    assert step == 10
    assert re.match(r"FL-K1 a checkpoint was passed over: step-00000020 \(FL-K[24] .*; the run goes on from", warned[0])
    assert len(warned) == 1


def flips_found(store, flips):
    """How many of the flipped bits are found. flips: (file, number of its bit)."""
    found = 0
    for name, bit in flips:
        path = place(store, 20) / name
        good = path.read_bytes()
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with suppress(FewlabelsError):  # of what the damaged state says, taken for true
            found += passed_over(store)[0] == 10
        path.write_bytes(good)
    return found


def random_flips(store, name, number):
    rng = random.Random(0)
    return [(name, rng.randrange(8 * (place(store, 20) / name).stat().st_size)) for _ in range(number)]


@pytest.mark.lane("F4")
@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_found(store, tally, name):
    """Nightly: every bit of every file."""
    bits = 8 * (place(store, 20) / name).stat().st_size
    flips = [(name, bit) for bit in range(bits)]
    if bits > size(100, 500, 1_000_000):
        flips = random.Random(0).sample(flips, size(100, 500, 1_000_000))
    found = flips_found(store, flips)
    tally(len(flips), len(flips) - found)
    assert found == len(flips)
    assert passed_over(store) == (20, [])


@pytest.mark.lane("F4")
def test_a_whole_checkpoint_is_never_called_damaged(tmp_path, tally):
    loads = size(20, 500, 10_000)
    store = Checkpoints(tmp_path, IDENTITY)
    for step in range(1, 1 + loads // 10):
        store.save(step, state(step))
        assert all(passed_over(store) == (step, []) for _ in range(10))
    tally(loads)


def unhashed(path, manifest, most):
    return path.read_bytes()


def sized_only(path, manifest, most):
    data = path.read_bytes()
    if len(data) != manifest.files[path.name][0]:
        raise RunError("K2", "another size", where=path)
    return data


def half_hashed(path, manifest, most):
    """Only the tensors."""
    return VERIFIED(path, manifest, most) if path.name == TENSORS else path.read_bytes()


VERIFIED = snapshot._read_verified


@pytest.mark.lane("F4", faulty=True)
@pytest.mark.parametrize("reader", [unhashed, sized_only, half_hashed])
def test_the_flips_find_a_reader_that_does_not_hash(store, monkeypatch, reader):
    monkeypatch.setattr(snapshot, "_read_verified", reader)
    assert flips_found(store, [one for name in FILES for one in random_flips(store, name, 100)]) < 300


@pytest.mark.lane("F4", faulty=True)
def test_a_reader_that_passes_over_in_silence_is_found(store, monkeypatch):
    monkeypatch.setattr(checkpoint, "_warn_of_damage", lambda passed_over, instead: None)
    zeros(place(store, 20) / TENSORS)
    assert passed_over(store) == (10, [])  # the tests above want one warning


def test_where_all_are_damaged_each_is_listed_with_its_reason_and_nothing_is_removed(store):
    truncated(0.5)(place(store, 20) / TENSORS)
    (place(store, 10) / durable.MANIFEST).unlink()
    before = tree(store.folder)
    with pytest.raises(RunError, match=r"FL-K5 .*step-00000020 \(FL-K2 .*step-00000010 \(FL-K4 no manifest") as caught:
        store.read_newest()
    assert caught.value.exit_status == 3
    assert tree(store.folder) == before


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_step_is_refused_even_with_every_hash_right(store, name):
    shutil.copy(place(store, 10) / name, place(store, 20) / name)
    if name != durable.MANIFEST:
        reseal(place(store, 20))
    step, warned = passed_over(store)
    assert (step, len(warned)) == (10, 1)
    assert "FL-K4 the files are of different runs or steps" in warned[0] or name == durable.MANIFEST


def test_a_file_of_another_run_is_refused_even_with_every_hash_right(store, tmp_path):
    other = Checkpoints(tmp_path / "other", IDENTITY | {"data": "another"})
    other.save(20, state(20))
    shutil.copy(place(other, 20) / TENSORS, place(store, 20) / TENSORS)
    reseal(place(store, 20))
    step, warned = passed_over(store)
    assert step == 10
    assert "FL-K4 the files are of different runs or steps" in warned[0]


def test_a_run_id_that_is_not_the_one_of_its_settings_is_refused(store):
    change_state(place(store, 20), lambda document: document["identity"].update(data="another"))
    step, warned = passed_over(store)
    assert step == 10
    assert "FL-K4 the run id" in warned[0]


def test_a_checkpoint_under_the_name_of_another_step_is_refused(store):
    shutil.copytree(place(store, 20), place(store, 30))
    step, warned = passed_over(store)
    assert step == 20
    assert "it is the checkpoint of step 20" in warned[0]


def test_a_checkpoint_of_another_run_beside_ours_is_passed_over(store, tmp_path):
    other = Checkpoints(tmp_path / "other", IDENTITY | {"data": "another"})
    other.save(30, state(30))
    place(other, 30).rename(place(store, 30))
    step, warned = passed_over(store)
    assert step == 20
    assert "step-00000030 (FL-K4 of a run with other settings or data)" in warned[0]


def test_a_link_to_a_checkpoint_is_not_followed(store, tmp_path):
    shutil.copytree(place(store, 20), tmp_path / "outside" / "step-00000030")
    place(store, 30).symlink_to(tmp_path / "outside" / "step-00000030")
    step, warned = passed_over(store)
    assert step == 20
    assert "links are not followed" in warned[0]


def test_another_format_is_refused_with_what_can_read_it(store):
    change_state(place(store, 20), lambda document: document.update(format=9))
    with pytest.raises(RunError, match="FL-K6 a checkpoint of format 9, this version reads 1"):
        store.read_newest()


# Numbers that must not be there, and parts that are missing


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_is_not_saved_and_the_tensor_is_named(store, number):
    before = tree(store.folder)
    tensors = {"good": torch.zeros(2), "teacher.bias": torch.tensor([0, number], dtype=torch.bfloat16)}
    with pytest.raises(NumericsError, match=r"FL-K9 NaN or infinity in the state after step 30; .*teacher\.bias"):
        store.save(30, Snapshot(tensors, {}))
    with pytest.raises(NumericsError, match=r"FL-K9 .*values\.curve\.1"):
        store.save(30, Snapshot({}, {"curve": [0.0, number]}))
    assert tree(store.folder) == before


def test_nan_that_is_there_is_not_resumed_from(store, monkeypatch):
    with monkeypatch.context() as careless:
        careless.setattr(snapshot, "_find_not_finite", lambda tensors: [])
        store.save(30, Snapshot({"w": torch.tensor([1, torch.nan])}, {}))
    step, warned = passed_over(store)
    assert step == 20
    assert "FL-K9 NaN or infinity among the tensors" in warned[0]


@pytest.mark.parametrize("values", [{"a": (1, 2)}, {1: 2}, {"a": torch.zeros(1)}, {"a": {1, 2}}])
def test_values_that_json_would_change_are_not_saved(store, values):
    with pytest.raises(TypeError):
        store.save(30, Snapshot({}, values))
    assert passed_over(store) == (20, [])


@pytest.mark.parametrize("name", ["conv.weight", "label"])
def test_a_tensor_that_is_missing_from_the_file_is_named(store, name):
    whole = state(20).tensors
    facts = {"run": json.loads((place(store, 20) / STATE).read_text())["run"], "step": 20}
    data = safetensors_bytes({n: t for n, t in whole.items() if n != name}, {"fewlabels": json.dumps(facts)})
    (place(store, 20) / TENSORS).write_bytes(data)
    reseal(place(store, 20))
    step, warned = passed_over(store)
    assert step == 10
    assert re.search(rf"FL-K10 .*\({name}\)", warned[0])


def test_another_network_is_told_by_the_names_of_its_tensors():
    there = {"a": torch.zeros(2, 3), "b": torch.zeros(2), "more": torch.zeros(1)}
    demand_tensors(there, {"a": ((2, 3), torch.float32), "b": ((2,), "float32"), "more": ((1,), torch.float32)})
    with pytest.raises(RunError, match=r"FL-K10 .*1 such row \(teacher\.a\)"):
        demand_tensors(there, {"a": ((2, 3), torch.float32), "teacher.a": ((2, 3), torch.float32)})
    expected = {"a": ((10, 3), torch.float32), "b": ((2,), torch.float64)}
    with pytest.raises(RunError, match="FL-K7") as caught:
        demand_tensors(there, expected)
    assert caught.value.rows == [
        "more: nobody asked for it",
        "a: float32 [2, 3] there, float32 [10, 3] now",
        "b: float32 [2] there, float64 [2] now",
    ]
