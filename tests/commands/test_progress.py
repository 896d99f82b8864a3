import fcntl
import io
import os
import pty
import struct
import sys
import termios

import pytest

from fewlabels.commands import progress
from fewlabels.commands import progress as pace
from fewlabels.commands.progress import Pace, Progress, StageProgress, fit_note, short_time, time_words, track_progress
from fewlabels.commands.watching import describe_epoch, describe_place, describe_stage


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


def test_a_terminal_that_says_it_has_no_size_gets_a_bar(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        bar = Progress(2, "training")
        bar.step("loss 3", 2)
        bar.close()
        monkeypatch.undo()
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "training: 100%" in shown
    assert "loss 3" in shown


NOTE = ("lp loss 0.523", "error 12.1%", "labels right 83.4%", "certainty 0.71")


def last_line(columns, monkeypatch, note):
    """What is on a terminal of that many columns, half-way."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress(2, "training", unit="image")
    bar.step(note, 1)
    bar.show()
    shown = sys.stderr.getvalue()
    bar.close()
    return shown.split("\r")[-1].rstrip()


@pytest.mark.parametrize(("columns", "parts"), [(50, 1), (60, 2), (80, 3), (100, 4), (120, 4)])
def test_a_terminal_shows_as_much_of_a_note_as_it_has_room_for(columns, parts, monkeypatch):
    shown = last_line(columns, monkeypatch, NOTE)
    assert shown.endswith(", ".join(NOTE[:parts]))
    assert len(shown) < columns
    assert shown.startswith("training:  50%")


def test_a_time_left_that_is_given_is_shown_instead_of_the_bars_own(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    Progress(4, "training").step(NOTE[:2], left=150.0)
    assert capsys.readouterr().err == "training: 25 %  lp loss 0.523, about 2 minutes left, error 12.1%\n"
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = Progress(4, "training")
    bar.step(NOTE[:2], left=150.0)
    bar.show()
    assert "25% 2 min left, lp loss 0.523, error 12.1%" in sys.stderr.getvalue()
    bar.close()


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (40, "40 s"), (19 * 60, "19 min"), (3.5 * 3600, "3.5 h")])
def test_a_time_beside_a_bar_is_one_that_a_person_reads(seconds, words):
    assert short_time(seconds) == words


def test_a_line_without_a_note_says_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    Progress(4, "checking").step(left=150.0)
    assert capsys.readouterr().err == "checking: 25 %  about 2 minutes left\n"


def test_a_line_shows_all_of_a_note(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    Progress(4, "training").step(NOTE)
    assert capsys.readouterr().err == f"training: 25 %  {', '.join(NOTE)}\n"


def test_the_first_part_of_a_note_is_always_shown():
    assert fit_note(("loss 3", "error 2"), 0) == "loss 3"
    assert fit_note((), 10) == ""


EPOCH = {"event": "epoch", "phase": "lp", "loss": 0.5234, "test_error": None}
MORE = {"pseudo_label_accuracy": 83.4, "mean_certainty": 0.71}


def test_a_note_on_training_says_what_is_known_of_the_last_epoch():
    assert describe_epoch([{"event": "start"}]) == ()
    assert describe_epoch([EPOCH]) == ("lp loss 0.523",)
    measured = EPOCH | {"test_error": 12.14, "teacher_test_error": None}
    assert describe_epoch([measured, EPOCH | MORE]) == NOTE  # the error is measured now and then: the last one stands
    assert describe_epoch([measured | {"teacher_test_error": 9.0}])[1] == "error 9.0%"


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (0, "phase 1/2, epoch 1/3"),
        (9, "phase 1/2, epoch 1/3"),
        (10, "phase 1/2, epoch 2/3"),
        (30, "phase 2/2, epoch 1/2"),
        (69, "phase 2/2, epoch 2/2"),
        (70, "phase 2/2, epoch 2/2"),
    ],
)
def test_the_place_of_a_run_is_told_by_phase_and_epoch(done, words):
    assert describe_place([(3, 10), (2, 20)], done) == words


def test_one_phase_is_not_counted_and_a_stage_that_begins_has_no_share():
    assert describe_place([(3, 10)], 25) == "epoch 3/3"
    assert describe_stage("neighbors", 0.0) == "neighbors"
    assert describe_stage("neighbors", 0.4) == "neighbors 40 %"


def test_the_time_left_goes_by_the_later_half_of_what_was_done(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    found = Pace()
    assert found.seconds(100, 2100) is None
    found.mark(100)  # of a run that is taken up, or after a first step
    assert found.seconds(100, 2100) is None
    for number in range(1, 11):  # a tenth of a second each
        now[0] += 10
        found.mark(100 + 100 * number)
        assert found.seconds(100 + 100 * number, 2100) == pytest.approx((20 - number) * 10)
    for number in range(1, 6):  # ten times as slow
        now[0] += 100
        found.mark(1100 + 100 * number)
    assert 300 < found.seconds(1600, 2100) <= 500
    assert found.seconds(2100, 2100) is None


def test_quiet_says_nothing(capsys):
    Progress(1, "training", quiet=True).step("loss 3")
    assert capsys.readouterr() == ("", "")


def test_following_passes_everything_on(capsys):
    assert list(track_progress("reading")(iter("abc"), 3)) == ["a", "b", "c"]
    assert "reading: 100 %" in capsys.readouterr().err


@pytest.mark.parametrize("total", [0, 1])
def test_nothing_to_do_is_no_division_by_zero(total):
    Progress(total, "training").step()


SECONDS = {"read": 10, "search": 80, "write": 10}


@pytest.fixture
def clock(monkeypatch):
    """Lines as soon as they are due, and a clock that stands until it is set."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_stages_are_one_bar_by_their_seconds_with_the_time_left(capsys, clock):
    bar = StageProgress(SECONDS, "propagating")
    bar.start("read")
    clock[0] = 10.0
    bar.start("search")
    clock[0] = 50.0
    bar.advance("search", 0.5)
    bar.start("write")
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "propagating: 0 %  read",
        "propagating: 10 %  search, about 90 seconds left",
        "propagating: 50 %  search, about 50 seconds left",
        "propagating: 90 %  write, about 6 seconds left",
        "propagating: 100 %",
    ]


def test_a_bar_over_stages_never_goes_back_and_ignores_what_it_does_not_know(capsys, clock):
    bar = StageProgress(SECONDS, "propagating")
    bar.advance("search", 0.5)
    bar.advance("search", 0.25)
    bar.advance("polish", 0.5)
    bar.advance("search", 7)
    bar.close()
    bar.close()
    shares = [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]
    assert shares == [50, 90, 100]


def test_on_a_terminal_stages_are_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = StageProgress(SECONDS, "propagating")
    bar.start("search")
    bar.close()
    assert "propagating: 100%" in sys.stderr.getvalue()
    assert "search" in sys.stderr.getvalue()


def test_quiet_stages_say_nothing_and_no_time_at_all_is_no_division_by_zero(capsys):
    bar = StageProgress({"read": 0.0}, "propagating", quiet=True)
    bar.advance("read", 1)
    bar.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "a second"), (40.4, "40 seconds"), (100, "2 minutes"), (3000, "50 minutes"), (9000, "2.5 hours")],
)
def test_times_are_told_in_words(seconds, words):
    assert time_words(seconds) == words


def test_a_stage_that_takes_longer_than_thought_gets_its_share_of_the_bar(capsys, clock):
    bar = StageProgress(SECONDS, "propagating")
    bar.start("search")
    assert bar.correct("search", 980.0) == (100, 1000)
    bar.advance("search", 0.05)
    bar.start("write")
    bar.close()
    shares = [int(line.split()[1]) for line in capsys.readouterr().err.splitlines()]
    assert shares == [10, 99, 100]  # 5 % of the search are less than the 10 % that were shown before
