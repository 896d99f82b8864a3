import re
from dataclasses import replace

import pytest

from fewlabels.errors import ConfigError, RunError
from fewlabels.report import gather, report_html
from fewlabels.report.words import MEANINGS, Summary, describe_length, describe_phases, format_number, summarize
from fewlabels.runs import RunWriter


def test_one_run_says_what_happened_with_its_numbers(make_run):
    report = gather([make_run()])
    assert report.title == "birds"
    assert report.sentence == (
        "From 6 labels for 1,200 images, label propagation brought the test error from 20.5 % to 5.2 %."
    )
    assert [(card.name, card.value) for card in report.cards] == [
        ("Test error, labels alone", "20.50 %"),
        ("Test error, label propagation", "5.25 %"),
        ("Right at the end", "94.75 %"),
        ("Time", "61 s"),
    ]
    assert [row[:2] for row in report.more[1:]] == [
        ["Right at first", "81.00 %"],
        ["Certainty of right ones", "87.0 %"],
        ["Certainty of wrong ones", "31.0 %"],
    ]
    assert ("edges", "9,876") in report.health
    assert report.solver[1:] == [["crow", "31", "8.4e-07", "yes"], ["wren", "42", "9.1e-07", "yes"]]
    assert ("graph.alpha", "0.99") in report.settings
    assert report.finished
    assert report.warnings == report.table == report.differences == []


def test_at_most_six_numbers_are_cards_and_none_is_lost(make_run, results, insights):
    everything = results | dict.fromkeys(MEANINGS, 0.5) | {"unreached": 3}
    report = gather([make_run(results=everything, insights=insights())])
    assert len(report.cards) == 6
    names = [card.name for card in report.cards] + [row[0] for row in report.more[1:]]
    expected = {name for key, (name, _, _) in MEANINGS.items() if key != "certainty"} | {"Given labels contradicted"}
    assert len(names) == len(set(names))
    assert set(names) == expected


def test_what_the_other_labels_say_of_the_given_ones_is_a_card_right_after_the_errors(make_run, insights):
    report = gather([make_run(insights=insights())])
    assert [card.name for card in report.cards[:3]][2] == "Given labels contradicted"
    assert report.cards[2].value == "1 of 5"


def test_a_curve_knows_where_propagation_begins(make_run):
    curve = gather([make_run()]).curves[0]
    assert curve.error == [50.0, 40.0, 30.0, 20.0]
    assert curve.accuracy == [None, None, 82.0, 83.0]
    assert curve.steps == [1, 1, 3, 3]
    assert curve.first_of_last_phase == 2
    assert curve.measured == [(1, 50, False), (2, 40, False), (5, 30, True), (8, 20, True)]


def test_where_truth_is_unknown_no_number_about_it_is_shown(make_run, results):
    unknown = dict.fromkeys(
        ("supervised_error", "lp_error", "pseudo_label_accuracy_last", "certainty_right", "certainty_wrong")
    )
    report = gather([make_run(results=results | unknown)])
    assert report.sentence == "6 labels were spread to 1,194 other rows of 1,200."
    assert [card.name for card in report.cards] == ["Right at first", "Mean certainty", "Time"]


MEAN_TEACHER = {"mean_teacher_error": 31.0, "mean_teacher_teacher_error": 30.0}
WITH_PROPAGATION = {"mt_lp_error": 24.0, "mt_lp_teacher_error": 22.5}


@pytest.mark.parametrize(
    ("methods", "found", "words"),
    [
        (("supervised", "mt_lp"), WITH_PROPAGATION, "Mean Teacher with label propagation brought .* 20.5 % to 22.5 %"),
        (("mean_teacher", "mt_lp"), MEAN_TEACHER | WITH_PROPAGATION, "label propagation brought .* 30.0 % to 22.5 %"),
        (("supervised", "pi_model"), {"pi_model_error": 19.0}, "the Pi-model brought .* from 20.5 % to 19.0 %"),
        (("mean_teacher", "mean_teacher"), MEAN_TEACHER, "Mean Teacher came to a test error of 30.0 %"),
        (("supervised", "supervised"), {}, "training on the labels alone came to a test error of 20.5 %"),
    ],
)
def test_the_headline_compares_the_first_phase_with_the_last_by_its_teacher(make_run, results, methods, found, words):
    report = gather([make_run(results=results | found, methods=methods)])
    assert re.search(f"From 6 labels for 1,200 images, .*{words.replace('brought', '(brought|took)')}", report.sentence)


def test_every_error_of_a_run_is_shown_and_those_of_teachers_are_cards(make_run, results):
    report = gather([make_run(results=results | MEAN_TEACHER | WITH_PROPAGATION)])
    cards = [(card.name, card.value) for card in report.cards]
    assert ("Test error, Mean Teacher", "30.00 %") in cards
    assert ("Test error, Mean Teacher with label propagation", "22.50 %") in cards
    assert ["The same, its student", "24.00 %"] in [row[:2] for row in report.more]


def test_the_teachers_error_is_the_curve_where_one_teaches(make_run):
    curve = replace(gather([make_run()]).curves[0], teacher_error=[None, None, 25.0, 15.0])
    assert [error for _, error, _ in curve.measured] == [50, 40, 25, 15]


def test_where_a_phase_begins_with_a_high_learning_rate_the_dip_is_explained(make_run):
    plain = gather([make_run()]).curves[0]
    assert describe_phases(plain)[1].endswith("the network learns from all images.")
    risen = replace(plain, rate=[0.05, 0.001, 0.1, 0.002], error=[50.0, 40.0, 55.0, 20.0])
    assert describe_phases(risen)[1].endswith("may rise before it falls: here from 40.0 % to 55.0 %.")
    worse = replace(risen, error=[50.0, 40.0, 55.0, 45.0])
    assert describe_phases(worse)[1].endswith("falls; here it went from 40.0 % up to 55.0 % and came to 45.0 %.")
    fallen = replace(risen, error=[50.0, 40.0, 30.0, 20.0])
    assert describe_phases(fallen)[1].endswith("may rise before it falls.")
    assert describe_phases(replace(risen, rate=[0.05, 0.05, 0.05, 0.05]))[1].endswith("from all images.")


@pytest.mark.parametrize(
    ("steps", "phases", "words"),
    [
        ([10, 10, 200, 201], [0, 0, 1, 1], "The first phase had 20 steps and the second 401: part of the difference"),
        ([1, 0, 2000, 1], [0, 0, 1, 1], "The first phase had 1 step and the second 2,001: part of the difference"),
        ([1, 3, 50, 50], [0, 1, 2, 2], "The last phase but one had 3 steps and the last 100: part of the difference"),
        ([10, 10, 200, 200], [0, 0, 1, 1], None),
        ([1, 1, 1, 500], [0, 0, 0, 0], None),
    ],
)
def test_where_the_last_phase_trained_far_longer_a_note_says_so(make_run, steps, phases, words):
    curve = replace(gather([make_run()]).curves[0], steps=steps, phase=phases)
    note = describe_length(curve)
    assert note is None if words is None else note.startswith(words)
    assert describe_length(replace(curve, error=[None, None, 30.0, 20.0])) is None


def test_the_note_on_longer_training_is_no_alarm_and_stands_once_for_repeats(make_run):
    note = "The first phase had 2 steps and the second 600: part of the difference may be the longer training."
    a, b = make_run("a", last_steps=300), make_run("b", last_steps=300, seed=1)
    assert gather([a]).notes == gather([a, b]).notes == [note]
    assert f'<p class="note">{note}</p>' in report_html([a])
    other = make_run("c", alpha=0.5)
    assert gather([a, other]).notes == [f"a: {note}"]
    assert gather([other]).notes == gather([make_run("d", last_steps=300, finished=False)]).notes == []


def test_what_guards_saw_and_how_a_run_was_taken_up_is_told(make_run):
    folder = make_run(finished=False)
    writer = RunWriter.reopen(folder)
    writer.event("guard", guard="loss", phase_index=1, message="phase 2 (lp), epoch 3: the loss is 7")
    writer.note_resume(12, [])
    writer.note_resume(1500, ["threads: 2 -> 1"])
    with (folder / "resumed.jsonl").open("a") as file:
        file.write('{"when": "20')  # torn by a kill: no result depends on it
    report = gather([folder])
    assert report.warnings == [
        "run: Training looked wrong in phase 2 (lp), epoch 3: the loss is 7.",
        "run: It was taken up at step 1,500 although threads: 2 -> 1: not to the byte an undisturbed run.",
    ]
    assert ("taken up again", "2 times, after step 12, 1,500") in report.origin


def test_speed_and_processes_are_told(tmp_path):
    RunWriter(tmp_path / "run", "train", {}, speed="fast", processes=2)
    origin = dict(gather([tmp_path / "run"]).origin)
    assert (origin["speed"], origin["processes"]) == ("fast", "2")


def test_a_worse_error_is_not_called_brought(make_run, results):
    report = gather([make_run(results=results | {"lp_error": 33.0})])
    assert "took the test error from 20.5 % to 33.0 %" in report.sentence


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"unreached": 7}, "No label reaches 7 of 1,200 rows"),
        ({"num_rejected": 3}, "3 images could not be read"),
        ({"notes": {"L5": 2, "I10": 1}}, "3 rows or images of the input were not taken as they are: see notes.csv"),
        ({"solver": {"steps": [9, 9], "residual": [1, 1], "converged": [True, False]}}, "early for 1 of 2 classes"),
    ],
)
def test_what_needs_attention_is_a_warning(make_run, results, changed, words):
    (line,) = gather([make_run(results=results | changed)]).warnings
    assert line.startswith("run: ")
    assert words in line


def test_runs_that_differ_by_seed_alone_have_a_mean_and_a_deviation(make_run, results):
    runs = [make_run(f"s{seed}", results | {"lp_error": float(seed)}, seed=seed) for seed in (3, 4, 8)]
    report = gather(runs)
    assert report.repeats
    assert report.sentence.endswith("from 20.5 % to 5.0 % on average over 3 runs.")
    assert report.table[0] == ["result", "s3", "s4", "s8", "mean", "std"]
    assert ["Test error, label propagation (%)", "3.00", "4.00", "8.00", "5.00", "2.65"] in report.table
    assert report.cards == report.differences == []


def test_runs_with_other_settings_are_compared_without_a_mean(make_run):
    report = gather([make_run("a", alpha=0.9), make_run("b", alpha=0.5, seed=1)])
    assert not report.repeats
    assert report.table[0] == ["result", "a", "b"]
    assert report.differences == [["what", "a", "b"], ["graph.alpha", "0.9", "0.5"]]
    assert report.sentence == "2 runs that differ in their settings or data, side by side."


def test_the_same_settings_on_other_data_are_no_repeats(make_run):
    report = gather([make_run("a"), make_run("b", title="fish")])
    assert not report.repeats
    assert report.differences == [["what", "a", "b"], ["title", "birds", "fish"]]
    assert report.title == "a beside b"


def test_a_folder_of_seeds_stands_for_the_runs_in_it(make_run, tmp_path):
    RunWriter(tmp_path / "all", "seeds", {}, title="birds over seeds", seeds=[0, 1, 2])
    for seed in (0, 1):  # the third has not begun
        make_run(f"all/seed-{seed}", seed=seed)
    report = gather([tmp_path / "all"])
    assert report.title == "birds over seeds"
    assert [curve.name for curve in report.curves] == ["seed-0", "seed-1"]
    assert not report.finished


def test_an_unfinished_run_shows_what_it_has(make_run):
    report = gather([make_run(finished=False)])
    assert not report.finished
    assert "has not ended" in report.sentence
    assert len(report.curves[0].error) == 4
    assert report.cards == report.health == report.solver == []


def test_no_folder_and_a_damaged_folder_are_errors(make_run):
    with pytest.raises(ConfigError, match="FL-C25"):
        gather([])
    for folder, words in ((make_run("a", finished=False), "damaged line"), (make_run("b"), "")):
        (folder / "events.jsonl").write_text('{"event": "epo')
        with pytest.raises(RunError, match=f"FL-K2 {words}"):
            gather([folder])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "%", "-"),
        (1234567, "", "1,234,567"),
        (4.0, "%", "4.00 %"),
        (0.31, "share", "31.0 %"),
        (0.42, "s", "0.4 s"),
        (61.4, "s", "61 s"),
        (1165.0, "s", "19 min"),
        (7500.0, "s", "2 h 5 min"),
        (7200.0, "s", "2 h"),
    ],
)
def test_numbers_as_text(value, unit, text):
    assert format_number(value, unit) == text


@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [
        ([1.0, 2.0, 6.0], 3, pytest.approx(7**0.5)),
        ([4.0], 4, None),
        ([], None, None),
        ([1.0, None, 6.0], None, None),
        ([None], None, None),
    ],
)
def test_mean_and_deviation_by_hand(values, mean, std):
    assert summarize(values) == Summary(values, mean, std)


def test_a_mean_that_not_every_run_has_a_part_in_is_not_told(make_run, results):
    some = [make_run(f"s{seed}", results | {"lp_error": error}, seed=seed) for seed, error in ((3, 3.0), (4, None))]
    report = gather(some)
    assert ["Test error, label propagation (%)", "3.00", "-", "-", "-"] in report.table
    assert "on average over 2 runs" not in report.sentence
