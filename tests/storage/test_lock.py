"""One process on one run folder."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from fewlabels.errors import ConfigError, StorageError
from fewlabels.runs import RunLock, RunWriter
from fewlabels.storage import lock

HOLD = "import sys; from fewlabels.runs import RunLock\nwith RunLock(sys.argv[1]): print('held', flush=True); input()"


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_with_the_first_ones_name(tmp_path, other):
    with (
        pytest.raises(ConfigError, match=rf"FL-C11 .* pid {other.pid} on .* at {tmp_path}") as caught,
        RunLock(tmp_path),
    ):
        pytest.fail("two hold it")
    assert caught.value.exit_status == 2


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert json.loads((tmp_path / lock.LOCK).read_text())["pid"] == other.pid
    with RunLock(tmp_path):
        assert json.loads((tmp_path / lock.LOCK).read_text()) == lock.describe_process()
    assert os.listdir(tmp_path) == []


def test_after_a_normal_end_nothing_is_left_and_the_next_one_gets_it(tmp_path, other):
    other.communicate("\n")
    assert os.listdir(tmp_path) == []
    with RunLock(tmp_path):
        pass


def test_the_same_process_does_not_get_it_twice(tmp_path):
    with RunLock(tmp_path):
        with pytest.raises(ConfigError, match="FL-C11"), RunLock(tmp_path):
            pytest.fail("two hold it")
        assert (tmp_path / lock.LOCK).exists()


@pytest.mark.parametrize(
    ("left", "refused"),
    [
        ({"pid": 1, "host": "elsewhere", "boot": "elsewhere"}, True),
        ({"pid": 1, "boot": "before the restart"}, False),
        ({"pid": 1, "host": "another container"}, False),
        ({}, False),
        ({"pid": "x"}, False),
    ],
    ids=["another-machine", "before-a-restart", "another-container", "dead", "damaged"],
)
def test_a_lock_that_is_left_counts_only_where_its_process_may_live(tmp_path, left, refused):
    here = {"pid": 4_000_000, "host": lock.describe_process()["host"], "boot": lock.describe_process()["boot"]}
    (tmp_path / lock.LOCK).write_text(json.dumps(here | left))
    if not here["boot"] and left.get("host") == "another container":
        pytest.skip("this system does not tell one start from another")
    if refused:
        with pytest.raises(ConfigError, match=r"FL-C11 .*; .*remove \.lock"), RunLock(tmp_path):
            pytest.fail("it was believed dead")
    else:
        with RunLock(tmp_path):
            pass


@pytest.mark.parametrize("text", ["", "{", "[]", "\0" * 100])
def test_a_lock_with_nothing_to_read_in_it_is_taken_over(tmp_path, text):
    (tmp_path / lock.LOCK).write_text(text)
    with RunLock(tmp_path):
        pass


@pytest.mark.parametrize(("pid", "refused"), [(os.getppid(), True), (4_000_000, False), ("x", False)])
def test_where_the_file_system_has_no_locks_the_process_is_asked_for(tmp_path, monkeypatch, pid, refused):
    def none(descriptor, what):
        raise OSError(errno.ENOSYS, "no locks here")

    monkeypatch.setattr(lock.fcntl, "flock", none)
    (tmp_path / lock.LOCK).write_text(json.dumps(lock.describe_process() | {"pid": pid}))
    if refused:
        with pytest.raises(ConfigError, match="FL-C11"), RunLock(tmp_path):
            pytest.fail("two hold it")
    else:
        with RunLock(tmp_path):
            pass


def test_a_holder_that_goes_while_we_wait_leaves_no_lock_on_a_file_without_a_name(tmp_path, monkeypatch):
    there = iter([False, True])
    original = lock._is_still_there
    monkeypatch.setattr(lock, "_is_still_there", lambda *at: next(there) and original(*at))
    with RunLock(tmp_path):
        assert (tmp_path / lock.LOCK).exists()


def test_a_folder_that_cannot_hold_a_lock_is_told(tmp_path):
    with pytest.raises(StorageError, match="FL-D1"), RunLock(tmp_path / "missing"):
        pytest.fail("there is no folder")


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("text")
    (tmp_path / lock.LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match="FL-D1"), RunLock(tmp_path):
        pytest.fail("a link was followed")
    assert (tmp_path / "precious").read_text() == "text"


def test_a_run_begins_in_a_folder_that_holds_nothing_but_its_lock(tmp_path):
    with RunLock(tmp_path):
        writer = RunWriter(tmp_path, "train", {})
        writer.finish()
    assert sorted(os.listdir(tmp_path)) == ["manifest.json", "run.json"]
