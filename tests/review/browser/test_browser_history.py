"""The history of answers in a real browser: what was answered when, of all rows or of one, and the way to a row."""

from __future__ import annotations

import re

import pytest

from fewlabels.review.store.values import Answer, Request
from tests.review.browser.browser_pages import TILE, expect, opened, press, rows_shown, said
from tests.review.browser.test_browser_trust import HOSTILE, NAMED
from tests.review.browser.toy_review import ToyItems

ENTRY = "#history .entry"


def shown(page):
    """Open the history by its key, filled."""
    press(page, "h")
    page.wait_for_selector("#history[open]")
    expect(page.locator("#history [role=status]")).not_to_be_empty()


def headings(page) -> list[str]:
    return page.locator(f"{ENTRY} h3").all_inner_texts()


def became(page, entry: int = 0) -> list[str]:
    """What each row of an entry was before and is after, in words."""
    return [" ".join(text.split()) for text in page.locator(ENTRY).nth(entry).locator(".became").all_inner_texts()]


def told(review, num: int) -> None:
    """So many entries of one row each: row number n % 100 is labelled over and over."""
    names = review.items.class_names
    for start in range(0, num, 500):
        some = range(start, min(start + 500, num))
        answers = [Answer(n % 100, "label", names[n // 100 % len(names)], n // 100) for n in some]
        review.store.write([Request("other", n, (one,)) for n, one in zip(some, answers, strict=True)])


def test_every_kind_of_answer_is_told_the_newest_first(page):
    press(page, "1")
    said(page, "labelled airplane, saved.")
    press(page, "s")
    said(page, "1 photo skipped, saved.")
    press(page, "u")
    said(page, "1 photo undone.")
    press(page, "Home", "Delete")
    said(page, "1 photo taken back, saved.")
    shown(page)
    assert headings(page) == ["1 photo taken back", "Undo of #2: 1 photo", "1 photo skipped", "1 photo labelled"]
    assert [became(page, entry) for entry in range(4)] == [
        ["airplane → no answer"],
        ["skipped → no answer"],
        ["no answer → skipped"],
        ["no answer → airplane"],
    ]
    assert page.locator(f"{ENTRY}:has(.badge)").evaluate_all("all => all.map(one => one.dataset.event)") == ["2"]
    assert page.locator(f"{ENTRY} time").first.get_attribute("datetime").endswith("+00:00")
    expect(page.locator(f"{ENTRY} time").first).to_have_text(re.compile(r"^\d+ \w+ \d{4}, \d\d:\d\d:\d\d$"))


def test_an_undo_that_found_nothing_says_so(page):
    press(page, "u")
    said(page, "Nothing of this tab's is left to undo.")
    shown(page)
    assert headings(page) == ["Undo: nothing was left"]
    assert page.locator(f"{ENTRY} button").count() == 0


def test_a_click_shows_the_row_and_its_new_answer_is_in_the_history_after_it(page, review):
    row = rows_shown(page)[0]
    press(page, "1")
    said(page, "labelled airplane, saved.")
    page.get_by_role("button", name="History").click()
    page.get_by_role("button", name=f"{review.items.ids[row]}: no answer became airplane. Show it").click()
    page.wait_for_selector("#zoom[open]")
    expect(page.locator("#zoom .id")).to_have_text(review.items.ids[row])
    press(page, "3")
    said(page, "labelled bird, saved.")
    press(page, "Escape")
    expect(page.locator(ENTRY)).to_have_count(2)
    assert became(page) == ["airplane → bird"]
    assert page.evaluate("document.activeElement.dataset.place") == f"1-{row}"
    press(page, "Escape")
    assert page.locator("#history").is_hidden()
    assert review.answers() == {row: "bird"}


def test_one_row_has_its_own_history(page):
    press(page, "a", "2")
    said(page, "48 photos labelled automobile, saved.")
    press(page, "Home", "3")
    said(page, "1 photo labelled bird, saved.")
    press(page, "Home", "z")
    page.wait_for_selector("#zoom[open]")
    press(page, "h")
    expect(page.locator("#zoom")).to_be_hidden()
    expect(page.get_by_label("Only of")).to_be_checked()
    expect(page.locator(ENTRY)).to_have_count(2)
    assert [became(page, entry) for entry in range(2)] == [["automobile → bird"], ["no answer → automobile"]]
    page.get_by_label("Only of").uncheck()
    expect(page.locator(ENTRY).nth(1).locator("li")).to_have_count(9)
    page.get_by_role("button", name="40 more photos").click()
    expect(page.locator(ENTRY).nth(1).locator(".became")).to_have_count(48)


def test_a_long_history_is_turned_a_page_at_a_time(page, review):
    told(review, 3000)
    shown(page)
    status = page.locator("#history [role=status]")
    expect(status).to_have_text("1 to 24 of 3,000 entries")
    assert page.get_by_role("button", name="Newest").is_disabled()
    press(page, "n")
    expect(status).to_have_text("25 to 48 of 3,000 entries")
    assert page.locator(ENTRY).first.get_attribute("data-event") == "2976"
    press(page, "p")
    expect(status).to_have_text("1 to 24 of 3,000 entries")
    page.get_by_role("button", name="Oldest").click()
    expect(status).to_have_text("2,977 to 3,000 of 3,000 entries")
    assert page.get_by_role("button", name="Older").is_disabled()
    press(page, "p")  # the button that was clicked can have no focus any more
    expect(status).to_have_text("2,953 to 2,976 of 3,000 entries")
    page.get_by_label("Only of").check()
    expect(status).to_have_text("1 to 24 of 30 entries")


def test_the_history_goes_by_keyboard(page):
    press(page, "1", "2")
    said(page, "labelled automobile, saved.")
    shown(page)
    places = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        press(page, key)
        places.append(page.evaluate("document.activeElement.dataset.place")[0])
    assert places == ["2", "1", "1", "2"]
    press(page, "Enter")
    page.wait_for_selector("#zoom[open]")
    press(page, "Escape")
    assert page.locator("#history").is_visible()
    press(page, "h")
    assert page.locator("#history").is_hidden()
    assert "tile" in page.evaluate("document.activeElement.className")


def test_a_history_that_cannot_be_read_says_so_and_can_be_asked_again(page):
    page.route("**/api/history*", lambda route: route.abort(), times=1)
    press(page, "h")
    expect(page.locator("#history [role=status]")).to_contain_text("The history cannot be loaded")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#history [role=status]")).to_have_text("No answers yet.")


@pytest.mark.parametrize("items", [NAMED, NAMED.as_rows()], ids=["images", "rows"])
def test_hostile_names_are_texts_in_the_history(page, review):
    answers = tuple(Answer(row, "label", name, 0) for row, name in enumerate(HOSTILE))
    review.store.write([Request("other", 1, answers)])
    shown(page)
    page.get_by_role("button", name="more").click()
    names = page.locator(f"{ENTRY} .became bdi").evaluate_all("names => names.map(name => name.textContent)")
    assert names == HOSTILE
    markup = "document.querySelectorAll('body script, iframe, body svg, [onerror], [onload], [srcdoc]').length"
    assert page.evaluate(markup) == 0
    assert page.evaluate("document.querySelector('#history').scrollWidth <= innerWidth")


@pytest.mark.parametrize("items", [ToyItems(), NAMED.as_rows()], ids=["images", "hostile rows"])
def test_on_a_phone_the_history_is_as_wide_as_the_screen(browser, review):
    context = browser.new_context(viewport={"width": 390, "height": 760}, has_touch=True)
    page = opened(context, review)
    page.locator(TILE).nth(0).tap()
    page.locator("#palette li button:not(.edit)").nth(1).tap()
    said(page, "saved.")
    page.get_by_role("button", name="History").tap()
    expect(page.locator(ENTRY)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    inside = "(dialog => dialog.scrollWidth <= dialog.clientWidth)(document.querySelector('#history'))"
    assert page.evaluate(inside)
    context.close()
