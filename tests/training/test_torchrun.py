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
from PIL import Image

from tests.faults.lanes import size
from tests.training.children import free_port, remains

pytestmark = [
    pytest.mark.lane("F5"),
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the ranks in /proc"),
    pytest.mark.timeout(900),
]
LATEST = 600  # seconds, on a machine that does much else
COMMAND = ["train", "photos", "--backbone", "none", "--scale", "0.1", "--n-neighbors", "5"]
COMMAND += ["--device", "cpu", "--save-every", "0.001"]


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


def newest_step(folder):
    return max((int(path.name[5:]) for path in folder.glob(".checkpoints/step-*[0-9]")), default=0)


def steps_saved(folder, process, rng):
    """Wait until a few more steps are saved than before."""
    least = newest_step(folder) + rng.randint(1, 8)
    while newest_step(folder) < least:
        assert process.poll() is None, ended(process)
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


def test_what_is_told_is_told_once(whole):
    _, out, err = whole
    assert err.count("reading images: 100 %") == 1
    assert json.loads(out)["num_labeled"] == 4


@pytest.mark.parametrize("seed", range(size(1, 1, 10)))
def test_whatever_ends_it_it_goes_on_to_the_same_bytes(begun, whole, tally, seed):
    """One run, stopped by a signal, by the death of a rank, by that of torchrun; then torchrun starts a rank again."""
    rng, folder = random.Random(seed), begun.folder / f"run {seed}"
    for end in (terminated, killed_rank, killed_torchrun):
        process = begun(folder.name, "--resume")
        steps_saved(folder, process, rng)
        end(process, rng.randrange(2))
        assert not (folder / "manifest.json").exists()
    process = begun(folder.name, "--resume", launch=("--max-restarts", "3"))
    steps_saved(folder, process, rng)
    os.kill(workers(process)[rng.randrange(2)], signal.SIGKILL)
    status, _, err = ended(process)
    assert status == 0, err
    resumed = [json.loads(line) for line in (folder / "resumed.jsonl").read_text().splitlines()]
    assert [one["step"] > 0 for one in resumed] == [True] * 4
    assert remains(folder) == whole[0]
    tally(4)


def terminated(process, _):
    process.send_signal(signal.SIGTERM)
    status, _, err = ended(process)
    assert status != 0
    assert "FL-D7 stopped by SIGTERM after step" in err


def killed_rank(process, rank):
    os.kill(workers(process)[rank], signal.SIGKILL)
    status, _, err = ended(process)
    assert status != 0
    assert "error: FL-" in err or "closing signal SIGTERM" in err  # torchrun ends the other before it has noticed


def killed_torchrun(process, _):
    """Its processes would else train on, unseen, and keep their GPUs."""
    ranks = workers(process)
    process.kill()
    status, _, err = ended(process)  # reads until the last of them has closed its stderr
    assert status == -signal.SIGKILL
    assert not [rank for rank in ranks if lives(rank)]
    assert err.count("FL-D7 stopped by SIGHUP") == 2
