"""Seconds and memory from descriptors to labels, against the released recipe done straight and against scikit-learn.

    python benchmarks/propagate.py --rows 10000 50000 --classes 10

Each method runs in a process of its own on the same data: bent Gaussian blobs in 128 dimensions, 40 labels per class,
k = 50, gamma = 3, alpha = 0.99, 20 solver steps. The table shows each peer's time over ours, from the same run.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import time

import numpy as np

K, GAMMA, ALPHA, STEPS = 50, 3, 0.99, 20
LABELS_PER_CLASS, DIMENSIONS, BLOBS_PER_CLASS = 40, 128, 4


def blobs(num_rows: int, num_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, d) float32 rows, (n,) labels with -1, (n,) truth."""
    rng = np.random.default_rng(seed)
    blob = rng.integers(num_classes * BLOBS_PER_CLASS, size=num_rows)
    centres = rng.normal(size=(num_classes * BLOBS_PER_CLASS, 8)) * 1.5
    low = centres[blob] + rng.normal(size=(num_rows, 8))
    bent = np.tanh(low @ rng.normal(size=(8, 64))) @ rng.normal(size=(64, DIMENSIONS)) / 8
    rows = (bent + 0.3 * rng.normal(size=bent.shape)).astype(np.float32)
    truth = blob % num_classes
    labels = np.full(num_rows, -1)
    for number in range(num_classes):
        labels[rng.choice(np.flatnonzero(truth == number), LABELS_PER_CLASS, replace=False)] = number
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), labels, truth


def fewlabels(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    from fewlabels import GraphSettings, propagate

    settings = GraphSettings(n_neighbors=K, gamma=GAMMA, alpha=ALPHA, mode="released", max_steps=STEPS)
    return propagate(rows, labels, settings).pseudo_labels.label


def straight(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The released recipe as one would write it down: faiss flat search, SciPy matrices, SciPy cg class by class."""
    import faiss
    import scipy.sparse as sp
    from scipy.sparse.linalg import cg

    n = len(rows)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows)
    near, ids = index.search(rows, K + 1)
    weights = sp.csr_array((near[:, 1:].ravel() ** GAMMA, (np.repeat(np.arange(n), K), ids[:, 1:].ravel())), (n, n))
    weights = weights + weights.T
    scale = sp.diags_array(1 / np.sqrt(weights.sum(axis=1)))
    system = sp.eye_array(n) - ALPHA * (scale @ weights @ scale)
    columns = []
    for number in range(labels.max() + 1):
        y = (labels == number) / (labels == number).sum()
        columns.append(cg(system.tocsr(), y, rtol=1e-6, atol=0, maxiter=STEPS)[0])
    found = np.stack(columns, axis=1).argmax(axis=1)
    return np.where(labels >= 0, labels, found)


def scikit_learn(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    import warnings

    from sklearn.semi_supervised import LabelSpreading

    warnings.simplefilter("ignore")  # it does not converge in 30 iterations, its default
    return LabelSpreading(kernel="knn", n_neighbors=K, alpha=ALPHA).fit(rows, labels).transduction_


METHODS = {"fewlabels": fewlabels, "straight recipe": straight, "scikit-learn knn": scikit_learn}


def measure(method: str, num_rows: int, num_classes: int) -> None:
    """Run one method and print its figures as JSON; called in a process of its own."""
    rows, labels, truth = blobs(num_rows, num_classes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = METHODS[method](rows, labels)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asked = labels < 0
    accuracy = float((found == truth)[asked].mean())
    print(json.dumps({"seconds": seconds, "accuracy": accuracy, "peak_mib": peak / 1024, "before_mib": before / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--repeat", type=int, default=3, help="the median of this many runs counts")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one, options.rows[0], options.classes[0])
        return
    print(f"{platform.platform()}, Python {platform.python_version()}, NumPy {np.__version__}")
    print(f"{'rows':>9} {'classes':>7}  {'method':<17} {'seconds':>8} {'x ours':>7} {'accuracy':>8} {'peak MiB':>8}")
    for num_rows in options.rows:
        for num_classes in options.classes:
            compare(num_rows, num_classes, options.repeat)


def compare(num_rows: int, num_classes: int, repeat: int) -> None:
    """The methods in turn, round after round, and the median of each."""
    command = [sys.executable, __file__, "--rows", str(num_rows), "--classes", str(num_classes), "--one"]
    runs: dict[str, list[dict[str, float]]] = {method: [] for method in METHODS}
    for _ in range(repeat):
        for method in METHODS:
            done = subprocess.run([*command, method], capture_output=True, text=True, check=True)
            runs[method].append(json.loads(done.stdout))
    ours = float(np.median([run["seconds"] for run in runs["fewlabels"]]))
    for method, figures in runs.items():
        median = {name: float(np.median([run[name] for run in figures])) for name in figures[0]}
        print(
            f"{num_rows:>9,} {num_classes:>7}  {method:<17} {median['seconds']:>8.2f} {median['seconds'] / ours:>7.2f} "
            f"{median['accuracy']:>8.4f} {median['peak_mib']:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
