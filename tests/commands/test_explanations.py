"""What `--explain` prints and writes."""

import numpy as np
import pyarrow as pa
import pytest

from fewlabels.commands.text import describe_explanation, format_explanation
from fewlabels.graph import GraphSettings, explain_rows, propagate

NAMES = ["ant", "bee"]
ROWS = np.array([[0, 1.0], [0.1, 1], [0.1, 1], [1, 0.3], [1, 0.1], [-1, -0.1], [-1, -0.2]])
LABELS = np.array([0, -1, -1, 1, -1, -1, -1])
IDS = pa.chunked_array([pa.array(list("abc")), pa.array(list("defg"))])


@pytest.fixture
def records():
    settings = GraphSettings(n_neighbors=2)
    with pytest.warns(UserWarning, match="FL-G1 "):
        found = propagate(ROWS, LABELS, settings)
    return [
        describe_explanation(why, IDS, NAMES)
        for why in explain_rows(found, LABELS, range(7), settings, descriptors=ROWS)
    ]


def test_a_record_has_names_instead_of_numbers(records):
    one = records[1]
    assert (one["id"], one["label"], one["given"], one["rows_with_its_embedding"]) == ("b", "ant", False, 2)
    assert set(one["class_shares"]) == set(one["influence_of_classes"]) == set(NAMES)
    assert one["influences"][0]["id"] == "a"
    assert sum(item["share"] for item in one["influences"]) == pytest.approx(1)
    assert {item["id"] for item in one["neighbors"]} <= set("abcdefg")


def test_the_text_names_neighbours_labelled_rows_and_classes(records):
    lines = format_explanation(records[4]).splitlines()
    assert lines[0].startswith("why e: bee, certainty 0.")
    assert any(line.startswith("  class shares: bee ") for line in lines)
    assert any(line.startswith("  strongest neighbours  similarity") for line in lines)
    assert any(line.split()[:2] == ["d", "0.982"] for line in lines)
    assert any(line.startswith("  labelled rows that decided") for line in lines)
    assert lines[-1].startswith("  all labelled rows: bee ")


def test_given_unreached_and_equal_rows_are_said(records):
    assert format_explanation(records[0]).startswith("why a: ant, given\n")
    assert "rows with the same embedding, itself counted: 2" in format_explanation(records[1])
    unreached = format_explanation(records[5])
    assert unreached.startswith("why f: no label\n")
    assert "no label reaches its part of 2 rows: label one of them" in unreached
    assert "labelled rows that decided" not in unreached


def test_columns_of_a_table_stand_below_each_other(records):
    block = next(part for part in format_explanation(records[4]).split("\n\n") if "similarity" in part)
    assert len({len(line) for line in block.splitlines()}) == 1
