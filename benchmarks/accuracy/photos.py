"""Training on a pretrained start, against peers on the same descriptors: accuracy by labels per class.

    python -m benchmarks.accuracy.photos --descriptors build/descriptors/cifar10-lite0-160.npz --name cifar10

The file is one of `make descriptors`: 10,000 photos with few labels, 2,000 others to test on (cifar10-mirror: made with
--mirror, so that a descriptor is the mean of those of the photo and of its mirror image). Each cell, one draw of labels
by one method, is a line of benchmarks/results/photos.jsonl with seed, commit and hardware; cells that are there are not
measured again. --table prints the table. Draws 0 to 4 are reported; settings were chosen on draws from 1000 up.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from fewlabels.nets import NetworkSettings
from fewlabels.nets.frozen import Head
from fewlabels.recipes.images import ImageOptions
from fewlabels.recipes.photos import PHOTO_GRAPH, photo_settings
from fewlabels.training.evaluate import evaluate
from fewlabels.training.loop import train
from fewlabels.training.targets import PartialLabels

RESULTS = Path(__file__).parents[1] / "results" / "photos.jsonl"
NUM_TRAINED = 10_000
PER_CLASS = {
    "cifar10": (2, 5, 15, 50),
    "cifar10-mirror": (2, 5, 15, 50),
    "cifar100": (2, 5, 20),
    "cifar10-unbalanced": (15,),
}
RATIO = 10  # of the largest class to the smallest, where they are unbalanced

# (rows of all, labels of the first n, seed) -> labels of all
Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def draw(truth: np.ndarray, per_class: int, seed: int, *, evenly: bool) -> np.ndarray:
    """(n,) labels, -1 for none: so many of each class, or so many times the classes of all rows alike."""
    rng, labels = np.random.default_rng(seed), np.full(len(truth), -1)
    classes = np.unique(truth)
    if evenly:
        rows = np.concatenate([rng.permutation(np.flatnonzero(truth == c))[:per_class] for c in classes])
    else:
        first = [rng.permutation(np.flatnonzero(truth == c))[:1] for c in classes]
        rest = rng.permutation(len(truth))[: per_class * len(classes)]
        rows = np.unique(np.concatenate([*first, rest]))
    labels[rows] = truth[rows]
    return labels


def unbalance(truth: np.ndarray) -> np.ndarray:
    """Rows of a subset whose classes shrink evenly, on a logarithmic scale, to a tenth."""
    rng, classes = np.random.default_rng(0), np.unique(truth)
    most = np.bincount(truth).min()
    sizes = (most * RATIO ** (-np.arange(len(classes)) / (len(classes) - 1))).astype(int)
    return np.sort(
        np.concatenate([rng.permutation(np.flatnonzero(truth == c))[:n] for c, n in zip(classes, sizes, strict=True)])
    )


def ours(rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """The recipe of `fewlabels train`: the paper's loop with a head on the frozen trunk."""
    n, num_classes = len(labels), int(labels.max()) + 1
    given = int((labels >= 0).sum())
    options = ImageOptions(seed=seed, graph=PHOTO_GRAPH)
    settings = photo_settings(given, n - given, NetworkSettings("frozen:efficientnet-lite0"), options)
    images = torch.from_numpy(rows)[:, None]

    def build(purpose: str) -> Head:
        torch.manual_seed(seed)
        head = Head(settings.network, rows.shape[1], num_classes)
        head.start_from(images[:n, 0])
        return head

    found = train(build, images[:n], PartialLabels(labels, [str(c) for c in range(num_classes)]), settings)
    return evaluate(found.network, images).logits.argmax(dim=1).numpy()


def logistic(rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    known = labels >= 0
    model = LogisticRegression(max_iter=300).fit(rows[: len(labels)][known], labels[known])
    return np.asarray(model.predict(rows))


def self_training(rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    model = SelfTrainingClassifier(LogisticRegression(max_iter=100), threshold=0.75)
    return np.asarray(model.fit(rows[: len(labels)], labels).predict(rows))


def label_spreading(rows: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    unit = normalize(rows)
    model = LabelSpreading(kernel="knn", n_neighbors=20, alpha=0.9, max_iter=100)
    return np.asarray(model.fit(unit[: len(labels)], labels).predict(unit))


METHODS: dict[str, Method] = {
    "fewlabels": ours,
    "logistic regression": logistic,
    "label spreading": label_spreading,
    "self-training": self_training,
}


def measure(name: str, path: Path, methods: list[str], seeds: int) -> None:
    data = np.load(path)
    rows, truth = (np.concatenate([data["train" + end], data["test" + end]]) for end in ("", "_labels"))
    seen, test = np.arange(NUM_TRAINED), np.arange(NUM_TRAINED, len(truth))
    if name.endswith("unbalanced"):
        seen = unbalance(truth[:NUM_TRAINED])
    order = np.concatenate([seen, test])
    rows, truth, n = rows[order], truth[order], len(seen)
    there = {key(line) for line in read()}
    for seed in range(seeds):
        for per_class in PER_CLASS[name]:
            labels = draw(truth[:n], per_class, seed, evenly=not name.endswith("unbalanced"))
            for method in methods:
                if (name, per_class, method, seed) not in there:
                    write(cell(method, rows, truth, labels, seed) | {"set": name, "per_class": per_class})


def cell(method: str, rows: np.ndarray, truth: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, object]:
    began, busy = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(action="ignore"):
        said = METHODS[method](rows, labels, seed)
    n, right = len(labels), said == truth
    asked = np.flatnonzero(labels < 0)
    classes = np.unique(truth)
    balanced = [right[asked][truth[asked] == c].mean() for c in classes]
    return {
        "method": method,
        "seed": seed,
        "unlabelled": 100 * float(right[asked].mean()),
        "balanced": 100 * float(np.mean(balanced)),
        "others": 100 * float(right[n:].mean()),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - busy,
        "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout[:12],
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def key(line: dict[str, object]) -> tuple[object, ...]:
    return line["set"], line["per_class"], line["method"], line["seed"]


def read() -> list[dict[str, object]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def write(line: dict[str, object]) -> None:
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def table() -> str:
    """A row for each set, labels per class and method: mean and standard deviation (n - 1) over the draws."""
    cells = defaultdict(list)
    for line in read():
        cells[line["set"], line["per_class"], line["method"]].append(line)
    out = ["| set | labels per class | method | draws | unlabelled % | balanced % | others % | CPU s |"]
    out.append("|---|---|---|---|---|---|---|---|")
    for (name, per_class, method), lines in sorted(cells.items(), key=lambda item: str(item[0])):
        shown = []
        for part in ("unlabelled", "balanced", "others"):
            values = np.array([line[part] for line in lines], float)
            shown.append(f"{values.mean():.1f} ± {values.std(ddof=1) if len(values) > 1 else 0:.1f}")
        seconds = np.mean([float(str(line["cpu_seconds"])) for line in lines])
        out.append(f"| {name} | {per_class} | {method} | {len(lines)} | {' | '.join(shown)} | {seconds:.0f} |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--descriptors", type=Path)
    parser.add_argument("--name", choices=PER_CLASS, default="cifar10")
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.descriptors is not None:
        measure(given.name, given.descriptors, given.methods, given.seeds)
    if given.table:
        print(table())


if __name__ == "__main__":
    main()
