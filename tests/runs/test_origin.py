import re
import subprocess

import numpy as np

from fewlabels.runs import origin


def test_the_machine_and_every_package_are_named():
    found = origin.versions()
    assert found["numpy"] == np.__version__
    assert int(found["cores"]) >= 1
    assert all(found.values())


def test_the_commit_is_named_in_a_checkout_and_nowhere_else(tmp_path, monkeypatch):
    place = tmp_path / "src" / "fewlabels" / "runs" / "origin.py"
    monkeypatch.setattr(origin, "__file__", str(place))
    assert origin.commit() == "release"
    (tmp_path / ".git").mkdir()
    assert origin.commit() == "unknown"
    (tmp_path / ".git").rmdir()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "file").write_text("1")
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    clean = origin.commit()
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "file").write_text("2")
    assert origin.commit() == clean + "+"


def test_a_package_that_is_not_there_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(origin, "REPORTED_PACKAGES", ("no-such-package",))
    assert origin.versions()["no-such-package"] == "not installed"
