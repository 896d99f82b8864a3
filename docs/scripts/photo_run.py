"""Makes the run that screenshots.py and report_pictures.py show: CIFAR-10 photos as JPEG files, six labels a class.

cd /tmp/example && FEWLABELS_DATA=... python photo_run.py

Makes photos/ (five classes, 100 photos each, named as cat/0012.jpg), labels.csv, truth.csv and, by the command line,
runs/photos. About a minute of training on two cores.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

CLASSES = {1: "car", 3: "cat", 5: "dog", 7: "horse", 8: "ship"}
PHOTOS, LABELS, SIDE = 100, 6, 160  # of each class; pixels


def write_photos(table: Path, folder: Path) -> dict[str, str]:
    """{id: class} of the first photos of each class, each enlarged."""
    truth: dict[str, str] = {}
    rows = pq.read_table(table)
    image, label = rows.column_names
    numbers = np.array(rows[label])
    for number, name in CLASSES.items():
        (folder / name).mkdir(parents=True)
        for place, row in enumerate(np.flatnonzero(numbers == number)[:PHOTOS].tolist()):
            photo = Image.open(BytesIO(rows[image][row].as_py()["bytes"])).convert("RGB")
            id = f"{name}/{place:04d}.jpg"
            photo.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(folder / id, quality=92)
            truth[id] = name
    return truth


def write_labels(path: Path, labels: dict[str, str]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "label"), *labels.items()])


def main() -> None:
    truth = write_photos(Path(os.environ["FEWLABELS_DATA"], "cifar10/test-00000-of-00001.parquet"), Path("photos"))
    draw = np.random.default_rng(0)
    given = [
        id for name in CLASSES.values() for id in draw.choice([i for i in truth if truth[i] == name], LABELS, False)
    ]
    write_labels(Path("truth.csv"), truth)
    write_labels(Path("labels.csv"), {id: truth[id] for id in sorted(given)})
    train = ["train", "photos", "--labels", "labels.csv", "--test-labels", "truth.csv", "--out", "runs/photos"]
    subprocess.run([sys.executable, "-m", "fewlabels", *train], check=True)


if __name__ == "__main__":
    main()
