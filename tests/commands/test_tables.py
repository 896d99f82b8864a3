"""What `fewlabels propagate` ends with on the terminal."""

import numpy as np
import pytest

from fewlabels.commands.propagate import Input, run_propagation
from fewlabels.commands.text import format_propagation
from fewlabels.graph import GraphSettings

RESULTS = {"num_rows": 60, "num_labeled": 5, "certainty": 0.07, "wall_seconds": 1.0}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"num_checked": 50, "num_contradicted": 1},
            "Of 50 given labels, each left out in turn, the others contradict 1",
        ),
        ({"num_checked": 50, "num_contradicted": 0}, "the others contradict 0."),
    ],
)
def test_the_end_says_how_many_given_labels_the_others_contradict(found, words):
    assert words in format_propagation(RESULTS | {"leave_one_out": found})


@pytest.mark.parametrize("found", [None, {"num_checked": 0, "num_contradicted": 0}])
def test_where_no_label_was_checked_nothing_is_said_of_it(found):
    assert "contradict" not in format_propagation(RESULTS | {"leave_one_out": found})


def test_certainty_is_no_probability_unless_it_was_fitted():
    assert "It is no probability; --calibrate" in format_propagation(RESULTS)
    fitted = format_propagation(RESULTS | {"refined": {"temperature": 0.4, "num_held_out": 50}})
    assert "Certainty was fitted on 50 labels held out." in fitted
    assert "no probability" not in fitted
    assert "no probability" in format_propagation(RESULTS | {"refined": {"temperature": None, "num_held_out": 0}})


def test_a_label_that_is_wrong_is_counted_at_the_end(tmp_path):
    rng = np.random.default_rng(0)
    group = np.arange(60) // 30
    np.save(tmp_path / "e.npy", rng.normal(size=(2, 16))[group] + 0.1 * rng.normal(size=(60, 16)))
    given = {row: "ab"[group[row]] for row in (0, 1, 2, 30, 31, 32)} | {3: "b"}
    lines = [f"{row},{label}\n" for row, label in given.items()]
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(lines))
    results = run_propagation(
        Input(tmp_path / "e.npy", tmp_path / "labels.csv"),
        tmp_path / "out.csv",
        tmp_path / "run",
        GraphSettings(n_neighbors=5),
        quiet=True,
    )
    assert results["leave_one_out"] == {"num_labelled": 7, "num_checked": 7, "num_contradicted": 1}
    words = "Of 7 given labels, each left out in turn, the others contradict 1: the report"
    assert words in format_propagation(results)
