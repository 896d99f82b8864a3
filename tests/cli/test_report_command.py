"""`fewlabels report` and `verify`."""

from pathlib import Path

import pytest

from tests.cli.typed import PROPAGATE, run


@pytest.fixture(scope="module", autouse=True)
def pictures():
    """They are drawn."""


def test_report_and_verify(embeddings, capsys):
    run(capsys, *PROPAGATE, "o.csv", "--run", "r", "-q")
    said = "report  again.html\nnext    fewlabels review r\n"
    assert run(capsys, "report", "r", "--out", "again.html") == (0, said, "")
    assert Path("again.html").read_text() == Path("r/report.html").read_text()
    with open("r/results.json", "a") as file:
        file.write(" ")
    status, _, err = run(capsys, "verify", "r")
    assert status == 3
    assert "results.json" in err


def test_a_report_is_never_written_over_a_file_or_under_another_name(embeddings, capsys):
    assert run(capsys, *PROPAGATE, "o.csv", "-q")[0] == 0
    for name, message in (("labels.csv", "FL-C16"), ("o-run", "FL-C16"), ("o-run/report.html", "FL-C9")):
        status, _, err = run(capsys, "report", "o-run", "--out", name)
        assert status == 2
        assert message in err
    assert Path("labels.csv").read_text().startswith("id,label")
    assert run(capsys, "report", "o-run", "--out", "o-run/report.html", "--force")[0] == 2
    assert run(capsys, "verify", "o-run")[0] == 0


def test_a_report_is_replaced_where_that_was_asked_for(embeddings, capsys):
    assert run(capsys, *PROPAGATE, "o.csv", "-q")[0] == 0
    Path("again.html").write_text("an old one")
    status, _, err = run(capsys, "report", "o-run", "--out", "again.html")
    assert status == 2
    assert "FL-C9 the output file exists at again.html; nothing was changed" in err
    assert "--force" in err
    assert Path("again.html").read_text() == "an old one"
    assert run(capsys, "report", "o-run", "--out", "again.html", "--force")[0] == 0
    assert Path("again.html").read_text() == Path("o-run/report.html").read_text()
