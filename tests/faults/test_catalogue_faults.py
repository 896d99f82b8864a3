"""The catalogue's harness finds commands that break the contract of an error."""

import sys
from pathlib import Path

import pytest

from tests.faults import catalogue
from tests.faults.catalogue import Case, Workplace, demand

pytestmark = pytest.mark.lane("F14")
CASE = Case("L5", "a row of three fields", lambda work: None, "L5", "labels.csv:3", 2)
RUN = catalogue.run_command


def accepts(words):
    RUN(words)
    return 0


def has_another_status(words):
    return RUN(words) and 1


def shows_a_traceback(words):
    status = RUN(words)
    print("Traceback (most recent call last):", file=sys.stderr)
    return status


def leaves_a_file(words):
    Path("o.csv.tmp").touch()
    return RUN(words)


def changes_its_input(words):
    Path("labels.csv").write_text("id,label\n0,ant\n10,bee,more\n")
    return RUN(words)


def names_no_place(words):
    print(f"error: FL-{CASE.code} a row with 3 fields", file=sys.stderr)
    return CASE.status


def kept(work):
    work.write("labels.csv", "id,label\n0,ant\n10,bee,cat\n20,cat\n")
    demand(CASE, work, work.run(work.propagate()))


@pytest.fixture
def work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path, capsys, monkeypatch)


def test_the_case_is_kept_by_the_command_as_it_is(work):
    kept(work)


@pytest.mark.lane("F14", faulty=True)
@pytest.mark.parametrize(
    "command",
    [accepts, has_another_status, shows_a_traceback, leaves_a_file, changes_its_input, names_no_place],
)
def test_a_command_that_breaks_the_contract_is_found(work, monkeypatch, command):
    monkeypatch.setattr(catalogue, "run_command", command)
    with pytest.raises(AssertionError):
        kept(work)
