"""Folders that appear whole and disappear whole. With faults at every call: train/test_crashes.py."""

import os

import pytest

from fewlabels.errors import StorageError
from fewlabels.storage import durable
from fewlabels.storage.folders import demand_writable, remove_folder, rename, write_folder


def test_a_folder_has_its_name_only_after_the_block(tmp_path):
    target = tmp_path / "new" / "a"
    with write_folder(target) as hidden:
        durable.write_text(hidden / "x", "text")
        assert not target.exists()
        assert hidden.name.startswith(".a.")
    assert os.listdir(tmp_path / "new") == ["a"]
    assert (target / "x").read_text() == "text"


def test_an_error_in_the_block_leaves_nothing_and_is_not_disguised(tmp_path):
    with pytest.raises(ZeroDivisionError), write_folder(tmp_path / "a") as hidden:
        (hidden / str(1 // 0)).touch()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_holds_something_is_not_written_over(tmp_path):
    durable.make_folder(tmp_path / "a")
    durable.write_text(tmp_path / "a" / "x", "old")
    with pytest.raises(StorageError, match=r"FL-D1 .* at .*/a;"), write_folder(tmp_path / "a"):
        pass
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a" / "x").read_text() == "old"


@pytest.mark.parametrize("name", ["a", ".a.1.0123abcd.tmp"])
def test_a_folder_is_taken_away_with_its_files(tmp_path, name):
    durable.make_folder(tmp_path / name)
    durable.write_text(tmp_path / name / "x", "text")
    remove_folder(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_rename_is_flushed(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(durable, "_sync_folder", done.append)
    durable.Path(tmp_path / "a").touch()
    rename(tmp_path / "a", tmp_path / "b")
    assert os.listdir(tmp_path) == ["b"]
    assert done == [tmp_path]


def test_what_is_not_there_cannot_be_taken_away(tmp_path):
    with pytest.raises(StorageError, match="FL-D1"):
        remove_folder(tmp_path / "missing")


def test_a_manifest_says_what_its_writer_adds(tmp_path):
    durable.write_text(tmp_path / "x", "text")
    durable.write_manifest(tmp_path, step=3)
    assert durable.read_manifest(tmp_path).facts == {"step": 3}
    assert durable.verify(tmp_path) == []


def test_every_new_folder_on_the_way_is_flushed(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(durable, "_sync_folder", done.append)
    durable.make_folder(tmp_path / "a" / "b")
    assert done == [tmp_path, tmp_path / "a"]


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path):
    for place in (tmp_path, tmp_path / "out.csv", tmp_path / "new" / "deep" / "run"):
        demand_writable(place)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write in")
@pytest.mark.parametrize("place", ["/proc/x.csv", "/proc/nope/deep/run"])
def test_a_place_that_cannot_be_written_is_named_as_it_was_given(place):
    with pytest.raises(StorageError) as caught:
        demand_writable(place)
    told = "nothing can be written in /proc: name another place"
    assert str(caught.value) == f"FL-D1 cannot write: No such file or directory at {place}; {told}"
