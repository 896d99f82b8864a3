"""Labelling from no label at all, by keyboard: classes are typed as they come up, renamed and merged."""

import numpy as np
import pytest

from fewlabels.graph import GraphSettings
from fewlabels.review.engine.engine import Engine
from fewlabels.review.engine.live import open_live
from fewlabels.review.items import Items
from fewlabels.review.store.classes import ClassList
from tests.review.browser.browser_pages import expect, opened, rows_shown
from tests.review.browser.toy_review import ToyPictures, served

TRUTH = np.random.default_rng(0).integers(0, 3, 90)


@pytest.fixture
def review(tmp_path):
    rows = np.eye(3)[TRUTH] + 0.05 * np.random.default_rng(1).normal(size=(90, 3))
    items = Items(
        ids=[f"photos/img_{row:04}.png" for row in range(90)],
        class_names=(),
        given=np.full(90, -1),
        descriptors=rows,
        kind="images",
        pictures=ToyPictures(),
    )
    engine = Engine(items, {}, classes=ClassList(), live=open_live(rows, GraphSettings()))
    with served(tmp_path / "run.review", items, engine) as review:
        yield review


@pytest.fixture
def page(context, review):
    return opened(context, review)


def name_focused(page, name):
    page.keyboard.press("+")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(page.locator("#palette")).to_contain_text(name)


def name_one_of_each(page):
    """Label the first row shown of each kind by a typed class; returns the kinds, in order."""
    shown = rows_shown(page)
    kinds = list(dict.fromkeys(TRUTH[shown].tolist()))
    for kind in kinds:
        place = next(at for at, row in enumerate(shown) if TRUTH[row] == kind)
        page.locator(f'.tile[data-row="{shown[place]}"]').click()
        name_focused(page, f"kind {kind}")
        expect(page.locator(f'.tile[data-row="{shown[place]}"]')).to_contain_text("answered", timeout=20_000)
    return kinds


def test_a_class_is_typed_and_the_row_has_it(page, review):
    first = rows_shown(page)[0]
    name_focused(page, "dog")
    expect(page.locator(f'.tile[data-row="{first}"]')).to_contain_text("answered", timeout=20_000)
    assert review.store.labels() == {first: "dog"}
    assert review.store.classes.names == ("dog",)


def test_from_the_second_class_on_all_rows_have_a_label(page, review):
    kinds = name_one_of_each(page)
    assert len(kinds) == 3
    expect(page.locator("#moved")).to_contain_text("changed")
    expect(page.locator("#palette li .count").first).not_to_have_text("1")
    names = review.store.classes.names
    labels = review.engine.state.label
    assert np.mean([names[label] == f"kind {kind}" for label, kind in zip(labels, TRUTH, strict=True)]) > 0.95


def test_a_known_class_is_chosen_by_its_key(page, review):
    name_focused(page, "dog")
    second = rows_shown(page)[1]
    page.keyboard.press("1")
    expect(page.locator(f'.tile[data-row="{second}"]')).to_contain_text("answered", timeout=20_000)
    assert review.store.labels()[second] == "dog"
    assert len(review.store.classes) == 1


def test_a_class_is_renamed_and_another_merged_and_the_merge_undone(page, review):
    name_focused(page, "dgo")
    name_focused(page, "puppy")
    page.get_by_label("Rename or merge dgo").click()
    page.get_by_label("New name").fill("dog")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.locator("#palette")).to_contain_text("dog")
    expect(page.locator(".tile .name", has_text="dgo")).to_have_count(0)
    page.get_by_label("Rename or merge puppy").click()
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(page.locator("#palette li")).to_have_count(1)
    assert sorted(review.store.labels().values()) == ["dog", "dog"]
    page.locator("#grid .tile").last.focus()
    page.keyboard.press("u")
    expect(page.locator("#palette li")).to_have_count(2)
    assert sorted(review.store.labels().values()) == ["dog", "puppy"]


def test_rows_that_are_alike_get_one_class_together(page, review):
    name_one_of_each(page)
    row = next(row for row in rows_shown(page) if row not in review.store.labels())
    page.locator(f'.tile[data-row="{row}"]').click()
    page.keyboard.press("g")
    expect(page.locator("#grid .tile").first).to_have_attribute("data-row", str(row))
    shown = rows_shown(page)[:10]
    assert np.mean(TRUTH[shown] == TRUTH[row]) > 0.9
    page.keyboard.press("a")
    page.keyboard.press("m")
    page.get_by_label("Class of all of these").fill(f"kind {TRUTH[row]}")
    expect(page.locator("#many .preview")).to_contain_text("other row")
    before = review.store.answered
    page.keyboard.press("Enter")
    expect(page.locator("#given")).not_to_contain_text(f"{before} answer")
    assert review.store.answered > before + 5


def test_the_three_other_answers_are_saved_and_leave_the_queue(page, review):
    shown = rows_shown(page)[:3]
    for key, word in (("x", "none of these"), ("q", "not sure"), ("b", "bad photo")):
        page.keyboard.press(key)
        expect(page.locator(".tile", has_text=word)).to_have_count(1)
    assert review.store.left_out() == dict(zip(shown, ("none", "unsure", "bad"), strict=True))


def test_the_picker_makes_a_class_that_there_is_not(page, review):
    page.keyboard.press("/")
    page.keyboard.type("zebra")
    expect(page.locator("#picker")).to_contain_text("new class “zebra”")
    page.keyboard.press("Enter")
    expect(page.locator("#given")).to_contain_text("1 answer")
    expect(page.locator("#palette")).to_contain_text("zebra")
    assert list(review.store.labels().values()) == ["zebra"]
