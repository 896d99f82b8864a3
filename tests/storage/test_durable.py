import errno
import json
import os

import pytest

from fewlabels.errors import RunError, StorageError
from fewlabels.storage import durable

STEPS = ["_create", "_write", "_fsync", "_rename"]


@pytest.fixture
def full_disk(monkeypatch):
    def break_(step, number=errno.ENOSPC):
        def fail(*args):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(durable, step, fail)

    return break_


def test_a_write_replaces_the_whole_file(tmp_path):
    durable.write_text(tmp_path / "a", "long old text")
    durable.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, full_disk, step, number):
    durable.write_text(tmp_path / "a", "old")
    full_disk(step, number)
    with pytest.raises(StorageError, match=r"FL-D1 cannot write: .* at .*a; .* MiB are free") as caught:
        durable.write_text(tmp_path / "a", "new")
    assert caught.value.exit_status == 4
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_error_of_the_writer_leaves_the_old_file_and_is_not_disguised(tmp_path):
    durable.write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), durable.write_file(tmp_path / "a") as file:
        file.write(bytes([104, 97 // 0]))
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_short_writes_are_completed(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "_write", lambda descriptor, data: os.write(descriptor, data[:3]))
    durable.write_text(tmp_path / "a", "a text of more than three bytes")
    assert (tmp_path / "a").read_text() == "a text of more than three bytes"


def test_data_is_flushed_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    done = []
    for step in [*STEPS, "_sync_folder"]:
        original = getattr(durable, step)
        monkeypatch.setattr(
            durable, step, lambda *args, step=step, original=original: (done.append(step), original(*args))[1]
        )
    durable.write_text(tmp_path / "a", "x")
    assert done == ["_create", "_write", "_fsync", "_rename", "_sync_folder", "_fsync"]


def test_lines_are_appended(tmp_path):
    for line in ("one", "two"):
        durable.append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        durable.write_json(tmp_path / "a", {"x": float("nan")})
    assert not os.listdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    durable.write_text(tmp_path / "a", "aaa")
    durable.write_text(tmp_path / "sub" / "b", "bbb")
    durable.write_manifest(tmp_path)
    return tmp_path


def test_a_folder_as_it_was_written_has_no_problems(folder):
    assert durable.verify(folder) == []


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        (lambda root: (root / "a").write_text("aab"), "a", "content changed (SHA-256 differs)"),
        (lambda root: (root / "a").write_text("aaaa"), "a", "4 bytes, 3 expected"),
        (lambda root: (root / "sub" / "b").unlink(), "sub/b", "missing"),
        (lambda root: (root / "c").write_text("c"), "c", "not in the manifest"),
    ],
)
def test_each_change_is_found(folder, change, name, reason):
    change(folder)
    assert durable.verify(folder) == [durable.Problem(name, reason)]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        (None, "no manifest"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"files": [{}]}', "damaged"),
        (json.dumps({"format": 99, "files": []}), "format 99"),
        (json.dumps({"format": 1, "files": [{"name": "../x", "size": 1, "sha256": ""}]}), "outside"),
    ],
)
def test_a_folder_without_a_good_manifest_is_refused(folder, text, fragment):
    manifest = folder / durable.MANIFEST
    manifest.unlink()
    if text is not None:
        manifest.write_text(text)
    with pytest.raises(RunError, match=fragment) as caught:
        durable.verify(folder)
    assert caught.value.exit_status == 3
