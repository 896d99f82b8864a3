"""What the review page does when something goes wrong: no answer lost, none doubled, none written over in silence."""

from __future__ import annotations

import json

import pytest

from tests.review.browser.browser_pages import TILE, expect, opened, press, rows_shown, said
from tests.review.browser.toy_review import ToyItems

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "<svg/onload=alert(3)>",
    "javascript:alert(4)",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "'; alert(5);//",
    "<iframe srcdoc='<script>alert(6)</script>'>",
    "</select></option></title><script>alert(7)</script>",
    "\u202etxt.exe",
    "שלום ומשפט ארוך",
    "👩🏽‍🚀 rocket",
    "a" * 400,
]
NAMED = ToyItems(tuple(f"{name} {number}" for number in range(8) for name in HOSTILE), tuple(HOSTILE))


def unsaved(page):
    return page.locator("#banners .unsaved")


def fails(status: int, code: str):
    """A server that answers like this."""
    body = json.dumps({"error": {"code": code, "message": "no room"}})
    return lambda route: route.fulfill(status=status, content_type="application/json", body=body)


def test_answers_without_a_network_wait_and_are_sent_once_it_is_back(page, context, review):
    context.set_offline(True)
    press(page, "1", "2")
    expect(unsaved(page)).to_contain_text("Not saved yet: 2.")
    expect(page.locator(f"{TILE} .badge.waiting")).to_have_count(2)
    assert review.answers() == {}
    context.set_offline(False)
    said(page, "labelled automobile, saved.")
    expect(unsaved(page)).to_have_count(0)
    assert sorted(review.answers().values()) == ["airplane", "automobile"]
    assert review.store.event == 2


def test_an_answer_that_takes_long_is_not_shown_as_saved(page, review):
    waiting = []
    page.route("**/api/answers", lambda route: waiting.append(route), times=1)
    press(page, "6")
    expect(unsaved(page)).to_contain_text("Not saved yet: 1. They are kept in this browser. The server takes its time")
    waiting[0].continue_()
    said(page, "labelled dog, saved.")
    expect(unsaved(page)).to_have_count(0)


def test_an_answer_whose_acknowledgement_was_lost_is_written_once(page, review):
    lost = []

    def lose(route):
        lost.append(route.request.post_data)
        route.fetch()  # the server writes it, and the page never hears of it
        route.abort()

    page.route("**/api/answers", lose, times=1)
    press(page, "3")
    said(page, "labelled bird, saved.")
    assert len(lost) == 1
    assert review.store.event == 1
    assert list(review.answers().values()) == ["bird"]


def test_a_reload_keeps_what_was_not_saved_and_sends_it(page, review):
    page.route("**/api/answers", lambda route: route.abort())
    press(page, "3", "4")
    expect(unsaved(page)).to_contain_text("Not saved yet: 2.")
    page.unroute_all()
    page.reload()
    said(page, "labelled cat, saved.")
    assert sorted(review.answers().values()) == ["bird", "cat"]
    press(page, "u")
    said(page, "1 photo undone.")
    assert list(review.answers().values()) == ["bird"]


def test_w20_the_back_button_neither_loses_nor_doubles_an_answer(page, review):
    press(page, "1")
    said(page, "labelled airplane, saved.")
    page.route("**/api/answers", lambda route: route.abort())
    press(page, "3")
    expect(unsaved(page)).to_contain_text("Not saved yet: 1.")
    page.goto("about:blank")
    page.unroute_all()
    page.go_back()
    page.wait_for_selector(TILE)
    said(page, "labelled bird, saved.")
    expect(unsaved(page)).to_have_count(0)
    assert sorted(review.answers().values()) == ["airplane", "bird"]
    assert review.store.event == 2


def test_what_a_closed_tab_left_is_sent_by_the_next_one(context, review):
    first = opened(context, review)
    first.route("**/api/answers", lambda route: route.abort())
    press(first, "5")
    expect(unsaved(first)).to_be_visible()
    first.close()
    second = opened(context, review)
    expect(second.locator("#banners")).to_contain_text("1 answer of an earlier tab had not been saved: sent now.")
    said(second, "labelled deer, saved.")
    assert list(review.answers().values()) == ["deer"]


def test_a_duplicated_tab_has_a_number_of_its_own(context, review):
    clients = set()
    context.on("request", lambda request: request.method == "POST" and clients.add(request.post_data_json["client"]))
    first = opened(context, review)
    stolen = first.evaluate("JSON.stringify(Object.entries(sessionStorage))")
    second = context.new_page()
    second.add_init_script(f"for (const [key, value] of {stolen}) sessionStorage.setItem(key, value)")
    second.goto(first.url)
    second.wait_for_selector(TILE)
    press(first, "1")
    said(first, "labelled airplane, saved.")
    press(second, "ArrowRight", "2")
    said(second, "labelled automobile, saved.")
    assert sorted(review.answers().values()) == ["airplane", "automobile"]
    assert len(clients) == 2


@pytest.mark.parametrize(("choice", "expected"), [("theirs", "airplane"), ("yours", "cat")])
def test_two_tabs_conflict_and_the_person_chooses(context, review, choice, expected):
    first, second = opened(context, review), opened(context, review)
    row = rows_shown(first)[0]
    press(first, "1")
    said(first, "labelled airplane, saved.")
    press(second, "4")
    dialog = second.locator("#conflict")
    expect(dialog).to_contain_text("1 photo answered elsewhere meanwhile")
    assert dialog.locator("label .name").all_inner_texts() == ["airplane", "cat"]
    assert review.answers() == {row: "airplane"}
    press(second, "Escape")
    expect(dialog).to_be_visible()
    dialog.locator(f"input[value={choice}]").check()
    dialog.get_by_role("button", name="Go on").click()
    said(second, "stand" if choice == "theirs" else "labelled cat, saved.")
    assert review.answers() == {row: expected}
    expect(second.locator(f"{TILE}[data-row='{row}'] .name")).to_have_text(expected)


def test_a_conflict_of_one_row_keeps_the_answers_on_the_others(context, review):
    first, second = opened(context, review), opened(context, review)
    row = rows_shown(first)[0]
    press(first, "1")
    said(first, "labelled airplane, saved.")
    press(second, "Shift+ArrowRight", "Shift+ArrowRight", "4")
    second.get_by_role("button", name="Go on").click()
    said(second, "2 photos labelled cat, saved.")
    assert review.answers()[row] == "airplane"
    assert sorted(review.answers().values()) == ["airplane", "cat", "cat"]


def test_two_tabs_that_agree_are_asked_nothing(context, review):
    first, second = opened(context, review), opened(context, review)
    press(first, "1")
    said(first, "labelled airplane, saved.")
    press(second, "1")
    said(second, "The answers given elsewhere stand.")
    expect(second.locator("#conflict")).to_be_hidden()
    assert list(review.answers().values()) == ["airplane"]


def test_a_conflict_with_a_skipped_row_says_so(context, review):
    first, second = opened(context, review), opened(context, review)
    press(first, "s")
    said(first, "1 photo skipped, saved.")
    press(second, "2")
    names = second.locator("#conflict label .name")
    expect(names).to_have_text(["skipped", "automobile"])


def test_an_undo_of_what_was_answered_again_elsewhere_is_not_done_and_says_so(context, review):
    first, second = opened(context, review), opened(context, review)
    press(first, "1")
    said(first, "labelled airplane, saved.")
    second.reload()
    second.locator("#filters [name=order]").select_option("row")
    row = next(iter(review.answers()))
    second.locator(f"{TILE}[data-row='{row}']").click()
    press(second, "2")
    said(second, "labelled automobile, saved.")
    press(first, "u")
    expect(first.locator("#banners")).to_contain_text("Not undone")
    assert review.answers() == {row: "automobile"}


def test_a_number_that_the_server_knows_otherwise_is_replaced(page, review):
    page.route("**/api/answers", fails(422, "FL-W8"), times=1)
    press(page, "3")
    said(page, "labelled bird, saved.")
    assert list(review.answers().values()) == ["bird"]


def test_a_full_disk_is_said_and_the_answer_is_kept(page, review):
    page.route("**/api/answers", fails(507, "FL-W12"))
    press(page, "7")
    expect(unsaved(page)).to_contain_text("Not saved, disk full: 1.")
    expect(page.locator(f"{TILE} .badge.waiting")).to_have_count(1)
    page.unroute_all()
    unsaved(page).get_by_role("button", name="Try now").click()
    said(page, "labelled frog, saved.")
    assert list(review.answers().values()) == ["frog"]


def test_an_ended_session_says_how_to_open_the_page_again(page, review):
    page.route("**/api/answers", fails(401, "FL-W4"))
    press(page, "7")
    expect(unsaved(page)).to_contain_text("Start `fewlabels review` again")
    page.route("**/api/session", fails(401, "FL-W4"))
    other = page.context.new_page()
    other.route("**/api/session", fails(401, "FL-W4"))
    other.goto(page.url)
    expect(other.locator("#banners")).to_contain_text("Start `fewlabels review` again")
    page.unroute_all()
    said(page, "labelled frog, saved.")
    assert list(review.answers().values()) == ["frog"]


def test_a_refused_answer_is_shown_and_given_up_only_by_the_person(page, review):
    page.route("**/api/answers", fails(422, "FL-W7"))
    press(page, "7")
    notice = page.locator("#banners .banner", has_text="The server refused 1 answer: no room")
    expect(notice).to_be_visible()
    page.unroute_all()
    notice.get_by_role("button", name="Give it up").click()
    press(page, "8")
    said(page, "labelled horse, saved.")
    assert list(review.answers().values()) == ["horse"]
    expect(page.locator(f"{TILE} .badge.waiting")).to_have_count(0)


def test_an_undo_before_sending_needs_no_server(page, context, review):
    context.set_offline(True)
    press(page, "1", "2")
    expect(unsaved(page)).to_contain_text("Not saved yet: 2.")
    press(page, "u")
    said(page, "Undone before it was sent.")
    context.set_offline(False)
    said(page, "labelled airplane, saved.")
    assert list(review.answers().values()) == ["airplane"]


def test_two_quick_answers_to_one_row_are_no_conflict_with_oneself(page, review):
    press(page, "1", "ArrowLeft", "2", "ArrowLeft", "3")
    said(page, "labelled bird, saved.")
    assert list(review.answers().values()) == ["bird"]
    assert page.locator("#conflict").is_hidden()


@pytest.mark.parametrize("items", [NAMED, NAMED.as_rows()], ids=["images", "rows"])
def test_hostile_names_are_texts(page):
    press(page, "2", "w", "Shift+ArrowRight", "3", "z")
    page.wait_for_selector("#zoom[open]")
    press(page, "Escape", "/")
    said(page, "saved.")
    page.wait_for_selector("#picker li")
    names = page.locator("#palette .name bdi").evaluate_all("names => names.map(name => name.textContent)")
    assert names == HOSTILE
    markup = "document.querySelectorAll('body script, iframe, body svg, [onerror], [onload], [srcdoc]').length"
    assert page.evaluate(markup) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
