"""Work shared out between threads: each range once, by the caller too, and errors come out."""

import threading
import time

import pytest

from fewlabels.graph.threads import Team, even_ranges, use_threads

RANGES = even_ranges(1000, 40)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_range_is_taken_once_and_progress_grows_to_the_whole(threads):
    taken, told = [], []
    with use_threads(threads), Team() as team:
        team.each(lambda first, last: taken.append((first, last)), RANGES, told.append)
    assert sorted(taken) == RANGES
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert told.count(1.0) == 1


def test_nothing_to_do_is_no_progress():
    told = []
    with use_threads(3), Team() as team:
        team.each(lambda first, last: None, [], told.append)
    assert told == []


def test_the_caller_takes_ranges_and_so_do_others():
    who = set()

    def work(first, last):
        who.add(threading.get_ident())
        time.sleep(0.002)

    with use_threads(2), Team() as team:
        team.each(work, RANGES)
    assert threading.get_ident() in who
    assert len(who) == 2


@pytest.mark.parametrize("by_caller", [True, False])
def test_an_error_comes_out_and_no_other_range_is_begun(by_caller):
    begun, me = [], threading.get_ident()

    def work(first, last):
        begun.append(first)
        time.sleep(0.005)
        if (threading.get_ident() == me) is by_caller:
            raise ValueError("damaged")

    with use_threads(2), Team() as team:
        with pytest.raises(ValueError, match="damaged"):
            team.each(work, RANGES)
        stopped = len(begun)
        time.sleep(0.02)
        assert len(begun) == stopped
    assert stopped < len(RANGES)


def test_progress_that_raises_leaves_no_thread_at_work():
    running = []

    def work(first, last):
        running.append(first)
        time.sleep(0.002)
        running.remove(first)

    def stop(share):
        raise KeyboardInterrupt

    with use_threads(4), Team() as team, pytest.raises(KeyboardInterrupt):
        team.each(work, RANGES, stop)
    assert running == []
