"""`fewlabels review`: opens a run, serves it, and says at the end what to do with the answers."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

import fewlabels.commands.review as review_job
from fewlabels.cli.main import run as run_command
from fewlabels.commands.propagate import Input, run_propagation
from fewlabels.commands.review import Endpoint, Review, run_review
from fewlabels.errors import ConfigError, RunError, install_command
from fewlabels.graph import GraphSettings
from fewlabels.review.web.process import listen
from fewlabels.runs import RunLock
from fewlabels.storage import durable

CLASSES = ("cat", "dog")


@pytest.fixture
def job(monkeypatch):
    """The job with a person in the place of the server, who answers row 1 and is done."""
    served = []

    def serve(app, door, access, place, say, is_over):
        port = place.getsockname()[1]
        place.close()
        say("the address")
        page = TestClient(app, base_url=f"http://127.0.0.1:{port}", headers={"Origin": f"http://127.0.0.1:{port}"})
        page.get("/", params={"token": access.token}, follow_redirects=False)
        version = page.get("/api/rows/1").json()["version"]
        one = {"row": 1, "action": "label", "label": CLASSES[version % 2], "version": version}
        page.post("/api/answers", json={"client": "tab", "seq": version, "answers": [one]}).raise_for_status()
        served.append(SimpleNamespace(port=port, session=page.get("/api/session").json()))

    monkeypatch.setattr(review_job, "serve", serve)
    return SimpleNamespace(served=served)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run over two clouds, four labels given: row 1 is a dog."""
    folder = tmp_path_factory.mktemp("made")
    truth = np.arange(40) % 2
    points = np.eye(2)[truth] + 0.1 * np.random.default_rng(0).normal(size=(40, 2))
    labels = [CLASSES[truth[row]] if row < 4 else None for row in range(40)]
    columns = {"id": [f"row {row}" for row in range(40)], "embedding": points.tolist(), "label": labels}
    pq.write_table(pa.table(columns), folder / "pets.parquet")
    how = GraphSettings(n_neighbors=10)
    run_propagation(Input(folder / "pets.parquet"), folder / "out.csv", folder / "demo", how, quiet=True)
    return folder / "demo"


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "demo")


def test_a_review_is_served_and_says_what_to_do_with_the_answers(job, run, capsys):
    assert run_command(["review", str(run), "--no-browser"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("the address\n")
    assert "1 answer, 0 rows skipped" in told
    assert f"fewlabels export {run} --out reviewed.csv" in told
    pets = json.loads((run / "run.json").read_text())["source"]["path"]
    assert f"fewlabels propagate {pets} --labels reviewed.csv --out reviewed-propagated.parquet\n" in told
    session = job.served[0].session
    assert session["title"] == json.loads((run / "run.json").read_text())["title"]
    assert (session["classes"], session["rows"]) == (list(CLASSES), 40)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"kind": "images", "path": "/my photos"}, "train '/my photos' --continue-from run --labels new.csv"),
        (
            {"kind": "embeddings", "path": "/e.parquet", "columns": {"id": "key", "embedding": "v"}},
            "propagate /e.parquet --labels new.csv --out new-propagated.parquet --id-column key --embedding-column v",
        ),
    ],
)
def test_the_command_that_goes_on_is_that_of_the_run(monkeypatch, source, words):
    monkeypatch.setattr(review_job, "read_run", lambda run: SimpleNamespace(facts={"source": source}))
    told = review_job.format_reviewed(review_job.Reviewed(Path("run"), 1, 0, 2, Path("new.csv")))
    assert told.endswith(f"go on        fewlabels {words}")


def test_an_unfinished_run_is_told_so_and_nothing_is_left_beside_it(run, capsys):
    (run / "manifest.json").unlink()
    assert run_command(["review", str(run), "--no-browser"]) == 2
    assert "error: FL-C84 a run of kind 'propagate' that is not finished" in capsys.readouterr().err
    assert [path.name for path in run.parent.iterdir()] == ["demo"]


def test_the_next_review_of_the_run_has_the_answers_and_the_address_of_the_last(job, run, capsys):
    sealed = {path.name: path.read_bytes() for path in run.iterdir()}
    run_command(["review", str(run), "--no-browser"])
    capsys.readouterr()
    assert run_command(["review", str(run), "--no-browser", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["event"] == 2
    assert job.served[0].port == job.served[1].port
    assert sorted(path.name for path in run.parent.iterdir()) == ["demo", "demo.review"]
    assert {path.name: path.read_bytes() for path in run.iterdir()} == sealed


def test_the_labels_are_written_at_the_end_where_that_was_asked_for(job, run, tmp_path, capsys):
    out = tmp_path / "reviewed.csv"
    assert run_command(["review", str(run), "--no-browser", "--export", str(out)]) == 0
    with out.open(newline="") as file:
        labels = {row["id"]: row["label"] for row in csv.DictReader(file)}
    assert labels == {"row 0": "cat", "row 1": "cat", "row 2": "cat", "row 3": "dog"}  # row 1 is what was answered
    assert "fewlabels export" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--export", "labels.txt"], "FL-C16"),
        (["--export", "demo/run.json"], "FL-C9"),
        (["--export", "demo/run.json", "--force"], "FL-C9"),
        (["--host", "0.0.0.0"], "FL-C80"),
        (["--host", "192.0.2.1", "--i-understand", "-q"], "FL-C79"),
        (["--port", "70000"], "FL-C1"),
    ],
)
def test_an_option_that_cannot_be_is_told_before_anything_is_served(job, run, options, code, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    assert run_command(["review", str(run), "--no-browser", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {code} ")
    assert job.served == []


def test_an_export_of_last_time_is_replaced_where_that_was_asked_for(job, run, tmp_path, capsys):
    out = tmp_path / "deep" / "reviewed.csv"
    words = ["review", str(run), "--no-browser", "--export", str(out)]
    assert run_command(words) == 0
    first = out.read_text()
    assert run_command(words) == 2
    assert "error: FL-C9 the output file exists" in capsys.readouterr().err
    assert run_command([*words, "--force"]) == 0
    assert "row 1,cat" in first
    assert out.read_text() == first.replace("row 1,cat", "row 1,dog")


def test_a_second_review_is_refused_with_the_address_of_the_first_before_anything_is_read(job, run, monkeypatch):
    run_review(run, Review(Endpoint(browser=False)))
    address = f"http://127.0.0.1:{job.served[0].port}/"
    monkeypatch.setattr(review_job, "open_items", None)
    with (
        RunLock(run.with_name("demo.review")),
        pytest.raises(ConfigError, match=rf"FL-C11 .*pid {os.getpid()} .*; its page is {address}, .*remove \.lock"),
    ):
        run_review(run, Review(Endpoint(browser=False)))


def test_a_port_that_is_taken_is_told_before_anything_is_read(run, monkeypatch):
    monkeypatch.setattr(review_job, "open_items", None)
    with listen(Endpoint()) as taken, pytest.raises(ConfigError, match="FL-C79"):
        run_review(run, Review(Endpoint(port=taken.getsockname()[1], browser=False)))


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"http://127.0.0.1:99999/", b"http://127.0.0.1:x/"])
def test_a_damaged_note_of_the_last_address_is_passed_over(job, run, content):
    folder = run.with_name("demo.review")
    folder.mkdir()
    (folder / "address").write_bytes(content)
    assert run_review(run, Review(Endpoint(browser=False))).answered == 1


def test_answers_to_another_run_of_that_name_are_refused(job, run):
    run_command(["review", str(run), "--no-browser"])
    durable.write_manifest(run, of="another run")
    with pytest.raises(RunError, match="FL-C77"):
        run_review(run, Review(Endpoint(browser=False)))


def test_what_is_no_run_is_refused(job, tmp_path):
    assert run_command(["review", str(tmp_path), "--no-browser"]) == 3
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(monkeypatch):
    from fewlabels.cli.review import need_review_packages

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match="FL-C81 .*uvicorn.*" + re.escape(install_command("review"))):
        need_review_packages()
