"""The review page in a real browser: labelling by keyboard and pointer, what is shown, and for whom."""

from __future__ import annotations

import re

import pytest

from tests.review.browser.browser_pages import TILE, expect, opened, press, rows_shown, said
from tests.review.browser.toy_review import ToyItems


def test_a_digit_labels_the_focused_row_and_the_focus_goes_on(page, review):
    first, second = rows_shown(page)[:2]
    press(page, "4")
    said(page, "1 photo labelled cat, saved.")
    assert review.answers() == {first: "cat"}
    assert page.locator(f'{TILE}[data-row="{first}"] .badge').inner_text() == "✓ answered"
    assert page.evaluate("document.activeElement.dataset.row") == str(second)
    expect(page.locator("#given")).to_have_text("1 answer")


def test_letters_label_classes_behind_the_tenth(page, review):
    press(page, "c")
    said(page, "labelled zebra, saved.")
    assert list(review.answers().values()) == ["zebra"]


DIGITS = ToyItems(class_names=tuple("0123456789"))


@pytest.mark.parametrize("items", [DIGITS], ids=["digits"])
def test_a_class_that_is_called_like_a_key_has_that_key(page, review):
    press(page, "0", "7")
    said(page, "1 photo labelled 7, saved.")
    assert list(review.answers().values()) == ["0", "7"]
    assert page.locator("#palette kbd").all_inner_texts() == list("0123456789")


def test_selected_rows_are_labelled_together(page, review):
    shown = rows_shown(page)
    press(page, "Shift+ArrowRight", "Shift+ArrowRight", "ArrowRight", "ArrowRight", "Space")
    assert page.locator(f"{TILE}[aria-selected=true]").count() == 4
    press(page, "9")
    said(page, "4 photos labelled ship, saved.")
    assert review.answers() == dict.fromkeys([shown[0], shown[1], shown[2], shown[4]], "ship")
    assert page.locator(f"{TILE}[aria-selected=true]").count() == 0


def test_the_pointer_selects_like_a_file_manager(page):
    tiles = page.locator(TILE)
    selected = page.locator(f"{TILE}[aria-selected=true]")
    tiles.nth(1).click()
    assert selected.count() == 0
    tiles.nth(2).click(modifiers=["Control"])
    tiles.nth(5).click(modifiers=["Shift"])
    assert selected.count() == 4
    tiles.nth(3).click(modifiers=["Control"])
    assert selected.count() == 3
    press(page, "a")
    assert selected.count() == tiles.count()
    press(page, "Escape")
    assert selected.count() == 0


def test_enter_accepts_the_label_shown_and_s_skips(page, review):
    first, second = rows_shown(page)[:2]
    label = review.labels()[first]
    press(page, "Enter", "s")
    said(page, "1 photo skipped, saved.")
    assert review.answers() == {first: label}
    assert review.skipped() == [second]
    expect(page.locator("#given")).to_have_text("1 answer, 1 skipped")


def test_undo_takes_back_the_last_answer_and_then_the_one_before(page, review):
    press(page, "1", "2")
    said(page, "labelled automobile, saved.")
    press(page, "u")
    said(page, "1 photo undone.")
    assert list(review.answers().values()) == ["airplane"]
    press(page, "Control+z")
    expect(page.locator("#given")).to_have_text("0 answers")
    assert review.answers() == {}
    press(page, "u")
    said(page, "Nothing of this tab's is left to undo.")


def test_quick_undos_take_back_one_answer_each(page, review):
    press(page, "1", "2", "3", "4")
    said(page, "labelled cat, saved.")
    press(page, "u", "u", "u")
    expect(page.locator("#given")).to_have_text("1 answer")
    assert list(review.answers().values()) == ["airplane"]


def test_delete_takes_back_the_answer_of_one_row(page, review):
    press(page, "1", "2")
    said(page, "labelled automobile, saved.")
    press(page, "Home", "Delete")
    said(page, "1 photo taken back, saved.")
    assert list(review.answers().values()) == ["automobile"]


def test_a_class_is_found_by_name(page, review):
    press(page, "/")
    page.keyboard.type("o")
    page.keyboard.type("g")
    press(page, "ArrowDown", "Enter")
    said(page, "labelled frog, saved.")
    press(page, "l")
    press(page, "Escape")
    assert list(review.answers().values()) == ["frog"]


def test_a_click_on_a_class_labels_and_counts_are_shown(page, review):
    button = page.locator("#palette button", has_text="horse")
    before = int(button.locator(".count").inner_text())
    assert before == review.labels().count("horse")
    button.click()
    said(page, "labelled horse, saved.")
    said(page, "changed")
    expect(button.locator(".count")).to_have_text(str(review.labels().count("horse")))


def test_what_an_answer_moved_is_shown_with_before_and_after(page, review):
    answered, labels = rows_shown(page)[0], review.labels()
    press(page, "4")
    page.wait_for_selector("#moved li")
    moved = review.moved(answered)
    count = len(moved)
    said_above = f"{count} other photos changed their label." if count > 1 else "1 other photo changed its label."
    expect(page.locator("#moved h2")).to_contain_text(said_above)
    assert page.locator("#moved li").count() == count
    names = page.locator("#moved li").first.locator(".names")
    assert names.inner_text().split() == [labels[moved[0]], "→", "cat"]
    page.locator("#moved li button").first.click()
    assert page.locator("#zoom .id").inner_text() == review.items.ids[moved[0]]


def test_a_row_enlarged_from_the_strip_is_the_one_that_a_key_labels(page, review):
    answered = rows_shown(page)[0]
    press(page, "4")
    page.wait_for_selector("#moved li")
    enlarged = review.moved(answered)[0]
    page.locator("#moved li button").first.click()
    page.wait_for_selector("#zoom[open]")
    press(page, "6")
    said(page, "labelled dog, saved.")
    assert review.answers()[enlarged] == "dog"


def test_why_shows_shares_labelled_rows_and_neighbours(page):
    press(page, "w")
    page.wait_for_selector("#why:not([hidden])")
    panel = page.locator("#why").inner_text()
    for text in (
        "Why",
        "Shares of the classes",
        "70\u00a0%",
        "Labelled photos that decided it",
        "decides it: 60\u00a0%",
        "The photos most like it",
        "the most alike",
    ):
        assert text in panel
    before = page.locator("#why .self p").inner_text()
    press(page, "ArrowRight")
    expect(page.locator("#why .self p")).not_to_have_text(before)
    press(page, "w")
    assert page.locator("#why").is_hidden()


def test_filters_narrow_the_list_and_a_reload_keeps_them(page, review):
    page.locator("#filters [name=class]").select_option("truck")
    page.locator("#filters [name=order]").select_option("row")
    page.get_by_label("Certainty at least, in percent").fill("50")
    expect(page).to_have_url(re.compile("min_certainty=50"))
    labels, certainty = review.labels(), review.engine.state.certainty
    expected = [row for row, label in enumerate(labels) if label == "truck" and certainty[row] >= 0.5]
    expect(page.locator(TILE)).to_have_count(len(expected))
    assert rows_shown(page) == expected
    page.reload()
    page.wait_for_selector(TILE)
    assert rows_shown(page) == expected


def test_search_finds_ids_and_typing_there_labels_nothing(page, review):
    press(page, "f")
    page.keyboard.type("0115")
    expect(page.locator(TILE)).to_have_count(1)
    assert rows_shown(page) == [115]
    assert review.answers() == {}
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(TILE)).to_have_count(48)


def test_next_goes_on_in_the_queue_without_leaving_out_a_row(page):
    first = rows_shown(page)
    press(page, "a", "s")
    said(page, "48 photos skipped, saved.")
    said(page, "All photos shown are answered: Next shows more.")
    press(page, "n")
    expect(page.locator(f"{TILE}[data-row='{first[0]}']")).to_have_count(0)
    assert not set(rows_shown(page)) & set(first)
    press(page, "n")
    expect(page.locator(TILE)).to_have_count(24)
    press(page, "p", "p")
    expect(page.locator("#shown")).to_contain_text("1 to 48 of 72")


@pytest.mark.parametrize(("text", "ending"), [("CSV", ".csv"), ("Parquet", ".parquet"), ("Label Studio", ".json")])
def test_exports_are_downloads_with_the_answers(page, text, ending):
    row = rows_shown(page)[0]
    press(page, "4")
    said(page, "saved.")
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=text).click()
    assert download.value.suggested_filename.endswith(ending)
    assert download.value.path().read_text() == repr({row: "cat"})


@pytest.mark.parametrize("items", [ToyItems().as_rows()], ids=["rows"])
def test_rows_without_images_show_their_columns(page, review):
    first = rows_shown(page)[0]
    assert page.locator(TILE).first.locator("dd").inner_text() == f"a text about {review.items.ids[first]}"
    assert page.locator("#grid img").count() == 0
    press(page, "2", "w", "z")
    page.wait_for_selector("#zoom[open]")


def test_the_whole_work_goes_by_keyboard_from_the_address_bar_on(page, review):
    """Tab reaches every control in order, the grid is one stop, dialogs close with Escape and give the focus back."""
    page.evaluate("document.activeElement.blur()")
    stops = []
    for _ in range(60):
        press(page, "Tab")
        stops.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.name || ''"
            )
        )
    assert sum("tile" in stop for stop in stops) <= 2
    for wanted in ("open-help", "text", "order", "class", "source", "min_certainty", "next"):
        assert wanted in stops
    page.locator(f"{TILE}[tabindex='0']").focus()
    press(page, "?")
    page.wait_for_selector("#help[open]")
    press(page, "Escape")
    assert "tile" in page.evaluate("document.activeElement.className")
    press(page, "z", "3")
    said(page, "labelled bird, saved.")
    press(page, "Escape")
    assert page.locator("#zoom").is_hidden()
    assert "tile" in page.evaluate("document.activeElement.className")


def test_single_keys_can_be_switched_off(page, review):
    press(page, "?")
    page.get_by_label("Keys of a single letter or digit").uncheck()
    press(page, "Escape", "3", "s")
    press(page, "Enter")
    said(page, "saved.")
    assert len(review.answers()) == 1
    assert review.skipped() == []


def test_on_a_phone_nothing_overflows_and_fingers_select(browser, review):
    context = browser.new_context(viewport={"width": 390, "height": 760}, has_touch=True)
    page = opened(context, review)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator(TILE).nth(0).tap()
    page.locator(TILE).nth(1).tap()
    assert page.locator(f"{TILE}[aria-selected=true]").count() == 2
    page.locator("#palette button", has_text="deer").tap()
    said(page, "2 photos labelled deer, saved.")
    assert list(review.answers().values()) == ["deer", "deer"]
    context.close()


def test_a_run_that_is_no_open_labelling_has_nothing_to_finish(page):
    expect(page.locator("#open-finish")).to_be_hidden()
