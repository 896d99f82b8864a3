import io
import sys

import pytest

from fewlabels.jobs import progress
from fewlabels.jobs.progress import Progress, following


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_there_is_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1000)
    bar = Progress(8, "training")
    bar.step("loss 3", 4)
    bar.step("loss 2", 4)
    bar.close()
    assert capsys.readouterr() == ("", "training: 100 %  loss 2\n")


def test_lines_come_as_soon_as_they_are_due(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    bar = Progress(3, "reading")
    for _ in range(3):
        bar.step()
    assert capsys.readouterr().err == "reading: 33 %\nreading: 66 %\nreading: 100 %\n"


def test_a_terminal_gets_a_bar_with_the_note(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress(2, "training", unit="image")
    bar.step("loss 3", 2)
    bar.close()
    shown = sys.stderr.getvalue()
    assert "training: 100%" in shown
    assert "loss 3" in shown


def test_quiet_says_nothing(capsys):
    Progress(1, "training", quiet=True).step("loss 3")
    assert capsys.readouterr() == ("", "")


def test_following_passes_everything_on(capsys):
    assert list(following("reading")(iter("abc"), 3)) == ["a", "b", "c"]
    assert "reading: 100 %" in capsys.readouterr().err


@pytest.mark.parametrize("total", [0, 1])
def test_nothing_to_do_is_no_division_by_zero(total):
    Progress(total, "training").step()
