"""`fewlabels review`: opens a run, serves it, and says at the end what to do with the answers."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from review_fakes import CLASSES, FakeEngine, FakeItems, fake_export
from starlette.testclient import TestClient

from fewlabels.errors import ConfigError, RunError
from fewlabels.main import run as run_command
from fewlabels.review.export import kind_of


@pytest.fixture
def job(monkeypatch):
    """The job with an engine that takes no time, and a person who answers row 1 and is done."""
    fakes = {
        "engine": {"Engine": lambda items, answers: FakeEngine(len(items.ids), answers)},
        "items": {"Items": FakeItems, "open_items": lambda run: FakeItems([f"{row}.png" for row in range(20)])},
        "export": {"exported": lambda items, *rest: fake_export(*rest), "kind_of": kind_of},
    }
    for name, content in fakes.items():
        module = ModuleType(f"fewlabels.review.{name}")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "fewlabels.jobs.review", raising=False)
    import fewlabels.jobs.review as found

    served = []

    def serve(app, door, access, place, say):
        port = place.getsockname()[1]
        place.close()
        say("the address")
        page = TestClient(app, base_url=f"http://127.0.0.1:{port}", headers={"Origin": f"http://127.0.0.1:{port}"})
        page.get("/", params={"token": access.token}, follow_redirects=False)
        version = page.get("/api/rows/1").json()["version"]
        one = {"row": 1, "action": "label", "label": CLASSES[version % 2], "version": version}
        page.post("/api/answers", json={"client": "tab", "seq": version, "answers": [one]}).raise_for_status()
        served.append(SimpleNamespace(port=port, session=page.get("/api/session").json()))

    monkeypatch.setattr(found, "serve", serve)
    yield SimpleNamespace(served=served)
    sys.modules.pop("fewlabels.jobs.review", None)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"format": 1, "title": "digits", "kind": "train"}))
    (folder / "manifest.json").write_text("{}")
    return folder


def test_a_review_is_served_and_says_what_to_do_with_the_answers(job, run, capsys):
    assert run_command(["review", str(run), "--no-browser"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("the address\n")
    assert "1 answers, 0 rows skipped" in told
    assert f"fewlabels export {run} --out reviewed.csv" in told
    assert f"--continue-from {run} --labels reviewed.csv" in told
    assert job.served[0].session["title"] == "digits"


def test_the_next_review_of_the_run_has_the_answers_and_the_address_of_the_last(job, run, capsys):
    run_command(["review", str(run), "--no-browser"])
    capsys.readouterr()
    assert run_command(["review", str(run), "--no-browser", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["event"] == 2
    assert job.served[0].port == job.served[1].port
    assert sorted(path.name for path in run.parent.iterdir()) == ["demo", "demo.review"]
    assert sorted(path.name for path in run.iterdir()) == ["manifest.json", "run.json"]  # sealed, and left alone


def test_the_labels_are_written_at_the_end_where_that_was_asked_for(job, run, tmp_path, capsys):
    out = tmp_path / "reviewed.json"
    assert run_command(["review", str(run), "--no-browser", "--labels", str(out)]) == 0
    assert json.loads(out.read_text()) == ["label-studio", 1, [[1, "cat"]], 20]
    assert "fewlabels export" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--labels", "labels.txt"], "FL-C16"),
        (["--labels", "demo/run.json"], "FL-C9"),
        (["--host", "0.0.0.0"], "FL-C80"),
        (["--host", "192.0.2.1", "--i-understand", "-q"], "FL-C79"),
        (["--port", "70000"], "FL-C1"),
    ],
)
def test_an_option_that_cannot_be_is_told_before_anything_is_served(job, run, options, code, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    assert run_command(["review", str(run), "--no-browser", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {code} ")
    assert job.served == []


def test_answers_to_another_run_of_that_name_are_refused(job, run):
    run_command(["review", str(run), "--no-browser"])
    (run / "manifest.json").write_text("{ }")
    from fewlabels.jobs.review import Door, Review, run_review

    with pytest.raises(RunError, match="FL-C77"):
        run_review(run, Review(Door(browser=False)))


def test_what_is_no_run_is_refused(job, tmp_path):
    assert run_command(["review", str(tmp_path), "--no-browser"]) == 3
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named(monkeypatch):
    from fewlabels.cli_review import need_review_packages

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"FL-C81 .*uvicorn.*pip install 'fewlabels\[review\]'"):
        need_review_packages()
