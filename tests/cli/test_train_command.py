"""`fewlabels train` on folders and tables of images."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.typed import FEW, photo, run


@pytest.fixture(autouse=True)
def briefly(monkeypatch):
    """What is learnt from a few small images in a few steps is not looked at here."""
    monkeypatch.setattr("fewlabels.recipes.images.SUPERVISED_STEPS", 20)


def test_train_learns_from_a_folder_with_a_broken_and_many_unlabelled_images(photos, capsys):
    status, out, err = run(capsys, "train", photos, "--labels", "labels.csv", "--out", "run", "--image-size", 8, *FEW)
    assert (status, err) == (0, "")
    table = pq.read_table("run/pseudo_labels.parquet").to_pydict()
    assert table["id"] == [f"{number:02}.png" for number in range(24) if number != 7]
    assert table["source"].count("given") == 4
    rejected = Path("run/rejected.csv").read_text().splitlines()
    assert rejected[0] == "id,reason"
    assert rejected[1].startswith("07.png,")
    assert "unreadable images" in out
    assert json.loads(Path("run/run.json").read_text())["source"] == {
        "kind": "images",
        "path": str(photos),
        "labels": os.path.abspath("labels.csv"),
        "delimiter": ",",
        "encoding": "utf-8",
        "skip_bad_rows": False,
        "on_conflict": "error",
        "image_size": 8,
        "accept_truncated": False,
        "max_pixels": 64_000_000,
    }
    assert run(capsys, "verify", "run") == (0, "run: every file is as it was written\n", "")


def test_train_takes_labels_from_sub_folders_and_measures_on_test_images(tmp_path, capsys):
    for number in range(12):
        kind = number % 2
        photo(tmp_path / "data" / ("across" if kind else "down") / f"{number}.png", kind, seed=number)
        photo(tmp_path / "data" / "unlabeled" / f"{number}.png", kind, seed=100 + number)
        photo(tmp_path / "test" / ("across" if kind else "down") / f"{number}.png", kind, seed=200 + number)
    options = ("--test", "test", "--out", "run", "--image-size", 8, "--json", *FEW)
    status, out, _ = run(capsys, "train", "data", *options)
    results = json.loads(out)
    assert status == 0
    assert (results["num_rows"], results["num_labeled"], results["num_test"]) == (24, 12, 12)
    assert 0 <= results["lp_error"] <= 100


def test_train_learns_by_the_method_and_on_the_network_asked_for(tmp_path, capsys):
    for number in range(12):
        photo(tmp_path / "data" / ("across" if number % 2 else "down") / f"{number}.png", number % 2, seed=number)
        photo(tmp_path / "data" / "unlabeled" / f"{number}.png", number % 2, seed=100 + number)
    options = ("--method", "mt", "--network", "resnet18", "--image-size", 32, "--out", "run", "--json", *FEW)
    status, out, _ = run(capsys, "train", "data", "--test", "data", *options)
    assert status == 0
    assert {"mean_teacher_error", "mean_teacher_teacher_error"} <= set(json.loads(out))
    assert json.loads(Path("run/model.json").read_text())["network"]["name"] == "resnet18"


def test_train_reads_parquet_of_the_hub(photos, capsys):
    good = [path for path in sorted(photos.iterdir()) if path.name != "07.png"]
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in good]
    labels = [int(path.stem) % 2 if number < 6 else None for number, path in enumerate(good)]
    pq.write_table(pa.table({"image": images, "label": pa.array(labels, pa.int64())}), "photos.parquet")
    status, out, _ = run(capsys, "train", "photos.parquet", "--image-size", 8, "--json", *FEW)
    assert status == 0
    assert json.loads(out)["num_labeled"] == 6
    assert json.loads(out)["run"] == "runs/photos"


@pytest.mark.filterwarnings("ignore:FL-I1 ", "ignore::fewlabels.errors.CollapseWarning")
def test_test_images_that_cannot_count_are_said(photos, capsys):
    for number in range(4):
        photo(Path("test") / ("down", "across")[number % 2] / f"{number}.png", number % 2)
    photo(Path("test/unlabeled/x.png"), 0)
    Path("test/down/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    arguments = ["train", photos, "--labels", "labels.csv", "--test", "test", "--image-size", 8, *FEW[:-1], "--out"]
    with pytest.warns(UserWarning, match="FL-I38 1 test images cannot be read and 1 have no label: .* the other 4"):
        status, _, err = run(capsys, *arguments, "r")
    assert status == 0
    assert "23 images at 8 x 8 pixels (--image-size), 4 of them labelled, 2 classes: 20 epochs of 1 step (super" in err
    photo(Path("test/eagle/y.png"), 0)
    status, _, err = run(capsys, *arguments, "again")
    assert status == 2
    assert "FL-L34 test images of 1 classes that no training label has, such as 'eagle' at test" in err


def test_train_takes_what_is_said_of_folders_and_pixels_and_keeps_it(tmp_path, capsys):
    for number in range(8):
        for name in ("cat", "unknown", "unlabeled"):
            photo(tmp_path / "data" / name / f"{number}.png", number % 2, seed=number + len(name))
    photo(tmp_path / "data" / "test" / "unknown" / "a.png", 1, seed=99)
    photo(tmp_path / "data" / "test" / "cat" / "a.png", 1, seed=98)
    said = ("--folder", "unknown=class", "--folder", "test=skip", "--pixel-range", "0:4095")
    more = ("--test", "data/test", "--image-size", 8, "--out", "run", "--json", *FEW)
    status, out, _ = run(capsys, "train", "data", *said, *more)
    assert status == 0
    assert (json.loads(out)["num_labeled"], json.loads(out)["num_test"]) == (16, 2)
    source = json.loads(Path("run/run.json").read_text())["options"]["source"]
    assert source["folders"] == {"unknown": "class", "test": "skip"}
    assert source["pixel_range"] == [0, 4095]


@pytest.mark.parametrize("command", ["train", "propagate"])
def test_a_mode_that_does_not_exist_is_named_with_those_that_do(capsys, command):
    status, _, err = run(capsys, command, "nothing", "--mode", "papper", "--out", "o.csv")
    assert status == 2
    assert err.startswith("error: FL-C1 Invalid value for '--mode': 'papper' is not one of ")
    assert "'paper', 'released'; see: fewlabels " + command in err
