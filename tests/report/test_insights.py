"""What a report says of single rows: the parts, and hostile names."""

import base64
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from fewlabels.data.images.pictures import thumbnail
from fewlabels.report import gather, report_html
from tests.data.image_files import png_claiming

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    '<a href="javascript:alert(1)">x</a>',
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "{{ ''.__class__ }}{% raw %}",
    "<!--",
    "]]><meta http-equiv=refresh content='0;url=//x'>",
    "&lt;script&gt;",
    "\u202egnp.exe\x00\x07",
)


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_shows_what_the_run_found(make_run, insights):
    page = Page(report_html([make_run(insights=insights())]))
    for text in (
        "AUROC 88 %",
        "3 of 10 pseudo-labels whose truth is known are wrong",
        "3 of 1,200 rows on a plane, by t-SNE",
        "Of 5 labels checked",
        "(of 6: those",
        "the others say wren",
        "25 %, truly wren",
        "1, with 10 rows",
        "2 to 3",
    ):
        assert text in page.text, text
    words = " ".join(attributes.get("alt", "") for tag, attributes in page.tags if tag == "img")
    assert "25.0 % right of 4 at 0 to 50 %; 100.0 % right of 6 at 50 to 100 %" in words
    assert "3 rows on a plane by t-SNE, by label; 1 are given" in words


def test_rows_without_images_are_tables_of_ids(make_run, insights):
    page = Page(report_html([make_run(insights=insights(image=None))]))
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 8  # four of the learning, and reliability, confusion, the map twice
    for text in ("a.png", "b.png", "c.png", "d.png", "the others say wren"):
        assert text in page.text


def test_the_least_certain_rows_without_images_are_open_worst_first(make_run, insights):
    report = gather([make_run(insights=insights(image=None))])
    assert [(row.id, row.label, row.certainty) for row in report.galleries.doubtful] == [
        ("a.png", "crow", "25 %"),
        ("c.png", "wren", "44 %"),
    ]
    page = report_html([make_run("b", insights=insights(image=None))])
    assert "The least certain of all classes" in page.split("<details><summary>Least and most certain of crow")[0]


def test_every_part_is_in_the_list_of_contents(make_run, insights):
    page = Page(report_html([make_run(insights=insights())]))
    headings = [attributes["id"] for tag, attributes in page.tags if tag == "h2"]
    assert len(headings) == len(set(headings)) == 8
    assert [attributes["href"] for tag, attributes in page.tags if tag == "a"] == [f"#{place}" for place in headings]


def test_a_run_without_insights_has_none_of_these_parts(make_run):
    report = gather([make_run()])
    assert report.galleries is None
    assert report.insights.map is report.insights.reliability is report.insights.confusion is None
    text = Page(report_html([make_run("b")])).text
    for words in ("Map of the descriptors", "Can certainty be trusted", "contradict", "certain of each class"):
        assert words not in text


def test_more_than_ten_classes_are_folded(make_run, results, insights):
    found = insights()
    tile = found.tiles[0]
    tiles = [replace(tile, class_number=number, id=f"r{number}", label=number, truth=-1) for number in range(12)]
    found = type(found)({"map": None}, None, tiles)
    values = results | {"class_counts": None}
    shown = gather([make_run(results=values, insights=found, class_names=tuple("abcdefghijkl"))])
    assert [one.name for one in shown.galleries.open] == list("abcdefghij")
    assert [one.name for one in shown.galleries.folded] == ["k", "l"]


def test_long_ids_keep_their_ends(make_run, insights):
    name = "photos/" + "x" * 100 + "/last.png"
    (shown,) = gather([make_run(insights=insights((name, "b", "c", "d")))]).galleries.open[0].doubtful
    assert shown.short_id.startswith("photos/")
    assert shown.short_id.endswith("/last.png")
    assert len(shown.short_id) <= 40


def test_headings_are_in_order_and_every_picture_has_words_or_its_row_beside_it(make_run, insights):
    page = Page(report_html([make_run(insights=insights())]))
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all("alt" in attributes for tag, attributes in page.tags if tag == "img")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_ids_stay_text(make_run, insights, name):
    folder = make_run(title=name, class_names=(name, name + "2"), insights=insights((name, "b", "c", name + "!")))
    page = Page(report_html([folder]))
    tags = [tag for tag, _ in page.tags]
    assert not {"script", "iframe", "object", "embed", "link", "base", "form", "svg"} & set(tags)
    assert tags.count("style") == 1
    metas = [attributes for tag, attributes in page.tags if tag == "meta"]
    assert [meta["http-equiv"] for meta in metas if "http-equiv" in meta] == ["Content-Security-Policy"]
    assert metas[1]["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    places = {f"#{attributes['id']}" for tag, attributes in page.tags if tag == "h2"}
    assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} == places  # the list of contents alone
    for tag, attributes in page.tags:
        assert tag == "a" or "href" not in attributes
        assert not [key for key in attributes if key.startswith("on") or key in ("srcset", "srcdoc", "style")]
        assert tag != "img" or attributes["src"].startswith("data:image/png;base64,")
    assert page.text.count(name.replace("\x00", "�")) >= 3 or page.text.count(name) >= 3


def test_no_picture_of_a_run_is_decoded_for_its_report(make_run, insights, monkeypatch):
    bomb = png_claiming(30_000, 30_000)
    monkeypatch.setattr(Image, "open", lambda *given, **more: pytest.fail("an image is opened"))
    page = Page(report_html([make_run(insights=insights(image=bomb))]))
    assert "data:image/png;base64," + base64.b64encode(bomb).decode() in [one.get("src") for _, one in page.tags]


def test_long_names_are_cut_in_the_middle_below_a_picture_and_whole_in_its_title(make_run, insights):
    id = "holidays/2026/summer/at-the-lake/IMG_20260714_0012.jpg"
    page = Page(report_html([make_run(insights=insights(ids=(id, "b.png", "c.png", "d.png")))]))
    assert {"class": "id", "title": id} in [attributes for tag, attributes in page.tags if tag == "span"]
    assert "holida…260714_0012.jpg" in page.text


def test_only_small_pictures_are_shown_with_sharp_pixels(make_run, insights):
    for side, kind in ((32, "coarse"), (96, None)):
        image = thumbnail(np.zeros((side, side, 3), np.uint8), side)
        page = Page(report_html([make_run(f"run-{side}", insights=insights(image=image))]))
        shown = [attributes for tag, attributes in page.tags if tag == "img" and attributes["alt"] == ""]
        assert shown
        assert all(attributes.get("class") == kind for attributes in shown)
