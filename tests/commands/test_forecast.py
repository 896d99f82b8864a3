"""The forecast of a propagation, corrected once its search is under way."""

import pytest

from fewlabels.commands import progress
from fewlabels.commands.propagate import Stages
from fewlabels.graph import Cost


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("fewlabels.commands.propagate.time.perf_counter", lambda: now[0])
    return now


def search(capsys, clock, seconds):
    """What is said of a search that takes so long, where 10 seconds of it and 2 of other stages were thought."""
    clock[0] = 0.0
    stages = Stages(Cost(0, {"neighbors": 10.0, "solve": 2.0}), (1, 1), 0, {}, quiet=False)
    stages.start("neighbors")
    for step in range(21):
        clock[0] = seconds * step / 20
        stages.advance("neighbors", step / 20)
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("forecast")]


def test_a_forecast_that_was_far_off_is_corrected_once_in_one_line(capsys, clock):
    (line,) = search(capsys, clock, 70.0)
    assert line.startswith("forecast corrected: about 72 seconds in all, not 12 seconds: rows form fewer clusters")
    (line,) = search(capsys, clock, 3.0)
    assert line.startswith("forecast corrected: about 5 seconds in all, not 12 seconds: cores are faster")
    assert search(capsys, clock, 13.0) == []


def test_a_search_of_less_than_a_second_corrects_nothing(capsys, clock):
    assert search(capsys, clock, 0.5) == []
