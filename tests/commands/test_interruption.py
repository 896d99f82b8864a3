"""`fewlabels propagate` ended at many moments: what is there is whole, and it can be run again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fewlabels.runs import verify_run

ROWS = 3000
ARGUMENTS = ["propagate", "e.npy", "--labels", "l.csv", "--n-neighbors", "5", "--json", "--no-report"]
# Loads the command once and forks for every run, which says how many calls to the operating system it has made, and
# stops for a while at a given one. A line in: folder, call to stop at, words. Two lines out: process id, exit status.
SERVER = """
import json, os, sys, time, traceback
import pandas, pyarrow.pandas_compat, pyarrow.parquet
import fewlabels.commands.propagate, fewlabels.graph.compiled.rows, fewlabels.insights.compute
from fewlabels.cli.main import main, run
from fewlabels.storage import durable

def slow_down(stop):
    def slowed(original):
        def call(*arguments):
            global count
            count += 1
            if count == stop:
                open("here", "w").close()
                time.sleep(20)
            return original(*arguments)
        return call
    for name in ("_create", "_write", "_fsync", "_rename"):
        setattr(durable, name, slowed(getattr(durable, name)))

def work(folder, stop, words):
    status = 1
    try:
        os.chdir(folder)
        os.dup2(os.open("stdout", os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        slow_down(stop)
        sys.argv = ["fewlabels", *words]
        main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
    finally:
        open("calls", "w").write(str(count))
        sys.stderr.flush()
        os._exit(status)

run(["propagate", "nothing.npy", "--out", "nothing.csv", "--quiet"])  # is refused, and has loaded the rest
count = 0
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        work(*json.loads(line))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server():
    """The command, loaded once."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SERVER], **pipes, text=True) as process:
        yield process


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    truth = np.arange(ROWS) % 3
    rows = rng.normal(size=(3, 8))[truth] + 0.2 * rng.normal(size=(ROWS, 8))
    np.save("e.npy", rows.astype(np.float32))
    Path("l.csv").write_text("id,label\n0,a\n1,b\n2,c\n")


def begin(server, out, stop):
    """Start a run that stops for a while at a call; its process id."""
    server.stdin.write(json.dumps([os.getcwd(), stop, [*ARGUMENTS, "--out", out]]) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def ended(server):
    """(exit status, what it wrote to stderr)"""
    return int(server.stdout.readline()), Path("stderr").read_text()


def wait_for_stop():
    deadline = time.monotonic() + 120
    while not Path("here").exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    Path("here").unlink()


def rows_of(out):
    if out.endswith(".csv"):
        with open(out, newline="") as file:
            return len(list(csv.DictReader(file)))
    return pq.read_table(out).num_rows


def demand_whole(out, *, clean):
    """--out is absent or has all rows, a run folder with a manifest is as it says; nothing temporary if clean."""
    if Path(out).exists():
        assert rows_of(out) == ROWS
    for folder in Path().glob("*-run*"):
        if (folder / "manifest.json").exists():
            assert verify_run(folder) == []
    strays = [path for path in Path().rglob(".*") if path.is_file()]
    assert not (clean and strays), strays


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
    ids=lambda value: getattr(value, "name", None),
)
def test_ended_at_a_call_that_writes_it_leaves_nothing_half_written(server, number, status):
    begin(server, "whole.csv", 0)
    found, err = ended(server)
    assert found == 0, err
    calls = int(Path("calls").read_text())
    # From the end: flush of the folder, rename, flush of the file, bytes of --out; before them the sealed run folder.
    for out, stop in (("o.parquet", calls // 2), ("o.parquet", calls - 6), ("o.csv", calls - 2), ("o.csv", calls - 1)):
        process_id = begin(server, out, stop)
        wait_for_stop()
        os.kill(process_id, number)
        found, err = ended(server)
        assert found == status, err
        assert "Traceback" not in err
        demand_whole(out, clean=number != signal.SIGKILL)
        assert not Path(out).exists()
    begin(server, "o.csv", 0)
    assert ended(server)[0] == 0
    assert rows_of("o.csv") == ROWS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_ended_at_any_time_it_leaves_nothing_half_written(number):
    for place, waited in enumerate((None, "run.json", "results.json", "manifest.json")):
        out = f"o{place}.csv"
        command = [sys.executable, "-m", "fewlabels", *ARGUMENTS, "--out", out]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while waited and not Path(f"o{place}-run", waited).exists() and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(number)
        process.communicate(timeout=120)
        status = process.returncode
        assert status in (0, 128 + number, -number, 1)  # 1: SIGINT while Python itself starts
        demand_whole(out, clean=True)


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(capsys):
    from fewlabels.cli.main import run

    Path("file").touch()
    assert run([*ARGUMENTS, "--out", "file/o.csv", "--run", "r", "-q"]) == 4
    assert "FL-D1 cannot write" in capsys.readouterr().err
    assert not os.path.exists("r")
