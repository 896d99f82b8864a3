"""The hub, without going there: a small repository in its layout, and what is said where it is out of reach."""

import sys

import numpy as np
import pytest

from fewlabels.data.benchmarks.datasets import load_dataset
from fewlabels.data.benchmarks.facts import BENCHMARKS, CIFAR10
from fewlabels.data.benchmarks.hub import hub_repository
from fewlabels.errors import ConfigError, ImageError
from tests.data.dataset_files import TINY10, TINY_MINI, hub_folder
from tests.data.image_files import encoded, hub_parquet, noise


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The library `datasets`, its cache in a folder of the test, kept off the network."""
    found = pytest.importorskip("datasets", reason="needs `pip install 'fewlabels[hub]'`")
    monkeypatch.setattr(found.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    monkeypatch.setattr(found.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found.disable_progress_bars()
    return found


def test_the_hub_or_a_repository_of_it_is_named_by_a_word():
    assert hub_repository("hub", CIFAR10) == "uoft-cs/cifar10"
    assert hub_repository("hub:me/mine", CIFAR10) == "me/mine"
    assert hub_repository("some/folder", CIFAR10) is None
    assert [b.hub for b in BENCHMARKS.values()] == ["uoft-cs/cifar10", "uoft-cs/cifar100", "timm/mini-imagenet"]


@pytest.mark.parametrize(("benchmark", "test"), [(TINY10, "test"), (TINY_MINI, "validation")])
def test_a_repository_gives_the_same_arrays_as_its_files(tmp_path, library, benchmark, test):
    hub_folder(tmp_path / "repository" / "data", benchmark, test)
    data = load_dataset(benchmark, f"hub:{tmp_path}/repository")
    files = load_dataset(benchmark, tmp_path / "repository")
    for name in ("pixels", "truth", "test_pixels", "test_truth"):
        np.testing.assert_array_equal(getattr(data, name), getattr(files, name))
    assert data.class_names == files.class_names


def test_a_repository_is_kept_decoded(tmp_path, library):
    hub_folder(tmp_path / "repository")
    first = load_dataset(TINY10, f"hub:{tmp_path}/repository", cache=tmp_path / "cache")
    walks = []
    again = load_dataset(
        TINY10,
        f"hub:{tmp_path}/repository",
        cache=tmp_path / "cache",
        progress=lambda items, total: walks.append(total),
    )
    assert walks == []
    np.testing.assert_array_equal(again.pixels, first.pixels)


def test_a_repository_without_the_right_splits_or_columns_is_refused(tmp_path, library):
    hub_folder(tmp_path / "a", test="validation")
    with pytest.raises(ImageError, match="FL-I42 splits train, validation; expected train and test at hub:"):
        load_dataset(TINY10, f"hub:{tmp_path}/a")
    for part in ("train", "test"):
        (tmp_path / "b").mkdir(exist_ok=True)
        hub_parquet(tmp_path / "b" / f"{part}-0.parquet", [encoded(noise(8, 8))], column="picture")
    with pytest.raises(ImageError, match="FL-I33 no columns of images and class labels among picture at hub:"):
        load_dataset(TINY10, f"hub:{tmp_path}/b")


def test_a_hub_that_is_out_of_reach_is_said_to_be(library):
    with pytest.raises(ConfigError, match=r"FL-C56 cannot be fetched .*HF_HUB_OFFLINE forbids to go there at hub:uoft"):
        load_dataset("cifar10", "hub")


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"FL-C56 the package `datasets` is missing.*pip install .*\[hub\].*folder"):
        load_dataset("cifar10", "hub")
