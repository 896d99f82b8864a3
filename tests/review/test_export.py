"""Labels out of a review: CSV, Parquet, Label Studio."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from fewlabels.data.labels.files import read_labels
from fewlabels.errors import ConfigError
from fewlabels.review.engine.engine import Engine
from fewlabels.review.export import Form, export_labels
from tests.review.review_items import items_of

ANSWERS = {10: "b", 0: "c", 20: "a"}


@pytest.fixture(scope="module")
def opened():
    items = replace(items_of(n=60), ids=["=1+1", "-x", *(f"id{row}" for row in range(2, 60))])
    return items, Engine(items, {row: "abc".index(name) for row, name in ANSWERS.items()})


def table(data):
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_the_csv_has_given_and_answered_rows_by_id_and_answers_first(opened):
    items, engine = opened
    rows = table(export_labels(items, engine.state, ANSWERS, "csv"))
    assert [row["id"] for row in rows] == [items.ids[row] for row in (*range(6), 10, 20)]
    assert [row["label"] for row in rows] == ["c", "b", "c", "a", "b", "c", "b", "a"]


def test_the_csv_can_be_read_again_whatever_the_ids(opened, tmp_path):
    items, engine = opened
    (tmp_path / "reviewed.csv").write_bytes(export_labels(items, engine.state, ANSWERS, "csv"))
    again = read_labels(tmp_path / "reviewed.csv")
    assert again.ids[0] == "=1+1"
    assert len(again.ids) == 8


def test_all_rows_come_with_certainty_and_source_and_are_safe_in_a_spreadsheet(opened):
    items, engine = opened
    rows = table(export_labels(items, engine.state, ANSWERS, "csv", form=Form(everything=True)))
    assert len(rows) == 60
    assert [row["id"] for row in rows[:3]] == ["'=1+1", "'-x", "id2"]
    assert {row["source"] for row in rows} == {"given", "answered", "propagated"}
    np.testing.assert_allclose([float(row["certainty"]) for row in rows], engine.state.certainty, atol=1e-5)
    plain = table(export_labels(items, engine.state, ANSWERS, "csv", form=Form(everything=True, excel_safe=False)))
    assert plain[0]["id"] == "=1+1"


def test_parquet_has_the_same_rows(opened):
    items, engine = opened
    found = pq.read_table(io.BytesIO(export_labels(items, engine.state, ANSWERS, "parquet")))
    rows = table(export_labels(items, engine.state, ANSWERS, "csv"))
    assert found.to_pylist() == rows


def test_label_studio_gets_annotations_for_people_and_predictions_for_the_graph(opened):
    items, engine = opened
    tasks = json.loads(export_labels(items, engine.state, ANSWERS, "label-studio", event=7))
    assert len(tasks) == 60
    assert tasks[10]["data"] == {"id": "id10", "text": "id10", "note": items.texts["note"][10]}
    choice = tasks[10]["annotations"][0]["result"][0]
    assert choice == {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["b"]}}
    guess = tasks[11]["predictions"][0]
    assert guess["result"][0]["value"]["choices"] == [items.class_names[engine.state.label[11]]]
    assert guess["score"] == pytest.approx(engine.state.certainty[11], abs=1e-6)
    assert guess["model_version"] == "fewlabels-7"
    assert "predictions" not in tasks[10]
    assert "annotations" not in tasks[11]


def test_label_studio_finds_images_below_an_address(opened):
    items, engine = opened
    pictures = replace(items, ids=["a b/#1&ü?.png", *items.ids[1:]], kind="images", pictures=object())
    for address, shown in {"": "a b/#1&ü?.png", "http://x/?d=": "http://x/?d=a%20b/%231%26%C3%BC%3F.png"}.items():
        tasks = json.loads(export_labels(pictures, engine.state, {}, "label-studio", form=Form(images_at=address)))
        assert tasks[0]["data"]["id"] == "a b/#1&ü?.png"
        assert tasks[0]["data"]["image"] == shown
    rows = json.loads(export_labels(items, engine.state, {}, "label-studio", form=Form(images_at="http://x/")))
    assert rows[2]["data"]["text"] == "id2"


def test_saved_answers_count_even_where_the_graph_has_not_taken_them_in(opened):
    items, _ = opened
    engine = Engine(items, {30: 1})
    rows = table(export_labels(items, engine.state, {31: "c"}, "csv", form=Form(everything=True)))
    assert (rows[31]["label"], rows[31]["source"], rows[31]["certainty"]) == ("c", "answered", "1")
    assert rows[30]["source"] == "propagated"


def test_rows_without_a_label_stay_empty():
    items = items_of(n=60, labelled=0)
    engine = Engine(items, {})
    rows = table(export_labels(items, engine.state, {}, "csv", form=Form(everything=True)))
    assert {(row["label"], row["source"]) for row in rows} == {("", "none")}
    assert export_labels(items, engine.state, {}, "csv") == b"id,label\r\n"
    assert "annotations" not in json.loads(export_labels(items, engine.state, {}, "label-studio"))[0]


def test_another_kind_is_refused(opened):
    with pytest.raises(ConfigError, match="FL-C89"):
        export_labels(opened[0], opened[1].state, {}, "xlsx")
