"""Splits: released files where there are some, else balanced draws. The rest of the truth stays hidden."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from fewlabels.data.benchmarks.datasets import load_dataset
from fewlabels.data.benchmarks.facts import BENCHMARKS
from fewlabels.data.benchmarks.splits import few_labels, find_split_file
from fewlabels.errors import FewlabelsError, InputWarning
from tests.data.dataset_files import TINY10, TINY_MINI, hub_folder, image_folders


@pytest.fixture
def folder(tmp_path):
    hub_folder(tmp_path)
    return tmp_path


def written(folder, name, lines):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(str, lines)) + "\n")
    return path


def one_of_each(data):
    return [int(np.flatnonzero(data.truth == code)[-1]) for code in range(10)]


def test_a_draw_is_balanced_and_the_same_for_the_same_number(folder):
    data = load_dataset(TINY10, folder)
    split = few_labels(data, 10, 3)
    assert (split.origin, split.number, split.file) == ("drawn", 3, None)
    assert sorted(split.labels[split.labels >= 0].tolist()) == list(range(10))
    assert ((split.labels == data.truth) | (split.labels == -1)).all()
    np.testing.assert_array_equal(few_labels(data, 10, 3).labels, split.labels)
    assert (few_labels(data, 10, 4).labels != split.labels).any()


@pytest.mark.parametrize(
    "name",
    ["splits/10/11.txt", "labels/10/11.txt", "splits/10_balanced_labels/11.txt", "labels/10_balanced_labels/11.txt"],
)
def test_a_released_split_is_preferred_by_its_number(folder, name):
    rows = one_of_each(load_dataset(TINY10, folder))
    path = written(folder, name, sorted(rows))
    data = load_dataset(TINY10, folder)
    split = few_labels(data, 10, 11)
    assert (split.origin, split.file) == ("released", path)
    assert np.flatnonzero(split.labels >= 0).tolist() == sorted(rows)
    assert (split.labels[rows] == np.arange(10)).all()
    assert few_labels(data, 10, 12).origin == "drawn"
    assert few_labels(data, 20, 11).origin == "drawn"


def test_the_first_ten_files_of_the_released_code_have_two_digits(tmp_path):
    path = written(tmp_path, "10_balanced_labels/07.txt", [])
    assert find_split_file(tmp_path, 10, 7) == path
    assert find_split_file(tmp_path, 10, 8) is None


def test_lines_of_the_released_code_name_row_and_class(folder):
    data = load_dataset(TINY10, folder)
    rows = one_of_each(data)
    written(folder, "splits/10_balanced_labels/10.txt", [f"{row}_c{code}.png c{code}" for code, row in enumerate(rows)])
    labels = few_labels(load_dataset(TINY10, folder), 10, 10).labels
    assert np.flatnonzero(labels >= 0).tolist() == sorted(rows)


def test_lines_of_the_released_code_for_mini_imagenet_name_file_and_class(tmp_path):
    image_folders(tmp_path)
    lines = ["image_001.png n01", "image_002.png n02", "image_005.png n03"]
    written(tmp_path, "labels/3_balanced_labels/10.txt", lines)
    split = few_labels(load_dataset(TINY_MINI, tmp_path), 3, 10)
    assert (split.origin, split.labels.tolist()) == ("released", [-1, 0, 1, -1, -1, 2])


def changed(at, value):
    return lambda rows: [*rows[:at], value, *rows[at + 1 :]]


@pytest.mark.parametrize(
    ("change", "code", "fragment"),
    [
        (changed(3, 20), "L50", "'20' names none of the 20 images at"),
        (changed(3, "-1"), "L50", "10.txt:4"),
        (changed(3, "1.5"), "L50", "'1.5' names none"),
        (changed(3, "99999999999"), "L50", "names none"),
        (changed(3, "a b c"), "L50", "names none"),
        (changed(3, "cat/x.png"), "L50", "names none"),
        (lambda rows: changed(3, rows[4])(rows), "L50", "images that occur twice"),
        (lambda rows: [f"{rows[0]}_c1.png c1", *rows[1:]], "L50", "is said to be 'c1' and is 'c0'"),
        (lambda rows: rows[:-1], "L51", "9 images, 10 expected at"),
        (lambda rows: [], "L51", "0 images, 10 expected"),
    ],
)
def test_what_is_wrong_with_a_split_file_is_named(folder, change, code, fragment):
    rows = one_of_each(load_dataset(TINY10, folder))
    written(folder, "splits/10/10.txt", change(rows))
    with pytest.raises(FewlabelsError) as caught:
        few_labels(load_dataset(TINY10, folder), 10, 10)
    assert caught.value.code == f"FL-{code}", str(caught.value)
    assert fragment in str(caught.value)


def test_a_class_without_a_label_is_an_error_and_uneven_classes_a_warning(folder):
    data = load_dataset(TINY10, folder)
    rows = one_of_each(data)
    other = int(np.flatnonzero(data.truth == 0)[0])
    written(folder, "splits/10/10.txt", [*rows[:-1], other])
    written(folder, "splits/11/10.txt", [*rows, other])
    data = load_dataset(TINY10, folder)
    with pytest.raises(FewlabelsError, match=r"FL-L18 classes without a labelled image.*\(c9\)"):
        few_labels(data, 10, 10)
    with pytest.warns(InputWarning, match="FL-L52 1 to 2 labels in each class"):
        assert (few_labels(data, 11, 10).labels >= 0).sum() == 11


@pytest.mark.parametrize(
    ("num_labels", "split", "code"), [(0, 1, "C57"), (-10, 1, "C57"), (10, -1, "C57"), (15, 1, "C57"), (30, 1, "L41")]
)
def test_a_draw_that_cannot_be_is_refused(folder, num_labels, split, code):
    with pytest.raises(FewlabelsError) as caught:
        few_labels(load_dataset(TINY10, folder), num_labels, split)
    assert caught.value.code == f"FL-{code}"


def test_the_released_splits_of_cifar_10_are_balanced_and_tell_the_truth(data_sets):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset("cifar10", data_sets / "cifar10")
        assert (data.pixels.shape, data.test_pixels.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
        assert data.class_names[data.truth[0]] == "frog"
        assert data.truth[:5].tolist() == [6, 9, 9, 4, 1]
        for num_labels in (500, 1000, 2000, 4000):
            for number in range(10, 20):
                split = few_labels(data, num_labels, number)
                known = split.labels >= 0
                assert split.origin == "released"
                assert np.bincount(split.labels[known]).tolist() == [num_labels // 10] * 10
                np.testing.assert_array_equal(split.labels[known], data.truth[known])
    # The channel means that the released code normalises with are those of these images.
    np.testing.assert_allclose(data.pixels.mean((0, 1, 2)) / 255, data.benchmark.mean, atol=5e-5)


def test_the_python_of_the_page_on_data_sets_runs(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs/datasets.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    monkeypatch.setitem(BENCHMARKS, "cifar10", TINY10)
    monkeypatch.chdir(tmp_path)
    hub_folder(tmp_path / "data/cifar10")
    exec(program.replace("500", "10"), {})
    assert capsys.readouterr().out.endswith("drawn\n")
