"""`fewlabels demo --photos`: photos written out, trained on, and new ones classified."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fewlabels.cli.main import run as run_command
from fewlabels.commands import demo_photos
from fewlabels.data.benchmarks.sample_photos import cut_sample_photos


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder, no CIFAR-10, a tiny backbone, and few photos."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEWLABELS_DATA", raising=False)
    monkeypatch.setenv("FEWLABELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo_photos, "BACKBONE", "module:tests.commands.tiny_backbone:make")
    for name, count in (("EACH", 20), ("NEW_EACH", 5), ("LABELED_EACH", 4)):
        monkeypatch.setattr(demo_photos, name, count)
    return tmp_path


def read(path):
    with Path(path).open(newline="") as file:
        return {row["id"]: row["label"] for row in csv.DictReader(file)}


def test_without_cifar_the_demo_learns_parts_of_the_bundled_photos_and_says_what_that_shows(place, capsys):
    assert run_command(["demo", "--photos", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "40 photos, 8 of them labelled: parts of the two photos that scikit-learn carries" in text
    assert "this shows the way, and not how good it is" in text
    assert "Cross-validated error:" in text
    assert "next    fewlabels review runs/demo-photos" in text
    data = place / "runs" / "demo-photos-data"
    truth, said = read(data / "new-truth.csv"), read(data / "classified.csv")
    right = sum(truth[id] == label for id, label in said.items())
    assert f"{right} of 10 new photos got the right label" in text
    assert sorted(read(data / "labels.csv").values()) == ["flower"] * 4 + ["temple"] * 4
    results = json.loads((place / "runs" / "demo-photos" / "results.json").read_text())
    assert results["num_test"] == 32


def test_with_cifar_the_demo_takes_five_kinds_of_it(place, monkeypatch):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for number, kind in enumerate(demo_photos.KINDS):
            folder = place / "data" / "cifar10" / part / kind
            folder.mkdir(parents=True)
            for at in range(26):
                pixels = rng.integers(0, 50, (8, 8, 3)) + 40 * number
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{at}.png")
    monkeypatch.setenv("FEWLABELS_DATA", str(place / "data"))
    demo_photos.write_photos(place / "made", 0)
    truth, new = read(place / "made" / "truth.csv"), read(place / "made" / "new-truth.csv")
    assert len(truth) == 100
    assert len(new) == 25
    assert set(truth.values()) == set(new.values()) == set(demo_photos.KINDS)
    assert "CIFAR-10" in (place / "made" / "about.txt").read_text()
    shown = {path.read_bytes() for path in (place / "made" / "photos").iterdir()}
    assert shown.isdisjoint(path.read_bytes() for path in (place / "made" / "new").iterdir())


def test_photos_that_are_there_are_not_written_over(place, capsys):
    (place / "runs" / "demo-photos-data").mkdir(parents=True)
    (place / "runs" / "demo-photos-data" / "mine.txt").write_text("mine")
    assert run_command(["demo", "--photos", "--quiet"]) == 2
    assert "FL-C9" in capsys.readouterr().err
    assert run_command(["demo", "--photos", "--seeds", "2"]) == 2
    assert "FL-C13 --seeds with --photos" in capsys.readouterr().err


def test_new_parts_of_the_bundled_photos_show_nothing_that_the_others_show():
    rng = np.random.default_rng(0)
    parts = cut_sample_photos(30, (0.66, 1.0), rng)
    assert [name for name, _ in parts] == ["temple"] * 30 + ["flower"] * 30
    assert all(100 <= part.shape[0] == part.shape[1] <= 200 and part.dtype == np.uint8 for _, part in parts)
