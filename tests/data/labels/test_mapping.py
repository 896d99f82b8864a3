"""Labels that Python hands in as a mapping: the rules are those of label files."""

import warnings

import numpy as np
import pandas as pd
import pytest

from fewlabels.data.labels.csv import LabelOptions
from fewlabels.data.labels.files import labels_from_mapping
from fewlabels.errors import InputWarning, LabelError


def meant(labels, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        given = labels_from_mapping(labels, LabelOptions(**options))
    return dict(zip(given.ids, given.labels, strict=True))


@pytest.mark.parametrize(
    "word", ["nan", "NULL", "<NA>", "-1", "-1.0", -1, np.int64(-1), "", None, np.nan, pd.NA, pd.NaT]
)
def test_what_means_no_label_in_a_file_means_none_in_a_mapping(word):
    assert meant({"a": "cat", "b": "dog", "c": word}) == {"a": "cat", "b": "dog", "c": None}


def test_words_that_mean_no_label_are_told_and_noted():
    with pytest.warns(InputWarning, match=r"FL-L45 words that mean no label at 2 labels from Python.*'nan' \(1\)"):
        given = labels_from_mapping({"a": "cat", "b": "nan"})
    assert [note.code for note in given.left_out] == ["L45"]


@pytest.mark.parametrize("word", ["unknown", "?", 255, "a;b", ["a", "b"]])
def test_what_can_be_a_class_or_several_stops(word):
    with pytest.raises(LabelError, match=r"FL-L(44|46|22)"):
        labels_from_mapping({"x": "0", "y": "1", "z": "a", "w": word} if word != 255 else {"x": 0, "y": 1, "w": word})


def test_options_settle_the_words_of_a_mapping():
    labels = {"a": "cat", "b": "unknown", "c": "NA"}
    assert meant(labels, no_label=["unknown"], real_label=["NA"]) == {"a": "cat", "b": None, "c": "NA"}


def test_numbers_are_their_texts_on_both_sides():
    labels = {0: 1, np.int64(1): np.int8(2), "2": 3.0, "x": np.float32(4), 5: True}
    assert meant(labels) == {"0": "1", "1": "2", "2": "3", "x": "4", "5": "True"}


def test_a_series_as_a_mapping_is_read():
    assert meant(pd.Series(["cat", None, "dog"]).to_dict()) == {"0": "cat", "1": None, "2": "dog"}


def test_two_keys_of_one_id_are_no_two_labels():
    with pytest.raises(LabelError, match="FL-L14"):
        labels_from_mapping({1: "cat", "1": "dog"})


@pytest.mark.parametrize("labels", [{"a": 1.5}, {"a": b"cat"}, {1.0: "cat"}, {True: "cat"}, {"": "cat"}, {"a": np.inf}])
def test_other_ids_and_labels_are_refused(labels):
    with pytest.raises(LabelError, match="FL-L22"):
        labels_from_mapping(labels)
