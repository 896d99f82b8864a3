"""What a run of images keeps of how they were read, and where it takes labels from."""

import io
import json
import unicodedata
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from fewlabels.commands.train import ImageSource, run_images
from fewlabels.commands.training import RunOptions
from fewlabels.data.labels.csv import LabelOptions
from fewlabels.data.labels.files import read_labels
from fewlabels.errors import InputWarning, LabelError
from fewlabels.graph import GraphSettings
from fewlabels.nets.model import read_model
from fewlabels.recipes.images import ImageOptions
from fewlabels.review.items import open_items

QUIET = RunOptions(quiet=True)
BRIEFLY = ImageOptions(epochs=1, graph=GraphSettings(n_neighbors=5))


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    monkeypatch.setattr("fewlabels.recipes.images.SUPERVISED_STEPS", 2)
    monkeypatch.setattr("fewlabels.commands.training.report_html", lambda folders: "<html></html>")


def album(folder, highest=255, count=12):
    """Random images in two kinds; of 16 bits where values go above 255."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        values = rng.integers(0, highest + 1, (8, 8))
        values[0, :2] = 0, highest
        Image.fromarray(values.astype(np.uint8 if highest == 255 else np.uint16)).save(folder / f"{number}.png")
    return folder


def labels(tmp_path, rows=("0.png,ant", "1.png,bee")):
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *rows]) + "\n", encoding="utf-8")
    return read_labels(tmp_path / "labels.csv")


def facts(run):
    source = json.loads((run / "run.json").read_text())["source"]
    return source, json.loads((run / "model.json").read_text())["image_input"]


@pytest.mark.filterwarnings("ignore:FL-P23", "ignore:FL-E7")
def test_the_range_of_the_pixels_is_kept_and_the_next_run_takes_it(tmp_path):
    source = ImageSource(album(tmp_path / "photos", 4095), labels(tmp_path))
    with pytest.warns(InputWarning, match="FL-I51"):
        run_images(source, BRIEFLY, tmp_path / "first", QUIET)
    kept, image_input = facts(tmp_path / "first")
    assert (kept["pixel_range"], image_input["pixel_range"]) == ([0, 4095], [0, 4095])
    assert read_model(tmp_path / "first").image_input.pixel_range == (0, 4095)
    with closing(open_items(tmp_path / "first").pictures) as pictures:
        assert np.asarray(Image.open(io.BytesIO(pictures.png(0))))[0, :2].tolist() == [0, 255]

    darker = ImageSource(album(tmp_path / "new", 1023), labels(tmp_path), continue_from=tmp_path / "first")
    with pytest.warns(InputWarning, match=r"FL-I51 .* 4,095 becomes 255"):
        run_images(darker, BRIEFLY, tmp_path / "second", QUIET)
    assert facts(tmp_path / "second")[1]["pixel_range"] == [0, 4095]


@pytest.mark.filterwarnings("ignore:FL-P23", "ignore:FL-E7")
def test_runs_of_8_bits_are_written_as_ever(tmp_path):
    run_images(ImageSource(album(tmp_path / "photos"), labels(tmp_path)), BRIEFLY, tmp_path / "run", QUIET)
    kept, image_input = facts(tmp_path / "run")
    assert not {"pixel_range", "folders"} & set(kept)
    assert list(image_input) == ["channels", "size", "mean", "std"]


@pytest.mark.filterwarnings("ignore:FL-P23", "ignore:FL-E7")
def test_labels_come_from_metadata_among_the_images(tmp_path):
    photos = album(tmp_path / "photos")
    (photos / "metadata.csv").write_text("file_name,label\n0.png,ant\n1.png,bee\n")
    with pytest.warns(InputWarning, match="FL-I53 labels come from metadata.csv"):
        results = run_images(ImageSource(photos), BRIEFLY, tmp_path / "run", QUIET)
    assert results["num_labeled"] == 2
    assert facts(tmp_path / "run")[0]["labels"] == str(photos / "metadata.csv")


def test_metadata_of_images_that_are_not_there_is_refused(tmp_path):
    photos = album(tmp_path / "photos")
    (photos / "metadata.csv").write_text("file_name,label\n0.png,ant\ngone.png,bee\n")
    with pytest.warns(InputWarning, match="FL-I53"), pytest.raises(LabelError, match=r"FL-L15.*gone\.png"):
        run_images(ImageSource(photos), BRIEFLY, tmp_path / "run", QUIET)


@pytest.mark.filterwarnings("ignore:FL-P23", "ignore:FL-E7")
def test_labels_reach_images_whose_names_are_in_another_normal_form(tmp_path):
    photos = album(tmp_path / "photos")
    (photos / "0.png").rename(photos / unicodedata.normalize("NFD", "\xe9.png"))
    with pytest.warns(InputWarning, match="FL-I54"):
        results = run_images(
            ImageSource(photos, labels(tmp_path, ("\xe9.png,ant", "1.png,bee"))), BRIEFLY, tmp_path / "run", QUIET
        )
    assert results["num_labeled"] == 2


@pytest.mark.filterwarnings("ignore:FL-P23", "ignore:FL-E7")
def test_options_for_labels_hold_for_metadata_among_the_images_and_the_run_keeps_them(tmp_path):
    photos = album(tmp_path / "photos")
    (photos / "metadata.csv").write_text("file_name;label\n0.png;ant\n1.png;bee\n2.png;unknown\n")
    reading = LabelOptions(delimiter=";", no_label=["unknown"])
    with pytest.warns(InputWarning) as caught:
        results = run_images(ImageSource(photos, reading=reading), BRIEFLY, tmp_path / "run", QUIET)
    assert {"FL-I53", "FL-L45"} <= {str(one.message)[:6] for one in caught}
    assert results["num_labeled"] == 2
    kept = facts(tmp_path / "run")[0]
    assert (kept["delimiter"], kept["no_label"]) == (";", ["unknown"])
    assert "L45" in (tmp_path / "run/notes.csv").read_text()


def test_metadata_of_test_images_that_are_not_there_is_refused(tmp_path):
    photos, test = album(tmp_path / "photos"), album(tmp_path / "test")
    (test / "metadata.csv").write_text("file_name,label\n0.png,ant\ngone.png,bee\n")
    source = ImageSource(photos, labels(tmp_path), test=test)
    with pytest.warns(InputWarning, match="FL-I53"), pytest.raises(LabelError, match=r"FL-L15.*gone\.png"):
        run_images(source, BRIEFLY, tmp_path / "run", QUIET)
