"""What the site makes of docstrings and links."""

import importlib.util
from pathlib import Path

EXTENSIONS = Path(__file__).parent.parent.parent / "docs" / "extensions"


def extension(name: str):
    found = importlib.util.spec_from_file_location(f"docs_{name}", EXTENSIONS / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


DOCSTRINGS = extension("docstrings")


def test_what_a_docstring_says_of_parameters_becomes_a_list():
    lines = ["All rows.", "", "rows: (n, d), see: below. k, alpha: numbers", "in (0, 1).", "Raises KeyError: never."]
    assert DOCSTRINGS.restructured(lines, {"rows", "k", "alpha"}) == [
        "All rows.",
        "",
        "",
        "- ``rows``: (n, d), see: below.",
        "- ``k``, ``alpha``: numbers in (0, 1).",
        "",
        "Raises KeyError: never.",
        "",
        "",
    ]


def test_signs_of_a_docstring_mean_nothing_but_quotes_around_code():
    assert DOCSTRINGS.safe("|b - A x| * W_ij of `a_b`") == r"\|b - A x\| \* W\_ij of ``a_b``"


def test_examples_stay_as_they_are():
    lines = [">>> propagate(rows)", "array([0])"]
    assert DOCSTRINGS.restructured(lines, set())[:2] == lines


def test_signatures_are_as_short_as_they_were_written():
    text = (
        "(x: ~numpy.ndarray[tuple[~typing.Any, ...], ~numpy.dtype[int]], mode: ~typing.Literal['a', 'b'] = <factory>)"
    )
    assert DOCSTRINGS.shortened(text) == "(x: ~numpy.typing.NDArray[int], mode: 'a' | 'b' = ...)"


def test_links_to_files_of_the_repository_become_links_to_their_pages():
    turn = extension("repository_links").in_the_site
    assert turn("[a](../CHANGELOG.md) [b](../../ARCHITECTURE.md#parts)") == (
        "[a](/repository/changelog.md) [b](/repository/architecture.md#parts)"
    )
    assert turn("[c](../benchmarks/x.jsonl) [d](errors.md)") == "[c](../benchmarks/x.jsonl) [d](errors.md)"
