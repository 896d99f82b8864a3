"""What a report says first: how good the labels are, and what to do next."""

import pytest

from fewlabels.report import report_html
from fewlabels.report.gather import gather


@pytest.mark.parametrize(
    ("error", "words"),
    [(2.0, "Good: about 2.0 % are wrong"), (12.0, "Usable, with a look"), (45.0, "Not good enough: about 45.0 %")],
)
def test_the_judgement_follows_the_share_of_wrong_ones_and_names_who_says_so(make_run, results, error, words):
    verdict = gather([make_run(results=results | {"lp_error": error})]).verdict
    assert verdict.judgement.startswith(words)
    assert "the test images say so" in verdict.judgement


def test_without_test_images_the_true_labels_speak(make_run, results):
    verdict = gather([make_run(results=results | {"pseudo_label_accuracy_last": 90.0, "lp_error": None})]).verdict
    assert verdict.judgement == (
        "Usable, with a look at the doubtful ones: about 10.0 % are wrong; the true labels say so."
    )


def test_where_nothing_is_known_it_is_said_and_the_next_step_is_to_answer(make_run, results):
    verdict = gather([make_run(results=results | {"pseudo_label_accuracy_last": None, "lp_error": None})]).verdict
    assert "not known" in verdict.judgement
    assert verdict.step.startswith("Answer what is asked first")
    assert verdict.command == "fewlabels review run"


def test_rows_that_no_label_reaches_come_first_and_good_labels_are_taken(make_run, results):
    lost = gather([make_run("a", results | {"unreached": 7})]).verdict
    assert lost.step == "Label one of each group of the 7 rows that no label reaches"
    good = gather([make_run("b", results | {"lp_error": 1.0})]).verdict
    assert good.command == "fewlabels export b --all --out labels.csv"


def test_contradicted_labels_are_looked_at_before_more_is_labelled(make_run, insights):
    verdict = gather([make_run(insights=insights())]).verdict
    assert verdict.step.startswith("Look at the 1 given label that the others contradict")


def test_an_unfinished_run_and_a_comparison_have_no_verdict(make_run):
    assert gather([make_run("a", finished=False)]).verdict is None
    assert gather([make_run("b"), make_run("c", alpha=0.5)]).verdict is None


def test_the_verdict_stands_before_everything_and_the_solver_is_folded_at_the_end(make_run):
    html = report_html([make_run()])
    assert html.index('class="verdict"') < html.index('class="lead"') < html.index("<h2")
    assert html.index('<details id="graph"') > html.index("Versions")
