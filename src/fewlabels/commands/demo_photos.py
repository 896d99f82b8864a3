"""`fewlabels demo --photos`: the job of a person with photos, from a folder and few labels to labels of new photos."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..data.benchmarks.datasets import training_images
from ..data.benchmarks.sample_photos import cut_sample_photos
from ..data.images.decode import png
from ..data.labels.files import read_labels
from ..errors import ConfigError, FewlabelsError
from ..randomness import generator
from ..recipes.images import ImageOptions
from ..recipes.photos import BACKBONE, PHOTO_GRAPH
from ..runs import refuse_used_folder
from ..storage import durable
from .classify import run_classify
from .classify_options import ClassifyOptions
from .train import ImageSource, run_images
from .training import RunOptions, has_run

KINDS = ("airplane", "automobile", "cat", "horse", "ship")  # of CIFAR-10: five will do
EACH, NEW_EACH, LABELED_EACH = 120, 20, 10
CIFAR = "CIFAR-10, photos of 32 x 32 pixels, of five kinds"
CUT = (
    "parts of the two photos that scikit-learn carries (no CIFAR-10 was found by FEWLABELS_DATA). They overlap, so "
    "nearly all come out right: this shows the way, and not how good it is"
)
CUT_OF_OLD, CUT_OF_NEW = (0.0, 0.66), (0.66, 1.0)

Photos = list[tuple[str, bytes]]  # the name of what it shows, and the file


def find_data(folder: Path) -> Path:
    """Where the photos of a run are written: beside it."""
    return folder.with_name(f"{folder.name}-data")


def run_photo_demo(folder: Path, seed: int, how: RunOptions | None = None) -> dict[str, Any]:
    """Write photos and labels beside the run, train on them, classify new ones. Returns the results of both.

    Raises ConfigError (C9) where there is something in the folder for the photos, and what training raises.
    """
    how, data = how or RunOptions(), find_data(folder)
    if not has_run(folder, how):
        refuse_used_folder(data)
        write_photos(data, seed)
    few, truth = read_labels(data / "labels.csv"), read_labels(data / "truth.csv")
    source = ImageSource(data / "photos", few, test_labels=truth)
    trained = run_images(source, ImageOptions(backbone=BACKBONE, graph=PHOTO_GRAPH, seed=seed), folder, how)
    out = data / "classified.csv"
    answered = run_classify(
        folder, [data / "new"], out, ClassifyOptions(device=how.device, force=True, quiet=how.quiet)
    )
    right = _count_right(out, data / "new-truth.csv")
    about = (data / "about.txt").read_text().strip()
    return trained | {"photos": about, "data": str(data), "new": answered, "new_right": right}


def write_photos(data: Path, seed: int) -> None:
    """Write photos/, new/, labels.csv of few, truth.csv and new-truth.csv of all, and about.txt, what they are."""
    old, new, about = _find_photos(seed)
    rows = list(_write_files(data / "photos", old))
    _write_table(data / "truth.csv", rows)
    _write_table(data / "new-truth.csv", list(_write_files(data / "new", new)))
    few = []
    for kind in dict.fromkeys(name for _, name in rows):
        few += [row for row in rows if row[1] == kind][:LABELED_EACH]
    _write_table(data / "labels.csv", few)
    durable.write_text(data / "about.txt", f"{about}\n")


def _find_photos(seed: int) -> tuple[Photos, Photos, str]:
    """Photos to learn from, new ones, and what they are: CIFAR-10 where it is, else what a package ships."""
    rng = generator(seed, "photos")
    try:
        source = training_images("cifar10")
    except FewlabelsError:
        parts = [
            [(name, png(np.ascontiguousarray(pixels))) for name, pixels in cut_sample_photos(each, across, rng)]
            for each, across in ((EACH, CUT_OF_OLD), (NEW_EACH, CUT_OF_NEW))
        ]
        return _mix(parts[0], rng), _mix(parts[1], rng), CUT
    assert source.file is not None
    names = np.array([name or "" for name in source.names])
    old, new = [], []
    for kind in KINDS:
        drawn = rng.permutation(np.flatnonzero(names == kind))[: EACH + NEW_EACH].tolist()
        if len(drawn) < EACH + NEW_EACH:
            raise ConfigError("C55", f"CIFAR-10 with {len(drawn)} photos of {kind!r}", do="is it whole?")
        files = [source.file(at) for at in drawn]
        photos = [(kind, file if isinstance(file, bytes) else Path(str(file)).read_bytes()) for file in files]
        old += photos[:EACH]
        new += photos[EACH:]
    return _mix(old, rng), _mix(new, rng), CIFAR


def _mix(photos: Photos, rng: np.random.Generator) -> Photos:
    return [photos[at] for at in rng.permutation(len(photos)).tolist()]


def _write_files(folder: Path, photos: Photos) -> Iterator[tuple[str, str]]:
    """Write each under a number; yields its id and the name of what it shows."""
    durable.make_folder(folder)
    for number, (name, file) in enumerate(photos, 1):
        id = f"{number:04}.png"
        durable.write_bytes(folder / id, file)
        yield id, name


def _write_table(path: Path, rows: list[tuple[str, str]]) -> None:
    durable.write_text(path, "".join(f"{id},{name}\n" for id, name in [("id", "label"), *rows]))


def _count_right(table: Path, truth: Path) -> int:
    with table.open(newline="") as said, truth.open(newline="") as true:
        known = {row["id"]: row["label"] for row in csv.DictReader(true)}
        return sum(known.get(row["id"]) == row["label"] for row in csv.DictReader(said))
