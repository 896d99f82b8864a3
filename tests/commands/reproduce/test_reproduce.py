"""Cells of the paper's tables on a tiny data set: what is run, what is told, what is kept apart."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fewlabels.cli.main import run as run_command
from fewlabels.commands import watching
from fewlabels.commands.guards import Alarm
from fewlabels.commands.reproduce.cells import Cell, Variant, drop_parts, list_cells
from fewlabels.commands.reproduce.outcomes import describe_rows, read_outcome, read_row, split_folder
from fewlabels.commands.reproduce.run import Request, reproduce
from fewlabels.commands.reproduce.text import format_list, format_tables
from fewlabels.commands.training import RunOptions
from fewlabels.data.benchmarks.datasets import Dataset
from fewlabels.data.benchmarks.facts import BENCHMARKS, CIFAR10, CIFAR100, MINI_IMAGENET
from fewlabels.errors import ConfigError
from fewlabels.nets import NetworkSettings
from fewlabels.runs import read_run, verify_run

# A data set of a few images and one or two epochs: guards rightly say that little is learnt.
pytestmark = pytest.mark.filterwarnings("ignore::fewlabels.errors.CollapseWarning")

TINY = replace(CIFAR10, side=12, num_train=120, num_test=30)
SMALL = Variant(scale=0.012, network=NetworkSettings("small", width=2, first_stride=2))  # two epochs a phase
HOW = RunOptions(resume=True, quiet=True)


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(10), 12)
    pixels = rng.integers(0, 60, (150, 12, 12, 3)) + 19 * np.append(truth, np.arange(30) % 10)[:, None, None, None]
    return Dataset(
        benchmark=TINY,
        pixels=pixels[:120].astype(np.uint8),
        truth=truth,
        test_pixels=pixels[120:].astype(np.uint8),
        test_truth=np.arange(30) % 10,
        class_names=[f"class {code}" for code in range(10)],
        ids=[str(row) for row in range(120)],
        place="/data/cifar10",
    )


def cell(method, num_labels=20):
    return Cell(TINY, num_labels, method)


def run(dataset, out, methods, splits=(10,), variant=SMALL):
    request = Request([cell(method) for method in methods], splits, variant, out)
    reproduce(request, lambda: dataset, HOW)


def nothing():
    raise AssertionError("the images were read, and there was nothing to train")


@pytest.fixture(scope="module")
def done(dataset, tmp_path_factory):
    """Label propagation alone, and with Mean Teacher, on two splits."""
    out = tmp_path_factory.mktemp("reproduce")
    run(dataset, out, ("supervised", "lp", "mt", "mt+lp"), (10, 11))
    return out


def test_each_split_of_a_cell_is_a_whole_run_that_says_what_it_is(done):
    folder = split_folder(done, cell("mt+lp"), SMALL, 11)
    assert folder.parent.parent == done
    assert folder.parent.name == "cifar10-20-mt+lp_network-small-width-2-first_stride-2_0.012"
    assert verify_run(folder) == []
    facts = read_run(folder).facts
    wanted = {"dataset": "cifar10", "num_labels": 20, "method": "mt+lp", "split": 11, "split_origin": "drawn"}
    assert facts["reproduces"].items() >= (wanted | {"mode": "released", "scale": 0.012}).items()
    assert facts["source"] == {"kind": "dataset", "name": "cifar10", "data": "/data/cifar10"}
    assert facts["seed"] == 11
    assert facts["versions"]["commit"]
    assert "not the paper's protocol: network small, width 2" in facts["title"]
    assert facts["settings"]["network"]["heads"] == 2
    assert (folder / "teacher.safetensors").is_file()


def test_what_is_the_first_phase_of_another_cell_is_not_trained_twice(done):
    assert sorted(place.name.split("_")[0] for place in done.iterdir()) == ["cifar10-20-lp", "cifar10-20-mt+lp"]
    lp = read_run(split_folder(done, cell("lp"), SMALL, 10))
    assert read_outcome(cell("supervised"), 10, SMALL, done).student == lp.results["supervised_error"]
    teacher = read_run(split_folder(done, cell("mt+lp"), SMALL, 10)).results
    found = read_outcome(cell("mt"), 10, SMALL, done)
    assert (found.student, found.teacher) == (teacher["mean_teacher_error"], teacher["mean_teacher_teacher_error"])


def test_a_cell_alone_ends_where_the_first_phase_of_the_other_ended(dataset, done, tmp_path):
    run(dataset, tmp_path, ("supervised",))
    alone = read_outcome(cell("supervised"), 10, SMALL, tmp_path)
    assert alone.student == read_outcome(cell("supervised"), 10, SMALL, done).student


def test_what_is_done_is_not_done_again(done):
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    request = Request([cell("lp"), cell("supervised")], (10, 11), SMALL, done)
    reproduce(request, nothing, HOW)
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before


def test_an_unfinished_run_is_gone_on_with(dataset, done, tmp_path):
    folder = split_folder(tmp_path, cell("lp"), SMALL, 10)
    shutil.copytree(split_folder(done, cell("lp"), SMALL, 10), folder)
    weights = (folder / "model.safetensors").read_bytes()
    for name in ("manifest.json", "results.json", "model.safetensors", "report.html"):
        (folder / name).unlink()
    run(dataset, tmp_path, ("lp",))
    assert (folder / "model.safetensors").read_bytes() == weights
    assert (folder / "resumed.jsonl").is_file()


@pytest.fixture(scope="module")
def colours(dataset):
    """Images of ten colours, which a few labels and epochs suffice to tell apart."""
    rng = np.random.default_rng(0)
    shades = np.stack(np.meshgrid(*[[40, 130, 220]] * 3), -1).reshape(-1, 3)[:10]
    truth = np.append(dataset.truth, dataset.test_truth)
    pixels = (shades[truth][:, None, None] + rng.integers(-30, 31, (150, 12, 12, 3))).astype(np.uint8)
    return replace(dataset, pixels=pixels[:120], test_pixels=pixels[120:])


@pytest.mark.filterwarnings("ignore:FL-G24")  # 12 rows a class, and the paper's 50 neighbours
def test_hidden_labels_never_reach_training(colours, tmp_path):
    """With another truth for all unlabelled and all test images, what is learned stays the same to the bit.

    And much is learned: of labels that leaked, something would be. In paper mode: the negative similarities that
    released mode keeps may leave so few and so different images without a solution (G11).
    """
    variant = replace(SMALL, mode="paper", scale=0.2, network=replace(SMALL.network, width=8))
    run(colours, tmp_path / "honest", ("lp",), variant=variant)
    honest = split_folder(tmp_path / "honest", cell("lp"), variant, 10)
    given = read_labels(honest)
    lied = replace(
        colours,
        truth=np.where(given, colours.truth, (colours.truth + 1) % 10),
        test_truth=(colours.test_truth + 1) % 10,
        splits=tmp_path / "splits",
    )
    (tmp_path / "splits" / "20").mkdir(parents=True)
    (tmp_path / "splits" / "20" / "10.txt").write_text("\n".join(map(str, np.flatnonzero(given))))
    run(lied, tmp_path / "fooled", ("lp",), variant=variant)
    fooled = split_folder(tmp_path / "fooled", cell("lp"), variant, 10)
    for name in ("model.safetensors", "pseudo_labels.parquet"):
        assert (honest / name).read_bytes() == (fooled / name).read_bytes()
    facts = read_run(fooled).facts["reproduces"]
    assert (facts["split_origin"], facts["split_file"]) == ("released", "splits/20/10.txt")
    accuracy, error = "pseudo_label_accuracy_last", "lp_error"
    assert read_run(honest).results[accuracy] > 90 > 10 > read_run(fooled).results[accuracy]
    assert read_run(honest).results[error] < 10 < 90 < read_run(fooled).results[error]


def read_labels(folder):
    import pyarrow.parquet as pq

    return np.array(pq.read_table(folder / "pseudo_labels.parquet")["source"]) == "given"


def test_a_finished_run_with_other_settings_is_not_taken_for_this_one(done):
    other = replace(SMALL, network=replace(SMALL.network, dropout=0.25))
    place = other.suffix
    assert place != SMALL.suffix  # by its name alone; so we put it there by hand
    source = split_folder(done, cell("lp"), SMALL, 10).parent
    wrong = split_folder(done, cell("lp"), other, 10).parent
    wrong.symlink_to(source)
    try:
        with pytest.raises(ConfigError, match=r"FL-C61 .*network\.dropout"):
            reproduce(Request([cell("lp")], (10,), other, done), nothing, HOW)
        assert read_row(cell("lp"), other, done).outcomes == []
    finally:
        wrong.unlink()


def test_the_table_has_mean_and_deviation_over_the_splits_done(done):
    rows = {one["method"]: one for one in describe_rows([cell("lp"), cell("mt+lp")], SMALL, done)}
    assert list(rows) == ["supervised", "lp", "mt", "mt+lp"]
    for one in rows.values():
        assert one["splits"] == [10, 11]
        assert one["student"]["mean"] == pytest.approx(np.mean(one["student"]["values"]))
        assert one["student"]["std"] == pytest.approx(np.std(one["student"]["values"], ddof=1))
    assert rows["lp"]["teacher"] is None
    assert len(rows["mt+lp"]["teacher"]["values"]) == 2
    assert json.loads(json.dumps(rows))
    assert rows["lp"]["curves"][0]["before"] == rows["supervised"]["student"]["values"][0]


def test_the_text_says_what_is_not_the_papers_and_what_happened_between_the_phases(done):
    text = format_tables([cell("mt+lp")], SMALL, done)
    assert "NOT THE PAPER'S PROTOCOL: network small, width 2, first_stride 2, 0.012 of its schedule" in text
    assert "paper (for orientation)" in text
    assert "(n=2)" in text
    assert "seed is the number of the split" in text
    assert "Some of our splits were drawn" in text
    assert "at the end of phase 1" in text
    assert "after epoch 1 of phase 2" in text
    assert "momentum is kept" in text
    assert "momentum is kept" not in format_tables([cell("mt+lp")], replace(SMALL, mode="paper"), done)


@pytest.mark.parametrize(
    ("before", "errors", "words"),
    [
        (30.0, [35.0, 41.5, 22.25], "it rose from 30.00 to 41.50 at epoch 2, then fell to 22.25."),
        (30.0, [29.0, 28.0, 22.0], "it fell from the first measured epoch, was never above .*, and ended at 22.00."),
        (30.0, [30.0, 28.0, 22.0], "it was never above where it began, and ended at 22.00."),
        (30.0, [35.0, 41.5, 33.0], "it rose from 30.00 to 41.50 at epoch 2 and ended at 33.00, above where it began."),
        (30.0, [29.0, 28.0, 33.0], "it rose from 30.00 to 33.00 at epoch 3 and ended at 33.00, above where it began."),
        (30.0, [35.0, 32.0, 30.0], "to 35.00 at epoch 1 and ended at 30.00, no lower than where it began."),
    ],
)
def test_the_course_of_the_error_is_told_as_it_was_measured(done, monkeypatch, before, errors, words):
    found = read_outcome(cell("lp"), 10, SMALL, done)
    curve = list(enumerate(errors))
    worst = max(curve, key=lambda one: one[1])
    made = replace(found, before=before, first=curve[0], worst=worst, student=errors[-1])
    monkeypatch.setattr("fewlabels.commands.reproduce.outcomes.read_outcomes", lambda *given: [made])
    lines = format_tables([cell("lp")], SMALL, done).splitlines()
    (said,) = [line for line in lines if line.startswith("  split 10:")][-1:]
    assert re.search(f"Measured: .*{words}$", said)
    (expected,) = [line for line in lines if "The curve to expect of the paper's schedule" in line]
    assert "should first rise, then fall below where it was" in expected


def test_published_numbers_stand_beside_ours_with_their_evidence(tmp_path):
    text = format_tables(list_cells(CIFAR10, 500), Variant(), tmp_path)
    assert "NOT THE PAPER'S" not in text
    for word in ("24.02 +- 2.44 C", "28.36 (teacher 28.35)", "48.36", "32.46", "31.40 (teacher 31.37)", "not re-read"):
        assert word in text
    assert "12.69 +- 0.29 B" in format_tables(list_cells(CIFAR10, 4000), Variant(), tmp_path)


def test_the_open_question_of_cifar100_is_told_where_it_matters(tmp_path):
    assert "An open question" in format_tables(list_cells(CIFAR100, 4000, "mt+lp"), Variant(), tmp_path)
    assert "An open question" not in format_tables(list_cells(CIFAR100, 4000, "lp"), Variant(), tmp_path)
    assert "top-5 error is 47.58" in format_tables(list_cells(MINI_IMAGENET, 4000, "lp"), Variant(), tmp_path)


def test_copied_methods_are_not_said_to_be_reproduced(tmp_path):
    assert "neither Laine and Aila's network" in format_tables(list_cells(CIFAR10, 4000, "te"), Variant(), tmp_path)


def test_the_list_has_every_cell_with_its_work_and_what_is_done(done):
    cells = [cell for benchmark in BENCHMARKS.values() for cell in list_cells(benchmark)]
    assert len(cells) == 32
    text = format_list(cells, Variant(), done)
    assert "91.8" in text
    assert text.count("0 of 10") == 16
    assert "2 of 10" in format_list([cell("lp")], SMALL, done)


def test_only_whole_experiments_are_trained():
    found = drop_parts([cell("supervised"), cell("lp"), cell("mt"), cell("te"), cell("supervised", 40)])
    assert found == [cell("lp"), cell("mt"), cell("te"), cell("supervised", 40)]


def test_a_variant_has_a_folder_of_its_own(tmp_path):
    found = {
        cell("lp").folder(tmp_path, variant).name
        for variant in (Variant(), SMALL, Variant(mode="paper"), Variant(scale=0.5), replace(SMALL, scale=1))
    }
    assert len(found) == 5
    assert "cifar10-20-lp" in found
    assert all("/" not in name for name in found)


@pytest.fixture
def words(dataset, tmp_path, monkeypatch):
    """A command that trains for an epoch a phase, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(BENCHMARKS, "cifar10", TINY)
    monkeypatch.setattr("fewlabels.commands.reproduce.run.load_dataset", lambda *given, **more: dataset)
    words = ["reproduce", "cifar10", "--labels", "20", "--method", "lp", "--split", "10", "--scale", "0.006"]
    return [*words, "--network", "small", "--width", "2", "--first-stride", "2", "--device", "cpu", "--quiet"]


def test_the_command_trains_and_prints_and_does_not_train_again(words, monkeypatch, capsys):
    assert run_command(words) == 0
    assert "label propagation" in capsys.readouterr().out
    monkeypatch.setattr("fewlabels.commands.reproduce.run.load_dataset", nothing)
    assert run_command([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [one["method"] for one in rows] == ["supervised", "lp"]
    assert rows[1]["splits"] == [10]
    assert rows[1]["departures"]


def test_the_command_stops_at_a_collapse_if_told_and_goes_on_if_told(words, monkeypatch, capsys):
    alarms = [Alarm(name, f"{name}!", {}) for name in ("loss", "certainty")]
    monkeypatch.setattr(watching, "find_alarms", lambda events, known: alarms if events[-1]["phase_index"] == 1 else [])
    assert run_command([*words, "--on-collapse", "stop"]) == 5
    said = capsys.readouterr().err
    assert "FL-P23" in said
    assert "--on-collapse warn" in said
    assert run_command([*words, "--on-collapse", "stop", "--on-collapse", "warn"]) == 0  # as the error says


def test_the_command_writes_for_tensorboard_if_told(words, tmp_path):
    pytest.importorskip("tensorboard")
    assert run_command([*words, "--tensorboard"]) == 0
    (folder,) = (tmp_path / "runs" / "reproduce").glob("*/split-10")
    assert list((folder / "tensorboard").iterdir())
    assert verify_run(folder) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["cifar10"], "FL-C60"),
        (["cifar10", "--labels", "500"], "FL-C60"),
        (["--all"], "FL-C54"),
        (["svhn", "--all"], "FL-C54"),
        (["cifar10", "--all", "--splits", "1,x"], "FL-C60"),
        (["cifar10", "--all", "--width", "3"], "FL-C62"),
        (["cifar10", "--all", "--scale", "2"], "FL-C58"),
        (["cifar10", "--labels", "505", "--method", "lp"], "FL-C55"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(words, code, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("FEWLABELS_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run_command(["reproduce", *words]) == 2
    assert capsys.readouterr().err.startswith(f"error: {code}")
    assert list(tmp_path.iterdir()) == []
