"""Finishing a labelling on its page: by keyboard and by touch, what it will do, how far it is, what comes next."""

import threading

import pytest
from axe_playwright_python.sync_playwright import Axe

from fewlabels.errors import ConfigError
from fewlabels.review.finishing import Finished
from tests.review.browser.browser_pages import expect, opened
from tests.review.browser.toy_review import ToyItems, served

DONE = Finished(
    "34 answers, 120 rows", {"train": "fewlabels train photos --labels run", "export": "fewlabels export run"}
)


class Job:
    """Ends when it is let go; fails as often as it is told to."""

    def __init__(self):
        self.may_end, self.failures, self.calls = threading.Event(), 0, 0

    def __call__(self):
        self.calls += 1
        assert self.may_end.wait(20)
        if self.calls <= self.failures:
            raise ConfigError("C151", "1 classes with an answer, expected two at least", do="go on")
        return DONE


@pytest.fixture
def job():
    job = Job()
    yield job
    job.may_end.set()


@pytest.fixture
def review(tmp_path, job):
    with served(tmp_path / "run.review", ToyItems(), finish=job) as review:
        yield review
        job.may_end.set()


@pytest.fixture
def page(context, review):
    return opened(context, review)


def test_by_keyboard_it_is_asked_first_then_sealed_and_the_next_commands_are_shown(page, job):
    page.get_by_role("button", name="Finish", exact=True).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Finish this labelling")
    expect(dialog).to_contain_text("it is sealed")
    expect(dialog.get_by_role("button", name="Finish", exact=True)).to_be_focused()
    assert job.calls == 0
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("status")).to_contain_text("Spreading the answers")
    job.may_end.set()
    finished = page.get_by_role("dialog", name="Finished")
    expect(finished).to_contain_text("34 answers, 120 rows")
    expect(finished.locator("code")).to_have_text([DONE.next["train"], DONE.next["export"]])
    expect(page.locator("#live")).to_contain_text("Finished. 34 answers")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Finished")).to_be_visible()
    assert job.calls == 1


def test_nothing_is_done_by_going_on(page, job):
    page.get_by_role("button", name="Finish", exact=True).click()
    page.get_by_role("button", name="Go on labelling").click()
    expect(page.locator("#finish")).to_be_hidden()
    assert job.calls == 0


def test_answers_are_taken_while_it_runs_and_another_tab_sees_how_far_it_is(page, job, context, review):
    page.get_by_role("button", name="Finish", exact=True).click()
    page.locator("#finish").get_by_role("button", name="Finish", exact=True).click()
    page.get_by_role("button", name="Close", exact=True).click()
    page.locator("#grid .tile").first.click()
    page.keyboard.press("1")
    expect(page.locator("#given")).to_contain_text("1 answer")
    other = opened(context, review)
    other.get_by_role("button", name="Finish").click()
    expect(other.get_by_role("status").filter(has_text="Spreading")).to_be_visible()
    job.may_end.set()
    expect(other.get_by_role("dialog", name="Finished")).to_contain_text("34 answers")


def test_a_failure_is_told_and_it_can_be_tried_again(page, job):
    job.failures = 1
    job.may_end.set()
    page.get_by_role("button", name="Finish", exact=True).click()
    dialog = page.locator("#finish")
    dialog.get_by_role("button", name="Finish", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("1 classes with an answer, expected two at least; go on")
    dialog.get_by_role("button", name="Finish", exact=True).click()
    expect(dialog).to_contain_text("34 answers")
    assert job.calls == 2


def test_the_dialog_passes_axe_in_each_state(page, job):
    def demand_clean():
        found = Axe().run(page).response["violations"]
        assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []

    page.get_by_role("button", name="Finish", exact=True).click()
    demand_clean()
    page.locator("#finish").get_by_role("button", name="Finish", exact=True).click()
    demand_clean()
    job.may_end.set()
    expect(page.locator("#finish")).to_contain_text("34 answers")
    demand_clean()


def test_by_touch_it_is_finished_on_a_phone(browser, review, job, seen):
    job.may_end.set()
    context = browser.new_context(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = opened(context, review)
    page.get_by_role("button", name="Finish", exact=True).tap()
    page.locator("#finish").get_by_role("button", name="Finish", exact=True).tap()
    expect(page.locator("#finish")).to_contain_text("34 answers")
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide
    context.close()
