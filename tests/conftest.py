"""Shared by all tests: where the real data sets are; which fault lane a test belongs to, and what it counts."""

import importlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import let_children_hear_signals
from tests.faults.lanes import PLACES

let_children_hear_signals()
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # read when SciPy is imported; else scikit-learn skips a check of ours


def pytest_configure(config):
    """No test fails because the machine is busy, or by chance: --hypothesis-seed draws anew (make seeds, nightly)."""
    fixed = config.getoption("--hypothesis-seed") is None
    settings.register_profile("untimed", deadline=None, derandomize=fixed, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Nothing is kept in, or taken from, the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWLABELS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def children():
    """Runs training jobs in processes of their own: `children.run(folder, pair=..., ...)`."""
    from tests.training.children import Children  # only where it is asked for

    with Children() as found:
        yield found


@pytest.fixture(scope="module")
def blank_pictures():
    """Reports without pictures and maps without t-SNE, which take longer than all the rest of a short run.

    tests/report draws, and tests/insights makes maps.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("fewlabels.report.render"), "png", lambda figure: b"")
        patch.setattr(importlib.import_module("fewlabels.insights.map"), "TSNE_FROM", 10**9)
        yield


@pytest.fixture(scope="session")
def data_sets() -> Path:
    """The folder with cifar10/ and cifar100/; tests that ask for it are skipped where it is absent."""
    folder = Path(os.environ.get("FEWLABELS_DATA", ""))
    if not (folder / "cifar10").is_dir() or not (folder / "cifar100").is_dir():
        pytest.skip("FEWLABELS_DATA does not name a folder with cifar10/ and cifar100/ as Parquet")
    return folder


def pytest_collection_modifyitems(config, items):
    """Every report says its lane. Where FEWLABELS_LANES names lanes (faults/lanes.py), only their tests are run."""
    wanted = os.environ.get("FEWLABELS_LANES", "").split()
    left_out = []
    for item in items:
        place = item.path.relative_to(config.rootpath).as_posix()
        if place in PLACES and not item.get_closest_marker("lane"):
            item.add_marker(pytest.mark.lane(PLACES[place], faulty="fault" in getattr(item, "originalname", item.name)))
        marks = list(item.iter_markers("lane"))
        for mark in marks:
            item.user_properties.append(("lane", mark.args[0]))
            item.user_properties.extend([("faulty", True)] * mark.kwargs.get("faulty", False))
        if wanted and not any(mark.args[0] in wanted for mark in marks):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def tally(record_property):
    """`tally(tried, lost)`: so many cases were tried, in so many a promise was broken. Call it before asserting."""
    return lambda tried, lost=0: record_property("tally", [tried, lost])
