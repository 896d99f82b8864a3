from dataclasses import replace

import numpy as np
import pytest

from fewlabels.commands import demo
from fewlabels.commands.task import Task
from fewlabels.data.benchmarks.digits import load_digits


@pytest.fixture(scope="module", autouse=True)
def pictures(blank_pictures):
    """None in the reports of runs; test_training.py has them drawn."""


@pytest.fixture(scope="session")
def stripes() -> Task:
    """80 noisy 8 x 8 images of horizontal, vertical or no stripes, two labels each; the last 20 to test on.

    Nobody changes it, nor its arrays.
    """
    rng = np.random.default_rng(0)
    truth = np.arange(80) % 3
    pattern = np.zeros((80, 8, 8, 1))
    pattern[truth == 0, ::2] = pattern[truth == 1, :, ::2] = 180
    pixels = (pattern + rng.integers(0, 70, pattern.shape)).astype(np.uint8)
    labels = np.full(60, -1)
    labels[:6] = truth[:6]
    return Task(
        pixels=pixels[:60],
        labels=labels,
        ids=[f"image {row}" for row in range(60)],
        class_names=["rows", "columns", "plain"],
        title="stripes",
        test_pixels=pixels[60:],
        test_truth=truth[60:],
        truth=truth[:60],
    )


@pytest.fixture
def few_digits(monkeypatch) -> None:
    """The demo learns from the first 300 digits only: the map of all of them takes longest in a short run."""
    digits = load_digits()
    few = replace(digits, pixels=digits.pixels[:300], truth=digits.truth[:300], ids=digits.ids[:300])
    monkeypatch.setattr(demo, "load_digits", lambda: few)
