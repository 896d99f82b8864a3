import numpy as np
import pandas as pd
import pytest

from fewlabels.errors import InputWarning, LabelError
from fewlabels.estimator.labels import code_labels, find_labelled


@pytest.mark.parametrize(
    ("y", "classes", "codes"),
    [
        ([0, 1, -1, 1], [0, 1], [0, 1, -1, 1]),
        ([5, 7, 7], [5, 7], [0, 1, 1]),
        ([1.0, np.nan, 3.0], [1, 3], [0, -1, 1]),
        ([1.0, -1.0, 3.0], [1, 3], [0, -1, 1]),
        (["wren", "", "crow"], ["crow", "wren"], [1, -1, 0]),
        (["wren", None, "crow"], ["crow", "wren"], [1, -1, 0]),
        (np.array(["wren", np.nan, "crow"], object), ["crow", "wren"], [1, -1, 0]),
        (np.array(["wren", -1, "crow"], object), ["crow", "wren"], [1, -1, 0]),
        (pd.Series(["wren", pd.NA, "crow"], dtype="string"), ["crow", "wren"], [1, -1, 0]),
        ([True, False], [False, True], [1, 0]),
        (np.array([2, 3, 255], np.uint8), [2, 3, 255], [0, 1, 2]),
    ],
)
def test_every_way_of_saying_unlabelled(y, classes, codes):
    found = code_labels(y)
    assert found.classes.tolist() == classes
    assert found.codes.tolist() == codes


def test_the_marker_is_what_y_has():
    assert code_labels([0, 1, -1]).marker == -1
    assert code_labels(["a", "", "b"]).marker == ""
    assert code_labels(["a", None, "b"]).marker is None
    assert np.isnan(code_labels([0, 1, np.nan]).marker)


def test_one_value_can_be_named_and_then_no_other_counts():
    found = code_labels([0, 1, 99, -1], unlabeled=99)
    assert (found.classes.tolist(), found.codes.tolist()) == ([-1, 0, 1], [1, 2, -1, 0])
    assert code_labels(["a", "b", "?"], unlabeled="?").codes.tolist() == [0, 1, -1]
    assert code_labels([0, 1, np.nan], unlabeled=np.nan).codes.tolist() == [0, 1, -1]


def test_two_markers_in_one_y_are_refused():
    with pytest.raises(LabelError, match=r"FL-L19 both -1 and NaN among the labels.*unlabeled="):
        code_labels([0.0, -1.0, np.nan])
    with pytest.raises(LabelError, match=r'FL-L19 both None and "" among'):
        code_labels(["a", "", None])


def test_minus_one_and_one_alone_are_two_classes_with_a_warning():
    with pytest.warns(InputWarning, match=r"FL-L20 .*say unlabeled=-1"):
        assert code_labels([-1, 1, 1]).classes.tolist() == [-1, 1]
    assert code_labels([-1, 1, 1], unlabeled=-1).classes.tolist() == [1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.0], "FL-L22 continuous labels, such as 0.5"),
        ([np.inf, 1.0], "FL-L22 continuous"),
        ([-1, -1], "FL-L16 0 labelled of 2 rows"),
        ([None, None], "FL-L16"),
        (np.array(["a", 1, None], object), "FL-L22 labels of mixed types: int, str"),
        (np.array([1j, 2]), "FL-L22 labels have type complex"),
    ],
)
def test_labels_that_are_no_classes(y, message):
    with pytest.raises(LabelError, match=message):
        code_labels(y)


def test_back_again_with_the_marker_where_there_is_no_label():
    labels = code_labels(["wren", "", "crow"])
    assert labels.decode(np.array([0, -1, 1])).tolist() == ["crow", "", "wren"]


def test_numbers_among_objects_become_numbers_and_text_stays_what_it_was():
    assert code_labels([0, 1, None]).classes.dtype.kind == "i"
    assert code_labels([True, False, None]).classes.dtype.kind == "b"
    assert code_labels(["a", "b", None]).classes.dtype.kind == "O"
    assert code_labels([0, 1, None]).decode(np.array([1, -1])).tolist() == [1, None]
    assert code_labels([0, 1, ""]).decode(np.array([1, -1])).tolist() == [1, ""]


def test_labels_change_on_some_rows_as_if_y_had_been_so():
    y = np.array(["a", "", "b", "", "a"], object)
    found = code_labels(y).relabel(np.array([4, 1, 2]), np.array(["c", "b", ""], object), allow_new_classes=True)
    whole = code_labels(["a", "b", "", "", "c"])
    assert (found.classes.tolist(), found.codes.tolist()) == (whole.classes.tolist(), whole.codes.tolist())
    assert found.marker == ""


@pytest.mark.parametrize(
    ("y", "unlabeled", "classes", "expected"),
    [
        ([0, -1, 1], "auto", [0, 1], [1, 0, 1]),
        ([0, -1, 1], "auto", [-1, 0, 1], [1, 1, 1]),
        (["a", "", None], "auto", ["a"], [1, 0, 0]),
        (["a", "?", ""], "?", ["a", ""], [1, 0, 1]),
        ([0.0, np.nan, 1.0], "auto", [], [1, 0, 1]),
        (pd.Series([1, None, 2]), None, [1, 2], [1, 0, 1]),
        (pd.Series(["a", None], dtype="string"), "auto", ["a"], [1, 0]),
    ],
)
def test_which_rows_can_be_scored(y, unlabeled, classes, expected):
    if unlabeled is None:
        unlabeled = np.nan
    assert find_labelled(y, unlabeled, classes).tolist() == [bool(value) for value in expected]
