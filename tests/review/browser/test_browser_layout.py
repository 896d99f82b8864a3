"""How the review page is laid out: tiles of any photo, what stays in sight, phones, colours."""

from __future__ import annotations

import numpy as np
import pytest

from fewlabels.data.images.decode import png
from fewlabels.report.pictures import PALETTE
from tests.review.browser.browser_pages import TILE, expect, opened, press
from tests.review.browser.toy_review import ToyItems

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


class OddShapes:
    """Photos of every shape: landscape, portrait, panorama, a strip."""

    SHAPES = ((200, 300), (300, 200), (60, 320), (320, 60), (240, 240))

    def png(self, row: int, longest: int = 320) -> bytes:
        return png(np.full((*self.SHAPES[row % 5], 3), row % 256, np.uint8))

    def close(self) -> None:
        pass


@pytest.fixture
def items() -> ToyItems:
    ids = tuple(f"photos/holiday/IMG_20260{row % 9 + 1}14_from_the_first_camera_{row:04}.jpg" for row in range(120))
    return ToyItems(ids, pictures=OddShapes())


def box(page, place: str) -> dict:
    return page.locator(place).first.bounding_box()


def answered(page) -> None:
    """One answer, and what it moved, shown."""
    press(page, "4")
    page.wait_for_selector("#moved li")


def test_a_portrait_or_a_panorama_makes_no_tile_higher_than_another(page):
    page.locator(".picture img").evaluate_all("all => Promise.all(all.slice(0, 10).map(one => one.decode()))")
    sizes = page.locator(".picture").evaluate_all("all => all.map(one => [one.offsetWidth, one.offsetHeight])")
    assert {abs(width - height) <= 1 for width, height in sizes} == {True}
    heights = page.locator(TILE).evaluate_all("all => all.map(one => one.offsetHeight)")
    assert max(heights) - min(heights) <= 1
    whole = page.locator(".picture img").evaluate_all("all => all.map(one => getComputedStyle(one).objectFit)")
    assert set(whole) == {"contain"}


def test_counts_and_what_moved_stay_in_sight_however_far_one_scrolls(page):
    answered(page)
    page.evaluate("scrollTo(0, 900)")
    assert page.evaluate("scrollY") > 500
    assert box(page, ".top")["y"] == 0
    assert abs(box(page, "#bar")["y"] - box(page, "#head")["height"]) <= 1
    for place in ("#given", "#estimate summary", "#moved li", "#shown", "#next", "#palette button"):
        expect(page.locator(place).first).to_be_in_viewport(ratio=1)


def test_the_tile_with_the_focus_is_never_under_the_header(page):
    press(page, "End", *["ArrowUp"] * 5)
    focus, bar = box(page, f"{TILE}.is-focus"), box(page, "#bar")
    assert focus["y"] >= bar["y"] + bar["height"]
    assert focus["y"] + focus["height"] <= 800


def test_a_long_file_name_keeps_its_end_and_is_whole_on_hovering(page, review):
    name = page.locator(f"{TILE} .id").first
    row = int(page.locator(TILE).first.get_attribute("data-row"))
    assert name.get_attribute("title") == review.items.ids[row]
    begin, end = name.locator("span").all()
    assert end.inner_text() == f"{row:04}.jpg"
    assert begin.evaluate("one => one.scrollWidth > one.clientWidth")  # cut, with an ellipsis
    assert end.evaluate("one => one.getBoundingClientRect().right") <= box(page, TILE)["x"] + box(page, TILE)["width"]


def test_the_grid_stays_where_it_is_when_the_first_answer_moves_something(page):
    before = box(page, "#grid")
    answered(page)
    assert box(page, "#grid") == before


def test_on_a_phone_photos_begin_in_the_first_third_and_nobody_is_told_of_keys(browser, review):
    context = browser.new_context(**PHONE)
    page = opened(context, review)
    assert box(page, TILE)["y"] <= 780 / 3
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("kbd:visible")).to_have_count(0)
    expect(page.locator("#open-help")).to_be_hidden()
    page.evaluate("scrollTo(0, 900)")
    expect(page.locator("#given")).to_be_in_viewport(ratio=1)
    context.close()


def test_a_class_has_the_colour_that_the_report_gives_it(page):
    dots = page.locator("#palette .dot").evaluate_all("all => all.map(one => one.style.getPropertyValue('--class'))")
    assert dots == [*PALETTE, PALETTE[0]]


def test_many_labels_that_each_add_a_little_are_told_as_one_sum(page, review, monkeypatch):
    from fewlabels.graph.influence import Influence

    true = type(review.engine).why

    def spread(engine, row):
        why = true(engine, row)
        why.influences = [Influence(other, int(why.label), 0.02 + other / 1000) for other in range(8)]
        return why

    monkeypatch.setattr(type(review.engine), "why", spread)
    press(page, "w")
    panel = page.locator("#why")
    expect(panel).to_contain_text("No single one decides: these 8 carry 19\u00a0% together, the strongest first.")
    names = panel.locator("section").last.locator(".witnesses .id").evaluate_all("all => all.map(one => one.title)")
    assert names == [review.items.ids[other] for other in reversed(range(8))]
    expect(panel.locator("section").last).not_to_contain_text("2\u00a0%")
