"""`fewlabels propagate` over partitions: on a cluster, and out of core."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)
pytest.importorskip("distributed")

from fewlabels.cli.main import run as run_command
from tests.cluster import cases

GIVEN = ["--mode", "paper", "--n-neighbors", "10", "--recall", "0.97"]


@pytest.fixture
def data(tmp_path):
    rows, labels = cases.blobs(n=9600)
    np.save(tmp_path / "rows.npy", rows)
    given = np.flatnonzero(labels >= 0)
    lines = [f"{row},class {labels[row]}" for row in given]
    (tmp_path / "labels.csv").write_text("id,label\n" + "\n".join(lines) + "\n")
    return tmp_path


def by_id(path):
    table = pq.read_table(path)
    columns = zip(*(table[name].to_pylist() for name in ("id", "label", "certainty", "source", "reached")), strict=True)
    return {line[0]: line[1:] for line in columns}


def ask(data, out, *more):
    return ["propagate", str(data / "rows.npy"), "--labels", str(data / "labels.csv"), "--out", str(out), *GIVEN, *more]


def test_too_small_a_memory_limit_is_kept_by_working_out_of_core(data, capsys):
    assert run_command(ask(data, data / "whole.parquet", "--no-report", "--quiet")) == 0
    assert run_command(ask(data, data / "parts.parquet", "--memory-limit", "0.24")) == 4
    assert "FL-G21" in capsys.readouterr().err  # a worker alone takes more
    assert run_command(ask(data, data / "parts", "--memory-limit", "0.24", "--work", str(data / "work"))) == 2
    assert "FL-C41" in capsys.readouterr().err
    assert run_command(ask(data, data / "parts", "--memory-limit", "0.9", "--work", str(data / "work"))) == 0
    said = capsys.readouterr()
    assert "next: " in said.out
    assert "workers at" in said.err
    assert by_id(data / "parts") == by_id(data / "whole.parquet")
    results = json.loads((data / "parts" / "_results.json").read_text())
    assert results["num_rows"] == 9600
    assert results["cluster"]["peak_mib"] > 50


def test_the_run_folder_is_like_any_other(data, capsys):
    ask_parts = [*ask(data, data / "parts", "--memory-limit", "1", "--work", str(data / "work"))]
    place = [ask_parts.index("--mode") + 1]
    ask_parts[place[0]] = "auto"
    ask_parts = [word for word in ask_parts if word not in ("--n-neighbors", "10")]
    assert run_command(ask_parts) == 0
    assert "next: fewlabels verify" in capsys.readouterr().out
    run = data / "parts-run"
    assert run_command(["verify", str(run)]) == 0
    assert run_command(["report", str(run), "--out", str(data / "report.html")]) == 0
    assert run_command(["export", str(run), "--out", str(data / "all.csv")]) == 0
    table = pq.read_table(run / "pseudo_labels.parquet")
    assert table["id"].to_pylist() == [str(row) for row in range(9600)]
    assert by_id(run / "pseudo_labels.parquet") == by_id(data / "parts")
    np.save(data / "new.npy", np.load(data / "rows.npy")[:50])
    assert run_command(["classify", str(run), str(data / "new.npy"), "--out", str(data / "new.csv")]) == 0
    whole = [*ask_parts[: ask_parts.index("--memory-limit")], "--no-report", "--quiet"]
    whole[whole.index(str(data / "parts"))] = str(data / "whole.parquet")
    assert run_command(whole) == 0
    assert by_id(data / "parts") == by_id(data / "whole.parquet")
    single, found = (json.loads((data / name / "results.json").read_text()) for name in ("whole-run", "parts-run"))
    assert found["solver"].pop("unresolved") == 0
    for name in ("choice", "abstain", "class_counts", "certainty_histogram", "unreached", "tied", "graph", "solver"):
        assert found[name] == single[name], name
    facts = [json.loads((data / name / "run.json").read_text())["settings"] for name in ("whole-run", "parts-run")]
    assert facts[0] == facts[1]


def test_a_killed_command_goes_on_when_it_is_given_again(data):
    command = [sys.executable, "-m", "fewlabels", *ask(data, data / "parts", "--work", str(data / "work"))]
    journals = data / "work" / "done"
    process = subprocess.Popen([*command, "--memory-limit", "1"], stderr=subprocess.DEVNULL, start_new_session=True)
    while not (journals / "collect.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    collected = (journals / "collect.jsonl").read_bytes()
    assert not (journals / "label.jsonl").exists()
    subprocess.run([*command, "--memory-limit", "1"], check=True, capture_output=True, timeout=200)
    assert (journals / "collect.jsonl").read_bytes()[: len(collected)] == collected
    assert run_command(ask(data, data / "whole.parquet", "--no-report", "--quiet")) == 0
    assert by_id(data / "parts") == by_id(data / "whole.parquet")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:1"], "FL-C141 a cluster without a folder"),
        (["--work", "w", "--scheduler", "a", "--scheduler-file", "b"], "FL-C141 both"),
        (["--work", "w", "--mode", "paper", "--explain", "1"], "FL-C141 1 rows to explain"),
    ],
)
def test_what_cannot_be_done_over_partitions_is_refused(data, capsys, more, said, monkeypatch):
    monkeypatch.chdir(data)
    assert run_command(ask(data, data / "parts", *more)) == 2
    assert said in capsys.readouterr().err
    assert not (data / "parts").exists()
