"""Commands whose caller closed a stream, limits its memory, or has names that are not UTF-8."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fewlabels.commands.memory import available_bytes
from tests.cli.typed import run

COMMAND = [sys.executable, "-m", "fewlabels", "propagate", "embeddings.npy", "--labels", "labels.csv", "--no-report"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error_and_no_file_gets_its_number(embeddings, closed):
    words = " ".join([*COMMAND, "--n-neighbors", "5", "--out", "o.csv", closed])
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert Path("o.csv").read_text().startswith('"id","label"')
    assert Path("o.csv").read_text().count("\n") == 61
    assert json.loads(Path("o-run/results.json").read_text())["num_rows"] == 60


@pytest.mark.parametrize("option", ["--out", "--run", "--labels"])
def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_written(embeddings, capsys, option):
    name = os.fsdecode(b"x\xff.csv")
    words = ["propagate", "embeddings.npy", "--labels", "labels.csv", "--out", "o.csv", option, name]
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert err == "error: FL-C1 a name that is not UTF-8: 'x\\\\udcff.csv'; rename it\n"
    assert not [found for found in os.listdir(".") if found.startswith(("o", "x"))]


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from fewlabels.commands.memory import available_bytes
print(available_bytes())
"""


def test_a_limit_of_the_address_space_bounds_what_is_available():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 1 << 30
    assert available_bytes() > 1 << 30


def test_what_a_limited_address_space_cannot_map_is_refused_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.lib.format.open_memmap("embeddings.npy", "w+", np.float32, (1 << 20, 1 << 10))  # sparse: 4 GiB on paper
    Path("labels.csv").write_text("id,label\n0,a\n")
    words = " ".join(["ulimit -v 3000000;", *COMMAND, "--out o.csv"])
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error: FL-G21 no room to map 4,294,967,424 bytes of a file at embeddings.npy")


def test_a_run_that_was_left_unfinished_is_told(embeddings, capsys):
    Path("o-run").mkdir()
    Path("o-run/run.json").write_text("{}")
    status, _, err = run(capsys, *COMMAND[3:], "--n-neighbors", "5", "--out", "o.csv")
    assert status == 0
    said = "o-run was left by a run that did not finish; this one is o-run-2; o-run can be removed, unless a run is "
    assert err.startswith(said + "still at work there\n")
