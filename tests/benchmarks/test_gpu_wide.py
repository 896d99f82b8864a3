"""The GPU's benchmark of wide rows runs to its end where there is no GPU, and does not do again what is done."""

import importlib
import json

import pytest

from tests import ROOT

pytest.importorskip("torch")
TINY = ["--device", "cpu", "--rows", "600", "--dimensions", "300", "--classes", "2", "--recall", "0.9", "--repeat", "1"]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """What the benchmark prints, in this process, which has loaded torch."""

    def run(*more):
        monkeypatch.setenv("OUT", str(tmp_path / "out"))
        monkeypatch.setenv("COMMIT", "abc")
        monkeypatch.setattr("sys.argv", ["wide", *TINY, "--cache", str(tmp_path / "rows"), *more])
        monkeypatch.syspath_prepend(ROOT)
        importlib.import_module("benchmarks.gpu.wide").main()
        return capsys.readouterr().out.splitlines()

    return run


def test_it_measures_every_way_once_and_prints_a_table_last(tmp_path, run):
    header, what, names, *ways, ratios, same = run()
    assert "commit abc" in header
    assert what == "hidden64, 600 x 300, k = 50, recall asked for 0.9"
    assert names.split()[:3] == ["way", "first", "seconds"]
    assert [line[:12].strip() for line in ways] == ["two stages", "exact", "CPU"]
    assert ratios.startswith("time in units of two stages: ")
    assert same.startswith("of all exact neighbours ")
    two, exact, differ = (
        json.loads((tmp_path / "out" / f"wide-cpu-{name}.json").read_text())
        for name in ("two-stages", "exact", "agreement")
    )
    assert two["stated_recall"] >= 0.9
    assert abs(two["recall"] - two["stated_recall"]) < 0.02
    assert exact["recall"] > 0.999  # the truth is in float32
    assert abs(differ["found"] - two["recall"]) < 0.02

    (tmp_path / "out" / "wide-cpu-CPU.json").unlink()
    *_, first, second, third, same_again = run("--minutes", "-1")
    assert first.endswith("(from before)")
    assert second.endswith("(from before)")
    assert third.endswith("no time left: run again")
    assert same_again == same
