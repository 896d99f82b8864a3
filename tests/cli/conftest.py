"""A folder to work in, with embeddings or photos and a few labels."""

import csv

import numpy as np
import pytest

from tests.cli.typed import photo


@pytest.fixture(scope="module", autouse=True)
def pictures(blank_pictures):
    """None in the reports of runs; test_report_command.py has them drawn."""


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def embeddings():
    """60 rows around three centres, the first two of each labelled; rows 0 and 1 belong to one class, and so on."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) // 20
    rows = rng.normal(size=(3, 16))[truth] + 0.2 * rng.normal(size=(60, 16))
    np.save("embeddings.npy", rows.astype(np.float32))
    names = np.array(["ant", "bee", "cat"])
    with open("labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(
            [("id", "label"), *((row, names[truth[row]]) for row in (0, 1, 20, 21, 40, 41)), (59, "")]
        )
    return names[truth].tolist()


@pytest.fixture
def photos(tmp_path):
    """24 images of two kinds and two sizes in one folder, one of them cut in half; four are labelled."""
    folder = tmp_path / "photos"
    for number in range(24):
        size = (20, 14) if number % 3 else (30, 30)
        photo(folder / f"{number:02}.png", number % 2, size, number)
    broken = folder / "07.png"
    broken.write_bytes(broken.read_bytes()[:200])
    (tmp_path / "labels.csv").write_text("id,label\n00.png,down\n01.png,across\n02.png,down\n03.png,across\n")
    return folder
