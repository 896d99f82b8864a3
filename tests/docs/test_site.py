"""The built site: no warning, no broken link, and nothing that a browser would fetch from elsewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import fewlabels
import fewlabels.estimator
import fewlabels.graph
import fewlabels.nets

pytest.importorskip("sphinx")
DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site as `make docs` builds it; a warning, such as a link that leads nowhere, ends it."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-n", "-W", "--keep-going", "-q", "-E", "-d", place / "trees"]
    done = subprocess.run([*command, DOCS, place / "html"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / "html"


class Page(HTMLParser):
    """loads: what a browser fetches by itself. links: where a reader may go. anchors: places in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads, self.links, self.anchors, self.styles = [], [], set(), []
        self.in_style = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.in_style = tag == "style"
        self.anchors.add(values.get("id"))
        self.styles.append(values.get("style") or "")
        if tag == "a":
            self.links.append(values.get("href") or "")
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload", "modulepreload", "prefetch"):
            self.loads.append(values.get("href"))
        self.loads += [values[name] for name in ("src", "srcset", "data", "poster") if values.get(name)]

    def handle_data(self, data):
        if self.in_style:
            self.styles.append(data)


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


def is_elsewhere(target: str) -> bool:
    return bool(urlsplit(target).netloc)


def test_no_page_loads_anything_from_elsewhere(site, pages):
    assert len(pages) > 20
    fetched = [target for page in pages.values() for target in page.loads]
    styles = [style for page in pages.values() for style in page.styles]
    styles += [path.read_text() for path in site.rglob("*.css")]
    for style in styles:
        fetched += re.findall(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""", style)
    assert not [target for target in fetched if is_elsewhere(target)]


def test_no_script_of_the_site_names_another_one(site):
    for path in site.rglob("*.js"):
        if path.name != "searchindex.js":  # words of the pages
            named = re.findall(r"""(?:fetch|import|src\s*=|open)\s*\(?\s*["'](https?:)?//""", path.read_text())
            assert not named, path.name


def leads_somewhere(link: str, path: Path, pages: dict[Path, Page]) -> bool:
    """Whether a link of the page at `path` leads to a file of the site, and to a place in it where it names one."""
    parts = urlsplit(link)
    if parts.scheme or is_elsewhere(link):
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    is_place = not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].anchors
    return target.exists() and is_place


def test_every_link_within_the_site_leads_somewhere(pages):
    links = [(link, path) for path, page in pages.items() for link in [*page.links, *page.loads]]
    assert len(links) > 1000
    assert not [(link, path.name) for link, path in links if not leads_somewhere(link, path, pages)]


def test_a_link_that_leads_nowhere_is_seen(pages):
    path = next(path for path in pages if path.name == "faq.html")
    assert leads_somewhere("cost.html#measured", path, pages)
    assert not leads_somewhere("cost.html#guessed", path, pages)
    assert not leads_somewhere("costs.html", path, pages)


def test_equations_are_drawn_by_the_browser_itself(pages):
    path, page = next((path, page) for path, page in pages.items() if path.name == "how-it-works.html")
    assert path.read_text().count("<math") > 10
    assert not [target for target in page.loads if "mathjax" in target.lower()]


def test_the_index_of_names_has_every_public_one(pages):
    page = next(page for path, page in pages.items() if path.name == "api.html")
    documented = {anchor.rsplit(".", 1)[-1] for anchor in page.anchors if anchor}
    modules = (fewlabels, fewlabels.graph, fewlabels.estimator, fewlabels.nets)
    assert not {name for module in modules for name in module.__all__} - documented


def test_links_to_files_of_the_repository_lead_to_their_pages(pages):
    page = next(page for path, page in pages.items() if path.name == "reproducing.html")
    assert "repository/deviations.html" in page.links
