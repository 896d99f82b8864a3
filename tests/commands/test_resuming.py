"""What can be taken up again, by which command, and what is refused."""

import json
import os
import shlex
import signal
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from fewlabels.cli.app import set_threads_of_run
from fewlabels.cli.main import run
from fewlabels.commands import demo, training
from fewlabels.commands import train as images
from fewlabels.recipes.images import digits_lp, image_settings
from fewlabels.review.items import open_items
from fewlabels.training import loop
from tests.training.children import remains

JOB = {"pair": ["mean_teacher", "mt_lp"], "save_every": 0}


@pytest.fixture
def stopped(children, tmp_path):
    """A run that was stopped in its second phase."""
    ended = children.run(tmp_path / "run", **JOB, at=["step of phase 1", 2, signal.SIGTERM])
    assert ended.status == [143]
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, "of a run with other settings or data: settings.seed: 0 there, 1 now"),
        ({"mode": "released"}, 'settings.graph.mode: "paper" there, "released" now'),
        ({"rows": 61}, "of a run with other settings or data: data.pixels: "),
        ({"threads": 2}, "cannot go on to the same bytes: threads: 1 there, 2 now"),
    ],
)
def test_what_changed_is_refused_and_named(children, stopped, change, told):
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    ended = children.run(stopped, **JOB | change)
    assert ended.status == [2]
    assert ended.errors[0].startswith("error: FL-C12")
    assert told in ended.errors[0]
    assert before == {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}


def test_a_finished_run_is_not_returned_for_other_options(photos, tmp_path, monkeypatch, capsys):
    assert commanded(monkeypatch, [*photos, "--out", "run"]) == 0
    assert commanded(monkeypatch, [*photos, "--out", "run", "--resume"]) == 0
    capsys.readouterr()
    assert commanded(monkeypatch, [*photos, "--out", "run", "--resume", "--alpha", "0.5"]) == 2
    told = "FL-C12 the run there is finished, and was made with other options: options.graph.alpha: 0.99 there, 0.5 now"
    assert told in capsys.readouterr().err


def test_a_finished_run_that_was_continued_from_another_is_returned(photos, tmp_path, monkeypatch, capsys):
    assert commanded(monkeypatch, [*photos, "--out", "run"]) == 0
    second = [*photos[:-1], "--continue-from", "run", "--out", "second"]
    assert commanded(monkeypatch, second) == 0
    assert "not as in run" not in capsys.readouterr().err
    assert commanded(monkeypatch, [*second, "--resume"]) == 0
    facts = json.loads((tmp_path / "second" / "run.json").read_text())
    assert (facts["source"]["image_size"], facts["options"]["source"]["image_size"]) == (8, None)


def test_a_continued_run_says_what_is_not_as_before(photos, monkeypatch, capsys):
    assert commanded(monkeypatch, [*photos, "--out", "run"]) == 0
    assert commanded(monkeypatch, [*photos[:-1], "--continue-from", "run", "--out", "other", "--alpha", "0.9"]) == 0
    told = "not as in run, unless its options are given again: graph.alpha: 0.99 there, 0.9 now"
    assert told in capsys.readouterr().err


def test_a_continued_run_keeps_the_settings_of_the_graph_before(photos, tmp_path, monkeypatch, capsys):
    assert commanded(monkeypatch, [*photos, "--out", "run", "--alpha", "0.9"]) == 0
    assert commanded(monkeypatch, [*photos[:-1], "--continue-from", "run", "--out", "other"]) == 0
    assert "not as in run" not in capsys.readouterr().err
    assert json.loads((tmp_path / "other" / "run.json").read_text())["settings"]["graph"]["alpha"] == 0.9


def test_with_a_label_file_images_may_lie_beside_and_inside_of_folders(photos, tmp_path, monkeypatch):
    (tmp_path / "photos" / "dark" / "0.png").rename(tmp_path / "photos" / "loose.png")
    assert commanded(monkeypatch, [*photos, "--out", "refused"]) == 2
    (tmp_path / "labels.csv").write_text("id,label\nloose.png,dark\nlight/1.png,light\n")
    assert commanded(monkeypatch, [*photos, "--labels", "labels.csv", "--out", "run"]) == 0
    table = pq.read_table(tmp_path / "run" / "pseudo_labels.parquet", columns=["id", "source"]).to_pylist()
    assert len(table) == 24
    assert [row["id"] for row in table if row["source"] == "given"] == ["light/1.png", "loose.png"]
    reviewed = open_items(tmp_path / "run")  # the pictures are found again
    assert reviewed.pictures is not None


def test_settings_stay_refused_where_an_inexact_resume_is_allowed(children, stopped):
    assert children.run(stopped, **JOB, seed=1, allow_inexact=True).status == [2]


def test_an_inexact_resume_ends_and_is_written_down(children, stopped):
    ended = children.run(stopped, **JOB, threads=2, allow_inexact=True)
    assert ended.status == [0], ended.errors
    assert "FL-C12 the run goes on, but not to the same bytes: threads: 1 there, 2 now" in ended.errors[0]
    lines = [json.loads(line) for line in (stopped / "resumed.jsonl").read_text().splitlines()]
    assert [line["differences"] for line in lines] == [["threads: 1 there, 2 now"]]


def test_its_seconds_are_those_of_all_sittings(photos, tmp_path, monkeypatch, signal_in_second_epoch):
    signal_in_second_epoch()
    policy = training.CheckpointPolicy
    with monkeypatch.context() as first:
        first.setattr(training, "CheckpointPolicy", lambda **given: policy(**given | {"spent": lambda: 1000.0}))
        assert commanded(first, [*photos, "--out", "run"]) == 143
    assert commanded(monkeypatch, [*photos, "--out", "run", "--resume"]) == 0
    assert 1000 < json.loads((tmp_path / "run" / "results.json").read_text())["wall_seconds"] < 2000


@pytest.mark.parametrize("damage", ["cut", "flipped", "without a manifest"])
def test_a_damaged_newest_checkpoint_is_passed_over_loudly(children, stopped, tmp_path, damage):
    newest = max((stopped / ".checkpoints").glob("step-*"))
    tensors = newest / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-9] ^= 1
    if damage == "without a manifest":
        (newest / "manifest.json").unlink()
    else:
        tensors.write_bytes(data[:-40] if damage == "cut" else data)
    ended = children.run(stopped, **JOB)
    assert ended.status == [0]
    assert f"FL-K1 a checkpoint was passed over: {newest.name}" in ended.errors[0]
    assert children.run(tmp_path / "whole", **JOB).status == [0]
    assert remains(stopped, hidden=[".checkpoints"]) == remains(tmp_path / "whole")
    left = [path.name for path in (stopped / ".checkpoints").iterdir()]
    assert left == [f"{newest.name}.set-aside"]  # what was damaged is not removed: somebody may want to look at it


def shortened(settings):
    """The recipe with epochs and a network for tests."""
    phases = tuple(replace(phase, epochs=2) for phase in settings.phases)
    return replace(settings, phases=phases, network=replace(settings.network, width=4))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """24 images in two class folders, 4 of them labelled."""
    rng = np.random.default_rng(0)
    for number in range(24):
        kind = ("dark", "light")[number % 2] if number < 4 else "unlabeled"
        folder = tmp_path / "photos" / kind
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (8, 8)) + 100 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images, "image_settings", lambda *given: shortened(image_settings(*given)))
    return ["train", "photos", "--backbone", "none", "--n-neighbors", "5", "--device", "cpu", "-q"]


def commanded(monkeypatch, words):
    """The exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["fewlabels", *words])
    return run(list(words))


@pytest.fixture
def signal_in_second_epoch(monkeypatch):
    """Sends SIGTERM to this process when labels are propagated for the second time, once."""
    made, real = [], loop.evaluate

    def evaluate(*arguments):
        made.append(1)
        if len(made) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    def install():
        monkeypatch.setattr(loop, "evaluate", evaluate)

    return install


def test_the_command_that_an_interrupted_one_names_goes_on(
    photos, tmp_path, monkeypatch, capsys, signal_in_second_epoch
):
    assert commanded(monkeypatch, [*photos, "--out", "whole"]) == 0
    signal_in_second_epoch()
    assert commanded(monkeypatch, [*photos, "--out", "a run"]) == 143
    error = capsys.readouterr().err
    assert "FL-D7 stopped by SIGTERM after step" in error
    words = shlex.split(error.rpartition("go on with: ")[2])
    assert words == ["fewlabels", *photos, "--out", "a run", "--resume"]
    assert commanded(monkeypatch, words[1:]) == 0
    assert remains(tmp_path / "a run") == remains(tmp_path / "whole")
    assert len((tmp_path / "a run" / "resumed.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(("set_to", "taken"), [(None, "3"), ("2", "2")])
@pytest.mark.parametrize("place", ["run", "run/seed-0"])
def test_resume_takes_the_threads_of_the_run_unless_others_are_named(tmp_path, monkeypatch, place, set_to, taken):
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "run.json").write_text('{"threads": 3}')
    monkeypatch.setenv("OMP_NUM_THREADS", set_to or "")
    if set_to is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    set_threads_of_run(tmp_path / "run", True, allow_inexact=False)
    assert os.environ["OMP_NUM_THREADS"] == taken


def test_a_machine_that_does_not_go_on_exactly_is_refused_before_any_image_is_read(
    photos, monkeypatch, capsys, signal_in_second_epoch
):
    signal_in_second_epoch()
    assert commanded(monkeypatch, [*photos, "--out", "run"]) == 143
    capsys.readouterr()
    assert commanded(monkeypatch, [*photos, "--out", "run"]) == 2
    assert "FL-C9 the output folder is not empty: an unfinished run is there at run" in capsys.readouterr().err
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    monkeypatch.setattr(images, "read_images", lambda *given, **more: 1 / 0)
    assert commanded(monkeypatch, [*photos, "--out", "run", "--resume"]) == 2
    error = capsys.readouterr().err
    assert f"error: FL-C12 the run cannot go on to the same bytes: threads: {threads} there, {threads + 1} now" in error
    assert "--allow-inexact-resume" in error


def test_resume_begins_a_run_that_is_not_there_and_tells_one_that_is_over(photos, tmp_path, monkeypatch, capsys):
    words = [*photos, "--out", "run", "--resume", "--json"]
    assert commanded(monkeypatch, words) == 0
    first = capsys.readouterr().out
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    monkeypatch.setattr(loop, "_train_phase", None)  # it is not trained again
    monkeypatch.setattr(images, "read_images", None)  # nor read
    assert commanded(monkeypatch, words) == 0
    assert capsys.readouterr() == (first, "")
    assert commanded(monkeypatch, [word for word in words if word != "-q"]) == 0
    assert capsys.readouterr() == (first, "run is finished: nothing is read or trained again\n")
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    assert commanded(monkeypatch, [*photos, "--out", "run"]) == 2
    assert "FL-C9" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["train", "photos"], ["demo"]])
def test_resume_needs_the_name_of_the_folder(photos, monkeypatch, capsys, command):
    assert commanded(monkeypatch, [*command, "--resume"]) == 2
    assert "FL-C6 --resume without --out" in capsys.readouterr().err


def test_the_demo_goes_on_too(few_digits, tmp_path, monkeypatch, capsys, signal_in_second_epoch):
    monkeypatch.setattr(demo, "digits_lp", lambda seed: shortened(digits_lp(seed)))
    for name in ("whole", "run"):
        status = commanded(monkeypatch, ["demo", "--out", str(tmp_path / name), "-q"])
        assert status == (0 if name == "whole" else 143)
        signal_in_second_epoch()
    assert commanded(monkeypatch, ["demo", "--out", str(tmp_path / "run"), "-q", "--resume"]) == 0
    assert remains(tmp_path / "run") == remains(tmp_path / "whole")
