"""What the browser tests do with a page again and again."""

from __future__ import annotations

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright, of the dev extra, is not installed").expect
TILE = "#grid .tile"


def opened(context, review):
    """One more tab with the review page, filled."""
    page = context.new_page()
    page.goto(review.address)
    page.wait_for_selector(f"{TILE}, #empty:not([hidden])")
    return page


def rows_shown(page) -> list[int]:
    """The row numbers of the tiles, in order."""
    return page.locator(TILE).evaluate_all("tiles => tiles.map(tile => Number(tile.dataset.row))")


def said(page, text: str) -> None:
    """Wait until the live region has said this."""
    expect(page.locator("#live")).to_contain_text(text)


def press(page, *keys: str) -> None:
    """Keys, one after another, to whatever has the focus."""
    for key in keys:
        page.keyboard.press(key)
