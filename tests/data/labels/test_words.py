"""What the cells of a label file mean: words for no label, one class however it is written, several labels at once."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from fewlabels.data.labels.by_position import read_labels_by_position
from fewlabels.data.labels.csv import LabelOptions
from fewlabels.data.labels.files import join_labels, read_labels
from fewlabels.data.labels.words import settle
from fewlabels.errors import InputWarning, LabelError


def meant(*labels, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return settle(labels, "l.csv", LabelOptions(**options))[0]


@pytest.mark.parametrize(
    "word", ["nan", "NaN", "None", "NA", "N/A", "NULL", "<NA>", "\\N", "#N/A", "b''", "NaT", " nan "]
)
def test_a_word_that_programs_write_for_nothing_is_no_label_and_is_told(word):
    with pytest.warns(InputWarning, match="FL-L45 words that mean no label at l.csv: .* \\(2\\); .*--real-label"):
        labels, notes = settle(["cat", word, word, None], "l.csv", LabelOptions())
    assert labels == ["cat", None, None, None]
    assert [(note.code, note.note) for note in notes] == [("L45", f"{word!r} in 2 rows means no label")]


def test_all_words_are_told_in_one_line():
    with pytest.warns(InputWarning) as caught:
        settle(["cat", "nan", "NULL", "nan"], "l.csv", LabelOptions())
    assert [str(one.message).split(";")[0] for one in caught] == [
        "FL-L45 words that mean no label at l.csv: 'nan' (2), 'NULL' (1)"
    ]


@pytest.mark.parametrize(
    "word", ["unknown", "Unknown", "UNLABELED", "unlabelled", "?", "-", "none", "na", "missing", "TBD"]
)
def test_a_word_that_can_be_a_class_stops_and_names_the_options(word):
    with pytest.raises(LabelError, match=r"FL-L46 .*--no-label .* if it means none, --real-label .* if it is a class"):
        meant("cat", word)
    assert meant("cat", word, no_label=[word]) == ["cat", None]
    assert meant("cat", word, real_label=[word]) == ["cat", word]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-1", "0", "2"], [None, "0", "2"]),
        (["-1.0", "cat"], [None, "cat"]),
        (["-1", None], [None, None]),
        (["-1", "1"], ["-1", "1"]),
        (["-1.0", "1.0"], ["-1", "1"]),
        (["-1", "+1"], ["-1", "1"]),
        (["-1", "1", "nan"], ["-1", "1", None]),
        (["1", "1.0", "2"], ["1", "1", "2"]),
        (["1.000", "2.0"], ["1", "2"]),
        (["1,0", "2,0"], ["1", "2"]),
        (["1.0", "cat"], ["1.0", "cat"]),
        (["1.0", "1", "cat"], ["1", "1", "cat"]),
        (["1.0", "2.5"], ["1.0", "2.5"]),
        (["1.000000000000000000e+00", "0.000000000000000000e+00"], ["1", "0"]),
        (["007", "7"], ["007", "7"]),
        (["1e5", "3"], ["1e5", "3"]),
        (["1,000", "2,000"], ["1,000", "2,000"]),
        (["true", "FALSE", "True"], ["True", "False", "True"]),
        (["true", "maybe"], ["true", "maybe"]),
        (["255", "17"], ["255", "17"]),
        (["255", "200", "0"], ["255", "200", "0"]),
        (["['cat']", '["dog"]', "[]"], ["cat", "dog", None]),
        (["cats & dogs", "cats"], ["cats & dogs", "cats"]),
        (["New York, NY", "Boston, MA"], ["New York, NY", "Boston, MA"]),
        (["(unclear)", "[x"], ["(unclear)", "[x"]),
        (["['nan']", '[""]', "[null]", "[None]", "[nan]", "{null}", "cat"], [None] * 6 + ["cat"]),
        (["[cat]", "{dog}", "['cat']", "cat"], ["cat", "dog", "cat", "cat"]),
        (["[1]", "[2.0]", "1"], ["1", "2", "1"]),
        (["b'cat'", "cat", "np.str_('dog')", "b'nan'", "np.float64(nan)"], ["cat", "cat", "dog", None, None]),
        (["np.int64(3)", "3", "np.int64(-1)"], ["3", "3", None]),
        (["#DIV/0!", "#NV", "#NAME?", "#WERT!", "cat", "#1"], [None, None, None, None, "cat", "#1"]),
        (["\u22121", "0", "1"], [None, "0", "1"]),
        (["sea lion", "sea"], ["sea lion", "sea"]),
        (["0", "1", "-3", "a"], ["0", "1", "-3", "a"]),
    ],
)
def test_labels_are_one_class_however_they_are_written(given, expected):
    options = {"real_label": ["255"]} if given == ["255", "17"] else {}
    assert meant(*given, **options) == expected


@pytest.mark.parametrize("number", ["255", "65535", "4294967295", "18446744073709551615"])
def test_what_minus_one_becomes_in_unsigned_numbers_stops_where_it_stands_apart(number):
    with pytest.raises(LabelError, match=f"FL-L46 '{number}'"):
        meant("0", "3", number)


@pytest.mark.parametrize(
    "several",
    [
        "cat;",
        "cat\tdog",
        "{'cat', 'cow'}",
        '[{"label": "cat"}]',
        '{"cat": 1}',
        "cat;dog",
        "cat | dog",
        "cat,dog",
        "dog/cat",
        "dog+cat",
        "cat;cow",
        '["cat", "cow"]',
        "['a', 'b']",
        "(1, 2)",
    ],
)
def test_several_labels_in_one_cell_stop_and_say_what_to_do(several):
    with pytest.raises(LabelError, match=r"FL-L44 cells with several labels.*a row has one label.*--real-label"):
        meant("cat", "dog", several)
    assert meant("cat", "dog", several, real_label=[several])[2] == several
    assert meant("cat", "dog", several, no_label=[several])[2] is None


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([0.0, 1.0, np.nan, 2.0]),
        pd.Series([0, 1, None, 2], dtype="Int64"),
        pd.Series([True, False, None, True], dtype="boolean"),
        pd.Series(["crow", "gull", None, "wren"]),
        pd.Series(["crow", "gull", None, "wren"], dtype="category"),
        pd.Series(["crow", "nan", None, "NA"]),
        pd.Series(["0.0", "1.0", None, "2"]),
    ],
    ids=str,
)
def test_the_same_column_gives_the_same_names_from_csv_parquet_and_json(tmp_path, column):
    table = pd.DataFrame({"id": list("abcd"), "label": column})
    table.to_csv(tmp_path / "l.csv", index=False)
    table.to_parquet(tmp_path / "l.parquet")
    table.to_feather(tmp_path / "l.feather")
    table.to_json(tmp_path / "l.json", orient="records")
    table.to_json(tmp_path / "l.jsonl", orient="records", lines=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [read_labels(file).labels for file in sorted(tmp_path.iterdir())]
    assert found == [found[0]] * 5
    assert len(set(found[0]) - {None}) > 0


def test_one_and_one_point_zero_for_one_id_are_no_conflict(tmp_path):
    (tmp_path / "l.csv").write_text("id,label\na,1\na,1.0\nb,2\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_labels(tmp_path / "l.csv").labels == ["1", "2"]


@pytest.mark.parametrize(
    ("of_labels", "of_data", "hint"),
    [
        ("cafe\u0301.png", "caf\u00e9.png", "only the Unicode normal form differs"),
        ("a.png ", "a.png", "only blanks around the ids differ"),
        ("5.0", "5", "only a .0 at the end differs"),
        ("A.PNG", "a.png", "only capitals differ"),
        ("007", "7", "only zeros in front differ"),
        ("x\\a.png", "x/a.png", "only / and"),
        ("photos/a.png", "a.png", "only the folders in front differ"),
        ("a.png", "a", "only the endings differ"),
        ("0", "k7", "pass --number-rows-from 0"),
    ],
)
def test_ids_that_differ_by_their_spelling_alone_are_told_how(tmp_path, of_labels, of_data, hint):
    (tmp_path / "l.csv").write_text(f'id,label\n"{of_labels}",cat\n')
    with pytest.raises(LabelError, match="FL-L15") as caught:
        join_labels([of_data, "other"], read_labels(tmp_path / "l.csv"))
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        *("not_labeled", "Not-Labelled", "<unlabeled>", "__unlabeled__", "(unknown)", "[UNK]", "\u2014", "n/d"),
        *("['unknown']", "Not available", "unsure", "Skipped", "to be labeled", "<NULL?>", "N/A?"),
    ],
)
def test_spellings_of_words_that_may_mean_no_label_stop(word):
    with pytest.raises(LabelError, match="FL-L46"):
        meant("cat", word)
    assert meant("cat", word, no_label=[word]) == ["cat", None]
    assert meant("cat", word, real_label=[word]) == ["cat", word]


@pytest.mark.parametrize("number", ["-999", "-2", "-2147483648", "-9223372036854775808"])
def test_a_number_far_below_zero_beside_whole_numbers_stops(number):
    with pytest.raises(LabelError, match=f"FL-L46 '{number}' .*--no-label"):
        meant("0", "1", number)
    assert meant("0", "1", number, no_label=[number]) == ["0", "1", None]


def test_ratings_below_and_above_zero_stop_with_minus_one_among_them():
    with pytest.raises(LabelError, match=r"FL-L46 '-2' \(1 rows\), '-1' \(1 rows\)"):
        meant("-2", "-1", "0", "1")
    assert meant("-2", "-1", "0", "1", real_label=["-2", "-1"]) == ["-2", "-1", "0", "1"]


@pytest.mark.parametrize(
    "cell", ["['cat' 'dog']", "[cat, dog]", "{cat,dog}", "[0 1 0]", "[0. 1.]", "cat dog", "{'x': cat}", "[[cat]]"]
)
def test_several_labels_as_arrays_and_databases_write_them_stop(cell):
    with pytest.raises(LabelError, match="FL-L44"):
        meant("cat", "dog", cell)


@pytest.mark.parametrize("label", ["\u200b", "\ufeff", "\u2060 ", "\u00a0"])
def test_a_label_that_nobody_sees_is_refused(tmp_path, label):
    (tmp_path / "l.csv").write_text(f"id,label\na,cat\nb,{label}\n", encoding="utf-8")
    with pytest.raises(LabelError, match="FL-L19"):
        read_labels(tmp_path / "l.csv")
    with pytest.raises(LabelError, match=r"FL-L19 .*row 2"):
        read_labels_by_position(tmp_path / "l.csv", 2)


@pytest.mark.parametrize(
    ("given", "of_data", "said"),
    [
        ("'007", "007", "quotes around"),
        ('="007"', "007", "quotes around"),
        ("b'a'", "a", "quotes around"),
        ("\u200ba", "a", "characters that nobody sees"),
    ],
)
def test_it_is_said_that_only_quotes_or_unseen_characters_differ(tmp_path, given, of_data, said):
    cell = given.replace('"', '""')
    (tmp_path / "l.csv").write_text(f'id,label\n"{cell}",cat\n', encoding="utf-8")
    with pytest.raises(LabelError, match=f"FL-L15 .*only {said}"):
        join_labels([of_data, "x"], read_labels(tmp_path / "l.csv"))
