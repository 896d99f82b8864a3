"""Benchmark data sets: the same arrays from every form, or an error that names the file."""

import os
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest

from fewlabels.data.benchmarks.datasets import load_dataset
from fewlabels.data.benchmarks.facts import BENCHMARKS, CIFAR10
from fewlabels.errors import ConfigError, FewlabelsError, ImageError, InputWarning
from tests.data.dataset_files import (
    NAMES,
    TINY10,
    TINY100,
    TINY_MINI,
    cifar10_binary,
    cifar10_python,
    cifar100_binary,
    cifar100_python,
    hub_folder,
    image_folders,
    images,
    labels,
    python3_pickle,
)
from tests.data.image_files import cut_in_half, encoded, hub_parquet

FORMS = {
    "cifar10 python": (TINY10, lambda root: cifar10_python(root / "cifar-10-batches-py")),
    "cifar10 python again": (TINY10, lambda root: cifar10_python(root / "cifar-10-batches-py", python3_pickle)),
    "cifar10 python, the folder itself": (TINY10, cifar10_python),
    "cifar10 binary": (TINY10, lambda root: cifar10_binary(root / "cifar-10-batches-bin")),
    "cifar100 python": (TINY100, lambda root: cifar100_python(root / "cifar-100-python")),
    "cifar100 binary": (TINY100, lambda root: cifar100_binary(root / "cifar-100-binary")),
    "parquet": (TINY10, hub_folder),
    "a copy of a repository": (TINY10, lambda root: hub_folder(root / "data")),
    "parquet of mini-imagenet": (TINY_MINI, lambda root: hub_folder(root, TINY_MINI, "validation")),
    "folders": (TINY_MINI, image_folders),
    "folders, test": (TINY_MINI, lambda root: image_folders(root, test="test")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_and_their_classes(tmp_path, form):
    benchmark, write = FORMS[form]
    root = tmp_path / "it"
    pixels, truth = write(root)
    data = load_dataset(benchmark, root)
    np.testing.assert_array_equal(data.pixels, pixels)
    np.testing.assert_array_equal(data.truth, truth)
    np.testing.assert_array_equal(data.test_pixels, images(benchmark.num_test, benchmark.side, seed=2))
    assert (data.pixels.dtype, data.truth.dtype, data.test_truth.dtype) == (np.uint8, np.int64, np.int64)
    assert np.bincount(data.test_truth).tolist() == [1] * benchmark.num_classes
    assert (data.name, len(data.class_names)) == (benchmark.name, benchmark.num_classes)
    assert len(set(data.ids)) == benchmark.num_train
    assert data.splits is None


def test_files_of_python_keep_their_names_as_ids_and_their_classes(tmp_path):
    cifar10_python(tmp_path / "it")
    data = load_dataset(TINY10, tmp_path / "it")
    assert data.ids[:5] == [f"x_s_{row:06}.png" for row in range(5)]
    assert data.class_names == NAMES[10]


def test_folders_of_images_have_ids_of_class_and_file(tmp_path):
    image_folders(tmp_path)
    data = load_dataset(TINY_MINI, tmp_path)
    assert data.ids[:3] == ["n01/image_000.png", "n01/image_001.png", "n02/image_002.png"]
    assert data.class_names == ["n01", "n02", "n03"]


def test_images_of_another_size_and_grey_ones_become_what_the_benchmark_has(tmp_path):
    image_folders(tmp_path)
    (tmp_path / "train/n01/image_000.png").write_bytes(encoded(images(1, 120)[0, :, :100, 0]))
    data = load_dataset(TINY_MINI, tmp_path)
    assert data.pixels.shape == (6, 84, 84, 3)
    assert (data.pixels[0, :, :, 0] == data.pixels[0, :, :, 2]).all()


def test_without_a_source_the_folder_of_data_sets_is_used(tmp_path, monkeypatch):
    hub_folder(tmp_path / "cifar10")
    monkeypatch.setenv("FEWLABELS_DATA", str(tmp_path))
    found = load_dataset(TINY10)
    assert len(found.truth) == 20
    assert found.place == str(tmp_path / "cifar10")
    monkeypatch.delenv("FEWLABELS_DATA")
    with pytest.raises(ConfigError, match="FL-C55 where is cifar10\\?"):
        load_dataset(TINY10)


def test_progress_is_told_for_both_walks(tmp_path):
    hub_folder(tmp_path)
    totals = []
    load_dataset(TINY10, tmp_path, progress=lambda items, total: totals.append(total) or items)
    assert totals == [20, 10]


def cut(name, keep):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:keep])


@pytest.mark.parametrize(
    ("write", "harm", "code", "fragment"),
    [
        (cifar10_python, cut("data_batch_3", -100), "I40", "data_batch_3"),
        (cifar10_python, cut("test_batch", 0), "I40", "test_batch"),
        (cifar10_python, lambda root: (root / "data_batch_5").unlink(), "I40", "no such file at"),
        (cifar10_python, lambda root: (root / "test_batch").unlink(), "I40", "test_batch"),
        (cifar10_python, lambda root: shutil.copy(root / "test_batch", root / "batches.meta"), "I40", "0 class names"),
        (cifar10_python, lambda root: shutil.copy(root / "batches.meta", root / "test_batch"), "I40", "it has label_n"),
        (
            cifar10_python,
            lambda root: shutil.copy(root / "test_batch", root / "data_batch_1"),
            "I42",
            "cifar10 has 2 in",
        ),
        (
            cifar10_python,
            lambda root: (root / "test_batch").write_bytes(python3_pickle({"labels": [10], "data": images(1)[0, 0]})),
            "I40",
            "images of shape (32, 3) and 1 labels; expected (n, 3072) and n",
        ),
        (
            cifar10_python,
            lambda root: (root / "test_batch").write_bytes(
                python3_pickle({"labels": [10, -1, 3], "data": images(3).reshape(3, -1)})
            ),
            "I40",
            "labels outside of 0 .. 9",
        ),
        (cifar10_binary, cut("data_batch_2.bin", -1), "I40", "expected 3,073 for each image at"),
        (cifar10_binary, cut("data_batch_2.bin", 3073), "I42", "1 to 2 training images in each of 10 classes"),
        (cifar10_binary, cut("test_batch.bin", 0), "I40", "test_batch.bin"),
        (cifar10_binary, lambda root: (root / "test_batch.bin").unlink(), "I40", "no such file at"),
        (cifar10_binary, cut("batches.meta.txt", 8), "I40", "class names; expected 10"),
        (hub_folder, cut("train-00001-of-00002.parquet", 999), "E18", "train-00001-of-00002.parquet"),
        (hub_folder, lambda root: (root / "train-00001-of-00002.parquet").unlink(), "I42", "in each of 10 classes"),
        (hub_folder, lambda root: (root / "test-00000-of-00001.parquet").unlink(), "I39", "expected train-*.parquet"),
        (
            hub_folder,
            lambda root: hub_parquet(root / "test-00000-of-00001.parquet", [encoded(images(1)[0])], [0], ["a"], "img"),
            "I42",
            "training and test images have different classes",
        ),
        (
            hub_folder,
            lambda root: hub_parquet(
                root / "test-00000-of-00001.parquet", [encoded(images(1)[0])], [-1], NAMES[10], "img"
            ),
            "I42",
            "images without a class",
        ),
        (
            hub_folder,
            lambda root: hub_parquet(root / "test-00000-of-00001.parquet", [cut_in_half()] * 10, labels(TINY10)[1]),
            "I1",
            "images that cannot be used",
        ),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(tmp_path, write, harm, code, fragment):
    root = tmp_path / "it"
    write(root)
    harm(root)
    with pytest.raises(FewlabelsError) as caught:
        load_dataset(TINY10, root)
    assert caught.value.code == f"FL-{code}", str(caught.value)
    assert fragment in str(caught.value)


def test_a_bomb_among_the_batches_does_not_go_off(tmp_path):
    root = tmp_path / "it"
    cifar10_python(root)
    command = f"touch {tmp_path}/canary".encode()
    (root / "data_batch_2").write_bytes(b"\x80\x02cos\nsystem\nU" + bytes([len(command)]) + command + b"\x85R.")
    with pytest.raises(ImageError, match=r"FL-I41 .*it names the function os\.system; it was not executed.*batch_2"):
        load_dataset(TINY10, root)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("place", "code", "fragment"),
    [
        ("missing", "I30", "no such file or folder"),
        ("empty", "I39", "the folder holds nothing"),
        ("s3://bucket/x", "I30", "an address"),
        ("file", "I39", "a file"),
    ],
)
def test_a_place_without_the_data_set_is_named(tmp_path, monkeypatch, place, code, fragment):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ImageError) as caught:
        load_dataset(CIFAR10, place)
    assert (caught.value.code, fragment in str(caught.value)) == (f"FL-{code}", True)


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(ConfigError, match=r"FL-C54 .*there are cifar10, cifar100, mini-imagenet"):
        load_dataset("cifar-10", "x")


def test_the_statistics_are_those_of_the_released_code():
    assert BENCHMARKS["cifar10"].mean == (0.4914, 0.4822, 0.4465)
    assert BENCHMARKS["cifar10"].std == (0.2470, 0.2435, 0.2616)
    assert BENCHMARKS["cifar100"].mean == BENCHMARKS["cifar10"].mean
    assert BENCHMARKS["cifar100"].std == BENCHMARKS["cifar10"].std
    assert np.allclose(255 * np.array(BENCHMARKS["mini-imagenet"].mean), [120.396, 115.594, 104.540])
    assert np.allclose(255 * np.array(BENCHMARKS["mini-imagenet"].std), [70.682, 68.276, 72.545])


def refuses(items, total):
    raise AssertionError("decoded again")


def test_decoded_images_are_kept_and_not_decoded_again(tmp_path):
    hub_folder(tmp_path / "it")
    cache = tmp_path / "cache"
    first = load_dataset(TINY10, tmp_path / "it", cache=cache)
    again = load_dataset(TINY10, tmp_path / "it", cache=cache, progress=refuses)
    for name in ("pixels", "truth", "test_pixels", "test_truth"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert (again.ids, again.class_names) == (first.ids, first.class_names)
    again.pixels[:] = 0  # a change stays in memory
    np.testing.assert_array_equal(load_dataset(TINY10, tmp_path / "it", cache=cache).pixels, first.pixels)


def test_changed_files_are_another_data_set_for_the_cache(tmp_path):
    hub_folder(tmp_path / "it")
    load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache")
    os.utime(tmp_path / "it/test-00000-of-00001.parquet", ns=(1, 1))
    with pytest.raises(AssertionError, match="decoded again"):
        load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache", progress=refuses)
    with pytest.raises(AssertionError, match="decoded again"):
        load_dataset(replace(TINY10, side=16), tmp_path / "it", cache=tmp_path / "cache", progress=refuses)


@pytest.mark.parametrize("name", ["train-pixels.npy", "test-truth.npy", "train-names.json", "manifest.json"])
def test_a_damaged_copy_is_made_again(tmp_path, name):
    hub_folder(tmp_path / "it")
    first = load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache")
    path = next((tmp_path / "cache").glob(f"*/{name}"))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.warns(InputWarning, match="FL-I44"):
        again = load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.pixels, first.pixels)
    load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache", progress=refuses)


def test_an_unfinished_copy_is_finished_without_a_word(tmp_path):
    hub_folder(tmp_path / "it")
    load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache")
    next((tmp_path / "cache").glob("*/manifest.json")).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache").truth) == 20
    load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache", progress=refuses)


def test_cifars_own_files_are_not_copied(tmp_path):
    cifar10_binary(tmp_path / "it")
    load_dataset(TINY10, tmp_path / "it", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
