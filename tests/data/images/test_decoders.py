"""Processes that decode: what kills one of them costs one image, and nothing of the others changes."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fewlabels.data.images import decoders
from fewlabels.data.images.decode import BadImage, Header
from fewlabels.data.images.decoders import Decoders
from fewlabels.data.images.read import read_images
from fewlabels.errors import StorageError
from tests.data.image_files import encoded, folder, noise

FAULTY = Path(__file__).parents[1] / "faulty_worker.py"
GOOD = encoded(noise(8, 8))


@pytest.fixture
def faulty(monkeypatch):
    """Decoders whose process does what the content of a file says."""
    monkeypatch.setattr(decoders, "COMMAND", [sys.executable, "-P", str(FAULTY)])


def answers(files, size=8):
    with Decoders() as found:
        return [str(one) if isinstance(one, BadImage) else one.shape for one in found.answers(files, size)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"crash", "its decoder crashed (SIGSEGV)"),
        (b"leave", "its decoder crashed (exit status 7)"),
        (b"memory", "decoding it takes too much memory"),
    ],
)
def test_a_file_that_harms_its_decoder_is_one_bad_image(faulty, content, reason):
    files = [GOOD] * 40
    files[5] = files[6] = files[39] = content
    assert answers(files) == [reason if one == content else (8, 8, 3) for one in files]


def test_a_decoder_can_write_no_file(faulty, tmp_path):
    assert answers([b"write " + os.fsencode(tmp_path / "canary")]) == ["its decoder crashed (exit status 1)"]
    assert (tmp_path / "canary").read_bytes() == b""


def test_a_decoder_that_never_ends_is_stopped_by_the_time_it_takes(faulty, monkeypatch):
    monkeypatch.setattr(decoders, "SECONDS", 0.2)
    assert answers([GOOD, b"loop", GOOD]) == [(8, 8, 3), "decoding it took more than 0.2 s", (8, 8, 3)]


def test_a_decoder_that_sleeps_is_stopped_too(faulty, monkeypatch):
    monkeypatch.setattr(decoders, "SECONDS", 0.2)
    monkeypatch.setattr(decoders, "PATIENCE", 0.2)
    assert answers([b"sleep"]) == ["its decoder crashed (SIGKILL)"]


def test_a_process_that_somebody_else_ended_costs_no_image(faulty, tmp_path):
    once = b"once " + os.fsencode(tmp_path / "mark")
    assert answers([GOOD, once, GOOD]) == [(8, 8, 3), "no image bytes (null)", (8, 8, 3)]


def test_a_run_goes_on_without_the_image_that_crashes(faulty, tmp_path):
    root = folder(tmp_path, {"a.png": GOOD, "b.png": GOOD, "c.png": GOOD})

    def progress(walk, total):  # headers are read by now
        (root / "b.png").write_bytes(b"crash")
        return walk

    found = read_images(root, progress=progress)
    assert (found.ids, found.rejected) == (["a.png", "c.png"], [("b.png", "its decoder crashed (SIGSEGV)")])


def test_answers_are_those_of_the_files_in_their_order_whatever_the_number_of_processes(monkeypatch, tmp_path):
    files = [encoded(noise(8, 8, seed=seed)) for seed in range(100)]
    (tmp_path / "on disk.png").write_bytes(files[50])
    files[50] = str(tmp_path / "on disk.png")
    monkeypatch.setattr(decoders, "FILES", 7)
    with Decoders() as found:
        headers = list(found.answers(files))
        squares = list(found.answers(files, 8))
    assert headers == [Header(8, 8, grey=False, more=False, kind="PNG")] * 100
    for seed, square in enumerate(squares):
        np.testing.assert_array_equal(square, noise(8, 8, seed=seed))


def test_who_stops_in_the_middle_leaves_no_process_and_no_thread(faulty):
    before = threading.active_count()
    begun = time.monotonic()
    with Decoders() as found:
        walk = found.answers([GOOD] * 40 + [b"sleep"] * 40, 8)
        next(walk)
        processes = [process._process for process in found._running]
    assert time.monotonic() - begun < 60
    assert all(process.returncode is not None for process in processes)
    assert threading.active_count() == before


def test_where_no_process_can_be_started_that_is_the_error_and_no_image_is_blamed(monkeypatch, tmp_path):
    root = folder(tmp_path, {"a.png": GOOD})
    for command, reason in (
        ([str(tmp_path / "nothing")], "No such file"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit status 3"),
    ):
        monkeypatch.setattr(decoders, "COMMAND", command)
        with pytest.raises(StorageError, match=rf"^FL-I14 the process that decodes images cannot be started.*{reason}"):
            read_images(root)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_decoder_has_neither_our_threads_nor_our_terminal_and_ends_with_us():
    with Decoders() as found:
        list(found.answers([GOOD]))
        (process,) = found._running
        pid = process._process.pid
        assert os.getsid(pid) == pid
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert [line.split()[-3:-1] for line in limits.splitlines() if "core file" in line] == [["0", "0"]]
    assert process._process.returncode is not None


@pytest.mark.skipif(sys.platform != "linux", reason="others do not keep to a limit of the address space")
def test_a_decoder_keeps_within_the_memory_that_this_process_may_have(tmp_path):
    (tmp_path / "a.png").write_bytes(GOOD)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "  # as `ulimit -v` does
        "from fewlabels.data.images.decoders import Decoders; "
        "print([one.shape for one in Decoders(max_pixels=640_000_000).answers([sys.argv[1]], 8)])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.png"], capture_output=True, text=True, timeout=120, check=False
    )
    assert found.stdout == "[(8, 8, 3)]\n", found.stderr
