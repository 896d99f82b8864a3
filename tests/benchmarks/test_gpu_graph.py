"""The GPU's benchmark runs to its end where there is no GPU, and does not do again what is done."""

import importlib
import json
import os
import subprocess
import sys

import pytest

from tests import ROOT

pytest.importorskip("torch")
TINY = ["--device", "cpu", "--rows", "400", "300", "--classes", "3", "--repeat", "1", "--compare", "300"]


def run(out, *more):
    environment = os.environ | {"OUT": str(out), "COMMIT": "abc"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu.graph", *TINY, *more],
        env=environment,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def run_here(monkeypatch, capsys):
    """The same in this process, which has loaded torch."""

    def run_here(out, *more):
        monkeypatch.setenv("OUT", str(out))
        monkeypatch.setenv("COMMIT", "abc")
        monkeypatch.setattr("sys.argv", ["graph", *TINY, *more])
        monkeypatch.syspath_prepend(ROOT)  # the benchmark puts a folder there, which is taken away again
        importlib.import_module("benchmarks.gpu.graph").main()
        return capsys.readouterr().out.splitlines()

    return run_here


def test_it_measures_every_cell_once_and_prints_a_table_last(tmp_path, run_here):
    header, names, *cells = run(tmp_path)
    assert "commit abc" in header
    assert names.split()[:4] == ["rows", "classes", "first", "total"]
    assert [line.split()[:2] for line in cells] == [["400", "3"], ["300", "3"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "agreement-cpu-300-3.json",
        "graph-cpu-300-3.json",
        "graph-cpu-400-3.json",
    ]
    same, small = (json.loads((tmp_path / f"{name}-cpu-300-3.json").read_text()) for name in ("agreement", "graph"))
    assert same["equal_labels"] == 1
    assert same["largest_certainty_difference"] < 1e-4
    assert (small["commit"], small["settings"]["recall"], small["peak_device_bytes"]) == ("abc", "exact", None)
    assert set(small["seconds"]) == {"rows", "neighbors", "affinity", "solve", "pseudo_labels"}

    (tmp_path / "graph-cpu-300-3.json").write_text(json.dumps(small | {"commit": "older"}))
    *_, first, second = run_here(tmp_path, "--minutes", "-1")
    assert first.endswith("(from before)")
    assert second.endswith("no time left: run again")
    *_, first, second = run_here(tmp_path)
    assert first.endswith("(from before)")
    assert not second.endswith("(from before)")
