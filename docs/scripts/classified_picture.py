"""Makes docs/images/classified.png: new photos with the labels that `fewlabels classify` gave them.

fewlabels demo --photos --out runs/demo-photos && python docs/scripts/classified_picture.py runs/demo-photos-data

The folder has the photos in new/, what classify said in classified.csv, and the truth in new-truth.csv.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("agg")
import matplotlib.pyplot as plt

from fewlabels.storage import durable

PICTURE = Path(__file__).parents[1] / "images" / "classified.png"
ROWS, COLUMNS = 3, 10
RIGHT, WRONG = "#1b7f3b", "#b3261e"


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def main(data: Path) -> None:
    truth = {row["id"]: row["label"] for row in read(data / "new-truth.csv")}
    rows = sorted(read(data / "classified.csv"), key=lambda row: -float(row["probability"]))
    chosen = [rows[at] for at in np.linspace(0, len(rows) - 1, ROWS * COLUMNS).round().astype(int)]
    figure, places = plt.subplots(ROWS, COLUMNS, figsize=(11, 4.3), dpi=100)
    for place, row in zip(places.flat, chosen, strict=True):
        true = truth[row["id"]]
        is_right = row["label"] == true
        place.imshow(Image.open(data / "new" / row["id"]).resize((96, 96), Image.Resampling.BICUBIC))
        said = f"{row['label']}\n{100 * float(row['probability']):.0f} %" + (" sure" if row["sure"] == "true" else "")
        place.set_title(said, fontsize=8, color=RIGHT if is_right else WRONG)
        place.set_xlabel("" if is_right else f"is {true}", fontsize=8, color=WRONG, labelpad=2)
        place.set_xticks([])
        place.set_yticks([])
    figure.tight_layout(pad=0.4)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    shown = Image.open(file).convert("RGB").quantize(128)
    small = io.BytesIO()
    shown.save(small, "PNG", optimize=True)
    durable.write_bytes(PICTURE, small.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
