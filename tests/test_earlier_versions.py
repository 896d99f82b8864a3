"""Runs, reviews and models that version 0.1 wrote are still read: tests/fixtures/version-0.1 was written by it.

There: `propagate-run` and `train-run` (Mean Teacher and LP on 24 photos), each with a review of three requests, the
last of which takes the one before back; `killed-run`, ended after its first checkpoint; a fitted classifier in both
formats; and what version 0.1 said of them.
"""

import json
import shutil
import sqlite3
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fewlabels.cli.main import run as run_command
from fewlabels.data.images.read import read_images
from fewlabels.errors import CheckpointWarning
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.nets.model import load_model
from fewlabels.recipes import images as recipes
from fewlabels.review.engine.engine import Engine
from fewlabels.review.items import open_items
from fewlabels.review.store.file import find_review_folder, identify_run, open_store
from fewlabels.runs import read_run
from fewlabels.storage import durable

WRITTEN = Path(__file__).parent / "fixtures" / "version-0.1"
WRITTEN_AT = "/data/fewlabels"  # where it lay when it was written: runs know their data by absolute paths
REVIEWED = ("propagate", "train")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A copy of all of it in a place of its own, sealed again after the change of paths."""
    folder = shutil.copytree(WRITTEN, tmp_path / "old")
    for kind in (*REVIEWED, "killed"):
        run = folder / f"{kind}-run"
        facts = (run / "run.json").read_text()
        assert WRITTEN_AT in facts
        (run / "run.json").write_text(facts.replace(WRITTEN_AT, str(folder)))
        if (run / "manifest.json").is_file():
            (run / "manifest.json").unlink()
            durable.write_manifest(run)
            with sqlite3.connect(find_review_folder(run) / "review.sqlite") as store:
                store.execute("UPDATE review SET run = ?", (identify_run(run),))
            store.close()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def short(monkeypatch):
    """The recipe that the runs were trained by: two steps a phase, a narrow network."""
    monkeypatch.setattr(recipes, "SUPERVISED_STEPS", 2)
    monkeypatch.setattr(recipes, "LP_STEPS", 2)
    monkeypatch.setattr(recipes, "NetworkSettings", partial(recipes.NetworkSettings, width=4))


@pytest.mark.parametrize("kind", REVIEWED)
def test_a_run_is_what_its_manifest_says_and_is_read(kind):
    assert run_command(["verify", str(WRITTEN / f"{kind}-run")]) == 0
    run = read_run(WRITTEN / f"{kind}-run")
    assert run.results["num_rows"] == {"propagate": 90, "train": 24}[kind]


@pytest.mark.parametrize("kind", REVIEWED)
def test_a_run_gets_a_report(kind, place):
    assert run_command(["report", f"{kind}-run", "--out", "report.html"]) == 0
    assert "</html>" in (place / "report.html").read_text()


def test_runs_are_compared_in_one_report(place):
    assert run_command(["report", "train-run", "propagate-run", "--out", "report.html"]) == 0


@pytest.mark.parametrize("kind", REVIEWED)
@pytest.mark.parametrize("which", ["reviewed", "all"])
def test_a_reviewed_run_exports_what_it_exported(kind, which, place):
    more = ["--all", "--no-excel-safe"] if which == "all" else []
    assert run_command(["export", f"{kind}-run", "--out", "labels-now.csv", *more]) == 0
    now = [line.split(",") for line in (place / "labels-now.csv").read_text().splitlines()]
    then = [line.split(",") for line in (place / f"{kind}-{which}.csv").read_text().splitlines()]
    assert [row[:2] + row[3:] for row in now] == [row[:2] + row[3:] for row in then]
    for at in (row[2:3] for row in (now[1:] if which == "all" else ())):
        assert 0 <= float(at[0]) <= 1


@pytest.mark.parametrize(
    ("kind", "answers"), [("propagate", {50: "dog", 0: "cow"}), ("train", {5: "across", 8: "down"})]
)
def test_a_review_opens_with_its_answers_and_goes_on(kind, answers, place):
    items = open_items(f"{kind}-run")
    store = open_store(find_review_folder(f"{kind}-run"), identify_run(f"{kind}-run"))
    try:
        assert {row: label for row, label in store.labels().items() if label is not None} == answers
    finally:
        store.close()
    numbers = {row: items.class_names.index(name) for row, name in answers.items()}
    state = Engine(items, numbers).state
    assert all(state.label[row] == number for row, number in numbers.items())


def test_a_network_says_of_its_photos_what_it_said(place):
    model = load_model("train-run", device="cpu")
    pixels = torch.from_numpy(read_images("photos").pixels).permute(0, 3, 1, 2)
    with torch.no_grad():
        said = model.network(pixels).logits.numpy()
    assert np.allclose(said, np.load(WRITTEN / "train-logits.npy"), rtol=0, atol=1e-4)


@pytest.mark.usefixtures("blank_pictures")
def test_a_training_continues_from_a_run(place, short):
    words = ["train", "photos", "--labels", "labels.csv", "--continue-from", "train-run", "--out", "next", "--quiet"]
    assert run_command([*words, "--method", "mt+lp", "--n-neighbors", "5"]) == 0
    assert read_run("next").results["num_rows"] == 24


@pytest.mark.usefixtures("blank_pictures")
def test_a_killed_training_is_taken_up(place, short):
    words = [
        "train",
        "photos",
        "--backbone",
        "none",
        "--labels",
        "labels.csv",
        "--out",
        "killed-run",
        "--n-neighbors",
        "5",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)  # another machine than the one that began it
        assert run_command([*words, "--save-every", "0", "--resume", "--allow-inexact-resume"]) == 0
    assert read_run("killed-run").results["num_rows"] == 24


@pytest.mark.parametrize("format", [1, 2])
def test_a_fitted_classifier_says_what_it_said(format):
    said = json.loads((WRITTEN / "model-answers.json").read_text())
    said = said["first"] if format == 1 else said
    model = LabelPropagationClassifier.load(WRITTEN / f"model-format-{format}.npz")
    assert model.transduction_.tolist() == said["transduction"]
    rows = np.load(WRITTEN / "rows.npy")
    agree = model.predict(rows + 0.01) == np.array(said["predict"])
    assert agree.mean() >= 0.95  # labelled neighbours count with their given labels since
