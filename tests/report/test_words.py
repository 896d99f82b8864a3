"""What runs are called where there are several."""

from pathlib import PurePosixPath

import pytest

from fewlabels.report import error_figure, gather, report_html
from fewlabels.report.words import LONGEST_LINE, distinct_names, shorten_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/r/a", "/r/b"], ["a", "b"]),
        (["/r/A/split-10", "/r/B/split-10"], ["A/split-10", "B/split-10"]),
        (["/r/A/split-10", "/r/A/split-11", "/r/B/split-10"], ["A/split-10", "A/split-11", "B/split-10"]),
        (["/A/x/run", "/B/x/run"], ["A/x/run", "B/x/run"]),
        (["/run", "/A/run"], ["/run", "A/run"]),
        (["/A/run", "/A/run"], ["run", "run"]),
        (["/A/run", "/A/run", "/B/run"], ["A/run", "A/run", "B/run"]),
        (["/only/run"], ["run"]),
        ([], []),
    ],
)
def test_names_are_as_few_trailing_parts_as_make_them_distinct(paths, names):
    assert distinct_names([PurePosixPath(path) for path in paths]) == names


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["crow", "wren"], ["crow", "wren"]),
        (["a" * 20, "b" * 20], ["a" * 13 + "…", "b" * 13 + "…"]),
        (["cifar10-500-lp/split-10", "cifar10-500-lp/split-11"], ["…0-lp/split-10", "…0-lp/split-11"]),
        (["cifar10-500-lp/split-10", "cifar10-500-mt/split-10"], ["cifar10-500-l…", "cifar10-500-m…"]),
        (["same" * 9, "same" * 9], ["samesamesames…"] * 2),
        (["a" * 50 + "b" + "a" * 50, "a" * 101], ["1: aaaaaaaaaaaaa…", "2: aaaaaaaaaaaaa…"]),
    ],
)
def test_names_that_differ_are_not_cut_to_the_same_in_a_legend(names, shown):
    found = shorten_names(names)
    assert found == shown
    assert len(set(found)) == len(set(names))
    assert max(map(len, found)) <= LONGEST_LINE


def test_runs_of_one_name_are_told_apart_wherever_they_are_named(make_run, results):
    unread = results | {"num_rejected": 3}
    folders = [make_run("A/split-10", unread), make_run("B/split-10", unread, alpha=0.5)]
    report = gather(folders)
    names = ["A/split-10", "B/split-10"]
    assert report.title == "A/split-10 beside B/split-10"
    assert report.table[0][1:] == report.differences[0][1:] == names
    assert [curve.name for curve in report.curves] == names
    assert [line.split(":")[0] for line in report.warnings] == names
    assert [name for name, _ in report.origin if name.endswith(": command")] == [f"{name}: command" for name in names]
    legend = error_figure(report.curves, repeats=False).axes[0].get_legend()
    assert [text.get_text() for text in legend.texts] == names
    assert "A/split-10 beside B/split-10" in report_html(folders)


def test_a_folder_that_is_named_by_a_dot_has_its_own_name(make_run, monkeypatch):
    monkeypatch.chdir(make_run("birds", title=""))
    assert gather(["."]).title == "birds"
