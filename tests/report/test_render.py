"""The page: parsed, not searched with patterns, where its structure is what counts."""

import base64
import json
from html.parser import HTMLParser

import pytest

from fewlabels.report import report_html

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "$\\frac{1}{0}$",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "line\nbreak\x07",
    "鳥" * 500,
)


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_shows_the_numbers_of_the_run(make_run):
    page = Page(report_html([make_run()]))
    for text in ("birds", "5.25 %", "20.50 %", "94.75 %", "31.0 %", "9,876", "9.1e-07", "graph.alpha", "61 s"):
        assert text in page.text
    assert "unfinished" not in page.text


def test_its_pictures_are_png_inside_the_page_and_have_words_for_them(make_run):
    images = Page(report_html([make_run()])).attributes("img")
    assert len(images) == 4
    for image in images:
        kind, data = image["src"].split(",", 1)
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data).startswith(b"\x89PNG")
    words = " ".join(image["alt"] for image in images)
    for text in ("at the end 20.0 %", "at the end 83.0 %", "1,130 right and 64 wrong", "between 500 and 694"):
        assert text in words


def test_the_same_run_gives_the_same_bytes(make_run):
    folder = make_run()
    assert report_html([folder]) == report_html([folder])


def test_nothing_can_run_and_nothing_is_fetched(make_run):
    folder = make_run(title=HOSTILE[0], class_names=HOSTILE[1:3])
    page = Page(report_html([folder]))
    policy = page.attributes("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'")
    assert not page.attributes("script") + page.attributes("link") + page.attributes("iframe")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert not {"action", "srcset"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")  # to a part of the same page


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(make_run, name):
    page = Page(report_html([make_run(title=name, class_names=(name, "wren"))]))
    assert not page.attributes("script")
    assert len(page.attributes("img")) == 4
    assert all(image["src"].startswith("data:") for image in page.attributes("img"))
    assert name[:60] in page.text


def test_a_thousand_classes_are_folded(make_run, results):
    names = tuple(f"class {i}" for i in range(1000))
    solver = {"steps": [5] * 1000, "residual": [1e-7] * 1000, "converged": [True] * 1000}
    counts = {"given": [1] * 1000, "propagated": [2] * 1000}
    page = Page(
        report_html([make_run(results=results | {"solver": solver, "class_counts": counts}, class_names=names)])
    )
    assert "1000 classes: steps and residuals" in page.text
    assert "the first 40 of 1000 classes" in page.text


def test_several_runs_are_one_page(make_run):
    repeats = Page(report_html([make_run("a"), make_run("b", seed=1)]))
    assert "Run by run" in repeats.text
    assert "Standard deviation" in repeats.text
    assert "What differs" not in repeats.text
    other = Page(report_html([make_run("c"), make_run("d", alpha=0.5, epochs=6)]))
    assert "What differs" in other.text
    assert "phases[0].epochs" in other.text
    assert "Standard deviation" not in other.text
    assert len(other.attributes("img")) == 2


def test_an_unfinished_run_says_so_and_shows_its_curves(make_run):
    page = Page(report_html([make_run(finished=False)]))
    assert "This run is unfinished" in page.text
    assert len(page.attributes("img")) == 2


def test_loss_and_schedule_are_folded_pictures_and_phases_are_explained(make_run):
    folder = make_run(finished=False)
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    lines = [json.dumps(event | {"loss": 1.5, "learning_rate": 0.1, "consistency_weight": 0.0}) for event in events]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    page = Page(report_html([folder]))
    assert len(page.attributes("img")) == 4
    assert "Loss by epoch, at the end 1.5." in [image["alt"] for image in page.attributes("img")]
    assert "Phase 2, label propagation: before every epoch" in page.text


def test_a_run_without_epochs_still_has_a_page(make_run):
    page = Page(report_html([make_run(epochs=0)]))
    assert "5.25 %" in page.text
    assert len(page.attributes("img")) == 2
