"""`fewlabels label`: from rows without any label over HTTP to a finished run that other commands take."""

import csv
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from fewlabels.cli.main import run as run_command
from fewlabels.commands.label import read_run_labels
from fewlabels.data.labels.csv import LabelOptions
from fewlabels.errors import ConfigError
from fewlabels.runs import read_run, verify_run
from tests.review.labelling import label_by

TRUTH = np.random.default_rng(0).integers(0, 3, 150)
CLASSES = ("cat", "dog", "bird")


@pytest.fixture
def rows(tmp_path):
    points = 2 * np.eye(3)[TRUTH] + 0.4 * np.random.default_rng(1).normal(size=(150, 3))
    np.save(tmp_path / "rows.npy", points.astype(np.float32))
    return tmp_path / "rows.npy"


@pytest.fixture
def labelled(monkeypatch, rows, tmp_path):
    """labelled(do) runs `fewlabels label` with `do(person)` in the place of the server; returns the exit status."""

    def call(do, *words):
        return label_by(monkeypatch, do, words or (rows, "--out", tmp_path / "run"), [CLASSES[kind] for kind in TRUTH])

    return SimpleNamespace(call=call, run=tmp_path / "run")


def test_thirty_answers_label_all_rows_and_finish_in_a_run(labelled, tmp_path, capsys):
    seen = []
    assert labelled.call(lambda person: seen.append(person.ask(30))) == 0
    assert sorted(seen[0]["classes"]) == sorted(CLASSES)
    assert sum(seen[0]["counts"]) == 150
    assert "--finish" in capsys.readouterr().out
    assert run_command(["label", str(labelled.run), "--finish"]) == 0
    assert verify_run(labelled.run) == []
    table = pq.read_table(labelled.run / "pseudo_labels.parquet")
    right = [label == CLASSES[kind] for label, kind in zip(table["label"].to_pylist(), TRUTH, strict=True)]
    assert np.mean(right) > 0.95
    assert table["source"].to_pylist().count("given") == 30
    found = read_run(labelled.run)
    assert (found.kind, found.results["num_labeled"], found.results["estimated"]["num"]) == ("label", 30, 6)
    assert (labelled.run / "report.html").is_file()


def test_a_labelling_goes_on_where_it_was_left(labelled):
    labelled.call(lambda person: person.ask(6))
    seen = []
    words = (str(labelled.run),)
    assert labelled.call(lambda person: seen.append(person.page.get("/api/session").json()), *words) == 0
    assert seen[0]["answered"] == 6


def test_nothing_is_spread_before_two_classes_have_a_label(labelled):
    def do(person):
        assert person.label(3, "cat")["counts"] == [1]
        graph = person.label(int(np.flatnonzero(TRUTH[3] != TRUTH)[0]), "dog")
        assert sum(graph["counts"]) > 50
        assert graph["estimate"]["percent"] is None or graph["estimate"]["until"] > 0

    assert labelled.call(do) == 0


def test_an_unfinished_labelling_is_exported_and_train_says_that_it_is_not_finished(labelled, tmp_path, capsys):
    labelled.call(lambda person: person.ask(12))
    assert run_command(["export", str(labelled.run), "--out", str(tmp_path / "labels.csv")]) == 0
    with open(tmp_path / "labels.csv", newline="") as file:
        assert {row["id"]: row["label"] for row in csv.DictReader(file)}.items() <= {
            str(row): CLASSES[kind] for row, kind in enumerate(TRUTH)
        }.items()
    with pytest.raises(ConfigError, match="FL-C152 the labelling is not finished"):
        read_run_labels(labelled.run, LabelOptions())
    assert run_command(["train", "photos", "--labels", str(labelled.run)]) == 2
    assert "FL-C152" in capsys.readouterr().err


def test_the_labels_of_a_finished_labelling_are_its_answers(labelled):
    labelled.call(lambda person: person.ask(12))
    run_command(["label", str(labelled.run), "--finish", "--quiet"])
    labels = read_run_labels(labelled.run, LabelOptions())
    assert len(labels.ids) == 12
    assert all(CLASSES[TRUTH[int(id)]] == label for id, label in zip(labels.ids, labels.labels, strict=True))


def test_bad_photos_and_rows_of_no_class_end_without_a_label(labelled, tmp_path):
    def do(person):
        person.ask(10)
        free = [row["row"] for row in person.page.get("/api/rows").json()["rows"]][:3]
        for row, action in zip(free, ("bad", "none", "unsure"), strict=True):
            person.answer(row, action)
        person.free = free
        seen.append(free)

    seen = []
    labelled.call(do)
    run_command(["export", str(labelled.run), "--out", str(tmp_path / "all.csv"), "--all"])
    with open(tmp_path / "all.csv", newline="") as file:
        known = {int(row["id"]): (row["source"], row["label"] != "") for row in csv.DictReader(file)}
    expected = [("bad photo", False), ("none of these", False), ("not sure", True)]
    assert [known[row] for row in seen[0]] == expected
    run_command(["label", str(labelled.run), "--finish", "--quiet"])
    labels = pq.read_table(labelled.run / "pseudo_labels.parquet")["label"].to_pylist()
    assert [labels[row] is None for row in seen[0]] == [True, True, False]


def test_classes_are_renamed_and_merged_over_http_and_the_merge_undone(labelled):
    def do(person):
        person.label(0, "cat")
        person.label(1, "kitten")
        reply = person.post("/api/classes", action="rename", of="cat", name="  tom   cat ")
        assert reply.json()["classes"] == ["tom cat", "kitten"]
        assert person.post("/api/classes", action="merge", of="kitten", name="tom cat").json()["classes"][1] is None
        assert person.page.get("/api/rows/1").json()["answer"] == "tom cat"
        assert person.post("/api/classes", action="rename", of="kitten", name="lion").status_code == 409
        assert person.post("/api/classes", action="class", name="tom cat").json()["error"]["code"] == "FL-W10"
        assert person.post("/api/classes", action="class", name=" \n ").status_code == 422
        assert person.post("/api/undo").json()["classes"] == ["tom cat", "kitten"]
        assert person.page.get("/api/rows/1").json()["answer"] == "kitten"
        events = person.page.get("/api/history").json()["events"]
        assert [event["kind"] for event in events[:3]] == ["undo", "merge", "rename"]
        assert events[1]["classes"] == [{"before": "kitten", "after": "kitten", "into": "tom cat"}]

    assert labelled.call(do) == 0


def test_a_preview_says_what_would_move_and_moves_nothing(labelled):
    def do(person):
        person.ask(10)
        before = person.page.get("/api/graph").json()["counts"]
        rows = [row for row in range(150) if TRUTH[row] == 0][:40]
        found = person.page.get("/api/preview", params={"rows": ",".join(map(str, rows)), "class": "dog"}).json()
        assert "error" not in found, found
        assert found["count"] == sum(one["count"] for one in found["moves"]) > 0
        assert person.page.get("/api/graph").json()["counts"] == before
        assert person.page.get("/api/preview", params={"rows": "a", "class": "dog"}).status_code == 422

    assert labelled.call(do) == 0


def test_alike_rows_are_of_the_same_kind(labelled):
    def do(person):
        reply = person.page.get("/api/rows", params={"order": "alike", "like": 5, "count": 20}).json()
        found = [row["row"] for row in reply["rows"]]
        assert found[0] == 5
        assert np.mean(TRUTH[found] == TRUTH[5]) > 0.9

    assert labelled.call(do) == 0


def test_one_class_is_not_enough_to_finish(labelled, capsys):
    labelled.call(lambda person: person.label(0, "cat"))
    assert run_command(["label", str(labelled.run), "--finish"]) == 2
    assert "FL-C151 1 classes" in capsys.readouterr().err


def test_a_run_of_another_kind_is_no_labelling(labelled, rows, tmp_path, capsys):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{row},{CLASSES[TRUTH[row]]}\n" for row in range(20)))
    out, run = tmp_path / "out.csv", tmp_path / "spread"
    words = ["propagate", str(rows), "--labels", str(labels), "--out", str(out), "--run", str(run), "--no-report"]
    assert run_command(words) == 0
    assert run_command(["label", str(run), "--finish"]) == 2
    assert run_command(["label", str(run)]) == 2
    assert capsys.readouterr().err.count("FL-C150") == 2
