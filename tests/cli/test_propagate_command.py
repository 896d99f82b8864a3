"""`fewlabels propagate`: what it writes, and what it says."""

import csv
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.errors import InputWarning
from tests.cli.typed import PROPAGATE, run

pytestmark = pytest.mark.filterwarnings("ignore:FL-G24")  # 50 neighbours of 60 rows


def test_propagate_labels_every_row_and_writes_a_run_folder(embeddings, capsys):
    status, out, err = run(capsys, *PROPAGATE, "out.parquet", "-q")
    assert (status, err) == (0, "")
    table = pq.read_table("out.parquet").to_pydict()
    assert table["id"] == [str(row) for row in range(60)]
    assert table["label"] == embeddings
    assert table["source"].count("given") == 6
    assert "labelled" in out
    assert "out-run/report.html" in out
    assert run(capsys, "verify", "out-run")[0] == 0
    assert set(os.listdir("out-run")) == {
        "run.json",
        "events.jsonl",
        "results.json",
        "pseudo_labels.parquet",
        "answer.json",
        "answer.npz",
        "insights.json",
        "map.parquet",
        "gallery.parquet",
        "report.html",
        "manifest.json",
    }


def test_propagate_reads_parquet_with_its_own_labels_and_writes_csv_and_json(embeddings, capsys):
    rows = np.load("embeddings.npy")
    labels = [embeddings[row] if row % 10 == 0 else None for row in range(60)]
    table = {"id": [f"r{row}" for row in range(60)], "embedding": list(rows), "label": labels}
    pq.write_table(pa.table(table), "rows.parquet")
    status, out, _ = run(capsys, "propagate", "rows.parquet", "--out", "out.csv", "--json", "-q")
    assert status == 0
    assert json.loads(out)["num_labeled"] == 6
    with open("out.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["label"] for line in lines] == embeddings
    assert lines[1]["id"] == "r1"


def test_a_run_of_embeddings_tells_where_they_came_from(embeddings, tmp_path, capsys):
    assert run(capsys, *PROPAGATE, "out.parquet", "-q")[0] == 0
    assert json.loads(Path("out-run/run.json").read_text())["source"] == {
        "kind": "embeddings",
        "path": str(tmp_path / "embeddings.npy"),
        "labels": str(tmp_path / "labels.csv"),
        "by_position": False,
        "columns": {
            "id": "id",
            "embedding": "embedding",
            "label": "label",
            "features": [],
            "ignore": [],
            "rows_from": None,
            "rules": 2,
        },
        "delimiter": ",",
        "encoding": "utf-8",
        "skip_bad_rows": False,
        "on_conflict": "error",
    }


def test_propagate_never_writes_over_a_file(embeddings, capsys):
    Path("out.csv").write_text("mine")
    status, _, err = run(capsys, *PROPAGATE, "out.csv")
    assert status == 2
    assert err.startswith("error: FL-C9 the output file exists")
    assert Path("out.csv").read_text() == "mine"
    assert run(capsys, *PROPAGATE, "out.csv", "--force")[0] == 0
    assert Path("out.csv").read_text().count("\n") == 61


def test_rows_that_no_label_reaches_are_counted_and_have_no_label(capsys):
    far = np.eye(2)[[0] * 8 + [1] * 8] + 0.001 * np.arange(16)[:, None]
    np.save("e.npy", far)
    Path("l.csv").write_text("id,label\n0,x\n1,y\n")
    with pytest.warns(UserWarning, match="FL-G1 no label reaches 8 of 16 rows"):
        status, out, _ = run(
            capsys, "propagate", "e.npy", "--labels", "l.csv", "--out", "o.csv", "--n-neighbors", 3, "--json"
        )
    assert status == 0
    assert json.loads(out)["unreached"] == 8
    with open("o.csv", newline="") as file:
        assert [(row["label"], row["reached"]) for row in csv.DictReader(file)][8:] == [("", "false")] * 8


def test_propagate_says_what_it_will_take_before_it_starts(embeddings, capsys):
    status, out, err = run(capsys, *PROPAGATE, "o.csv", "--memory-limit", "3", "--json")
    assert status == 0
    size, report = "60 rows x 16, 3 classes: about 0.2 GiB of 3.0 GiB free", "2 seconds for the report (--no-report)"
    assert err.splitlines()[0] == f"{size}, about a second, then {report}"
    assert err.splitlines()[-1] == "propagating: 100 %"
    assert json.loads(out)["estimate"]["bytes"] > 2**20


def test_what_cannot_fit_is_refused_with_numbers_and_nothing_is_written(embeddings, tmp_path, capsys):
    before = set(os.listdir())
    status, _, err = run(capsys, *PROPAGATE, "o.csv", "--memory-limit", "0.1")
    assert status == 4
    assert err.count("\n") == 1
    assert err.startswith("error: FL-G21 this needs about 0.2 GiB of memory, and there are 0.1 GiB at embeddings.npy; ")
    assert set(os.listdir()) == before


@pytest.mark.parametrize("given", ["array", "column"])
def test_labels_by_position_when_asked(embeddings, capsys, given):
    codes = np.full(60, -1)
    codes[[0, 1, 20, 21, 40, 41]] = [0, 0, 1, 1, 2, 2]
    if given == "array":
        np.save("l.npy", codes)
        names = dict(zip(["ant", "bee", "cat"], "012", strict=True))
    else:
        lines = ["" if code < 0 else ["ant", "bee", "cat"][code] for code in codes]
        Path("l.npy").write_text("\n".join(["label", *lines]) + "\n")
        Path("l.npy").rename("l.csv")
        names = {name: name for name in ("ant", "bee", "cat")}
    labels = "l.npy" if given == "array" else "l.csv"
    options = ("--labels", labels, "--labels-by-position", "--out", "o.parquet", "-q")
    assert run(capsys, "propagate", "embeddings.npy", *options)[0] == 0
    assert pq.read_table("o.parquet")["label"].to_pylist() == [names[name] for name in embeddings]


def test_arrow_files_and_columns_of_other_names(embeddings, capsys):
    rows = np.load("embeddings.npy")
    labels = [embeddings[row] if row % 10 == 0 else None for row in range(60)]
    table = pa.table({"key": [f"r{row}" for row in range(60)], "vector": list(rows), "class": labels})
    Path("parts").mkdir()
    for part in range(3):
        with pa.ipc.new_file(f"parts/{part}.arrow", table.schema) as writer:
            writer.write_table(table.slice(20 * part, 20))
    columns = ("--id-column", "key", "--embedding-column", "vector", "--label-column", "class")
    assert run(capsys, "propagate", "parts", *columns, "--out", "o.parquet", "-q")[0] == 0
    found = pq.read_table("o.parquet").to_pydict()
    assert (found["id"][7], found["label"]) == ("r7", embeddings)
    status, _, err = run(capsys, "propagate", "parts", "--out", "p.parquet", "-q", "--id-column", "name")
    assert status == 2
    assert "FL-E31 no column 'name'; found 'key' (string)" in err


def test_a_uniform_prior_makes_the_classes_equally_large(embeddings, capsys):
    words = ("--mode", "paper", "--class-prior", "uniform", "--no-report")
    status, _, err = run(capsys, *PROPAGATE, "out.parquet", "-q", *words)
    assert (status, err) == (0, "")
    refined = json.loads(Path("out-run/results.json").read_text())["refined"]
    assert refined["prior"] == pytest.approx([1 / 3] * 3)


def test_explain_says_what_decided_a_row(embeddings, capsys):
    asked = ("--explain", "7", "--explain", "59", "--explain", "7", "--n-neighbors", "5", "-q")
    status, out, _ = run(capsys, *PROPAGATE, "o.csv", *asked)
    assert status == 0
    assert out.startswith(f"why 7: {embeddings[7]}, certainty ")
    assert out.count("why ") == 2
    assert "labelled rows that decided" in out
    results = json.loads(run(capsys, *PROPAGATE, "p.csv", *asked, "--json")[1])
    one, other = results["explanations"]
    assert (one["id"], other["id"]) == ("7", "59")
    assert one["influences"][0]["id"] in ("0", "1")
    assert other["label"] == embeddings[59]
    assert run(capsys, "report", "p-run", "--out", "p.html")[0] == 0


def test_a_run_without_a_report_has_all_else(embeddings, capsys):
    status, out, err = run(capsys, *PROPAGATE, "o.csv", "--no-report")
    assert (status, "report" in out + err) == (0, False)
    left = {path.name for path in Path("o-run").iterdir()}
    answer = {"answer.json", "answer.npz"}
    assert left == answer | {"run.json", "events.jsonl", "results.json", "pseudo_labels.parquet", "manifest.json"}
    assert run(capsys, "verify", "o-run")[0] == 0
    assert run(capsys, "report", "o-run", "--out", "later.html")[0] == 0


@pytest.mark.parametrize("mode", ["auto", "paper"])
def test_the_stages_and_their_seconds_are_in_the_run_folder(embeddings, capsys, mode):
    run(capsys, *PROPAGATE, "o.csv", "-q", "--mode", mode)
    events = [json.loads(line) for line in Path("o-run/events.jsonl").read_text().splitlines()]
    between = {"auto": "choose", "paper": "affinity"}[mode]
    names = ["read", "neighbors", between, "solve", "pseudo_labels", "explain"]
    names += ["report: given labels left out one by one", "report: map"]
    assert [event["name"] for event in events if event["event"] == "stage"] == names
    assert all(event["seconds"] >= 0 for event in events)


COMPOSED = ["\xe9 1", "\xfc 2", "c"]


def write_table(ids):
    """24 rows in two groups; the first ones are called by `ids`."""
    group = np.arange(24) % 2
    rows = np.eye(8)[group] + 0.05 * np.random.default_rng(0).normal(size=(24, 8))
    names = [*ids, *(f"row {number}" for number in range(len(ids), 24))]
    pq.write_table(pa.table({"id": names, "embedding": rows.astype(np.float32).tolist()}), "e.parquet")


def read_csv(path):
    return list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines()))


def join(capsys, ids, labels, *more):
    write_table(ids)
    Path("l.csv").write_text("id,label\n" + "".join(f"{id},{label}\n" for id, label in labels), encoding="utf-8")
    words = [
        "propagate",
        "e.parquet",
        "--labels",
        "l.csv",
        "--n-neighbors",
        "5",
        "--no-report",
        "--out",
        "o.csv",
        *more,
    ]
    return run(capsys, *words)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_ids_of_tables_are_joined_across_normal_forms_and_it_is_told(tmp_path, monkeypatch, capsys, forms):
    monkeypatch.chdir(tmp_path)
    of_table, of_labels = ([unicodedata.normalize(form, id) for id in COMPOSED] for form in forms)
    with pytest.warns(InputWarning, match="FL-I54 ids that differ from one of the data in Unicode's normal form alone"):
        status, _, _ = join(capsys, of_table, zip(of_labels, "aba", strict=True))
    assert status == 0
    given = [row for row in read_csv("o.csv") if row["source"] == "given"]
    assert [(row["id"], row["label"]) for row in given] == list(zip(of_table, "aba", strict=True))
    assert [(note["code"], note["id"]) for note in read_csv("o-run/notes.csv")] == [
        ("I54", of_labels[0]),
        ("I54", of_labels[1]),
    ]


@pytest.mark.parametrize("is_of_labels", [True, False])
def test_ids_that_would_be_one_without_their_normal_form_are_refused(tmp_path, monkeypatch, capsys, is_of_labels):
    monkeypatch.chdir(tmp_path)
    composed, decomposed = COMPOSED[0], unicodedata.normalize("NFD", COMPOSED[0])
    if is_of_labels:
        status, _, err = join(capsys, [decomposed, "b"], [(composed, "a"), (decomposed, "b")])
    else:
        odd = "e\u0301\u0327", "e\u0327\u0301"  # one text, whose normal form is neither
        status, _, err = join(capsys, [*odd, "b"], [(unicodedata.normalize("NFC", odd[0]), "a"), ("b", "b")])
    assert status == 2
    assert "FL-L15" in err
    assert "several ids are one without it: write them alike" in err
