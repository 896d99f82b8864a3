"""A run that starts from the weights of another."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load, load_file, save, save_file

from fewlabels.commands.resuming import add_classes, continue_from
from fewlabels.commands.train import ImageSource, run_images
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.data.labels.files import read_labels
from fewlabels.errors import ConfigError, InputWarning, LabelError, RunError
from fewlabels.graph import GraphSettings
from fewlabels.nets import NetworkSettings
from fewlabels.nets.model import load_model, read_model
from fewlabels.recipes.images import ImageOptions
from fewlabels.report import report_html
from fewlabels.runs import read_run
from fewlabels.runs.changes import find_changes
from fewlabels.storage import durable
from fewlabels.training.settings import Phase, TrainSettings

SETTINGS = TrainSettings(
    phases=(Phase("supervised", 5, 0.05, 6), Phase("lp", 3, 0.05, 6, 18)),
    graph=GraphSettings(n_neighbors=12),
    network=NetworkSettings(width=4, dropout=0.1),
)
QUIET = RunOptions(quiet=True)


@pytest.fixture(scope="module")
def trained(stripes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "first"
    run_training(stripes, SETTINGS, folder, QUIET)
    return folder


@pytest.fixture
def first(trained, tmp_path):
    """A run to continue from, of the test's own."""
    return shutil.copytree(trained, tmp_path / "first")


@pytest.fixture
def photos(stripes, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for row, pixels in enumerate(stripes.pixels):
        Image.fromarray(pixels[..., 0]).save(folder / f"{row}.png")
    return folder


def labels_file(tmp_path, stripes, rows, extra=()):
    lines = [f"{row}.png,{stripes.class_names[stripes.truth[row]]}" for row in rows]
    (tmp_path / "reviewed.csv").write_text("\n".join(["id,label", *lines, *extra]) + "\n")
    return read_labels(tmp_path / "reviewed.csv")


def test_a_continued_run_starts_from_the_weights_and_skips_the_supervised_phase(stripes, first, photos, tmp_path):
    given = labels_file(tmp_path, stripes, range(11, -1, -1))  # other classes come first in the file
    source = ImageSource(photos, given, continue_from=first)
    run_images(source, ImageOptions(epochs=1, graph=SETTINGS.graph), tmp_path / "second", QUIET)
    run = read_run(tmp_path / "second")
    assert {event["phase"] for event in run.of("epoch")} == {"lp"}
    assert run.facts["class_names"] == stripes.class_names
    assert run.facts["continued_from"]["run"] == str(first)
    assert run.facts["continued_from"]["file"] == "model.safetensors"
    before, after = (json.loads((folder / "model.json").read_text()) for folder in (first, tmp_path / "second"))
    assert before == after
    assert run.settings["network"] == read_run(first).settings["network"]


def test_the_first_step_sees_the_old_weights(stripes, first, tmp_path):
    """With a learning rate next to nothing the new weights are the old ones, whatever the seed."""
    slow = replace(SETTINGS, seed=5, phases=(Phase("supervised", 1, 1e-12, 6), Phase("lp", 1, 1e-12, 6, 18)))
    task, settings = continue_from(stripes, slow, read_model(first))
    assert [phase.method for phase in settings.phases] == ["lp"]
    run_training(task, settings, tmp_path / "second", QUIET)
    old, new = (load_file(folder / "model.safetensors") for folder in (first, tmp_path / "second"))
    for name, value in old.items():
        if "running" not in name and "num_batches" not in name:
            assert (value - new[name]).abs().max() < 1e-6


def test_a_teacher_is_where_the_new_network_starts(first):
    weights = load_file(first / "model.safetensors")
    other = {name: value * 0 for name, value in weights.items()}
    save_file(other, first / "teacher.safetensors")
    (first / "manifest.json").unlink()
    durable.write_manifest(first)
    start = read_model(first)
    assert start.file == "teacher.safetensors"
    assert start.weights == (first / "teacher.safetensors").read_bytes()


def test_a_supervised_run_keeps_its_only_phase(stripes, first):
    alone = replace(SETTINGS, phases=SETTINGS.phases[:1])
    assert [phase.method for phase in continue_from(stripes, alone, read_model(first))[1].phases] == ["supervised"]


def test_a_new_class_gets_a_row_of_its_own_and_the_rest_stays(stripes, first, photos, tmp_path):
    given = labels_file(tmp_path, stripes, range(6), ["7.png,dots", "8.png,dots"])
    slow = ImageOptions(epochs=1, learning_rate=1e-12, graph=SETTINGS.graph)
    run_images(ImageSource(photos, given, continue_from=first), slow, tmp_path / "new", QUIET)
    assert read_run(tmp_path / "new").facts["class_names"] == [*stripes.class_names, "dots"]
    old, new = (load_file(folder / "model.safetensors") for folder in (first, tmp_path / "new"))
    assert new["fc1.weight"].shape[0] == len(old["fc1.weight"]) + 1
    assert (new["fc1.weight"][:-1] - old["fc1.weight"]).abs().max() < 1e-6
    assert new["fc1.weight"][-1].abs().max() < 1e-6
    assert load_model(tmp_path / "new").predict(photos).probability.shape[1] == len(stripes.class_names) + 1


def test_the_second_head_gets_a_row_too_and_one_without_direction_says_nothing(first):
    start = read_model(first)
    made = {"fc1.weight": torch.ones(3, 2), "fc1.bias": torch.ones(3), "hidden.weight": torch.ones(3, 2)}
    norm = {
        "fc2.parametrizations.weight.original0": torch.ones(3, 1),
        "fc2.parametrizations.weight.original1": torch.ones(3, 2),
    }
    grown = load(add_classes(replace(start, weights=save(made | norm)), [*start.class_names, "dots"]).weights)
    assert grown["hidden.weight"].shape == (3, 2)
    assert grown["fc1.bias"].tolist() == [1, 1, 1, 0]
    assert grown["fc2.parametrizations.weight.original0"][-1].tolist() == [0]
    assert grown["fc2.parametrizations.weight.original1"][-1].tolist() == [1, 1]


def test_a_class_that_a_network_of_ones_own_does_not_know_is_refused(first):
    start = replace(read_model(first), weights=save({"last.weight": torch.ones(2, 3)}))
    with pytest.raises(ConfigError, match=r"FL-C88 .*'dots'"):
        add_classes(start, [*start.class_names, "dots"])


def test_a_continued_run_has_a_third_of_the_epochs_unless_they_are_named(stripes, first):
    long = replace(SETTINGS, phases=(SETTINGS.phases[0], replace(SETTINGS.phases[1], epochs=12)))
    assert continue_from(stripes, long, read_model(first))[1].phases[-1].epochs == 4
    assert continue_from(stripes, long, read_model(first), epochs=12)[1].phases[-1].epochs == 12


def test_photos_that_are_gone_since_are_warned_of_and_nothing_stops(stripes, first, photos, tmp_path):
    made = RunOptions(quiet=True)
    run_images(
        ImageSource(photos, labels_file(tmp_path, stripes, range(12)), continue_from=first),
        ImageOptions(epochs=1, graph=SETTINGS.graph),
        tmp_path / "second",
        made,
    )
    (photos / "3.png").unlink()
    given = labels_file(tmp_path, stripes, range(12))
    with pytest.warns(InputWarning, match="FL-I56 photos with a label that second had are gone.*3.png"):
        run_images(
            ImageSource(photos, given, continue_from=tmp_path / "second"),
            ImageOptions(epochs=1, graph=SETTINGS.graph),
            tmp_path / "third",
            made,
        )
    assert read_run(tmp_path / "third").results["num_labeled"] == 11
    assert "3.png" in (tmp_path / "third" / "notes.csv").read_text()
    rows = find_changes(read_run(tmp_path / "second"), read_run(tmp_path / "third")).rows()
    assert ["rows that are gone", "1", "3.png"] in rows
    report = report_html([tmp_path / "second", tmp_path / "third"])
    assert "What changed" in report
    assert "3.png" in report


def test_ids_that_the_run_never_had_are_still_an_error(stripes, first, photos, tmp_path):
    given = labels_file(tmp_path, stripes, range(6), ["never.png,dots"])
    with pytest.raises(LabelError, match="FL-L15"):
        run_images(ImageSource(photos, given, continue_from=first), ImageOptions(epochs=1), tmp_path / "new", QUIET)


def test_another_network_by_name_is_refused(stripes, first, photos, tmp_path):
    source = ImageSource(photos, labels_file(tmp_path, stripes, range(6)), continue_from=first)
    with pytest.raises(ConfigError, match=r"FL-C88 .*'cnn13'"):
        run_images(source, ImageOptions(network="cnn13"), tmp_path / "new", QUIET)


def test_images_with_other_channels_are_refused(stripes, first):
    colour = replace(stripes, pixels=stripes.pixels.repeat(3, axis=3))
    with pytest.raises(ConfigError, match=r"FL-C88 .*channels"):
        continue_from(colour, SETTINGS, read_model(first))


def test_a_run_without_a_network_or_with_a_damaged_one_is_refused(first):
    path = first / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="FL-K2"):
        read_model(first)
    path.unlink()
    with pytest.raises(ConfigError, match="FL-C88"):
        read_model(first)


def test_other_start_weights_are_another_task(stripes):
    again = replace(stripes, start_weights=b"weights")
    assert "start_weights" not in stripes.fingerprint()
    assert again.fingerprint() != replace(stripes, start_weights=b"others").fingerprint()
