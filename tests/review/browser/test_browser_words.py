"""What the review page says, and how much room it takes: lists, counts, menus, the enlarged row."""

from __future__ import annotations

import re

import pytest

from tests.review.browser.browser_pages import TILE, expect, opened, press, rows_shown, said
from tests.review.browser.toy_review import ToyItems

SHORT = ToyItems(tuple(f"photos/{row}.png" for row in range(8)))


def choose(page, name: str, value: str) -> None:
    page.locator(f"#filters [name={name}]").select_option(value)


def test_rows_that_the_queue_does_not_have_come_in_another_order_and_the_page_says_so(page):
    answered = sorted(rows_shown(page)[:3])
    press(page, "1", "2", "3")
    said(page, "labelled bird, saved.")
    choose(page, "source", "answered")
    expect(page.locator(TILE)).to_have_count(3)
    assert rows_shown(page) == answered
    expect(page.locator("#order-note")).to_contain_text("“what helps most first” has none of this source")
    page.reload()
    expect(page.locator(TILE)).to_have_count(3)
    choose(page, "order", "suspicious")
    expect(page.locator("#order-note")).to_be_empty()
    choose(page, "source", "propagated")
    expect(page.locator(TILE)).to_have_count(48)
    expect(page.locator("#order-note")).to_contain_text("“suspicious given labels” has none of this source")


def test_an_answered_row_that_is_searched_for_is_found_in_all_rows(page):
    row = rows_shown(page)[0]
    press(page, "1")
    said(page, "saved.")
    page.locator("#filters [name=text]").fill(f"{row:04}")
    expect(page.locator("#empty")).to_contain_text("No photo of the order “what helps most first” matches.")
    page.get_by_role("button", name="Look in all photos").click()
    expect(page.locator(TILE)).to_have_count(1)
    assert rows_shown(page) == [row]


def test_the_line_above_the_rows_counts_those_on_the_page(page):
    expect(page.locator("#shown")).to_have_text("1 to 48 of 120 photos; none of these 48 answered yet")
    press(page, "1", "s")
    expect(page.locator("#shown")).to_have_text("1 to 48 of 120 photos; 46 of these 48 not answered yet")
    press(page, "a", "Enter")
    expect(page.locator("#shown")).to_have_text("1 to 48 of 120 photos; all answered: Next shows more")


@pytest.mark.parametrize("items", [SHORT], ids=["8 rows"])
def test_where_no_more_rows_follow_nobody_is_sent_on(page):
    press(page, "a", "Enter")
    said(page, "All photos shown are answered, and no more follow.")
    expect(page.locator("#shown")).to_have_text("1 to 8 of 8 photos; all answered, and no more follow")


def test_the_share_of_right_labels_is_shown_from_ten_samples_on(page, review):
    summary = page.locator("#estimate summary")
    expect(summary).to_have_text(re.compile(r"Labels right: not known yet \(about \d+ more answers\)"))
    press(page, *["1"] * 9)
    expect(page.locator("#given")).to_have_text("9 answers")
    expect(summary).to_have_text(re.compile(r"Labels right: not known yet \(about \d+ more answers?\)"))
    press(page, "Shift+ArrowRight", "1")  # two more
    expect(page.locator("#given")).to_have_text("11 answers")
    share = round(review.engine.estimate().percent)
    expect(summary).to_have_text(f"Labels right: {share}\u00a0% (10 to 90\u00a0%)")  # the range is the toy's


def test_menus_lie_over_the_page_and_close_by_escape_or_a_click_elsewhere(page):
    place = page.locator("#grid").bounding_box()
    for menu in ("export", "estimate"):
        page.locator(f"#{menu} summary").click()
        expect(page.locator(f"#{menu} .drop")).to_be_visible()
        assert page.locator("#grid").bounding_box() == place
    expect(page.locator("#export .drop")).to_be_hidden()
    press(page, "Escape")
    expect(page.locator("#estimate .drop")).to_be_hidden()
    assert page.evaluate("document.activeElement.parentElement.id") == "estimate"
    page.locator("#export summary").click()
    page.locator("#title").click()
    expect(page.locator("#export .drop")).to_be_hidden()


def test_the_top_names_the_run_without_its_whole_path(page, review):
    run = page.locator("#run")
    whole = run.get_attribute("title")
    assert run.inner_text() == "/".join(whole.split("/")[-2:])
    assert len(whole) > len(run.inner_text())


def test_the_enlarged_row_shows_the_keys_of_the_classes_and_takes_clicks(page, review):
    first, second = rows_shown(page)[:2]
    press(page, "z")
    choices = page.locator("#zoom .choices button")
    assert [" ".join(text.split()) for text in choices.all_inner_texts()[:2]] == ["1 airplane", "2 automobile"]
    choices.nth(3).click()
    said(page, "1 photo labelled cat, saved.")
    expect(page.locator("#zoom .id")).to_have_text(review.items.ids[second])
    press(page, "Enter")  # accepts, and does not click the button again
    expect(page.locator("#given")).to_have_text("2 answers")
    assert review.answers()[first] == "cat"
    assert review.answers()[second] == review.labels()[second]


def test_on_a_phone_tiles_stay_in_sight_whatever_is_open(browser, review):
    context = browser.new_context(viewport={"width": 390, "height": 760}, has_touch=True)
    page = opened(context, review)
    page.locator("#filter-box > summary").tap()
    page.locator("#export summary").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    drop = page.locator("#export .drop").bounding_box()
    assert drop["x"] >= 0
    assert drop["x"] + drop["width"] <= 390
    bar = page.locator(".side").bounding_box()["y"]
    tile = page.locator(TILE).first.bounding_box()
    assert tile["y"] + 60 <= bar
    context.close()
