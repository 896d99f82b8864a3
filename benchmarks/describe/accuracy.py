"""Nearest class mean and logistic regression on the descriptors of `make descriptors`: what propagation has to beat.

    python -m benchmarks.describe.accuracy --set cifar10 --size 160

Accuracy in percent on the unlabelled ones of 10,000 rows, mean and standard deviation over draws; rows of length 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.describe.sets import FOLDER, SETS, load

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def nearest_mean(rows: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    means = np.stack([rows[labels == code].mean(axis=0) for code in range(labels.max() + 1)])
    return np.argmax(others @ means.T - (means**2).sum(axis=1) / 2, axis=1)


def logistic_regression(rows: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    return LogisticRegression(C=10.0, max_iter=300).fit(rows, labels).predict(others)


METHODS: dict[str, Method] = {"nearest class mean": nearest_mean, "logistic regression": logistic_regression}


def measure(rows: np.ndarray, truth: np.ndarray, per_class: int, seed: int) -> dict[str, float]:
    """Accuracy of each method with labels for `per_class` rows of each class, drawn by the seed."""
    rng = np.random.default_rng(seed)
    classes = range(truth.max() + 1)
    given = np.concatenate([rng.choice(np.flatnonzero(truth == code), per_class, replace=False) for code in classes])
    rest = np.setdiff1d(np.arange(len(truth)), given)
    return {
        name: 100 * float((method(rows[given], truth[given], rows[rest]) == truth[rest]).mean())
        for name, method in METHODS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="cifar10")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 5, 50])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    found = load(options.set, options.size, options.mirror, options.folder)
    rows = found.train / np.linalg.norm(found.train, axis=1, keepdims=True)
    print(f"{options.set}, {len(rows):,} rows of {rows.shape[1]:,}, {options.size} px, {options.draws} draws")
    for per_class in options.labels:
        draws = [measure(rows, found.train_labels, per_class, seed) for seed in range(options.draws)]
        for name in METHODS:
            values = np.array([draw[name] for draw in draws])
            print(
                f"{per_class:>3} labels a class  {name:<20} {values.mean():5.1f} +- {values.std(ddof=1):.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
