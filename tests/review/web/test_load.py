"""P18, F8: what was acknowledged is there once, whatever happens to the server. Faults show that it would be seen."""

import math
import signal

import httpx2
import pytest

from tests.faults.lanes import size
from tests.review.review_load import Lane, Plan, problems
from tests.review.review_process import ROWS, Server


def shown_labels(folder):
    """row -> (version, answer, skipped), as a new server says."""
    server = Server(folder)
    with httpx2.Client(base_url=server.address, follow_redirects=True) as page:
        page.get("/", params={"token": server.token})
        rows = page.get("/api/rows", params={"order": "row", "count": ROWS}).json()["rows"]
        total = page.get("/api/history", params={"count": 1}).json()["total"]
    server.stop(signal.SIGTERM)
    return {row["row"]: (row["version"], row["answer"], row["skipped"]) for row in rows if row["version"]}, total


def run(tmp_path, plan, fault=""):
    lane = Lane(tmp_path / "run.review", plan, fault)
    seen = lane.run()
    found, replayed = problems(lane.folder, seen)
    return seen, found, replayed


def summary(seen):
    waited = sorted(seen.seconds)
    p50, p99 = (1000 * waited[math.ceil(share * len(waited)) - 1] for share in (0.5, 0.99))
    return (
        f"{len(seen.sent)} writes: {len(seen.acknowledged)} acknowledged, {len(seen.conflicts)} conflicts, "
        f"{seen.resent} retried, {seen.kills} kills, statuses {dict(seen.statuses)}; p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )


MANY = Plan(size(5000, 5000, 100_000), most_kills=size(10, 10, 300))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(300, least_kills=1, most_kills=2, pause=(0.3, 0.8)),
        pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(size(900, 900, 10_000))]),
    ],
    ids=["300 writes", "many"],
)
def test_w11_a_server_that_is_killed_loses_nothing_acknowledged(tmp_path, tally, plan):
    seen, found, replayed = run(tmp_path, plan)
    print(summary(seen))
    tally(len(seen.sent), len(found))
    assert found == []
    assert seen.kills >= 1
    assert seen.conflicts
    assert seen.statuses[507]
    assert not [status for status in seen.statuses if status not in (200, 401, 409, 507)]
    assert shown_labels(tmp_path / "run.review") == (replayed, len(seen.acknowledged))


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("overwriting", "tearing")]


@pytest.mark.parametrize("fault", ["early", "doubling", *OTHERS])
def test_a_seeded_fault_of_the_store_is_seen(tmp_path, fault):
    kills = 2 if fault == "early" else 0
    seen, found, _ = run(
        tmp_path, Plan(150, least_kills=kills, most_kills=kills, pause=(0.15, 0.3), full_disk=False, clients=8), fault
    )
    print(fault, summary(seen), found[:3])
    assert found
