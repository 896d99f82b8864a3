"""Signals that ask a run to stop."""

import os
import signal
import threading

import pytest

from fewlabels.training import interrupt
from fewlabels.training.interrupt import NAMES, StopRequested, make_interrupt_error, write_to_stderr

SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]


@pytest.fixture(autouse=True)
def handlers_as_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_stops_nothing(number):
    with StopRequested() as stop:
        assert stop.requested is None
        send(number)
        assert stop.requested == number


def test_the_first_signal_is_the_one_that_counts_and_more_of_it_change_nothing():
    with StopRequested() as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            send(number)
        assert stop.requested == signal.SIGTERM


def test_a_second_interrupt_ends_at_once(monkeypatch):
    clock = iter([10.0, 10.1, 12.0])
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: next(clock))
    said = []
    with StopRequested(said.append) as stop:
        send(signal.SIGINT)
        assert said == ["\nstopping after this step, saving; Ctrl+C again to quit now\n"]
        send(signal.SIGINT)  # the same key press, handed on by a launcher
        assert stop.requested == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert len(said) == 1


def test_what_is_said_goes_past_buffers(capfd):
    write_to_stderr("stopping")
    assert capfd.readouterr() == ("", "stopping")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_stays_so(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopRequested() as stop:
            send(number)
            assert stop.requested is None
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_handlers_are_as_before_after_an_error_too():
    with pytest.raises(ZeroDivisionError), StopRequested():
        raise ZeroDivisionError


def test_another_thread_takes_no_signals():
    found = []

    def work():
        with StopRequested() as stop:
            found.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [None]


def test_a_launcher_that_is_gone_counts_as_a_hangup(monkeypatch):
    """A process whose parent is gone gets another one from the system."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with StopRequested() as stop:
        assert stop.requested is None
        monkeypatch.setattr(interrupt.os, "getppid", lambda: 1)
        assert stop.requested == signal.SIGHUP


def test_without_torchrun_whoever_started_a_run_may_go(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with StopRequested() as stop:
        monkeypatch.setattr(interrupt.os, "getppid", lambda: 1)
        assert stop.requested is None


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_error_has_the_status_of_its_signal_and_the_command_that_goes_on(number, status):
    error = make_interrupt_error(number, 1234, ["fewlabels", "train", "my photos", "--resume", "runs/a"])
    assert error.exit_status == status
    assert str(error) == (
        f"FL-D7 stopped by {signal.Signals(number).name} after step 1234; the checkpoint was saved; "
        "go on with: fewlabels train 'my photos' --resume runs/a"
    )
