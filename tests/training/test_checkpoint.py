"""The store of checkpoints: what it gives back, what it keeps, what it leaves alone. Crashes: test_crashes.py."""

import os
import shutil

import pytest
import torch

from fewlabels.errors import CheckpointWarning, RunError
from fewlabels.storage import durable
from fewlabels.training.checkpoint import STATE, TENSORS, Checkpoints, Snapshot
from tests.training.stores import IDENTITY, passed_over, place, state, tree, truncated


@pytest.mark.parametrize("folder", ["", "missing"])
def test_without_checkpoints_there_is_no_newest(tmp_path, folder):
    (tmp_path / "latest").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".step-00000003.1.0123abcd.tmp").mkdir()
    assert Checkpoints(tmp_path / folder, IDENTITY).read_newest() is None


def test_the_newest_is_given_back_to_the_bit(tmp_path):
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    tensors = {
        "weight": weight,
        "tied": weight,
        "part": weight[1:3, ::2],
        "channels_last": weight.reshape(1, 4, 2, 3).contiguous(memory_format=torch.channels_last),
        "half": weight.to(torch.bfloat16),
        "double": weight.double() * 1e-310,
        "count": torch.tensor(2**62),
        "given": torch.tensor([True, False]),
        "pixels": torch.arange(256).to(torch.uint8),
        "empty": torch.zeros(0, 3),
    }
    values = {"loss": [0.1 + 0.2, 5e-324, -0.0, 1.7976931348623157e308], "id": "Zoë \u2028", "none": None, "big": 2**70}
    Checkpoints(tmp_path, IDENTITY).save(7, Snapshot(tensors, values))
    step, found = Checkpoints(tmp_path, IDENTITY).read_newest()
    assert (step, repr(found.values)) == (7, repr(values))
    assert set(found.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
        found.tensors[name].zero_()  # they can be changed, each by itself


def test_the_same_state_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        Checkpoints(tmp_path / name, IDENTITY).save(7, state(7))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_copy_elsewhere_is_as_good(store, tmp_path):
    shutil.copytree(store.folder, tmp_path / "copy")
    shutil.rmtree(store.folder)
    assert not any(str(tmp_path).encode() in data for data in tree(tmp_path / "copy").values())
    assert Checkpoints(tmp_path / "copy", IDENTITY).read_newest()[0] == 20


@pytest.mark.parametrize("keep", [2, 3])
def test_the_newest_are_kept(tmp_path, keep):
    store = Checkpoints(tmp_path, IDENTITY, keep=keep)
    for step in range(1, 6):
        store.save(step, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"step-{step:08d}" for step in range(6 - keep, 6)]


def test_fewer_than_two_cannot_be_kept(tmp_path):
    with pytest.raises(ValueError, match="keep is 1"):
        Checkpoints(tmp_path, IDENTITY, keep=1)


def test_a_step_before_the_first_is_refused(store):
    with pytest.raises(ValueError, match="step is -1"):
        store.save(-1, state(1))


def test_a_damaged_one_does_not_count_among_those_that_are_kept(store):
    truncated(0.5)(place(store, 20) / TENSORS)
    store.save(30, state(30))
    assert sorted(path.name for path in store.folder.iterdir()) == [f"step-000000{step}" for step in (10, 20, 30)]
    store.save(40, state(40))
    assert sorted(path.name for path in store.folder.iterdir()) == ["step-00000030", "step-00000040"]


def test_leftovers_of_ours_are_taken_away_after_a_good_save_and_nothing_else(store, tmp_path):
    ours = [".step-00000030.77.0123abcd.tmp", ".step-00000010.9.ffffffff.tmp"]
    others = [".step-00000030.tmp", ".cache", "notes", "step-10", "step-00000005x", ".step-00000031.1.0123abcd.tmp"]
    for name in [*ours, *others[:-1]]:
        (store.folder / name).mkdir()
        (store.folder / name / "x").write_text("x")
    (store.folder / others[-1]).symlink_to(tmp_path)
    assert store.read_newest()[0] == 20
    assert all((store.folder / name).exists() for name in ours)
    store.save(30, state(30))
    assert {path.name for path in store.folder.iterdir()} == {"step-00000020", "step-00000030", *others}


def test_the_end_of_a_run_takes_away_a_checkpoint_that_a_kill_left_with_half_a_file(store):
    half = store.folder / ".step-00000030.77.0123abcd.tmp"
    half.mkdir()
    (half / f".{TENSORS}.77.89abcdef.tmp").write_bytes(b"half")
    store.remove_all()
    assert not store.folder.exists()


def test_an_old_one_with_a_file_that_is_not_ours_stays(store):
    (place(store, 10) / "notes.txt").write_text("the good one")
    store.save(30, state(30))
    store.save(40, state(40))
    assert sorted(path.name for path in store.folder.iterdir()) == [f"step-000000{step}" for step in (10, 30, 40)]


def test_an_old_one_that_cannot_be_removed_is_told_and_the_new_one_is_there(store, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(durable, "_unlink", refuse)
    with pytest.warns(CheckpointWarning, match="FL-K13 an old checkpoint could not be removed .*Permission denied"):
        store.save(30, state(30))
    monkeypatch.undo()
    assert store.read_newest()[0] == 30


def test_a_step_that_is_there_already_is_not_written_again(store):
    before = tree(store.folder)
    assert store.save(20, Snapshot({}, {"seconds": 1.0})) == place(store, 20)
    assert tree(store.folder) == before


def test_a_damaged_one_of_the_same_step_is_set_aside(store):
    for number in ("", "-2"):
        truncated(0.5)(place(store, 20) / TENSORS)
        store.save(20, state(20))
        assert passed_over(store) == (20, [])
        assert (store.folder / f"step-00000020.set-aside{number}" / STATE).exists()


def test_a_disk_that_gives_back_other_bytes_is_told_and_the_old_ones_stay(store, monkeypatch):
    monkeypatch.setattr(durable, "_write", lambda descriptor, data: os.write(descriptor, data[:-1] + b"?"))
    before = tree(store.folder)
    with pytest.raises(RunError, match=r"FL-K2|FL-K4"):
        store.save(30, state(30))
    assert tree(store.folder) == before
