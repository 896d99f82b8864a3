"""Links to files of the repository lead to their page in the site where they have one, else to a download of them.

The pages are written with links such as ../CHANGELOG.md, which hold on a forge. Those in PAGES are shown by a page of
docs/repository/.
"""

import re

PAGES = {
    "ARCHITECTURE.md": "architecture",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "benchmarks/results/accuracy.md": "accuracy",
    "benchmarks/results/choosing.md": "choosing",
    "src/fewlabels/recipes/deviations.md": "deviations",
}


def in_the_site(text: str) -> str:
    """The same text with links to the files of PAGES turned into links to their pages."""

    def turned(match: re.Match) -> str:
        page = PAGES.get(match[1])
        return f"](/repository/{page}.md{match[2]})" if page else match[0]

    return re.sub(r"\]\((?:\.\./)+([\w./-]+)(#[\w-]+|)\)", turned, text)


def _on_read(app, name, content):
    content[0] = in_the_site(content[0])


def setup(app):
    app.connect("source-read", _on_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
