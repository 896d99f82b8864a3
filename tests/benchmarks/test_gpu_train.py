"""The GPU's benchmarks of training run to their end where there is no GPU, and do not do again what is done."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from tests import ROOT

pytest.importorskip("torch")


def run(script, out, *more):
    environment = os.environ | {"OUT": str(out), "COMMIT": "abc", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", f"benchmarks.gpu.{script}", "--tiny", *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_throughput_measures_every_method_each_way_and_prints_a_table_last(tmp_path, monkeypatch, capsys):
    header, *lines = run("throughput", tmp_path)
    assert "commit abc" in header
    cells = [line.split()[:3] for line in lines[3:15]]
    ways = [["deterministic,", "eager"], ["deterministic,", "recorded"], ["fast,", "eager"], ["fast,", "recorded"]]
    assert cells == [[method, *way] for method in ("supervised", "lp", "mt_lp") for way in ways]
    rates = [float(line.split()[3].replace(",", "")) for line in lines[3:15]]
    assert min(rates) > 0
    assert lines[-1].startswith("propagation of 400 rows: ")
    assert len(list(tmp_path.glob("steps-cpu-*.json"))) == 12
    one = json.loads((tmp_path / "steps-cpu-lp-fast-recorded.json").read_text())
    assert (one["commit"], one["network"], one["peak_device_bytes"]) == ("abc", "small 16, stride 2", None)

    (tmp_path / "steps-cpu-lp-fast-recorded.json").unlink()
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("COMMIT", "abc")
    monkeypatch.setattr("sys.argv", ["throughput", "--tiny", "--minutes", "-1"])
    monkeypatch.syspath_prepend(ROOT)  # the benchmark puts a folder there, which is taken away again
    importlib.import_module("benchmarks.gpu.throughput").main()  # here, where torch is loaded
    _, *again = capsys.readouterr().out.splitlines()
    assert [line for line in again if "no time left" in line] == [again[10]]
    assert again[9].endswith("(from before)")


def test_reproduce_trains_the_cells_in_order_and_shows_what_is_expected(tmp_path):
    out, runs = tmp_path / "out", ["--runs", str(tmp_path / "runs")]
    header, names, *lines = run("reproduce", out, *runs)
    assert header.endswith("all done")
    assert names.split() == ["method", "labels", "split", "student", "teacher", "expected"]
    assert [line.split()[0] for line in lines] == ["lp", "supervised", "mt+lp"]
    assert lines[0].endswith("32.5 +- 3")
    records = [json.loads(line) for line in (out / "reproduce.jsonl").read_text().splitlines()]
    assert [(one["method"], one["split"], one["commit"]) for one in records] == [
        ("lp", 10, "abc"),
        ("supervised", 10, "abc"),
        ("mt+lp", 10, "abc"),
    ]
    assert records[0]["before"] == records[1]["student"]  # label propagation's first phase is the supervised row
    assert len(list((out / "runs").rglob("manifest.json"))) == 2


@pytest.mark.slow
def test_reproduce_stops_when_its_time_is_over_and_goes_on_from_there(tmp_path):
    out, runs = tmp_path / "out", ["--runs", str(tmp_path / "runs")]
    (tmp_path / "runs").mkdir()
    states = [run("reproduce", out, *runs, "--minutes", minutes)[0] for minutes in ("-1", "0.02", "5")]
    assert states[0].endswith("out of time: run again")
    assert states[1].endswith("run again")
    assert states[2].endswith("all done")


def test_strong_views_are_trained_both_ways_and_not_again(tmp_path):
    out, runs = tmp_path / "out", ["--runs", str(tmp_path / "runs")]
    first, *lines = run("matching", out, *runs)
    assert first.endswith("all done")
    assert [line.split()[0] for line in lines] == ["match+lp", "match"]
    records = [json.loads(line) for line in (out / "matching.jsonl").read_text().splitlines()]
    assert all(0 <= one["error"] <= 100 for one in records)
    assert run("matching", out, *runs)[1:] == lines
