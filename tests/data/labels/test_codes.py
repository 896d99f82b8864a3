"""Labels joined to the data, case by case of the catalogue of bad input."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from fewlabels.data.labels.files import UNLABELED, LabelFile, encode_labels, join_labels
from fewlabels.errors import InputWarning, LabelError


def given(pairs: dict[str, str | None]) -> LabelFile:
    return LabelFile(
        ids=list(pairs), labels=list(pairs.values()), source="labels.csv", lines=list(range(2, 2 + len(pairs)))
    )


def test_joins_by_id_and_never_by_position():
    labels = join_labels(["c", "b", "a"], given({"a": "x", "c": "y"}))
    assert labels.class_names == ["x", "y"]
    assert labels.codes.dtype == np.int64
    assert labels.codes.tolist() == [1, UNLABELED, 0]


def test_an_id_matches_exactly_or_not_at_all():
    with pytest.raises(LabelError) as caught:
        join_labels(["007", "1.0"], given({"7": "x", "1": "y", "007": "z"}))
    assert caught.value.code == "FL-L15"
    assert caught.value.rows == ["7", "1"]
    assert "at labels.csv:2" in str(caught.value)
    assert "ids of the data look like '007'" in str(caught.value)


def test_unknown_ids_are_left_out_when_asked():
    with pytest.warns(InputWarning, match="FL-L15 1 of 3 labels are left out"):
        labels = join_labels(["a", "b"], given({"a": "x", "q": "only here", "b": "y"}), ignore_unknown_ids=True)
    assert labels.class_names == ["x", "y"]


@pytest.mark.parametrize(
    ("case", "ids", "pairs", "options"),
    [
        ("L16", ["a"], {"a": None}, {}),
        ("L16", ["a"], {"b": "x"}, {"ignore_unknown_ids": True}),
        ("L15", [], {"b": "x"}, {}),
        ("L33", ["a", "a"], {"a": "x"}, {}),
        ("L34", ["a", "b"], {"a": "x", "b": "z"}, {"class_names": ["x", "y"]}),
        ("L35", ["a", "b"], {"a": "x", "b": "y"}, {"class_names": ["x", "y", "x"]}),
    ],
)
def test_refuses_a_join(case, ids, pairs, options):
    with pytest.raises(LabelError) as caught:
        join_labels(ids, given(pairs), **options)
    assert caught.value.code == f"FL-{case}"


def test_a_label_outside_the_declared_classes_is_found_in_the_file():
    with pytest.raises(LabelError, match=r"labels\.csv:3.*such row \(z\)"):
        join_labels(["a", "b"], given({"a": "x", "b": "z"}), class_names=["x", "y"])


def test_declared_class_names_fix_the_order():
    labels = join_labels(["a", "b"], given({"a": "x", "b": "y"}), class_names=["y", "w", "x"])
    assert (labels.codes.tolist(), labels.class_names) == ([2, 0], ["y", "w", "x"])


def test_one_labelled_class_is_worth_a_warning():
    with pytest.warns(InputWarning, match="FL-L17 only one class is labelled \\('x'\\)"):
        labels = join_labels(["a", "b"], given({"a": "x"}), class_names=["w", "x"])
    assert labels.codes.tolist() == [1, UNLABELED]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "Cat"),
        ("cat", "cat "),
        ("a cat", "a\u00a0cat"),
        ("cat", "cat\u200b"),
        ("café", unicodedata.normalize("NFD", "café")),
    ],
)
def test_classes_that_look_alike_are_kept_apart_with_a_warning(one, other):
    with pytest.warns(
        InputWarning, match=r"FL-L21 .*\(1 labelled\) and .*; if they are one class, write its name alike"
    ):
        labels = join_labels(["a", "b"], given({"a": one, "b": other}))
    assert sorted(labels.class_names) == sorted([one, other])


def test_minus_one_and_one_are_two_classes_with_a_warning():
    with pytest.warns(InputWarning, match="FL-L20"):
        assert encode_labels(["-1", "1"]).class_names == ["-1", "1"]


@pytest.mark.parametrize("names", [["-1", "0", "3"], ["-1", "cat"], ["-1"]])
def test_minus_one_beside_other_classes_is_refused_as_ambiguous(names):
    with pytest.raises(LabelError, match=r"FL-L19 the label '-1' .* leave the cell empty"):
        encode_labels(names)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["10", "9", None, "2"], ["2", "9", "10"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        (["10", "9", "007"], ["007", "10", "9"]),
        (["5", "-3"], ["-3", "5"]),
        ([None, None], []),
    ],
)
def test_classes_are_ordered_as_numbers_only_if_all_are_plain_numbers(names, order):
    labels = encode_labels(names)
    assert labels.class_names == order
    assert [order[code] if code != UNLABELED else None for code in labels.codes] == names
