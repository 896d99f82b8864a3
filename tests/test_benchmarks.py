"""The benchmarks run, at sizes where their times mean nothing. What a method needs and is not installed is skipped."""

import ast
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.common import photos
from tests import ROOT

FOLDER = ROOT / "benchmarks"
WAITING = 120  # seconds for a script
METHODS = (
    "straight recipe",
    "fewlabels",
    "fewlabels, paper mode",
    "faiss IVF + SciPy",
    "GraphLearning Laplace",
    "GraphLearning Poisson",
    "scikit-learn knn",
    "scikit-learn rbf",
)
SEARCHES = ("fewlabels", "faiss flat", "faiss IVF-flat", "faiss HNSW", "hnswlib", "usearch")


def run(script, folder, *more):
    """The records that a script wrote at a tiny size, and what it printed."""
    size = ["--rows", "600", "--classes", "3", "--dimensions", "16", "--repeat", "1", "--threads", "1"]
    places = ["--results", str(folder / f"{script}.jsonl"), "--cache", str(folder / "data")]
    command = [sys.executable, "-m", f"benchmarks.graph.{script}", *size, *places, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAITING, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / f"{script}.jsonl").read_text().splitlines()], done.stdout


def only(records, method):
    """The record of one method; skips the test where the method is not installed."""
    (record,) = [record for record in records if record["settings"]["method"] == method]
    if record["status"] == "not installed":
        pytest.skip(f"{method} {record['note']}: pip install 'fewlabels[bench]'")
    assert record["status"] == "measured", record
    return record


# pynndescent is left out of both: it compiles for most of a minute.
@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("propagate")
    return folder, *run("propagate", folder, "--methods", *METHODS)


@pytest.fixture(scope="module")
def searches(tmp_path_factory):
    return run("neighbors", tmp_path_factory.mktemp("neighbors"), "--methods", *SEARCHES)[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_measured_from_descriptors_to_labels(whole, method):
    record = only(whole[1], method)
    assert record["seconds"] > 0
    assert record["first_seconds"] > 0
    assert record["peak_mib"] > record["before_mib"] > 0
    assert record["accuracy"] > 0.4  # of three classes


def test_ours_is_compared_with_the_labels_of_the_exact_graph_and_its_recall_is_checked(whole):
    only(whole[1], "straight recipe")
    ours = only(whole[1], "fewlabels")
    assert ours["agreement"] > 0.9
    assert ours["recall"] > 0.9


def test_the_table_shows_ratios_and_memory(whole):
    head, *lines = whole[2].strip().split("\n\n")[1].splitlines()
    assert all(name in head for name in ("x ours", "peak MiB", "agrees", "recall"))
    assert "1.00" in next(line for line in lines if line.startswith("fewlabels "))


def test_a_record_names_commit_machine_and_versions(whole):
    record = only(whole[1], "fewlabels")
    assert record["commit"]
    assert record["machine"]["cores"] >= 1
    assert "numpy" in record["versions"]
    assert record["load"] >= 0


def test_a_run_taken_up_again_measures_nothing_twice(whole):
    folder, before, _ = whole
    if before[0]["commit"] == "unknown":
        pytest.skip("not in a clone: a run cannot tell which code the records are of")
    after, printed = run("propagate", folder, "--resume", "--methods", "fewlabels", "fewlabels, paper mode")
    assert after == before
    assert "fewlabels, paper mode" in printed


def test_a_cell_over_the_limit_is_recorded_as_such(whole, tmp_path):
    (record,) = run("propagate", tmp_path, "--methods", "fewlabels", "--limit", "0.05")[0]
    assert record["status"] == "over limit"
    assert record["limit"] == 0.05


@pytest.mark.parametrize("method", SEARCHES)
def test_a_search_is_measured_with_its_recall(searches, method):
    record = only(searches, method)
    assert record["seconds"] > 0
    assert record["recall"] > 0.9


WIDE = ("--data", "hidden64", "--rows", "9000", "--dimensions", "128")  # from 8,193 rows on it is two stages


def test_the_search_of_wide_rows_is_measured_with_its_stages_its_recall_and_a_forecast(tmp_path):
    records, printed = run("wide", tmp_path, *WIDE, "--methods", "fewlabels, avx2")
    (record,) = records
    if "no kernels with avx2" in record.get("note", ""):
        pytest.skip(record["note"])
    assert record["status"] == "measured", record
    assert record["settings"]["data"] == "hidden64"
    assert record["recall"] > 0.98
    assert record["forecast"] > 0
    assert len(record["stages"]) == 6
    assert 0 < sum(work for _, work in record["stages"].values()) <= 1.1 * record["cpu_seconds"]
    assert "codes compared, candidates ranked" in printed


def test_faiss_flat_on_wide_rows_is_measured_in_the_same_run(tmp_path):
    assert only(run("wide", tmp_path, "--data", "hidden40", "--methods", "faiss flat")[0], "faiss flat")["seconds"] > 0


def test_photos_that_are_not_described_are_skipped_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_DESCRIPTORS", str(tmp_path))
    records, printed = run("wide", tmp_path, "--data", "cifar10", "--methods", "fewlabels, avx2", "faiss flat")
    assert [record["status"] for record in records] == ["refused", "refused"]
    assert "cifar10-lite0-160.npz is not there: make descriptors" in printed


def test_mixtures_begin_with_the_rows_they_are_made_of_and_have_their_neighbours_and_classes():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 60)
    values = rng.random((120, 8), np.float32) + 5 * np.eye(2, 8, dtype=np.float32)[truth]
    rows, classes = photos.mix(values, truth, 300)
    assert rows.shape == (300, 8)
    assert rows.dtype == np.float32
    assert np.array_equal(rows[:120], values)
    assert np.array_equal(classes, rows[:, 1] > rows[:, 0])  # each near those that it is made of
    assert rows.min() >= values.min()
    assert rows.max() <= values.max()


def test_the_solvers_are_measured_against_the_speed_of_memory(tmp_path):
    (record,) = run("solver", tmp_path)[0]
    assert record["status"] == "measured", record
    assert record["copy_gb_s"] > 0
    assert all(way["seconds"] is None or way["seconds"] > 0 for way in record["solvers"].values())


def test_a_refresh_is_measured_against_a_cold_call(tmp_path):
    (record,) = run("refresh", tmp_path)[0]
    assert record["status"] == "measured", record
    assert abs(record["kept"] - 0.96) < 0.02
    for one in record["tolerances"]:
        assert one["refresh_steps"] < one["cold_steps"]
        assert one["same_labels"] > 0.9


def test_the_chart_is_drawn_from_the_records(whole):
    folder = whole[0]
    command = [sys.executable, "-m", "benchmarks.graph.chart", "--results", str(folder / "propagate.jsonl")]
    options = ["--classes", "3", "--dimensions", "16", "--output", str(folder)]
    subprocess.run([*command, *options], capture_output=True, timeout=WAITING, check=True, cwd=ROOT)
    assert (folder / "propagate-seconds.svg").read_text().startswith("<?xml")
    assert (folder / "propagate-seconds.png").stat().st_size > 10_000


def test_files_and_functions_stay_small():
    for path in FOLDER.rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno <= 40, f"{path}: {node.name}"
