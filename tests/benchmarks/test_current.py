"""Newer methods at an equal budget: work is equal, splits keep their labels, what is there is not done again."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
from benchmarks.gpu.reproduce import made_up
from benchmarks.training.current import COUNTS, WORDS, Cell, choose_rows, read_cell, table, train_cell
from fewlabels.data.benchmarks.splits import few_labels


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("data", "labels"), [(data, count) for data, counts in COUNTS.items() for count in counts])
def test_every_method_gets_the_same_work_within_six_in_a_hundred(word, data, labels):
    cell = Cell(word, labels, 10, data=data)
    assert cell.spent() == pytest.approx(cell.work, rel=0.06)


def test_fewer_rows_keep_every_label_of_the_split_and_the_order():
    dataset = made_up()
    given = np.flatnonzero(few_labels(dataset, 20, 10).labels >= 0)
    rows = choose_rows(dataset, Cell("lp", 20, 10, rows=60))
    assert len(rows) == 60
    assert set(given) <= set(rows)
    assert (np.diff(rows) > 0).all()


@pytest.mark.filterwarnings("ignore:FL-G24")  # ten rows a class, and the paper's 50 neighbours
def test_a_cell_is_trained_once_and_read_again(tmp_path):
    dataset, cell = made_up(), Cell("match", 20, 10, rows=100, work=400)
    line = train_cell(dataset, cell, tmp_path / "run")
    assert 0 <= line["error"] <= 100
    assert line["epochs"] == [1]
    assert train_cell(dataset, cell, tmp_path / "run") == line == json.loads(json.dumps(line))
    assert read_cell(cell, tmp_path / "run")["epochs"] == [phase.epochs for phase in cell.settings().phases]


def test_the_table_has_paired_differences_only_where_both_are_there():
    lines = [
        {"method": word, "labels": 40, "split": split, "error": error}
        for word, errors in {"lp": (60.0, 62.0), "match+lp": (50.0, 54.0)}.items()
        for split, error in enumerate(errors)
    ]
    text = table(lines)
    assert "| the last less label propagation | -9.00 +- 1.41 (2) |" in text
    assert "| the last less strong-view matching | - |" in text
    assert replace(Cell("lp", 40, 0), split=1).name.endswith("40-lp/split-1")
