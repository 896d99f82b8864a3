"""A run from images to a sealed run folder."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from fewlabels.commands import training
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings, propagate
from fewlabels.nets import ImageInput, NetworkSettings, build_network
from fewlabels.runs import read_run, verify_run
from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings

SETTINGS = TrainSettings(
    phases=(Phase("supervised", 5, 0.05, 6), Phase("lp", 3, 0.05, 6, 18)),
    graph=GraphSettings(n_neighbors=12),
    augment=AugmentSettings(translate=1, flip=False),
    network=NetworkSettings(width=4, dropout=0.1),
)
QUIET = RunOptions(quiet=True)
WRITTEN = {
    "run.json",
    "events.jsonl",
    "results.json",
    "pseudo_labels.parquet",
    "descriptors.npy",
    "insights.json",
    "map.parquet",
    "gallery.parquet",
    "model.safetensors",
    "model.json",
    "report.html",
    "manifest.json",
}


@pytest.fixture(scope="module", autouse=True)
def pictures():
    """They are drawn."""


@pytest.fixture(scope="module")
def whole(stripes, tmp_path_factory):
    """A run's folder, which nobody changes, and its results."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, run_training(stripes, SETTINGS, folder, QUIET)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_ends_in_a_whole_folder(whole):
    folder, results = whole
    assert set(files(folder)) == WRITTEN
    assert verify_run(folder) == []
    run = read_run(folder)
    assert run.results == json.loads(json.dumps(results))
    assert [event["phase"] for event in run.of("epoch")] == ["supervised"] * 5 + ["lp"] * 3
    assert all(len(event["solver_steps"]) == 3 for event in run.of("epoch")[5:])
    assert run.settings["graph"]["n_neighbors"] == 12
    assert run.facts["class_names"] == ["rows", "columns", "plain"]


def test_the_descriptors_that_the_labels_came_from_are_kept_in_the_order_of_the_table(stripes, whole):
    folder, _ = whole
    descriptors = np.load(folder / "descriptors.npy", allow_pickle=False)
    assert (descriptors.dtype, len(descriptors), descriptors.flags.c_contiguous) == (np.float32, 60, True)
    found = propagate(descriptors, stripes.labels, SETTINGS.graph).pseudo_labels
    table = pq.read_table(folder / "pseudo_labels.parquet")
    assert table["label"].to_pylist() == [stripes.class_names[number] for number in found.label]
    assert table["certainty"].to_pylist() == pytest.approx(found.certainty, abs=1e-6)


def test_the_table_has_every_image_with_its_given_or_propagated_label(stripes, whole):
    table = pq.read_table(whole[0] / "pseudo_labels.parquet").to_pydict()
    assert list(table) == ["id", "label", "certainty", "source", "reached"]
    assert table["id"] == list(stripes.ids)
    assert table["source"] == ["given"] * 6 + ["propagated"] * 54
    assert table["label"][:6] == ["rows", "columns", "plain"] * 2
    assert table["certainty"][:6] == [1.0] * 6
    assert set(table["label"]) <= set(stripes.class_names)
    assert all(0 <= value <= 1 for value in table["certainty"])


def test_the_model_loads_back_from_its_two_files(whole):
    folder, _ = whole
    config = json.loads((folder / "model.json").read_text())
    assert config["class_names"] == ["rows", "columns", "plain"]
    network = build_network(NetworkSettings(**config["network"]), ImageInput(**config["image_input"]), 3)
    network.load_state_dict(load_file(folder / "model.safetensors"))


def test_test_images_are_looked_at_a_few_times_and_after_the_last_epoch_of_each_phase(stripes, tmp_path):
    settings = replace(SETTINGS, phases=(Phase("supervised", 120, 0.05, 6), Phase("lp", 2, 0.05, 6, 18)))
    results = run_training(stripes, settings, tmp_path / "run", QUIET)
    errors = [event["test_error"] for event in read_run(tmp_path / "run").of("epoch")]
    assert 1 < sum(error is not None for error in errors[:120]) < 40
    assert errors[119] is not None
    assert results["supervised_error"] == errors[119]
    assert results["lp_error"] == errors[-1] is not None


def test_a_new_run_builds_its_network_once(stripes, tmp_path, monkeypatch):
    built = []

    def counted(*arguments):
        built.append(arguments)
        return build_network(*arguments)

    monkeypatch.setattr(training, "build_network", counted)
    run_training(stripes, replace(SETTINGS, phases=(Phase("supervised", 1, 0.05, 6),)), tmp_path / "run", QUIET)
    assert len(built) == 1


def test_hidden_labels_never_reach_training(stripes, whole, tmp_path):
    """Permute the truth of all unlabelled and all test images: what is learned stays the same to the bit."""
    rng = np.random.default_rng(1)
    lied = stripes.truth.copy()
    lied[6:] = rng.permutation(lied[6:])
    liar = replace(stripes, truth=lied, test_truth=rng.permutation(stripes.test_truth))
    folder, honest = whole
    fooled = run_training(liar, SETTINGS, tmp_path / "fooled", QUIET)
    assert honest["pseudo_label_accuracy_last"] != fooled["pseudo_label_accuracy_last"]
    for name in ("model.safetensors", "pseudo_labels.parquet"):
        assert files(folder)[name] == files(tmp_path / "fooled")[name]


@pytest.mark.parametrize("method", ["match", "strong_lp", "match_lp"])
def test_hidden_labels_reach_no_teacher_of_strong_views(stripes, tmp_path, method):
    rng = np.random.default_rng(1)
    lied = stripes.truth.copy()
    lied[6:] = rng.permutation(lied[6:])
    liar = replace(stripes, truth=lied, test_truth=rng.permutation(stripes.test_truth))
    settings = replace(SETTINGS, phases=(Phase(method, 2, 0.05, 6, 12),))
    for name, told in (("honest", stripes), ("fooled", liar)):
        run_training(told, settings, tmp_path / name, QUIET)
    honest, fooled = (files(tmp_path / name) for name in ("honest", "fooled"))
    for name in ("model.safetensors", "teacher.safetensors", "pseudo_labels.parquet"):
        assert honest[name] == fooled[name]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(stripes, whole, tmp_path):
    for name, seed in [("again", 0), ("other", 1)]:
        run_training(stripes, replace(SETTINGS, seed=seed), tmp_path / name, QUIET)
    one, again, other = (files(folder) for folder in (whole[0], tmp_path / "again", tmp_path / "other"))
    for name in ("model.safetensors", "pseudo_labels.parquet", "model.json"):
        assert one[name] == again[name]
    assert one["model.safetensors"] != other["model.safetensors"]


def test_without_truth_and_test_images_nothing_is_claimed_about_errors(stripes, tmp_path):
    task = replace(stripes, truth=None, test_pixels=None, test_truth=None)
    results = run_training(task, SETTINGS, tmp_path / "run", QUIET)
    unknown = ("supervised_error", "lp_error", "pseudo_label_accuracy_first", "pseudo_label_accuracy_last")
    assert [results[name] for name in unknown] == [None] * 4
    assert results["certainty_right"] is None
    assert sum(results["certainty_histogram"]["all"]) == 54
    assert "unfinished" not in (tmp_path / "run" / "report.html").read_text()


def test_a_folder_with_something_in_it_is_left_alone(stripes, tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ConfigError, match="FL-C9 the output folder is not empty"):
        run_training(stripes, SETTINGS, tmp_path, QUIET)
    assert files(tmp_path) == {"precious.txt": b"mine"}
