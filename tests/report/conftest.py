"""Run folders made by hand, so that every number in a report is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fewlabels.runs import RunWriter

RESULTS = {
    "num_rows": 1200,
    "num_labeled": 6,
    "num_test": 300,
    "num_rejected": 0,
    "supervised_error": 20.5,
    "lp_error": 5.25,
    "pseudo_label_accuracy_first": 81.0,
    "pseudo_label_accuracy_last": 94.75,
    "certainty": 0.8,
    "certainty_right": 0.87,
    "certainty_wrong": 0.31,
    "certainty_histogram": {"edges": [0, 0.5, 1], "all": [100, 1094], "right": [40, 1090], "wrong": [60, 4]},
    "class_counts": {"given": [3, 3], "propagated": [500, 694]},
    "graph": {"num_nodes": 1200, "num_edges": 9876, "num_components": 2, "num_isolated": 0},
    "solver": {"steps": [31, 42], "residual": [8.4e-7, 9.1e-7], "converged": [True, True]},
    "unreached": 0,
    "wall_seconds": 61.4,
}
MakeRun = Callable[..., Path]


@pytest.fixture
def results() -> dict[str, Any]:
    """What make_run writes as results unless told otherwise."""
    return dict(RESULTS)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """make_run(name, results, seed=, title=, class_names=, alpha=, epochs=, methods=, finished=) -> the run folder."""

    def make(
        name: str = "run",
        results: dict[str, Any] | None = None,
        *,
        seed: int = 0,
        title: str = "birds",
        class_names: tuple[str, ...] = ("crow", "wren"),
        alpha: float = 0.99,
        epochs: int = 4,
        methods: tuple[str, str] = ("supervised", "lp"),
        finished: bool = True,
    ) -> Path:
        phases = [{"epochs": epochs, "method": method} for method in methods]
        settings = {"seed": seed, "graph": {"alpha": alpha, "mode": "paper"}, "phases": phases}
        writer = RunWriter(tmp_path / name, "train", settings, title=title, class_names=list(class_names), seed=seed)
        for number in range(epochs):
            propagating = number >= epochs // 2
            writer.event(
                "epoch",
                phase=methods[propagating],
                phase_index=int(propagating),
                steps=3 if propagating else 1,
                test_error=50.0 - 10 * number,
                pseudo_label_accuracy=80.0 + number if propagating else None,
                mean_certainty=0.5 + 0.1 * number if propagating else None,
            )
        if finished:
            writer.results(RESULTS if results is None else results)
            writer.finish()
        return tmp_path / name

    return make
