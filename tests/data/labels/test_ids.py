"""Ids of a label file beside those of images."""

import unicodedata
import urllib.parse

import pytest

from fewlabels.data.labels.files import LabelFile
from fewlabels.data.labels.ids import match_ids
from fewlabels.errors import InputWarning, LabelError

COMPOSED, DECOMPOSED = "v\xf6gel/\xe9 1.PNG", unicodedata.normalize("NFD", "v\xf6gel/\xe9 1.PNG")


def labels(*ids):
    return LabelFile(ids=list(ids), labels=["bird"] * len(ids), source="labels.csv", lines=list(range(2, len(ids) + 2)))


@pytest.mark.parametrize(("given", "image"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_ids_that_differ_in_normal_form_alone_are_joined_and_it_is_told(given, image):
    with pytest.warns(InputWarning, match=r"FL-I54 ids that differ .* normal form alone .*1 such row"):
        matched = match_ids(labels(given, "b.png"), [image, "b.png"])
    assert matched.ids == [image, "b.png"]
    assert [(note.code, note.line, note.id) for note in matched.left_out] == [("I54", 2, given)]


def test_where_both_forms_are_there_each_stays_itself():
    given = labels(COMPOSED, DECOMPOSED)
    assert match_ids(given, [DECOMPOSED, COMPOSED]) is given


def test_two_labels_for_one_image_are_not_made_of_two_forms():
    given = labels(COMPOSED, DECOMPOSED)
    assert match_ids(given, [DECOMPOSED]) is given


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda id: f"./{id}", "with './' before them"),
        (lambda id: id.replace("/", "\\"), "with '\\' instead of '/'"),
        (lambda id: f"photos/{id}", "with a folder before them"),
        (lambda id: f" {id}", "with blanks around them"),
        (lambda id: urllib.parse.quote(unicodedata.normalize("NFC", id)), "written as in an address (%20)"),
        (lambda id: id.removesuffix(".PNG"), "without the ending of the file"),
        (lambda id: id.lower(), "with other capital letters"),
        (lambda id: id.rpartition("/")[2], "without their folder"),
        (lambda id: f"C:\\Users\\me\\{id}".replace("/", "\\"), "without their folder, or with another one"),
    ],
)
def test_it_is_said_what_makes_ids_unlike_those_of_the_images(change, said):
    ids = [DECOMPOSED, DECOMPOSED.replace("1", "2")]
    given = labels(*map(change, ids))
    with pytest.raises(LabelError) as caught:
        match_ids(given, ids)
    assert caught.value.code == "FL-L15"
    assert said in str(caught.value)
    assert f"write ids as images have them, such as {ids[0]!r}" in str(caught.value)
    assert match_ids(given, ids, ignore_unknown_ids=True) is given


def test_ids_that_nothing_makes_alike_are_left_to_the_join():
    given = labels("x.png")
    assert match_ids(given, ["a.png"]) is given
