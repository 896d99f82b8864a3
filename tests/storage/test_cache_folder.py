"""Where the cache is: asked of the environment each time."""

from pathlib import Path

import pytest

from fewlabels.storage.cache_folder import cache_folder


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ("/a/b", "/c", "/a/b"),
        ("~/b", "/c", "/home/me/b"),
        (None, "/c", "/c/fewlabels"),
        ("", "/c", "/c/fewlabels"),
        (None, "relative", "/home/me/.cache/fewlabels"),
        (None, None, "/home/me/.cache/fewlabels"),
    ],
)
def test_the_cache_is_where_the_environment_says(monkeypatch, own, shared, expected):
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in (("FEWLABELS_CACHE", own), ("XDG_CACHE_HOME", shared)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_a_relative_place_of_ones_own_counts_from_here(monkeypatch, tmp_path):
    monkeypatch.setenv("FEWLABELS_CACHE", "cache")
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == tmp_path / "cache"
