import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from fewlabels.errors import ConfigError, RunError
from fewlabels.runs import PseudoLabelTable, RunWriter, free_name, read_run, verify_run

TABLE = PseudoLabelTable(
    id=["a", "b", "c"],
    label=np.array([1, 0, -1]),
    certainty=np.array([1.0, 0.25, 0.0]),
    given=np.array([True, False, False]),
    reached=np.array([True, True, False]),
    class_names=["cat", "dog"],
)
RESULTS = {"num_rows": 3, "num_labeled": 1, "unreached": 1, "lp_error": 2.5}


def test_a_run_reads_back_as_it_was_written(tmp_path):
    writer = RunWriter(tmp_path / "run", "train", {"graph": {"alpha": 0.99}}, class_names=["cat", "dog"])
    writer.event("start", num_rows=3)
    writer.event("stage", name="read", seconds=1.5)
    writer.pseudo_labels(TABLE)
    writer.results(RESULTS)
    writer.finish()
    run = read_run(tmp_path / "run")
    assert (run.kind, run.settings, run.results) == ("train", {"graph": {"alpha": 0.99}}, RESULTS)
    assert run.of("stage") == [{"event": "stage", "name": "read", "seconds": 1.5}]
    assert run.facts["versions"]["numpy"] == np.__version__
    assert verify_run(tmp_path / "run") == []


def test_an_unfinished_run_reads_but_does_not_verify(tmp_path):
    RunWriter(tmp_path / "run", "train", {}).event("start")
    assert read_run(tmp_path / "run").results == {}
    with pytest.raises(RunError, match="FL-K4 no manifest"):
        verify_run(tmp_path / "run")


def test_an_unreached_row_has_an_empty_label(tmp_path):
    TABLE.write(tmp_path / "t.parquet")
    TABLE.write(tmp_path / "t.csv")
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == {
        "id": ["a", "b", "c"],
        "label": ["dog", "cat", None],
        "certainty": [1.0, 0.25, 0.0],
        "source": ["given", "propagated", "none"],
        "reached": [True, True, False],
    }
    with open(tmp_path / "t.csv", newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["dog", "cat", ""]


def test_another_kind_of_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="FL-C16"):
        TABLE.write(tmp_path / "t.xlsx")


def test_a_free_name_is_found(tmp_path):
    assert free_name(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo-2").mkdir()
    assert free_name(tmp_path / "demo") == tmp_path / "demo-3"


def test_a_run_never_writes_into_a_used_folder_or_over_a_file(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConfigError, match="FL-C9"):
            RunWriter(place, "train", {})
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "text", "fragment"),
    [
        ("run.json", "{", "FL-K2 damaged JSON"),
        ("run.json", '{"format": 9}', "FL-K6 run of format 9"),
        ("run.json", None, "FL-K4 not a run folder"),
        ("events.jsonl", '{"event": "a"}\n{"ev', "FL-K2 damaged line"),
        ("results.json", "[1", "FL-K2 damaged JSON"),
    ],
)
def test_a_damaged_run_is_refused_by_name(tmp_path, name, text, fragment):
    writer = RunWriter(tmp_path / "run", "train", {})
    writer.event("start")
    writer.results(RESULTS)
    path = tmp_path / "run" / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(RunError, match=fragment):
        read_run(tmp_path / "run")


def test_rejected_inputs_are_listed_with_odd_names_intact(tmp_path):
    writer = RunWriter(tmp_path / "run", "train", {})
    writer.rejected([('a,"b".png', "cut off\nhere")])
    with open(tmp_path / "run" / "rejected.csv", newline="") as file:
        assert list(csv.reader(file)) == [["id", "reason"], ['a,"b".png', "cut off\nhere"]]
