"""Every command: one line for every error, exit statuses, signals, help."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.typed import PROPAGATE, run

SO_MANY = [word for row in range(2, 23) for word in ("--explain", str(row))]


BAD = [
    (["trian"], "FL-C1", "Did you mean 'train'"),
    (["propagate", "embeddings.npy", "--out", "o.csv", "--alpah", "0.9"], "FL-C1", "--alpha"),
    (["propagate", "embeddings.npy"], "FL-C1", "--out"),
    (["propagate", "embeddings.npy", "--out", "o.csv", "--alpha", "0,99"], "FL-C1", "--alpha"),
    ([*PROPAGATE, "o.csv", "--alpha", "1"], "FL-C2", "singular"),
    ([*PROPAGATE, "o.csv", "--n-neighbors", "0"], "FL-C3", "0"),
    ([*PROPAGATE, "o.txt"], "FL-C16", ".parquet or .csv"),
    (["propagate", "embeddings.npy", "--out", "o.csv"], "FL-L16", "--labels"),
    (["propagate", "nothing.npy", "--labels", "labels.csv", "--out", "o.csv"], "FL-E32", "nothing.npy"),
    (["propagate", "embeddings.npy", "--labels", "nothing.csv", "--out", "o.csv"], "FL-L30", "nothing.csv"),
    (["propagate", "embeddings.npy", "--labels", "twice.csv", "--out", "o.csv"], "FL-L14", "line 3"),
    (["propagate", "nan.npy", "--labels", "labels.csv", "--out", "o.csv", "-q"], "FL-E1", "17"),
    (
        [*PROPAGATE, "o.csv", "--explain", "7", "--explain", "60"],
        "FL-C40",
        "1 such row (60); ids of the data look like",
    ),
    ([*PROPAGATE, "o.csv", *["--explain", "0", "--explain", "1"] * 8, *SO_MANY], "FL-C40", "at most 20"),
    ([*PROPAGATE, "o.csv", "--memory-limit", "0"], "FL-C41", "0 GiB"),
    (["propagate", "embeddings.npy", "--out", "o.csv", "--labels-by-position"], "FL-C41", "--labels"),
    ([*PROPAGATE, "o.csv", "--labels-by-position"], "FL-L23", "7 labels by position for 60 rows"),
    ([*PROPAGATE, "o.csv", "--memory-limit", "0.1"], "FL-G21", "about 0.2 GiB of memory, and there are 0.1 GiB"),
    (["propagate", "labels.csv", "--labels", "labels.csv", "--out", "o.csv"], "FL-E30", "Parquet"),
    (
        [*PROPAGATE, "o.csv", "--mode", "fast"],
        "FL-C1",
        "released",
    ),
    (["train", "nowhere", "--labels", "labels.csv"], "FL-I30", "nowhere"),
    (["train", "empty", "--labels", "labels.csv"], "FL-I32", "empty"),
    (["train", "empty", "--device", "cuda:9"], "FL-C7", "cpu"),
    (["train", "empty", "--scale", "2"], "FL-C58", "up to 1"),
    (["train", "empty", "--network", "resnet99"], "FL-C50", "resnet99"),
    (["train", "empty", "--out", "empty/.."], "FL-C9", "not empty"),
    (["demo", "--seeds", "0"], "FL-C1", "--seeds"),
    (["demo", "--out", "labels.csv"], "FL-C9", "labels.csv"),
    (["report", "nowhere"], "FL-C26", "nowhere"),
    (["verify", "empty"], "FL-K4", "empty"),
]


@pytest.mark.parametrize(("arguments", "code", "fragment"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_bad_input_is_one_clear_line_and_changes_no_file(embeddings, tmp_path, capsys, arguments, code, fragment):
    Path("twice.csv").write_text("id,label\n0,ant\n0,bee\n")
    rows = np.load("embeddings.npy")
    rows[17, 3] = np.nan
    np.save("nan.npy", rows)
    (tmp_path / "empty").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, out, err = run(capsys, *arguments)
    assert status == (3 if code.startswith("FL-K") else 4 if code == "FL-G21" else 2)
    assert out == ""
    assert err.startswith(f"error: {code} ")
    assert fragment in err
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_every_command_has_an_example_in_its_help(capsys):
    for command in ("demo", "train", "propagate", "report", "verify"):
        status, out, _ = run(capsys, command, "--help")
        assert status == 0
        assert f"Example: fewlabels {command}" in out


def command_line(*arguments):
    command = [sys.executable, "-m", "fewlabels", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_its_exit_code_and_says_how_to_go_on(tmp_path, number, status):
    process = command_line("demo", "--out", "run")
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "events.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert f"FL-D7 stopped by {number.name} after step" in err
    assert "go on with: fewlabels demo --out run --resume" in err
    assert [path.name for path in (tmp_path / "run").glob(".*")] == [".checkpoints"]
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_signal_once_all_is_done_ends_the_process_in_silence():
    script = (
        "import atexit, os, signal, sys; import fewlabels.cli.main as cli; sys.argv = ['fewlabels']; "
        "cli.run = lambda words: 3; "
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM)); cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")


def test_a_warning_is_one_line_and_debug_shows_the_traceback(embeddings):
    process = command_line(*PROPAGATE, "o.csv", "--n-neighbors", "99")
    _, err = process.communicate(timeout=60)
    assert [line for line in err.splitlines() if "warning" in line] == [
        "warning: FL-E7 n_neighbors is 99, and a row has only 59 others (without all-zero and repeated ones): "
        "it gets them all"
    ]
    process = command_line("--debug", "propagate", "none.npy", "--out", "x.csv")
    assert "Traceback" in process.communicate(timeout=60)[1]


def test_without_a_command_the_help_is_shown(capsys):
    status, out, err = run(capsys)
    assert (status, err) == (0, "")
    assert "propagate" in out
    assert "Example" not in out


def test_a_folder_that_is_not_there_is_no_damaged_run(capsys):
    for command in ("verify", "report"):
        status, _, err = run(capsys, command, "nowhere")
        assert status == 2
        assert err.startswith("error: FL-C26 no such folder at nowhere")


def test_a_label_file_that_is_no_text_says_so(embeddings, capsys):
    status, _, err = run(capsys, "propagate", "embeddings.npy", "--labels", "embeddings.npy", "--out", "o.csv")
    assert status == 2
    assert "FL-L28 an array of labels has no ids" in err
