"""The tests themselves, started in the background: the processes that they start hear signals all the same."""

import signal
import subprocess
import sys

from tests import ROOT

CHILD = "import signal as s; print(s.getsignal(s.SIGINT) is s.default_int_handler, s.getsignal(s.SIGHUP) is s.SIG_DFL)"
IN_THE_BACKGROUND = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "child", *sys.argv[1:]])
"""


def test_a_child_hears_interrupts_and_hangups():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_so_it_does_where_the_tests_ignore_both():
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_BACKGROUND, __file__], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_tests_still_ignore_what_they_were_told_to_ignore():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        from tests import let_children_hear_signals

        let_children_hear_signals()
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
