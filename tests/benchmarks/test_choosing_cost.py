"""Benchmarks of what choosing costs, of new rows and of what auto says of itself: small runs, and their tables."""

import json
import sys

import numpy as np
import pytest

from benchmarks.choosing import cost, new_rows, trust


def run(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


@pytest.mark.slow
def test_the_cost_of_a_small_case_is_measured_once_and_told(monkeypatch, tmp_path, capsys):
    place = tmp_path / "cost.jsonl"
    options = ("--rows", 1000, "--widths", 32, "--classes", 10, "--cache", tmp_path, "--results", place, "--resume")
    run(monkeypatch, cost, *options)
    out = capsys.readouterr().out
    assert "1,000 x 32, 10" in out
    lines = place.read_text().splitlines()
    assert [json.loads(line)["settings"]["method"] for line in lines] == ["paper", "auto"]
    assert all(json.loads(line)["forecast_mib"] > json.loads(line)["peak_mib"] for line in lines)
    run(monkeypatch, cost, *options)
    assert place.read_text().splitlines() == lines


def record(method, seconds, peak):
    settings = {"method": method, "rows": 1000, "dimensions": 8, "classes": 10}
    return {
        "status": "measured",
        "settings": settings,
        "seconds": seconds,
        "cpu_seconds": 2 * seconds,
        "peak_mib": peak,
    }


def test_the_last_measurement_of_a_cell_counts_and_one_without_its_pair_does_not():
    records = [record("paper", 9.0, 90), record("paper", 1.0, 100), record("auto", 3.5, 120)]
    assert cost.markdown(records) == ["| 1,000 x 8, 10 | 1.0 (2.0) | 3.5 (7.0) | 2.5 (5.0) | 100 | 120 | 1.20 |"]
    assert cost.markdown(records[:2]) == []
    new = [record("read npy", 0.5, 10), record("classify npy", 1.0, 20), record("read parquet", 0.5, 10)]
    assert new_rows.markdown(new) == ["| 1,000 x 8, 10, npy | 0.50 | 1.00 | 2.0 | 1.00 | 2.00 | 10 | 20 |"]


def test_the_area_under_the_curve_counts_ties_half():
    score = np.array([0.9, 0.5, 0.5, 0.1])
    assert trust.auroc(np.array([True, False, False, False]), score) == 1
    assert trust.auroc(np.array([False, True, False, False]), score) == 0.5


def test_bins_of_draws_are_pooled_by_their_counts():
    one, other = (
        {"low": 0.5, "count": count, "probability": 0.6, "right": right} for count, right in ((1, 0.0), (3, 1.0))
    )
    found = trust.pool([{"after": [one]}, {"after": [other]}], "after")
    assert found == [{"low": 0.5, "count": 4, "probability": pytest.approx(0.6), "right": 0.75}]
    assert trust.calibration_error(found) == pytest.approx(0.15)
