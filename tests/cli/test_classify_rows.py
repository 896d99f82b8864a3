"""`fewlabels classify` of a run of `propagate`: new embeddings get what answered in the run says of them."""

import csv
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.choosing import Auto, propagate
from fewlabels.choosing.extend import extend
from fewlabels.errors import InputWarning
from tests.choosing.cases import keep_labels, make_blobs
from tests.cli.typed import run

pytestmark = pytest.mark.filterwarnings("ignore:FL-G24")
NAMES = np.array(["ant", "bee", "cat"])
PROPAGATE = ("propagate", "rows.npy", "--labels", "labels.csv", "--out", "o.parquet", "-q", "--no-report")
CLASSIFY = ("classify", "o-run", "new.npy", "--out", "found.csv", "-q")
ERROR = ("--wanted-error", 0.2)


def write_labels(labels):
    lines = [f"{row},{NAMES[labels[row]]}" for row in np.flatnonzero(labels >= 0)]
    Path("labels.csv").write_text("\n".join(["id,label", *lines]) + "\n")


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """200 rows in overlapping groups, 6 labels of each, and 40 new rows near some of them."""
    monkeypatch.chdir(tmp_path)
    values, classes = make_blobs(200, spread=0.5)
    labels = keep_labels(classes, 6)
    np.save("rows.npy", values)
    np.save("new.npy", values[:40] + np.float32(0.01))
    write_labels(labels)
    return values, labels


def answer_by(monkeypatch, kind):
    import_module("fewlabels.commands.propagate")  # it takes Auto as a type
    monkeypatch.setattr("fewlabels.choosing.Auto", lambda **given: Auto(**given | {"answer": kind}))


def read_table(name="found.csv"):
    with open(name, newline="") as file:
        return list(csv.DictReader(file))


def demand_same(found, expected):
    assert [row["id"] for row in found] == [str(at) for at in range(40)]
    assert [row["label"] for row in found] == NAMES[expected.label].tolist()
    shares = np.array([float(row["probability"]) for row in found])
    np.testing.assert_allclose(shares, expected.distribution.max(axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", ["graph", "linear", "neighbors", None])
def test_new_rows_get_what_extend_says_of_them(rows, monkeypatch, capsys, kind):
    answer_by(monkeypatch, kind)
    assert run(capsys, *PROPAGATE)[0] == 0
    status, out, _ = run(capsys, *CLASSIFY, *ERROR)
    assert status == 0
    expected = propagate(*rows, Auto(answer=kind))
    demand_same(read_table(), expected.extend(np.load("new.npy"), rows[0]))
    threshold = expected.threshold(0.2)
    sure = [threshold.supported and float(row["probability"]) >= threshold.probability for row in read_table()]
    assert [row["sure"] == "true" for row in read_table()] == sure
    assert "answered by" in out
    assert "not calibrated" not in out


def test_batches_of_a_few_rows_give_the_same_table(rows, monkeypatch, capsys):
    answer_by(monkeypatch, "graph")
    run(capsys, *PROPAGATE)
    run(capsys, *CLASSIFY)
    whole = Path("found.csv").read_bytes()
    monkeypatch.setattr("fewlabels.commands.new_rows.BATCH_BYTES", 7 * 4 * rows[0].shape[1])
    run(capsys, *CLASSIFY, "--force")
    assert Path("found.csv").read_bytes() == whole


def test_settings_that_were_given_answer_as_well_and_are_not_calibrated(rows, capsys):
    run(capsys, *PROPAGATE, "--mode", "paper")
    status, out, _ = run(capsys, *CLASSIFY)
    assert status == 0
    assert "not calibrated" in out
    demand_same(read_table(), extend(propagate(*rows, "paper"), rows[0], np.load("new.npy")))
    assert {row["sure"] for row in read_table()} == {""}


def test_with_one_label_per_class_nothing_is_calibrated_or_sure(rows, capsys):
    write_labels(keep_labels(make_blobs(200, spread=0.5)[1], 1))
    run(capsys, *PROPAGATE)
    status, out, _ = run(capsys, *CLASSIFY)
    assert status == 0
    assert "not calibrated" in out
    assert {row["sure"] for row in read_table()} == {""}


def test_a_graph_without_its_embeddings_is_an_error_that_says_so(rows, monkeypatch, capsys):
    answer_by(monkeypatch, "graph")
    run(capsys, *PROPAGATE)
    np.save("rows.npy", rows[0] + np.float32(0.1) * np.arange(rows[0].shape[1], dtype=np.float32))
    status, _, errors = run(capsys, *CLASSIFY)
    assert status != 0
    assert "FL-C86" in errors
    Path("rows.npy").unlink()
    status, _, errors = run(capsys, *CLASSIFY)
    assert "FL-C86" in errors
    assert not Path("found.csv").exists()


def test_heads_answer_alone_where_the_graph_has_lost_its_embeddings(rows, monkeypatch, capsys):
    answer_by(monkeypatch, None)
    run(capsys, *PROPAGATE)
    members = json.loads(Path("o-run/answer.json").read_text())["members"]
    assert len({member["kind"] == "graph" for member in members}) == 2  # a graph and a head have shares
    Path("rows.npy").unlink()
    with pytest.warns(InputWarning, match="FL-C123"):
        status, out, _ = run(capsys, *CLASSIFY[:-1])
    assert status == 0
    assert "graph k=" not in out
    assert "not calibrated" in out
    assert len(read_table()) == 40


def test_photos_are_to_be_described_first(rows, capsys):
    run(capsys, *PROPAGATE)
    Path("new.jpg").write_bytes(b"")
    status, _, errors = run(capsys, "classify", "o-run", "new.jpg", "--out", "found.csv")
    assert status != 0
    assert "FL-C124" in errors
    assert "fewlabels describe" in errors


def test_rows_of_another_width_and_of_another_model_are_refused(rows, capsys):
    made = {"model": "one", "weights": "abcdefgh"}
    write_described("rows.parquet", rows[0], made)
    command = ("propagate", "rows.parquet", *PROPAGATE[2:])
    assert run(capsys, *command)[0] == 0
    write_described("new.parquet", rows[0][:40], made | {"model": "other"})
    status, _, errors = run(capsys, "classify", "o-run", "new.parquet", "--out", "found.csv")
    assert status != 0
    assert "FL-E34" in errors
    write_described("new.parquet", rows[0][:40], made)
    assert run(capsys, "classify", "o-run", "new.parquet", "--out", "found.csv")[0] == 0
    np.save("new.npy", rows[0][:, :-1])
    status, _, errors = run(capsys, *CLASSIFY, "--force")
    assert "FL-E34" in errors


def write_described(name, values, made):
    columns = {"id": [str(at) for at in range(len(values))], "embedding": list(values)}
    table = pa.table(columns).replace_schema_metadata({b"fewlabels": json.dumps(made).encode()})
    pq.write_table(table, name)


def test_embeddings_are_classified_without_the_packages_that_photos_need(rows, capsys):
    run(capsys, *PROPAGATE)
    words = [*map(str, CLASSIFY)]
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("torch", "PIL", "safetensors", "sklearn")))
from fewlabels.cli.main import run
import fewlabels
assert len(fewlabels.load_model("o-run").predict("new.npy").label) == 40
sys.exit(run({words!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
    assert len(read_table()) == 40
