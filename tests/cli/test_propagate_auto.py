"""`fewlabels propagate` with settings that the labels choose: what it writes, and what it says."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.choosing import Auto, Choice, propagate
from fewlabels.choosing.saved import unpack_mixture
from fewlabels.commands.review import describe_graph
from fewlabels.graph import GraphSettings
from fewlabels.graph import propagate as propagate_by
from fewlabels.review.items import open_items
from fewlabels.storage.arrays import read_arrays
from tests.choosing.cases import keep_labels, make_blobs
from tests.cli.typed import run

pytestmark = pytest.mark.filterwarnings("ignore:FL-G24")
NAMES = np.array(["ant", "bee", "cat"])
COMMAND = ("propagate", "rows.npy", "--labels", "labels.csv", "--out", "o.parquet", "-q", "--no-report")


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """200 rows in overlapping groups, 6 labels of each."""
    monkeypatch.chdir(tmp_path)
    values, classes = make_blobs(200, spread=0.5)
    np.save("rows.npy", values)
    labels = keep_labels(classes, 6)
    lines = [f"{row},{NAMES[labels[row]]}" for row in np.flatnonzero(labels >= 0)]
    Path("labels.csv").write_text("\n".join(["id,label", *lines]) + "\n")
    return values, labels


def read(name):
    return json.loads(Path(f"o-run/{name}.json").read_text())


def codes_of(table):
    return np.searchsorted(NAMES, table["label"].to_pylist())


def test_the_labels_choose_as_they_do_from_python(rows, capsys):
    assert run(capsys, *COMMAND)[0] == 0
    answer = propagate(*rows)
    table = pq.read_table("o.parquet")
    assert (codes_of(table) == answer.pseudo_labels.label).all()
    np.testing.assert_allclose(table["certainty"].to_numpy(), answer.pseudo_labels.certainty, atol=1e-5)
    assert Choice.from_json(read("results")["choice"]).members == answer.choice.members


def test_mode_paper_is_the_papers_propagation(rows, capsys):
    assert run(capsys, *COMMAND, "--mode", "paper")[0] == 0
    found = propagate_by(*rows, GraphSettings()).pseudo_labels
    assert (codes_of(pq.read_table("o.parquet")) == found.label).all()
    assert "auto" not in read("run")["settings"]
    assert "choice" not in read("results")


def test_the_run_holds_what_was_asked_and_what_was_chosen(rows, capsys):
    assert run(capsys, *COMMAND, "--n-neighbors", 7, "--labels-are", "random")[0] == 0
    settings = read("run")["settings"]
    assert (settings["auto"]["n_neighbors"], settings["auto"]["alpha"]) == (7, None)
    assert settings["auto"]["labels_are"] == "random"
    assert {member["kind"] for member in settings["answer"]["members"]} == {"graph"}
    assert settings["graph"]["n_neighbors"] == 7
    assert run(capsys, "verify", "o-run")[0] == 0


def test_it_says_what_answers_why_and_how_good_it_is(rows, capsys):
    status, out, _ = run(capsys, *COMMAND)
    assert status == 0
    assert "Answer: " in out
    assert "candidate" in out
    assert "Cross-validated error: " in out
    assert "of 18 given labels, each held out" in out
    assert len([line for line in out.splitlines() if " ± " in line]) <= 8


def test_the_report_shows_the_choice(rows, capsys):
    assert run(capsys, *COMMAND[:-1])[0] == 0
    page = Path("o-run/report.html").read_text()
    assert "What answers, and why" in page
    assert "Cross-validated error" in page
    assert read("insights")["held_out"]["num_rows"] == 18


def test_an_answer_without_a_graph_is_explained_by_labelled_rows_and_kept(rows, capsys, monkeypatch):
    monkeypatch.setattr("fewlabels.choosing.Auto", lambda **given: Auto(**given | {"answer": "linear"}))
    status, out, _ = run(capsys, *COMMAND, "--explain", 3)
    assert status == 0
    assert "most similar labelled rows" in out
    assert "linear head" in out
    facts = json.loads(Path("o-run/answer.json").read_text())
    kept = unpack_mixture(facts, read_arrays("o-run/answer.npz"))
    new = rows[0][:5] + 0.01
    expected = propagate(*rows, Auto(answer="linear")).extend(new)
    np.testing.assert_allclose(kept.extend(new).distribution, expected.distribution, atol=1e-6)
    assert facts["class_names"] == NAMES.tolist()
    assert "graph" not in read("results")


def test_groups_are_held_out_together_and_are_no_feature(rows, capsys):
    values, labels = rows
    columns = {f"f{at}": values[:, at] for at in range(values.shape[1])}
    columns |= {"camera": np.arange(200) // 100, "label": [None if c < 0 else NAMES[c] for c in labels]}
    pq.write_table(pa.table(columns), "rows.parquet")
    words = ("propagate", "rows.parquet", "--out", "o.parquet", "-q", "--no-report", "--groups", "camera")
    assert run(capsys, *words)[0] == 0
    assert read("results")["choice"]["num_folds"] == 2
    assert "camera" not in read("results")["read"]["features"]
    assert read("run")["settings"]["auto"]["groups"] == "camera"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--groups", "camera"), "FL-C41 columns of a .npy"),
        (("--mode", "paper", "--labels-are", "random"), "FL-C120 --labels-are and --groups with --mode paper"),
    ],
)
def test_what_cannot_be_used_is_refused(rows, capsys, words, says):
    status, _, err = run(capsys, *COMMAND, *words)
    assert status == 2
    assert says in err
    assert not Path("o-run").exists()


def test_a_review_solves_the_chosen_graph_and_says_so(rows, capsys):
    assert run(capsys, *COMMAND)[0] == 0
    settings = read("run")["settings"]
    assert open_items("o-run").settings.n_neighbors == settings["graph"]["n_neighbors"]
    if [member["kind"] for member in settings["answer"]["members"]] != ["graph"]:
        assert "the review solves its graph alone" in describe_graph(settings)
    assert describe_graph({"graph": settings["graph"]}) == ""
