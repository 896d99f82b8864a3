"""Shared by all tests: where the real data sets are."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read when SciPy is imported; else scikit-learn skips a check of ours


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder with cifar10/ and cifar100/; tests that ask for it are skipped where it is absent."""
    folder = Path(os.environ.get("FEWLABELS_DATA", ""))
    if not (folder / "cifar10").is_dir() or not (folder / "cifar100").is_dir():
        pytest.skip("FEWLABELS_DATA does not name a folder with cifar10/ and cifar100/ as Parquet")
    return folder
