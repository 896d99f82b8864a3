"""What graph methods answer where the data are odd: copies, zeros, groups without a label, NaN, nothing labelled.

    python -m benchmarks.compare.cases fewlabels
    python -m benchmarks.compare.cases sklearn graphlearning     (in the environment of `make bench`)

Three groups of 60 rows in 8 dimensions, two labels each; every method gets the same rows, as float64, and its own
defaults but for 10 neighbours where a graph of neighbours is asked for. Writes benchmarks/results/compare_cases.jsonl.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parents[1] / "results" / "compare_cases.jsonl"
NEIGHBORS = 10
Answer = tuple[np.ndarray, np.ndarray | None]  # (n,) labels, -1 for none; (n, c) shares of classes
Solve = Callable[[np.ndarray, np.ndarray], Answer]


def groups() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, labels with -1, truth)."""
    rng = np.random.default_rng(0)
    truth = np.arange(180) % 3
    rows = 4 * rng.normal(size=(3, 8))[truth] + rng.normal(size=(180, 8))
    labels = np.where(np.arange(180) < 6, truth, -1)
    return rows, labels, truth


def copies() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every row 15 times, more often than there are neighbours."""
    rows, labels, truth = groups()
    again = np.full(14 * len(rows), -1)
    return np.tile(rows, (15, 1)), np.concatenate([labels, again]), np.tile(truth, 15)


def zeros() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The last row is all zeros, and belongs to nothing."""
    rows, labels, truth = groups()
    rows[-1], truth[-1] = 0, -1
    return rows, labels, truth


def far() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A fourth group of 20 rows, far away, in other dimensions, without a label."""
    rows, labels, truth = groups()
    wide = np.zeros((200, 10))
    wide[:180, :8] = rows
    wide[180:, 8:] = np.random.default_rng(1).uniform(900, 1000, (20, 2))
    nobody = np.full(20, -1)
    return wide, np.concatenate([labels, nobody]), np.concatenate([truth, nobody])


def with_value(value: float) -> Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    def case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, labels, truth = groups()
        rows[100, 3] = value
        return rows, labels, truth

    return case


def unlabelled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, labels, truth = groups()
    return rows, np.full(len(labels), -1), truth


def tiny() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, labels, truth = groups()
    return rows * 1e-30, labels, truth


CASES = {
    "nothing odd": groups,
    "every row 15 times": copies,
    "a row of zeros": zeros,
    "a far group without a label": far,
    "one NaN": with_value(np.nan),
    "one infinity": with_value(np.inf),
    "all rows times 1e-30": tiny,
    "nothing labelled": unlabelled,
}


def sklearn_methods() -> dict[str, Solve]:
    from sklearn.semi_supervised import LabelPropagation, LabelSpreading

    def solved(model: Any) -> Solve:
        def solve(rows: np.ndarray, labels: np.ndarray) -> Answer:
            model.fit(rows, labels)
            return model.transduction_, model.label_distributions_

        return solve

    knn = {"kernel": "knn", "n_neighbors": NEIGHBORS}
    return {
        "LabelSpreading(kernel='knn', n_neighbors=10)": solved(LabelSpreading(**knn)),
        "LabelSpreading()": solved(LabelSpreading()),
        "LabelPropagation(kernel='knn', n_neighbors=10)": solved(LabelPropagation(**knn)),
    }


def graphlearning_methods() -> dict[str, Solve]:
    import graphlearning as gl

    def solved(method: str, **options: Any) -> Solve:
        def solve(rows: np.ndarray, labels: np.ndarray) -> Answer:
            given = np.flatnonzero(labels >= 0)
            graph = gl.weightmatrix.knn(rows, NEIGHBORS, **options)
            model = getattr(gl.ssl, method)(graph)
            found = model.fit(given, labels[given])
            return model.predict(), found

        return solve

    return {
        "ssl.laplace(weightmatrix.knn(X, 10))": solved("laplace"),
        "ssl.poisson(weightmatrix.knn(X, 10))": solved("poisson"),
        "ssl.laplace(weightmatrix.knn(X, 10, similarity='angular'))": solved("laplace", similarity="angular"),
    }


def fewlabels_methods() -> dict[str, Solve]:
    from fewlabels.estimator import LabelPropagationClassifier

    def solve(rows: np.ndarray, labels: np.ndarray) -> Answer:
        model = LabelPropagationClassifier(n_neighbors=NEIGHBORS).fit(rows, labels)
        return model.transduction_, model.label_distributions_

    return {"LabelPropagationClassifier(n_neighbors=10)": solve}


LIBRARIES = {
    "sklearn": ("scikit-learn", sklearn_methods),
    "graphlearning": ("graphlearning", graphlearning_methods),
    "fewlabels": ("fewlabels", fewlabels_methods),
}


def outcome(solve: Solve, case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> dict[str, Any]:
    """What came back: an error, or how many rows are wrong, have a label that nothing leads to, or are not finite."""
    rows, labels, truth = case
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found, shares = solve(rows.copy(), labels.copy())
        except Exception as error:  # noqa: BLE001  what a library raises is what is compared
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:160]}
    known, hidden = truth >= 0, labels < 0
    finite = np.isfinite(shares).all(axis=1) if shares is not None else np.ones(len(rows), bool)
    return {
        "wrong": int((np.asarray(found) != truth)[known & hidden].sum()),
        "of": int((known & hidden).sum()),
        "labelled without a reason": int((np.asarray(found)[~known] >= 0).sum()),
        "without a reason to label": int((~known).sum()),
        "rows that are not finite": int((~finite).sum()),
        "warnings": sorted({f"{one.category.__name__}: {str(one.message).splitlines()[0][:110]}" for one in caught}),
    }


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of this clone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("libraries", nargs="+", choices=LIBRARIES)
    for library in parser.parse_args().libraries:
        package, methods = LIBRARIES[library]
        versions = {name: version(name) for name in (package, "numpy", "scipy")}
        for method, solve in methods().items():
            for name, case in CASES.items():
                record = {"library": package, "method": method, "case": name, **outcome(solve, case())}
                with RESULTS.open("a") as file:
                    print(json.dumps(record | {"versions": versions}), file=file)
                print(json.dumps(record))


if __name__ == "__main__":
    main()
