import json

import numpy as np
import pytest

from fewlabels.commands.demo import digits_task, run_demo
from fewlabels.commands.text import format_demo, format_seeds
from fewlabels.commands.training import RunOptions
from fewlabels.graph import GraphSettings
from fewlabels.nets.settings import NetworkSettings
from fewlabels.runs import verify_run
from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings

SHORT = TrainSettings(
    phases=(Phase("supervised", 3, 0.05, 30), Phase("lp", 1, 0.05, 30, 70)),
    graph=GraphSettings(n_neighbors=10),
    augment=AugmentSettings(1, flip=False),
    network=NetworkSettings(width=4),
)


def test_the_digits_are_split_once_and_labelled_by_seed():
    one, other = digits_task(0), digits_task(1)
    assert one.pixels.shape == (1347, 16, 16, 1)
    assert one.test_pixels.shape == (450, 16, 16, 1)
    assert (one.test_pixels == other.test_pixels).all()
    assert (one.labels != other.labels).any()
    assert np.bincount(one.labels[one.labels >= 0]).tolist() == [3] * 10
    assert len(set(one.ids)) == 1347
    assert one.pixels.max() == 255
    assert one.facts["source"] == {"kind": "digits"}


def test_several_seeds_make_a_folder_each_and_a_table(few_digits, tmp_path):
    results = run_demo(tmp_path / "demo", [3, 4], RunOptions(quiet=True), settings=SHORT)
    assert results["table"]["lp_error"]["values"] == [
        json.loads((tmp_path / "demo" / f"seed-{seed}" / "results.json").read_text())["lp_error"] for seed in (3, 4)
    ]
    for folder in (tmp_path / "demo", tmp_path / "demo" / "seed-3"):
        assert verify_run(folder) == []
        assert (folder / "report.html").is_file()
    table = format_seeds(results)
    assert "seed 3" in table
    assert "test error, label propagation (%)" in table


def test_the_table_of_one_run_names_what_it_shows(few_digits, tmp_path):
    table = format_demo(run_demo(tmp_path / "demo", [0], RunOptions(quiet=True), settings=SHORT))
    for line in ("30 labels for 300 images", "supervised", "first epoch", "certainty of wrong", "peak memory"):
        assert line in table


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_over_five_seeds_propagation_halves_the_error_and_stays_under_four_percent(tmp_path):
    table = run_demo(tmp_path / "demo", range(5), RunOptions(quiet=True))["table"]
    assert table["lp_error"]["mean"] <= 4.0
    assert table["lp_error"]["mean"] <= table["supervised_error"]["mean"] / 2
    assert table["certainty_right"]["mean"] > table["certainty_wrong"]["mean"]
