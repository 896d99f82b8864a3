"""What changed between two runs."""

from dataclasses import replace

import numpy as np
import pytest

from fewlabels.errors import RunError
from fewlabels.runs import PseudoLabelTable, Run
from fewlabels.runs.changes import find_changes


def make_run(folder, ids, labels, given, class_names):
    folder.mkdir()
    label = np.array([-1 if name is None else class_names.index(name) for name in labels])
    PseudoLabelTable(
        id=ids,
        label=label,
        certainty=np.ones(len(ids)),
        given=np.isin(ids, given),
        reached=label >= 0,
        class_names=class_names,
    ).write(folder / "pseudo_labels.parquet")
    return Run(folder=folder, facts={"class_names": class_names}, events=[], results={"num_rows": len(ids)})


@pytest.fixture
def runs(tmp_path):
    before = make_run(tmp_path / "a", ["1", "2", "3", "4", "5"], ["x", "x", "y", "y", None], ["1", "3"], ["x", "y"])
    after = make_run(
        tmp_path / "b", ["6", "5", "4", "3", "1"], ["z", "x", "y", "x", "x"], ["3", "6", "5"], ["x", "y", "z"]
    )
    return before, after


def test_rows_labels_and_classes_that_changed_are_told_apart(runs):
    found = find_changes(*runs)
    assert (found.new, found.gone) == (["6"], ["2"])
    assert found.relabelled == [("5", None, "x"), ("3", "y", "x")]
    assert (found.num_common, found.corrected, found.newly_given, found.no_longer_given) == (4, 1, 1, 1)
    assert (found.new_classes, found.gone_classes) == (["z"], [])


def test_each_kind_of_change_that_there_is_has_a_line(runs):
    rows = find_changes(*runs).rows()
    assert rows[1] == ["rows that are new", "1", "6"]
    assert ["labels that are others, of 4 rows in both", "2", "5: none -> x; 3: y -> x"] in rows
    assert ["classes that are new", "1", "z"] in rows
    assert not any("classes that are gone" in row[0] for row in rows)


def test_a_run_and_itself_differ_in_nothing(runs):
    assert find_changes(runs[0], runs[0]).rows()[1:] == [["nothing: the same rows with the same labels", "", ""]]


def test_runs_without_a_row_in_common_or_without_labels_are_not_compared(runs, tmp_path):
    other = make_run(tmp_path / "c", ["8"], ["x"], ["8"], ["x", "y"])
    assert find_changes(runs[0], other) is None
    assert find_changes(runs[0], replace(runs[1], results={})) is None


def test_a_damaged_table_is_told(runs):
    (runs[1].folder / "pseudo_labels.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(RunError, match="FL-K2"):
        find_changes(*runs)
