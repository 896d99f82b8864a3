"""Photos for a run of `propagate` whose rows were photos: they are described as those were. One path for both doors."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fewlabels as fl
from fewlabels.commands import rows_model
from fewlabels.errors import ConfigError, EmbeddingError
from fewlabels.nets import pretrained
from tests.cli.typed import run

pytestmark = pytest.mark.filterwarnings("ignore:FL-G24")
CLASSIFY = ("classify", "o-run", "new", "--out", "found.csv", "-q")


@pytest.fixture
def photos(tmp_path, monkeypatch, capsys):
    """40 photos of two colours, described by a tiny backbone with mirror images and propagated; 9 new ones."""
    monkeypatch.chdir(tmp_path)
    load = pretrained.load_backbone

    def load_tiny(name=None, **options):
        return replace(load("module:tests.commands.tiny_backbone:make", **options), name=name)

    monkeypatch.setattr(pretrained, "load_backbone", load_tiny)
    rng = np.random.default_rng(0)
    for folder, count in (("photos", 40), ("new", 9)):
        Path(folder).mkdir()
        for at in range(count):
            colour = np.where(at % 2, [200, 60, 40], [40, 60, 200])
            pixels = np.clip(rng.normal(colour, 40, (12, 12, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(f"{folder}/{at:02}.png")
    lines = [f"{at:02}.png,{('blue', 'red')[at % 2]}" for at in range(12)]
    Path("labels.csv").write_text("\n".join(["id,label", *lines]) + "\n")
    describe = ("describe", "photos", "--backbone", "tiny", "--mirror", "-q")
    assert run(capsys, *describe, "--out", "rows.parquet")[0] == 0
    assert run(capsys, *(word if word != "photos" else "new" for word in describe), "--out", "new.parquet")[0] == 0
    propagate = ("propagate", "rows.parquet", "--labels", "labels.csv", "--out", "o.parquet", "-q", "--no-report")
    assert run(capsys, *propagate)[0] == 0


@pytest.mark.usefixtures("photos")
def test_new_photos_are_described_as_the_runs_were_and_get_the_labels_of_their_table(capsys):
    status, out, _ = run(capsys, *CLASSIFY)
    assert status == 0
    assert "9 photos classified" in out
    assert "rows made by fewlabels describe: tiny" in out
    assert "the run's own" not in out
    found = Path("found.csv").read_bytes()
    assert run(capsys, "classify", "o-run", "new.parquet", "--out", "found.csv", "--force", "-q")[0] == 0
    assert Path("found.csv").read_bytes() == found
    with open("found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [("blue", "red")[at % 2] for at in range(9)]


@pytest.mark.usefixtures("photos")
def test_load_model_answers_what_the_command_does_by_photos_tables_and_arrays(capsys):
    run(capsys, *CLASSIFY)
    with open("found.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    model = fl.load_model("o-run")
    values = fl.describe("new", backbone="tiny", mirror=True, quiet=True).values
    for given in ("new", ["new/00.png", "new/01.png"], "new.parquet", values):
        found = model.predict(given)
        assert found.label == [row["label"] for row in rows][: len(found.label)]
        shares = [float(row["probability"]) for row in rows][: len(found.label)]
        np.testing.assert_allclose(found.probability.max(axis=1), shares, atol=1e-6)
        assert [str(bool(sure)).lower() for sure in found.sure] == [row["sure"] for row in rows][: len(found.label)]


@pytest.mark.usefixtures("photos")
def test_photos_that_cannot_be_read_are_listed_and_the_others_are_sorted(capsys):
    Path("new/zz.png").write_bytes(b"no photo")
    with pytest.warns(fl.FewlabelsWarning, match="FL-I1"):
        assert run(capsys, *CLASSIFY[:-1], "--sort-into", "sorted")[0] == 0
    assert "zz.png" in Path("found.rejected.csv").read_text()
    assert sorted(place.name for place in Path("sorted/red").iterdir()) == ["01.png", "03.png", "05.png", "07.png"]


@pytest.mark.usefixtures("photos")
def test_other_weights_are_an_error_that_names_the_command(monkeypatch):
    monkeypatch.setattr(
        rows_model, "find_described", lambda found: {**found.facts["described"], "weights": "0123456789"}
    )
    with pytest.raises(EmbeddingError, match=r"FL-E34 .*weights 01234567.*fewlabels describe PHOTOS --backbone tiny"):
        fl.load_model("o-run").predict("new")


@pytest.mark.usefixtures("photos")
def test_where_nobody_knows_how_the_rows_were_made_the_command_is_named():
    described = json.loads(Path("o-run/run.json").read_text())["described"]
    assert described["model"] == "tiny"
    assert described["mirror"] is True
    model = replace(fl.load_model("o-run"), described={})
    with pytest.raises(ConfigError, match=r"FL-C124 .*fewlabels describe new --out new.parquet"):
        model.predict("new")
    with pytest.raises(ConfigError, match="FL-C88 a run of embeddings"):
        fl.load_model("o-run", teacher=True)


@pytest.mark.usefixtures("photos")
def test_photos_of_the_run_itself_are_said_to_be_its_own(capsys):
    status, out, _ = run(capsys, "classify", "o-run", "photos", "--out", "found.csv", "-q")
    assert status == 0
    assert "Some of these photos are the run's own" in out
