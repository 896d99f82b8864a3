"""Who can use the review page: axe-core's checks of names, roles and contrast, in every state, light and dark."""

from __future__ import annotations

import pytest

from tests.review.browser.browser_pages import TILE, expect, opened, press, said
from tests.review.browser.toy_review import ToyItems

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python, of the dev extra, is not installed"
)


def violations(page) -> list[str]:
    """What axe-core finds, a line for each place."""
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']} ({one['help']}): {node['html'][:200]}" for one in found for node in one["nodes"]]


def labelled(page):
    press(page, "s", "4", "Shift+ArrowRight", "5")
    said(page, "labelled deer, saved.")
    page.wait_for_selector("#moved li")
    press(page, "w", "Space")
    page.wait_for_selector("#why:not([hidden])")


def with_menus(page):
    page.locator("#export summary").click()
    page.locator("#estimate summary").click()


def enlarged(page):
    page.locator(f"{TILE}[tabindex='0']").dblclick()
    page.wait_for_selector("#zoom[open]")


def with_history(page):
    press(page, "Escape", "h")
    page.wait_for_selector("#history .entry")
    press(page, "ArrowDown")


def with_history_and_a_row(page):
    press(page, "Enter")
    page.wait_for_selector("#zoom[open]")


def choosing(page):
    press(page, "Escape", "Escape", "/")
    page.wait_for_selector("#picker li")


def all_keys(page):
    press(page, "Escape", "?")
    page.wait_for_selector("#help[open]")


def in_conflict(page):
    press(page, "Escape")
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(TILE)
    press(other, "ArrowRight", "ArrowRight", "ArrowRight", "2")
    said(other, "saved.")
    other.close()
    press(page, "a", "3")
    page.wait_for_selector("#conflict[open]")


def offline(page):
    page.get_by_role("button", name="Go on").click()
    page.context.set_offline(True)
    press(page, "Home", "1")
    page.wait_for_selector("#banners .unsaved")


def finds_nothing(page):
    page.context.set_offline(False)
    page.locator("#filters [name=text]").fill("no such row")
    page.wait_for_selector("#empty:not([hidden])")


STATES = [
    labelled,
    with_menus,
    enlarged,
    with_history,
    with_history_and_a_row,
    choosing,
    all_keys,
    in_conflict,
    offline,
    finds_nothing,
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_state(page, scheme):
    page.emulate_media(color_scheme=scheme)
    found = {}
    for reach in STATES:
        reach(page)
        found[reach.__name__] = violations(page)
    assert found == {reach.__name__: [] for reach in STATES}


@pytest.mark.parametrize("items", [ToyItems().as_rows()], ids=["rows"])
def test_axe_finds_nothing_on_a_phone_with_rows_of_text(browser, review):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page = opened(context, review)
    labelled(page)
    assert violations(page) == []
    with_history(page)
    assert violations(page) == []
    context.close()


def test_the_focus_is_visible_everywhere(page):
    """Whatever Tab reaches has an outline, and so has the tile with the focus."""
    for _ in range(45):
        press(page, "Tab")
        width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert (style != "none" and width >= 2) or page.evaluate("document.activeElement === document.body")


def test_nothing_moves_where_reduced_motion_is_asked_for(page):
    expect(page.locator(TILE).first).to_have_css("transition-duration", "0s")
