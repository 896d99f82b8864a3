"""Freed memory is kept: what is taken again costs no fresh pages."""

import platform
import subprocess
import sys

import pytest

from fewlabels.training import execution as freed_memory

STEPS = """
import resource, sys
import torch
from fewlabels.training.execution import keep_freed_memory

def step():
    kept = [torch.ones(5_000_000) for _ in range(8)]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
step()
given_back = faults()
assert keep_freed_memory()
step()
print(given_back, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_step_that_takes_what_the_last_one_freed_gets_no_fresh_pages(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    found = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True).stdout
    given_back, kept = map(int, found.split())
    assert kept < given_back / 10


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_"])
def test_who_runs_it_may_say_otherwise(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: pytest.fail("the C library was asked"))
    assert not freed_memory.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: object())
    assert not freed_memory.keep_freed_memory()
