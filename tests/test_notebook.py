"""How a propagation and a run show themselves in a notebook."""

import warnings
from html.parser import HTMLParser

import numpy as np
import pytest

import fewlabels
from fewlabels.notebook import count_text, html_table
from fewlabels.runs import RunWriter, read_run
from tests.graph.cases import LABELS, ROWS, island

HOSTILE = "<script>alert('x')</script>\"&\u202e"


class Cells(HTMLParser):
    """The text of a table, cell by cell; anything but the tags of a table is a fault."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = set(), [], False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.open = tag in ("th", "td", "b")
        if self.open:
            self.texts.append("")

    def handle_data(self, data):
        assert self.open
        self.texts[-1] += data

    def rows(self):
        assert self.tags <= {"table", "caption", "b", "tbody", "tr", "th", "td"}
        return dict(zip(self.texts[1::2], self.texts[2::2], strict=True))


def rows_of(thing):
    return Cells(thing._repr_html_()).rows()


@pytest.mark.filterwarnings("ignore:FL-G24")  # 30 rows a class, and 50 neighbours
def test_a_propagation_shows_its_labels_its_graph_and_its_solver():
    shown = rows_of(fewlabels.propagate(ROWS, LABELS, "paper", class_names=["ant", "bee", HOSTILE]))
    assert shown["rows"] == "90, 9 of them labelled"
    assert shown["reached"] == "90"
    assert "ant 25" in shown["classes"]
    assert "<script>alert('x')</script>\"&\ufffd 30" in shown["classes"]
    assert shown["certainty at 5, 25, 50, 75, 95 %"].count(",") == 4
    assert shown["graph"].startswith("90 nodes, ")
    assert shown["neighbours"] == "50 of each node, 100.0 % of the true ones"
    assert "steps at most, relative residual up to" in shown["solver"]
    assert "not solved" not in shown


def test_rows_without_a_label_and_classes_without_a_solution_are_shown():
    rows, labels = island(ROWS, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = fewlabels.propagate(rows, labels, fewlabels.GraphSettings(n_neighbors=5, max_steps=1))
    shown = rows_of(result)
    assert shown["reached"] == "90; 12 rows have no label"
    assert shown["not solved"] == "3 of 3 classes"
    assert len(shown["classes"].split(", ")) == 3


def test_a_propagation_of_labelled_rows_alone_is_shown_without_certainty():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = fewlabels.propagate(ROWS[:6], np.arange(6) % 3)
    assert "certainty at 5, 25, 50, 75, 95 %" not in rows_of(result)


def test_an_answer_shows_what_answers_and_why_with_its_error():
    shown = rows_of(fewlabels.propagate(ROWS, LABELS, class_names=["ant", "bee", HOSTILE]))
    assert shown["rows"] == "90, 9 of them labelled"
    assert " % " in shown["answers"]
    assert shown["why"]
    assert "95 % interval" in shown["cross-validated error"]


def test_a_run_shows_its_settings_and_results(tmp_path):
    folder = tmp_path / "a<b>&c"
    phases = [{"epochs": 4, "method": "supervised"}, {"epochs": 2, "method": "lp"}]
    graph = {"n_neighbors": 5, "gamma": 3.0, "alpha": 0.99, "mode": "paper"}
    settings = {"graph": graph, "phases": phases, "network": {"name": HOSTILE}}
    writer = RunWriter(folder, "train", settings, title=HOSTILE, seed=7)
    assert rows_of(read_run(folder))["state"] == "unfinished"
    writer.results(
        {
            "class_names": ["ant", HOSTILE],
            "num_rows": 1200,
            "num_labeled": 30,
            "class_counts": {"given": [20, 10], "propagated": [500, 670]},
            "certainty": 0.51234,
            "lp_error": 12.5,
            "supervised_error": None,
            "unreached": 0,
            "wall_seconds": 61.4,
        }
    )
    writer.report("<html></html>")
    writer.finish()
    run = read_run(folder)
    shown = rows_of(run)
    assert shown["state"] == "finished"
    assert shown["rows"] == "1,200, 30 of them labelled"
    assert shown["classes"] == "<script>alert('x')</script>\"&\ufffd 680, ant 520"
    assert shown["training"] == "4 epochs of supervised, then 2 epochs of lp"
    assert shown["graph"] == "n_neighbors 5, gamma 3.0, alpha 0.99, mode paper"
    assert shown["seed"] == "7"
    assert shown["test error, lp"] == "12.50 %"
    assert not {"without a label", "test error, supervised"} & set(shown)
    assert shown["report"] == str(folder / "report.html")
    assert "<script" not in run._repr_html_()


def test_a_run_of_seeds_is_shown(tmp_path):
    RunWriter(tmp_path / "run", "seeds", {"recipe": "digits_lp"}, title="digits", seeds=[0, 1])
    assert rows_of(read_run(tmp_path / "run"))["kind"] == "seeds"


@pytest.mark.parametrize("count", [3, 10, 25])
def test_of_many_classes_the_largest_are_named(count):
    text = count_text([f"c{number}" for number in range(count)], list(range(count)))
    assert text.startswith(f"c{count - 1} {count - 1}, ")
    assert text.endswith("and 15 more classes") == (count == 25)


def test_a_long_cell_is_cut():
    assert len(html_table("t", [("name", "x" * 10_000)])) < 500
