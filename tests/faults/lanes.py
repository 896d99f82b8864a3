"""Fault lanes: what each promise of docs/faults.md is tried with, how often, and a table of what came out.

Tests say where they belong by `pytest.mark.lane("F1")`; `faulty=True` marks a test that hands a deliberately faulty
variant to the same harness and passes only if the harness sees it. Run as a program, this file runs all of them at
full size and prints the table: `make faults`, `make faults-nightly`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

LANES = {
    "F1": "a training run is killed at random moments",
    "F2": "it is killed before every call that changes the disk",
    "F3": "power is lost",
    "F4": "a checkpoint is damaged",
    "F5": "signals; processes of torchrun are killed or hang",
    "F6": "the disk is full, broken or read-only",
    "F8": "the review page under load and kills",
    "F8b": "the review page, any order of actions",
    "F9": "requests that nobody should send to the review page",
    "F10": "files that are none: parsers",
    "F11": "files that are none: images",
    "F12": "the graph, asked the same in another way",
    "F13": "a training that goes wrong",
    "F14": "the bad-input catalogue",
    "F15": "a run folder of another tool, or a forged one",
}
PLACES = {  # tests that belong to a lane without a mark; those with "fault" in their names hand in faulty variants
    "tests/review/web/test_load.py": "F8",
    "tests/review/store/test_store.py": "F8b",
    "tests/review/store/test_acknowledged.py": "F8",
    "tests/review/web/test_web.py": "F9",
    "tests/review/web/test_writes.py": "F9",
    "tests/review/web/test_fuzz.py": "F9",
    "tests/review/web/test_process.py": "F9",
    "tests/faults/test_catalogue.py": "F14",
}
LEAST_FAULTY = 3  # variants that every lane must catch
SIZES = ("suite", "pr", "nightly")
SIZE = os.environ.get("FEWLABELS_FAULTS", "suite")
SECONDS = 3600  # of one test, at most; the suite's own limit is for tests of the suite's size


def size(suite: int, pr: int, nightly: int) -> int:
    """How many: in the fast suite, in `make faults`, in `make faults-nightly`."""
    return (suite, pr, nightly)[SIZES.index(SIZE)]


@dataclass
class Lane:
    """What one lane came to. lost: cases in which a promise was broken. faulty, caught: variants tried, and seen."""

    tried: int = 0
    lost: int = 0
    faulty: int = 0
    caught: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def passed(self) -> bool:
        return not self.lost and self.caught == self.faulty >= LEAST_FAULTY


class Lanes:
    """A pytest plugin that adds up the reports of tests by lane."""

    def __init__(self) -> None:
        self.found: dict[str, Lane] = {}

    def pytest_runtest_logreport(self, report) -> None:
        told = [tuple(one) for one in report.user_properties]
        for name in {value for key, value in told if key == "lane"}:
            lane = self.found.setdefault(name, Lane())
            lane.seconds += report.duration
            if report.when == "call" or report.failed:
                self._add(lane, report, told)
            elif report.skipped:
                lane.skipped += 1

    def _add(self, lane: Lane, report, told: list) -> None:
        if report.skipped:
            lane.skipped += 1
        elif ("faulty", True) in told:
            lane.faulty += 1
            lane.caught += report.passed
        else:
            counts = [value for key, value in told if key == "tally"] or [[1, 0]]
            lane.tried += sum(tried for tried, _ in counts)
            lane.lost += max(sum(lost for _, lost in counts), int(report.failed))


def table(found: dict[str, Lane], asked: list[str]) -> str:
    """One line for each lane that was asked for, also for those that have no test yet."""
    lines = [f"{'lane':5}{'what happens':58}{'tried':>8}{'lost':>6}  {'faulty variants caught':23}{'seconds':>8}"]
    for name, what in LANES.items():
        if name not in asked:
            continue
        lane = found.get(name)
        if lane is None:
            lines.append(f"{name:5}{what:58}  not there yet")
            continue
        caught = f"{lane.caught} of {lane.faulty}"
        if lane.caught == lane.faulty < LEAST_FAULTY:
            caught += f" (needs {LEAST_FAULTY})"
        skipped = f"  {lane.skipped} skipped" if lane.skipped else ""
        lines.append(f"{name:5}{what:58}{lane.tried:8}{lane.lost:6}  {caught:23}{lane.seconds:8.0f}{skipped}")
    return "\n".join(lines)


def run(lanes: list[str], nightly: bool, more: list[str]) -> int:
    """Run the lanes (all where none is named), print the table, write build/faults.json. Returns the exit status."""
    import pytest

    os.environ |= {"FEWLABELS_FAULTS": SIZES[1 + nightly], "FEWLABELS_LANES": " ".join(lanes)}
    root = Path(__file__).parent.parent.parent
    seen = Lanes()
    options = ["-m", "lane", "--rootdir", str(root), f"--timeout={SECONDS}", "-p", "no:cacheprovider", *more]
    if nightly:  # a change is not to fail by chance; nightly looks further
        options.append(f"--hypothesis-seed={time.time_ns()}")
    status = pytest.main([str(root / "tests"), *options], plugins=[seen])
    print(f"\n{table(seen.found, lanes or list(LANES))}")
    (root / "build").mkdir(exist_ok=True)
    values = {name: asdict(lane) for name, lane in seen.found.items()}
    (root / "build" / "faults.json").write_text(json.dumps({"size": SIZES[1 + nightly], "lanes": values}, indent=1))
    failed = [name for name, lane in seen.found.items() if not lane.passed()]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(status) or int(bool(failed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lanes", nargs="*", help="such as F3 F4; all where none is named")
    parser.add_argument("--nightly", action="store_true", help="ten times as many and more")
    parser.add_argument("--pytest", default="--numprocesses 2 --dist worksteal", help="options of pytest")
    given = parser.parse_args()
    if unknown := set(given.lanes) - set(LANES):
        parser.error(f"no lane {', '.join(sorted(unknown))}: there are {', '.join(LANES)}")
    return run(given.lanes, given.nightly, given.pytest.split())


if __name__ == "__main__":
    sys.exit(main())
