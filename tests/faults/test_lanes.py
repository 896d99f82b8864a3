"""What the table of fault lanes says, and when a lane fails."""

from types import SimpleNamespace

import pytest

from tests.faults.lanes import LANES, Lane, Lanes, table


def report(*properties, outcome="passed", when="call", lane="F3"):
    told = [("lane", lane), *properties]
    facts = {name: outcome == name for name in ("passed", "failed", "skipped")}
    return SimpleNamespace(user_properties=told, when=when, duration=0.5, **facts)


def lane_of(*reports):
    lanes = Lanes()
    for one in reports:
        lanes.pytest_runtest_logreport(one)
    return lanes.found["F3"]


CAUGHT = [report(("faulty", True))] * 3


def test_counts_are_added_up_and_a_test_without_counts_is_one_case():
    lane = lane_of(report(("tally", [100, 0])), report(), report(when="setup"), *CAUGHT)
    assert (lane.tried, lane.lost, lane.faulty, lane.caught, lane.seconds) == (101, 0, 3, 3, 3.0)
    assert lane.passed()


@pytest.mark.parametrize(
    "reports",
    [
        [report(("tally", [100, 2]), outcome="failed"), *CAUGHT],
        [report(outcome="failed"), *CAUGHT],
        [report(outcome="failed", when="setup"), *CAUGHT],
        [report(), *CAUGHT[:2]],
        [report(), *CAUGHT, report(("faulty", True), outcome="failed")],
    ],
    ids=["lost cases", "a failed test", "a test that could not begin", "two variants", "a variant not caught"],
)
def test_a_lane_fails_by(reports):
    assert not lane_of(*reports).passed()


def test_a_skipped_test_is_told():
    lane = lane_of(report(outcome="skipped", when="setup"), *CAUGHT)
    assert (lane.tried, lane.skipped) == (0, 1)
    assert "1 skipped" in table({"F3": lane}, ["F3"])


def test_the_table_has_a_line_for_each_lane_that_was_asked_for():
    text = table({"F3": Lane(tried=5, faulty=2, caught=2)}, list(LANES))
    assert len(text.splitlines()) == 1 + len(LANES)
    assert "2 of 2 (needs 3)" in text
    assert text.count("not there yet") == len(LANES) - 1
