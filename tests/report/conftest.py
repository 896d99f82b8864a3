"""Run folders made by hand, so that every number in a report is known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewlabels.insights.schema import Insights, MapPoints, Tile
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
VALUES = {
    "reliability": {
        "num_rows": 10,
        "edges": [0.0, 0.5, 1.0],
        "count": [4, 6],
        "right": [0.25, 1.0],
        "certainty": [0.3, 0.9],
        "auroc": 0.875,
        "ece": 0.08,
    },
    "confusion": {"num_rows": 10, "num_wrong": 3, "counts": [[4, 2, 0], [0, 3, 1]], "pairs": [[0, 1, 2], [1, -1, 1]]},
    "degrees": {"edges": [0, 1, 2, 4, 8], "counts": [0, 0, 900, 300]},
    "components": {"largest": [1190, 10], "num_without_label": 1, "rows_without_label": 10},
    "map": {"method": "t-SNE", "num_rows": 1200, "num_shown": 3},
    "suspicious": {"num_labelled": 6, "num_checked": 5, "num_contradicted": 1},
}
MakeRun = Callable[..., Path]


@pytest.fixture
def results() -> dict[str, Any]:
    """What make_run writes as results unless told otherwise."""
    return dict(RESULTS)


@pytest.fixture
def insights() -> Callable[..., Insights]:
    """insights(ids=, image=) -> what a run has found: three rows on the map, four in galleries, with these ids."""

    def make(ids: tuple[str, ...] = ("a.png", "b.png", "c.png", "d.png"), image: bytes | None = b"\x89PNG") -> Insights:
        points = MapPoints(
            row=np.arange(3),
            x=np.array([0.0, 1, 2], np.float32),
            y=np.array([1.0, 0, 1], np.float32),
            label=np.array([0, 1, -1]),
            certainty=np.array([1.0, 0.5, 0], np.float32),
            given=np.array([True, False, False]),
        )
        names = ("group", "class_number", "id", "label", "truth", "certainty", "score")
        rows = [
            ("doubtful", 0, ids[0], 0, 1, 0.25, 0.75),
            ("certain", 0, ids[1], 0, 0, 0.93, 0.93),
            ("doubtful", 1, ids[2], 1, -1, 0.44, 0.56),
            ("suspicious", 0, ids[3], 1, 1, 0.81, 0.7),
        ]
        tiles = [Tile(**dict(zip(names, row, strict=True)), image=image) for row in rows]
        return Insights(json.loads(json.dumps(VALUES)), points, tiles)

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """make_run(name, results, *, seed, title, class_names, alpha, epochs, methods, finished, ...): a folder."""

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
        insights: Insights | None = None,
        last_steps: int = 3,
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
                epoch=number,
                steps=last_steps if propagating else 1,
                test_error=50.0 - 10 * number,
                teacher_test_error=None,
                pseudo_label_accuracy=80.0 + number if propagating else None,
                mean_certainty=0.5 + 0.1 * number if propagating else None,
            )
        if finished:
            if insights is not None:
                writer.insights(insights)
            writer.results(RESULTS if results is None else results)
            writer.finish()
        return tmp_path / name

    return make
