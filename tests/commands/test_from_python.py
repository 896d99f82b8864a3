"""`fewlabels.train` does what the command does."""

import importlib
import inspect

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer.main
from PIL import Image

import fewlabels
from fewlabels.cli import main
from fewlabels.cli.app import app
from fewlabels.errors import ConfigError, ImageError, InputWarning, Interrupted, LabelError
from fewlabels.runs import Run
from fewlabels.training.interrupt import make_interrupt_error

GIVEN = {"crow/000.png": "crow", "wren/001.png": "wren", "wren/003.png": None}
SHORT = {"backbone": "none", "scale": 0.02, "n_neighbors": 5, "device": "cpu"}
GRAPH = {"n_neighbors", "gamma", "alpha", "mode", "allow_empty_classes"}  # None: those of `graph`


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with 24 photos of two classes and a label file, to work in."""
    rng = np.random.default_rng(0)
    for number in range(24):
        file = tmp_path / "photos" / ("crow", "wren")[number % 2] / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((rng.integers(0, 60, (12, 12, 3)) + 100 * (number % 2)).astype(np.uint8)).save(file)
    rows = [f"{id},{name or ''}" for id, name in GIVEN.items()]
    (tmp_path / "few.csv").write_text("\n".join(["id,label", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_call_makes_the_run_of_the_command_to_the_byte(place):
    run = fewlabels.train("photos", labels="few.csv", out="from-python", quiet=True, **SHORT)
    words = "train photos --labels few.csv --out from-command --backbone none --scale 0.02 --n-neighbors 5 --device cpu"
    assert main.run([*words.split(), "--quiet"]) == 0
    assert isinstance(run, Run)
    assert run.results["class_names"] == ["crow", "wren"]
    for name in ("model.safetensors", "pseudo_labels.parquet", "descriptors.npy"):
        assert (place / "from-python" / name).read_bytes() == (place / "from-command" / name).read_bytes()
    assert run.facts["options"] == fewlabels.read_run("from-command").facts["options"]


def test_it_is_a_function_at_every_call_and_names_the_run_itself(place):
    first = fewlabels.train("photos/", labels=GIVEN, quiet=True, **SHORT)
    training = importlib.import_module("fewlabels.training.loop")
    assert training.train is not fewlabels.train
    second = fewlabels.train("photos/", labels=GIVEN, quiet=True, **SHORT)
    assert [str(run.folder) for run in (first, second)] == ["runs/photos", "runs/photos-2"]
    assert (first.folder / "model.safetensors").read_bytes() == (second.folder / "model.safetensors").read_bytes()
    model = fewlabels.load_model(second)
    assert set(model.predict("photos").label) <= {"crow", "wren"}
    third = fewlabels.train("photos", labels=GIVEN, continue_from=second, epochs=1, quiet=True, **SHORT)
    assert third.facts["continued_from"]["run"] == str(place / "runs" / "photos-2")


def test_labels_are_a_file_or_a_mapping(place):
    by_file = fewlabels.train("photos", labels=place / "few.csv", out="a", quiet=True, **SHORT)
    by_mapping = fewlabels.train("photos", labels=GIVEN, out="b", quiet=True, **SHORT)
    tables = [pq.read_table(run.folder / "pseudo_labels.parquet") for run in (by_file, by_mapping)]
    assert tables[0].equals(tables[1])
    assert by_mapping.facts["source"]["labels"].startswith("3 labels from Python, sha256 ")
    again = fewlabels.train("photos", labels=dict(reversed(GIVEN.items())), out="b", resume=True, quiet=True, **SHORT)
    assert again.results == by_mapping.results
    others = GIVEN | {"wren/003.png": "wren"}
    with pytest.raises(ConfigError, match="FL-C12"):
        fewlabels.train("photos", labels=others, out="b", resume=True, quiet=True, **SHORT)


def test_progress_is_told_unless_quiet(place, capsys):
    fewlabels.train("photos", labels=GIVEN, quiet=True, **SHORT)
    assert capsys.readouterr() == ("", "")
    fewlabels.train("photos", labels=GIVEN, **SHORT)
    told = capsys.readouterr()
    assert "24 images at 12 x 12 pixels" in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"graph": fewlabels.GraphSettings(), "alpha": 0.9}, ConfigError, "FL-C90 graph and alpha"),
        ({"alpha": 2}, ConfigError, "FL-C2 "),
        ({"method": "ml"}, ConfigError, "FL-C24 "),
        ({"epochs": 0}, ConfigError, "FL-C13 "),
        ({"image_size": 1}, ConfigError, "FL-C20 "),
        ({"speed": "quick"}, ConfigError, "FL-C1 "),
        ({"save_every": -1}, ConfigError, "FL-C1 "),
        ({"device": "gpu"}, ConfigError, "FL-C7 "),
        ({"on_collapse": "cry"}, ConfigError, "FL-C67 "),
        ({"resume": True}, ConfigError, "FL-C6 "),
        ({"out": "photos/run"}, ConfigError, "FL-C10 "),
        ({"labels": ["crow"]}, LabelError, "FL-L22 .*list"),
        ({"labels": {"crow/000.png": 1.5}}, LabelError, "FL-L22 .*crow/000.png"),
        ({"labels": {"crow/000.png": " "}}, LabelError, "FL-L19 .*crow/000.png"),
        ({"labels": {"crow/000.png": None}}, LabelError, "FL-L16 "),
        ({"labels": {"000.png": "crow"}}, LabelError, "FL-L15 "),
        ({"labels": "gone.csv"}, LabelError, "FL-L30 "),
        ({"data": "gone"}, ImageError, "FL-I30 "),
    ],
)
def test_what_the_command_refuses_is_refused(place, options, error, says):
    with pytest.raises(error, match=says):
        fewlabels.train(**{"data": "photos", "labels": GIVEN, "backbone": "none", "quiet": True} | options)
    assert not (place / "runs").exists()


def test_an_interrupted_run_says_how_python_goes_on(place, monkeypatch):
    def stop(task, settings, folder, how):
        raise make_interrupt_error(2, 7, how.go_on)

    monkeypatch.setattr("fewlabels.commands.train.run_training", stop)
    with pytest.raises(Interrupted, match=r"go on with: 'fewlabels\.train with out=runs/photos and resume=True'"):
        fewlabels.train("photos", labels=GIVEN, quiet=True, **SHORT)


def test_a_photo_that_cannot_be_read_is_warned_of(place):
    (place / "photos" / "broken.png").write_bytes(b"")
    with pytest.warns(InputWarning, match="FL-I1 left out 1 of 25 images"):
        run = fewlabels.train("photos", labels=GIVEN, quiet=True, **SHORT)
    assert run.results["num_rejected"] == 1


def test_it_has_every_option_of_the_command_with_its_default():
    command = typer.main.get_command(app).commands["train"]
    options = {
        max(option.opts, key=len).removeprefix("--").replace("-", "_"): option.default for option in command.params
    }
    parameters = inspect.signature(fewlabels.train).parameters
    only_here, only_there = {"graph"}, {"json", "help"}
    assert set(parameters) - only_here == set(options) - only_there
    for name in set(parameters) - only_here - GRAPH - {"data"}:
        assert parameters[name].default == options[name], name
    for name in set(parameters) - only_here:
        assert name in fewlabels.train.__doc__, name
