"""What the files of a run hold: the settings it knows are those there are, and misfits are named."""

import json
import re
from dataclasses import fields

import pytest

from fewlabels.cli.main import run as run_command
from fewlabels.errors import RunError
from fewlabels.graph import GraphSettings, Refinement
from fewlabels.nets.settings import ImageInput, NetworkSettings
from fewlabels.report import report_html
from fewlabels.runs import RunWriter, checks, read_run, schema, verify_run
from fewlabels.training.settings import (
    AugmentSettings,
    Consistency,
    Matching,
    Optimization,
    Phase,
    StrongAugment,
    TrainSettings,
)

RESULTS = {"num_rows": 3, "num_labeled": 1, "unreached": 0}


@pytest.mark.parametrize(
    ("known", "settings"),
    [
        (schema.GRAPH, GraphSettings),
        (schema.GRAPH.fields["refinement"], Refinement),
        (schema.NETWORK, NetworkSettings),
        (schema.IMAGE_INPUT, ImageInput),
        (schema.PHASE, Phase),
        (schema.AUGMENT, AugmentSettings),
        (schema.OPTIMIZATION, Optimization),
        (schema.CONSISTENCY, Consistency),
        (schema.MATCHING, Matching),
        (schema.STRONG, StrongAugment),
    ],
)
def test_the_settings_that_are_known_are_those_there_are(known, settings):
    assert set(known.fields) == {one.name for one in fields(settings)}


def test_the_settings_of_a_training_are_known_too():
    assert set(schema.SETTINGS.fields) == {one.name for one in fields(TrainSettings)} | {"recipe", "auto", "answer"}


def changed(folder, name, change):
    """A sealed run in which a file holds something else; its hashes are right."""
    writer = RunWriter(folder, "train", {"graph": {"alpha": 0.99}}, class_names=["cat", "dog"])
    epoch = {"phase": "lp", "phase_index": 0, "epoch": 0, "steps": 1, "test_error": 5.0, "teacher_test_error": None}
    writer.event("epoch", **epoch)
    writer.results(RESULTS)
    values = json.loads((folder / name).read_text())
    change(values)
    (folder / name).write_text(json.dumps(values) + "\n")
    writer.finish()
    return folder


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("run.json", lambda values: values.pop("settings"), "settings is missing at "),
        ("run.json", lambda values: values.update(settings=[]), r"settings is \[\], expected an object with keys at "),
        ("run.json", lambda values: values["settings"]["graph"].update(alpha="x"), "settings.graph.alpha is 'x', exp"),
        ("run.json", lambda values: values.update(class_names=["a", "a"]), "class_names is .* distinct class names at"),
        ("results.json", lambda values: values.update(num_rows=-1), "num_rows is -1, expected a whole number from 0"),
        ("results.json", lambda values: values.update(lp_error=[1]), r"lp_error is \[1\], expected a percentage"),
        (
            "results.json",
            lambda values: values.update(class_counts={"given": [1], "propagated": [2]}),
            "class_counts.given is a list of 1, expected one of 2",
        ),
        ("events.jsonl", lambda values: values.pop("steps"), "steps is missing at "),
    ],
)
def test_a_misfit_names_file_key_what_came_and_what_was_expected(tmp_path, name, change, told):
    with pytest.raises(RunError, match=rf"^FL-K16 not what a run has there: .*{told}.*{name}.* restore it"):
        read_run(changed(tmp_path / "run", name, change))


@pytest.mark.parametrize(
    "text", ["[" * 10_000, "NaN", "[1e999]", '"\\ud800"', '{"\\udfff": 1}', "9" * 5000, "[" * 100 + "]" * 100]
)
def test_json_that_no_file_of_a_run_has_is_damage(text):
    with pytest.raises(RunError, match="FL-K2 damaged JSON"):
        checks.parse(text, "file")


def test_an_event_may_have_any_line_separator_of_unicode_in_its_text(tmp_path):
    RunWriter(tmp_path / "run", "train", {}).event("guard", message="a\u2028b\x85c")
    (event,) = read_run(tmp_path / "run").events
    assert event["message"] == "a\u2028b\x85c"


def test_events_of_a_newer_version_are_left_alone(tmp_path):
    RunWriter(tmp_path / "run", "train", {}).event("new", anything=[None])
    assert len(read_run(tmp_path / "run").events) == 1


def test_a_report_says_which_settings_are_not_known(tmp_path):
    def change(values):
        values["settings"]["graph"]["warp"] = 9

    page = report_html([changed(tmp_path / "run", "run.json", change)])
    assert "settings that this version of fewlabels does not know: graph.warp" in page


@pytest.mark.parametrize("command", ["report", "review", "export", "verify"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 2, "versions": {"fewlabels": "9.1"}}, "FL-K6 run of format 2, this version reads 1.*fewlabels 9.1"),
        ({"kind": "dream"}, "FL-K6 run of kind 'dream', this version knows train, propagate, label, seeds"),
    ],
)
def test_a_run_of_a_newer_version_is_called_that(tmp_path, capsys, command, change, told):
    folder = changed(tmp_path / "run", "run.json", lambda values: values.update(change))
    words = {"report": ["--out", str(tmp_path / "r.html")], "export": ["--out", str(tmp_path / "l.csv")]}
    assert run_command([command, str(folder), *words.get(command, [])]) == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert re.search(told, line)


@pytest.mark.parametrize("command", ["report", "review", "export", "verify"])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("trainer_state.json", "{}", "it looks like a checkpoint of Hugging Face's Trainer"),
        ("meta.yaml", "a: 1", "it looks like a run of MLflow"),
        ("events.out.tfevents.17", "x", "it looks like a log of TensorBoard"),
        ("review.sqlite", "x", "it looks like the answers of a review: give the run beside it"),
        ("a.PNG", "x", "it looks like a folder of images"),
        ("photos/run.json", "{}", "it has runs in it: photos"),
        (None, "", "it is empty"),
        ("run.json", '{"entity": 1, "project": 2}', "not a run of fewlabels: run.json has the keys entity, project"),
        ("run.json", "[]", r"not a run of fewlabels: run.json has \[\], no object"),
    ],
)
def test_a_folder_of_another_tool_is_called_what_it_looks_like(tmp_path, capsys, command, name, content, told):
    folder = tmp_path / "run"
    folder.mkdir()
    if name is not None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    words = {"report": ["--out", str(tmp_path / "r.html")], "export": ["--out", str(tmp_path / "l.csv")]}
    assert run_command([command, str(folder), *words.get(command, [])]) == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert line.startswith("error: FL-K4 ")
    assert re.search(told, line)


def test_verify_says_of_right_hashes_that_they_are_of_no_run(tmp_path):
    folder = changed(tmp_path / "run", "run.json", lambda values: values.pop("command"))
    with pytest.raises(RunError, match=r"FL-K16 .*command is missing"):
        verify_run(folder)


@pytest.mark.parametrize("change", [lambda one: one.pop("wrong"), lambda one: one.update(wrong=None)])
def test_right_without_wrong_is_no_histogram(tmp_path, capsys, change):
    """Found by the fault lane F15: the report asked for both."""
    whole = {"edges": [0, 0.5, 1], "all": [8, 12], "right": [4, 11], "wrong": [4, 1]}
    change(whole)
    folder = changed(tmp_path / "run", "results.json", lambda values: values.update(certainty_histogram=whole))
    assert run_command(["report", str(folder), "--out", str(tmp_path / "r.html")]) == 3
    assert "certainty_histogram is only right, expected all of right, wrong, or none" in capsys.readouterr().err
