"""The benchmark of the training loop runs, at a size where its figures mean nothing."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests import ROOT

pytest.importorskip("torch")
TINY = ["--networks", "small 16, stride 2", "--rows", "200", "--seconds", "0.05", "--threads", "1"]


def run(folder, *more):
    np.save(folder / "train-200.npy", np.zeros((200, 32, 32, 3), np.uint8))
    places = ["--cache", str(folder), "--results", str(folder / "train.jsonl")]
    command = [sys.executable, "-m", "benchmarks.training.speed", *TINY, *places, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("way", "task"), [("plain, no worker", "mean_teacher"), ("fast", "lp")])
def test_a_way_of_training_is_timed_in_a_process_of_its_own(tmp_path, way, task):
    printed = run(tmp_path, "--tasks", task, "--one", way)
    figures = json.loads(printed.removeprefix("FIGURES "))
    assert figures["rate"] > 0


@pytest.mark.slow
def test_ours_is_compared_with_the_faster_plain_loop_of_the_same_run(tmp_path, monkeypatch):
    monkeypatch.delenv("FEWLABELS_DATA", raising=False)
    printed = run(tmp_path, "--tasks", "supervised", "evaluate", "--repeat", "1")
    records = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [(one["status"], one["settings"]["task"]) for one in records] == [
        ("measured", "supervised"),
        ("measured", "evaluate"),
    ]
    for one in records:
        best = max(one["median"][way] for way in ("plain, no worker", "plain, 2 workers"))
        assert one["ratio"]["deterministic"] == pytest.approx(one["median"]["deterministic"] / best)
    assert "random pixels" in printed
