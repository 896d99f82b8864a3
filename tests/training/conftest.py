"""A task of seconds, and what the tests of checkpoints begin with."""

import numpy as np
import pytest
import torch

from fewlabels.training.checkpoint import Checkpoints
from fewlabels.training.targets import PartialLabels
from tests.training.stores import IDENTITY, state


@pytest.fixture(scope="session")
def stripes():
    """60 noisy images of vertical or horizontal stripes, two of each labelled; and the truth."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 2
    pattern = np.zeros((60, 8, 8, 1))
    pattern[truth == 0, ::2] = pattern[truth == 1, :, ::2] = 200
    images = torch.from_numpy((pattern + rng.integers(0, 56, pattern.shape)).astype(np.uint8))
    labels = np.full(60, -1)
    labels[:4] = truth[:4]
    return images, PartialLabels(labels, ["rows", "columns"]), truth


@pytest.fixture
def store(tmp_path):
    """Steps 10 and 20."""
    store = Checkpoints(tmp_path / "run", IDENTITY)
    store.save(10, state(10))
    store.save(20, state(20))
    return store
