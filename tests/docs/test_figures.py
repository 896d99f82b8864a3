"""Figures in the README and the pages are those of the result files that they were measured into."""

import json
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict

import pytest

from benchmarks.choosing import cost, new_rows, trust
from fewlabels.training.method_table import BY_WORD
from tests import ROOT

RESULTS = ROOT / "benchmarks" / "results"


def read(name):
    return [json.loads(line) for line in (RESULTS / name).read_text().splitlines()]


def group(lines, value, *names):
    """Values of the lines, by what they say of these names."""
    found = defaultdict(list)
    for line in lines:
        found[tuple(line[name] for name in names)].append(line[value])
    return found


def spread(values, decimals):
    return f"{statistics.mean(values):.{decimals}f} ± {statistics.stdev(values):.{decimals}f}"


def require(document, figures):
    """All figures stand in the document, each as a number of its own; line breaks and bold signs do not count."""
    text = " ".join((ROOT / document).read_text().replace("**", "").split())
    assert figures
    assert [figure for figure in figures if figure not in text] == []


def shortened():
    """Errors of the shortened runs, newest line of each cell and split."""
    newest = {(line["method"], line["labels"], line["split"]): line for line in read("evidence.jsonl")}
    return group(newest.values(), "error", "method", "labels")


def test_the_page_on_reproducing_has_the_errors_of_the_shortened_runs():
    found = shortened()
    rows = {
        "supervised, whole schedule": "supervised",
        "LP, after it": "lp",
        "Mean Teacher, teacher": "mean_teacher",
        "MT + LP, after it, teacher": "mt_lp",
    }
    figures = [
        f"| {name} | {spread(found[method, 500], 2)} | {spread(found[method, 4000], 2)} |"
        for name, method in rows.items()
    ]
    require("docs/reproducing.md", figures)


def test_the_readme_has_the_errors_of_the_shortened_runs():
    found = shortened()
    few, many = ([found[method, count] for method in ("supervised", "lp")] for count in (500, 4000))
    before, after = (spread(values, 2) for values in few)
    late = " and ".join(spread(values, 2) for values in many)
    require("README.md", [f"{before} % supervised and {after} % after LP", f"with 4,000 labels {late} %"])


def test_the_readme_has_the_accuracies_of_heads_on_photos():
    photos = [line for line in read("photos.jsonl") if line["set"] == "cifar10"]
    found = group(photos, "unlabelled", "method", "per_class")
    ours = [spread(found["fewlabels", count], 1) for count in (2, 5, 15, 50)]
    others = {"logistic regression": " on the same descriptors", "self-training": " of it (two draws)"}
    rows = [
        f"| {method}{more} | {' | '.join(f'{statistics.mean(found[method, count]):.1f}' for count in (2, 5, 15, 50))} |"
        for method, more in others.items()
    ]
    require("README.md", [f"| `fewlabels train` | {' | '.join(ours)} |", *rows])


TUNED = {
    "fewlabels, the paper's settings": "fewlabels",
    "with all refinements, prior of the labels": "+ all, prior of labels",
    "LabelSpreading, tuned on other draws": "LabelSpreading knn",
    "nearest labelled rows, tuned": "kNN vote",
    "logistic regression, tuned": "logistic regression",
}


@pytest.mark.parametrize(
    ("document", "sets", "left_out"),
    [
        (
            "README.md",
            ("digits", "cifar10"),
            {"with all refinements, prior of the labels", "logistic regression, tuned"},
        ),
        ("docs/compare.md", ("digits", "cifar10", "blobs", "long-tailed blobs"), set()),
    ],
)
def test_accuracies_of_the_papers_settings_and_of_others_are_those_of_the_records(document, sets, left_out):
    found = group(read("accuracy.jsonl"), "accuracy", "set", "method", "per_class")
    rows = []
    for title in TUNED.keys() - left_out:
        cells = [[statistics.mean(found[name, TUNED[title], count]) for count in (1, 5, 50)] for name in sets]
        rows.append(f"| {title} | {' | '.join(' / '.join(f'{value:.1f}' for value in cell) for cell in cells)} |")
    require(document, rows)


SPEED = {
    "README.md": ("straight recipe", "scikit-learn knn"),
    "docs/compare.md": (
        "straight recipe",
        "faiss IVF + SciPy",
        "pynndescent + SciPy",
        "GraphLearning Laplace",
        "scikit-learn knn",
    ),
}
SIZES = [(10_000, 10), (50_000, 10), (50_000, 100), (200_000, 10), (200_000, 100), (1_000_000, 10), (1_000_000, 100)]


@pytest.mark.parametrize("document", SPEED)
@pytest.mark.parametrize(("rows", "classes"), SIZES)
def test_seconds_and_memory_of_the_graph_core_are_those_of_the_records(document, rows, classes):
    if document == "README.md" and classes == 100:
        return  # it shows ten classes
    lines = [
        one
        for one in read("propagate.jsonl")
        if (one["settings"]["rows"], one["settings"]["classes"]) == (rows, classes)
    ]
    of = {line["settings"]["method"]: line for line in lines}
    best = of["fewlabels"]["seconds"]
    cells = [f"{best:.2f} s, {memory(of['fewlabels']['peak_mib'])}"]
    for method in SPEED[document]:
        ratio = f" ({of[method]['seconds'] / best:.1f} x)" if method in of and document != "README.md" else ""
        cells.append(f"{of[method]['seconds']:.2f} s{ratio}, {memory(of[method]['peak_mib'])}" if method in of else "-")
    require(document, [f"| {rows:,}, {classes} | {' | '.join(cells)} |"])


def test_the_page_on_others_has_the_kills_that_were_counted():
    names = ("kills", "runs", "same", "different", "unresumable")
    lines = read("compare_kills.jsonl")
    require("docs/compare.md", [f"| {' | '.join(str(line[name]) for name in names)} |" for line in lines])


def test_the_seconds_of_an_answer_are_those_of_the_records():
    first, second, third = (
        next(one for one in read("answers.jsonl") if (one["settings"]["rows"], one["settings"]["threads"]) == key)
        for key in ((50_000, 2), (50_000, 1), (200_000, 2))
    )
    require("README.md", [f"{first['p50_ms'] / 1000:.2f} s, {first['p99_ms'] / 1000:.2f} s in the worst of a hundred"])
    columns = ("p50_ms", "p99_ms", "cpu_p50_ms", "cold_cpu_ms")
    require("docs/review.md", [" | ".join(f"{one[name]:,.0f}" for name in columns) for one in (first, second, third)])


def memory(mib):
    return f"{mib:.0f} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"


def test_the_readme_has_the_ratios_of_the_training_loop():
    lines = read("train.jsonl")
    first, second = ([line["ratio"] for line in lines if line["commit"] == commit] for commit in ("874190d", "2d01b69"))

    def between(ratios, speed):
        values = [ratio[speed] for ratio in ratios]
        return f"{min(values):.1f} to {max(values):.1f}"

    require(
        "README.md",
        [
            f"{between(first, 'deterministic')} times as many images",
            f"{between(first, 'fast')} times with `--speed fast`",
            f"it is {between(second, 'deterministic')} and {between(second, 'fast')} times",
        ],
    )


@pytest.mark.parametrize(
    ("name", "data"), [("digits, 1,797 rows of pixels", "digits"), ("CIFAR-10, 10,000 descriptors", "cifar10")]
)
def test_the_readme_has_the_errors_after_a_simulated_review(name, data):
    found = defaultdict(list)
    for line in read("reviewer.jsonl"):
        if line["settings"]["set"] == data:
            found[line["settings"]["order"]].append(line["error"])
    before = [errors[0] for errors in found["random order"]]
    after = [[errors[-1] for errors in found[order]] for order in ("random order", "least certainty", "queue")]
    require("README.md", [f"| {name} | {' | '.join(spread(values, 1) for values in (before, *after))} |"])


def test_the_tables_of_choosing_are_those_of_their_records(tmp_path):
    records = shutil.copy(RESULTS / "choosing.jsonl", tmp_path)
    command = [sys.executable, "-m", "benchmarks.choosing.tables", "--results", records]
    subprocess.run(command, check=True, cwd=ROOT)
    made, kept = (folder / "choosing.md" for folder in (tmp_path, RESULTS))

    def tables(path):  # without the line that names this machine
        return [line for line in path.read_text().splitlines() if not line.startswith("Commits ")]

    assert tables(made) == tables(kept)


def test_the_page_on_strong_views_has_the_errors_of_the_short_runs():
    lines = [line for line in read("current.jsonl") if line["rows"] == 10_000]
    rows = [
        f"| {BY_WORD[line['method']].title} | {', '.join(map(str, line['epochs']))} | {line['error']:.2f} |"
        for line in lines
    ]
    require("docs/matching.md", rows)


@pytest.mark.parametrize(
    ("document", "name", "rows_of"),
    [
        ("docs/choosing.md", "choosing_cost.jsonl", cost.markdown),
        ("docs/choosing.md", "trust.jsonl", trust.markdown),
        ("docs/classify.md", "new_rows.jsonl", new_rows.markdown),
    ],
)
def test_tables_of_choosing_and_of_new_rows_are_those_of_the_records(document, name, rows_of):
    require(document, rows_of(read(name)))
