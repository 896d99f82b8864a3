"""`fewlabels train` started by torchrun, as a user would: signals, kills of its processes and of torchrun itself."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from children import free_port, remains
from lanes import size
from PIL import Image

pytestmark = [
    pytest.mark.lane("F5"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc"),
    pytest.mark.timeout(900),
]
LATEST = 600  # seconds, on a machine that does much else
COMMAND = ["train", "photos", "--scale", "0.1", "--n-neighbors", "5", "--device", "cpu", "--save-every", "0.01"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Starts the command in two processes on a few images. begun.folder: where it works."""
    folder = tmp_path_factory.mktemp("torchrun")
    rng = np.random.default_rng(0)
    for number in range(24):
        kind = ("dark", "light")[number % 2] if number < 4 else "unlabeled"
        (folder / "photos" / kind).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (8, 8)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "photos" / kind / f"{number}.png")

    def begun(out, *more, launch=()):
        torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()), *launch]
        return subprocess.Popen(
            [sys.executable, *torchrun, "-m", "fewlabels", *COMMAND, "--out", out, "--json", *more],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    begun.folder = folder
    return begun


def ended(process):
    """Exit status, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=LATEST)
    except subprocess.TimeoutExpired:
        process.terminate()
        raise
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(begun):
    """(what remains of a run that nobody disturbs, what it wrote to stdout and stderr)."""
    status, out, err = ended(begun("whole"))
    assert status == 0, err
    return remains(begun.folder / "whole"), out, err


def steps_saved(folder, process, least=1):
    """Wait until so many steps are saved."""
    while True:
        assert process.poll() is None, ended(process)
        saved = [int(path.name[5:]) for path in folder.glob(".checkpoints/step-*[0-9]")]
        if saved and max(saved) >= least:
            return
        time.sleep(0.02)


def workers(process):
    """Process ids of the ranks that torchrun has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in children.read_text().split()]


def lives(number):
    """Whether a process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes() != b""
    except OSError:
        return False


def goes_on(begun, name):
    """What remains of the run once it was taken up."""
    assert not (begun.folder / name / "manifest.json").exists()
    status, _, err = ended(begun(name, "--resume"))
    assert status == 0, err
    return remains(begun.folder / name)


def test_what_is_told_is_told_once(whole):
    _, out, err = whole
    assert err.count("reading images: 100 %") == 1
    assert json.loads(out)["num_labeled"] == 4


def test_a_signal_to_torchrun_stops_all_and_the_run_goes_on(begun, whole):
    process = begun("terminated")
    steps_saved(begun.folder / "terminated", process)
    process.send_signal(signal.SIGTERM)
    sent = time.monotonic()
    status, _, err = ended(process)
    print(f"SIGTERM to torchrun: ended after {time.monotonic() - sent:.2f} s")
    assert status != 0
    assert "FL-D7 stopped by SIGTERM after step" in err
    assert goes_on(begun, "terminated") == whole[0]


def test_a_rank_that_is_killed_ends_all_and_the_run_goes_on(begun, whole):
    process = begun("killed")
    steps_saved(begun.folder / "killed", process)
    os.kill(workers(process)[-1], signal.SIGKILL)
    sent = time.monotonic()
    status, _, err = ended(process)
    print(f"SIGKILL of a rank: all ended after {time.monotonic() - sent:.2f} s")
    assert status != 0
    assert "error: FL-" in err or "closing signal SIGTERM" in err  # torchrun ends the other before it has noticed
    assert goes_on(begun, "killed") == whole[0]


@pytest.mark.parametrize("seed", range(size(1, 1, 10)))
def test_a_rank_that_is_killed_is_started_again_by_torchrun_and_the_run_ends_in_the_same_bytes(begun, whole, seed):
    rng, folder = random.Random(seed), begun.folder / f"restarted {seed}"
    process = begun(folder.name, "--resume", launch=("--max-restarts", "3"))
    steps_saved(folder, process, rng.randint(1, 20))
    os.kill(workers(process)[1 - seed % 2], signal.SIGKILL)
    status, _, err = ended(process)
    assert status == 0, err
    resumed = [json.loads(line) for line in (folder / "resumed.jsonl").read_text().splitlines()]
    assert [one["step"] > 0 for one in resumed] == [True]
    assert remains(folder) == whole[0]


@pytest.mark.parametrize("seed", range(size(1, 1, 5)))
def test_a_torchrun_that_is_killed_leaves_no_process_and_the_run_goes_on(begun, whole, seed):
    """Its processes would else train on, unseen, and keep their GPUs."""
    rng, folder = random.Random(seed), begun.folder / f"orphaned {seed}"
    process = begun(folder.name)
    steps_saved(folder, process, rng.randint(1, 20))
    ranks = workers(process)
    process.kill()
    sent = time.monotonic()
    status, _, err = ended(process)  # reads until the last of them has closed its stderr
    print(f"SIGKILL of torchrun: its processes ended after {time.monotonic() - sent:.2f} s")
    assert status == -signal.SIGKILL
    assert not [rank for rank in ranks if lives(rank)]
    assert err.count("FL-D7 stopped by SIGHUP") == 2
    assert goes_on(begun, folder.name) == whole[0]
