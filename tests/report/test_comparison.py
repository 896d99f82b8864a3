"""Several runs: which are repeats, what is said to differ, whose settings are shown."""

import json

import pytest

from fewlabels.report import gather, report_html
from fewlabels.runs import RunWriter, read_run

SAME = {"pixels": "p", "labels": "l", "truth": "t", "test_pixels": "u", "test_truth": "v", "ids": "i"}
SAME |= {"class_names": "c"}


@pytest.fixture
def with_data(make_run):
    """with_data(name, seed=, **hashes): an unfinished run whose run.json tells hashes of its data."""

    def make(name, *, seed=0, title="birds", alpha=0.99, **hashes):
        folder = make_run(name, seed=seed, title=title, alpha=alpha, finished=False)
        identity = {"data": SAME | hashes, "threads": 1, "device": "cpu"}
        return with_facts(folder, identity=identity)

    return make


def with_facts(folder, **facts):
    """Of an unfinished folder, which has no manifest that knows better."""
    there = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(there | facts))
    return folder


def rows(report):
    return {row[0]: row[1:] for row in report.differences[1:]}


def test_runs_of_one_data_set_are_repeats_though_the_seed_drew_other_labels(with_data):
    report = gather([with_data("a"), with_data("b", seed=1, labels="other")])
    assert report.repeats
    assert report.differences == report.warnings == []


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("pixels", "data: pixels"),
        ("truth", "data: true labels"),
        ("test_pixels", "data: test images"),
        ("test_truth", "data: test labels"),
        ("class_names", "data: class names"),
    ],
)
def test_runs_whose_data_differ_are_no_repeats_and_the_table_says_in_what(with_data, part, words):
    report = gather([with_data("a"), with_data("b", seed=1, **{part: "x"}), with_data("c", seed=2, **{part: "x"})])
    assert not report.repeats
    assert report.differences == [["what", "a", "b", "c"], [words, "its own", "other", "same as b"]]
    assert "mean" not in report.table[0]


def test_data_that_one_run_does_not_have_are_told_as_none(with_data):
    report = gather([with_data("a"), with_data("b", seed=1, truth=None)])
    assert rows(report) == {"data: true labels": ["its own", "none"]}


def test_a_run_without_hashes_says_so_and_is_compared_by_its_title(with_data, make_run):
    old = make_run("old", seed=2)
    assert gather([with_data("a"), old]).repeats
    report = gather([with_data("b"), old, with_data("c", seed=1, pixels="x")])
    assert rows(report) == {"data: pixels": ["its own", "not recorded", "other"]}
    assert not gather([with_data("d"), make_run("fish", seed=1, title="fish")]).repeats


def test_a_copy_of_the_data_under_another_title_is_the_same_data(with_data):
    report = gather([with_data("a"), with_data("b", seed=1, title="birds-copy")])
    assert report.repeats
    assert "title" not in rows(gather([with_data("c"), with_data("d", alpha=0.5, title="birds-copy")]))


def test_labels_that_differ_are_told_where_runs_are_no_repeats(with_data):
    report = gather([with_data("a"), with_data("b", alpha=0.5, labels="x")])
    assert rows(report) == {"data: given labels": ["its own", "other"], "graph.alpha": ["0.99", "0.5"]}


DOUBLE = "a and b are one run twice, with the same seed, settings and data: the standard deviation says nothing"


def test_one_run_twice_is_a_warning(with_data, make_run):
    (line,) = gather([with_data("a"), with_data("b"), with_data("c", seed=1)]).warnings
    assert line.startswith(DOUBLE)
    folder = make_run("d")
    (line,) = gather([folder, folder, folder]).warnings
    assert line.startswith("d, d and d are one run 3 times")
    assert "one run twice" in report_html([make_run("A/run"), make_run("B/run")])


def test_one_seed_with_other_labels_is_not_one_run_twice(with_data, make_run):
    assert gather([with_data("a"), with_data("b", labels="x")]).warnings == []
    other = with_facts(make_run("d", finished=False), source={"labels": "other.csv"})
    report = gather([make_run("c"), other])
    assert report.repeats
    assert report.warnings == []


def made(place, settings):
    RunWriter(place, "train", settings, title="birds")
    return place


def test_equal_values_are_not_said_to_differ_however_they_are_written(tmp_path):
    each = [{"gamma": gamma, "graph": {"k": [3, gamma]}, "tol": tol} for gamma, tol in ((3, 1), (3.0, 1), (3.0, 2))]
    report = gather([made(tmp_path / str(place), settings) for place, settings in enumerate(each)])
    assert report.differences == [["what", "0", "1", "2"], ["tol", "1", "1", "2"]]


def test_a_setting_that_one_run_lacks_differs(tmp_path):
    report = gather([made(tmp_path / "a", {"k": None, "more": {}}), made(tmp_path / "b", {"m": 1})])
    assert rows(report) == {"k": ["None", "-"], "more": ["{}", "-"], "m": ["-", "1"]}


def test_settings_say_whose_they_are_and_the_seeds_of_all(make_run):
    alone = gather([make_run("alone", seed=3)])
    assert alone.settings_title == "Settings"
    assert ("seed", "3") in alone.settings
    repeats = gather([make_run("a"), make_run("b", seed=1)])
    assert repeats.settings_title == "Settings, the same in all runs but for the seed"
    assert ("seed", "0 (a), 1 (b)") in repeats.settings
    folders = [make_run("c", seed=4), make_run("d", seed=5, alpha=0.5)]
    other = gather(folders)
    assert other.settings_title == "Settings of c; those that differ are above"
    assert ("seed", "4 (c), 5 (d)") in other.settings
    assert f"<summary>{other.settings_title}</summary>" in report_html(folders)


def test_versions_that_differ_are_told_of_each_run(make_run):
    one, other = make_run("a"), make_run("b", seed=1, finished=False)
    versions = read_run(other).facts["versions"]
    with_facts(other, versions=versions | {"numpy": "0.9"})
    told = dict(gather([one, other]).versions)
    assert told["numpy"] == f"{versions['numpy']} (a), 0.9 (b)"
    assert told["python"] == versions["python"]
