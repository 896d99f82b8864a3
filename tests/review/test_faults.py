"""The lanes of the review page find a faulty store (F8b) and a faulty door (F9)."""

from itertools import product

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fewlabels.review.store import file as store_file
from fewlabels.review.store.store import Store
from fewlabels.review.web import security
from fewlabels.review.web.app import build_app
from fewlabels.review.web.security import Access
from tests.review.requests_below import HOME, HOSTS, ORIGIN, ORIGINS, WRITES, Asked
from tests.review.review_fakes import fake_desk
from tests.review.review_faults import FAULTS
from tests.review.store.test_store import Reviewing

FEW = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.lane("F8b")
def test_the_state_machine_is_content_with_the_store_as_it_is():
    run_state_machine_as_test(Reviewing, settings=FEW)


@pytest.mark.lane("F8b", faulty=True)
@pytest.mark.parametrize("name", ["overwriting", "doubling", "tearing", "early"])
def test_the_state_machine_finds_a_faulty_store(monkeypatch, name):
    for method in ("_transaction", "_plan", "_carry_out", "_append"):
        monkeypatch.setattr(Store, method, getattr(Store, method))  # so that they are put back
    monkeypatch.setattr(store_file, "TABLES", store_file.TABLES)
    FAULTS[name]()
    with pytest.raises(Exception):  # noqa: B017, PT011  whichever rule or invariant sees it
        run_state_machine_as_test(Reviewing, settings=FEW)


def any_host(headers, access):
    """Looks at none."""


def hosts_by_prefix(headers, access):
    host = headers.one("host") or ""
    if not host.startswith(("127.0.0.1", "localhost")):
        raise security.Refused(403, "W1", "")


def any_origin(headers, method, access):
    """Looks at none."""


def origins_by_prefix(headers, method, access):
    if not (headers.one("origin") or "http://127.0.0.1").startswith("http://127.0.0.1"):
        raise security.Refused(403, "W2", "")


def any_key(self, headers):
    return True


DOORS = {
    "any Host": ("_check_host", any_host),
    "a Host by its prefix": ("_check_host", hosts_by_prefix),
    "any Origin": ("_check_origin", any_origin),
    "an Origin by its prefix": ("_check_origin", origins_by_prefix),
    "any key": ("Guard._has_cookie", any_key),
}


def let_in(asked):
    """Writes that got past the door although their Host, Origin or key is none of ours."""
    tries = [(host, ORIGIN, None) for host in HOSTS] + [(HOME, origin, None) for origin in ORIGINS]
    tries += [(HOME, ORIGIN, cookie) for cookie in ("", "x=y", f"{asked.access.cookie_name}=wrong")]
    return [
        (path, *one)
        for path, one in product(WRITES, tries)
        if asked(path, "POST", host=one[0], origin=one[1], cookie=one[2])[0] not in (401, 403)
    ]


@pytest.fixture
def asked(tmp_path):
    desk = fake_desk(tmp_path / "run.review")
    access = Access(frozenset({HOME, "localhost:8765"}), 8765)
    yield Asked(build_app(desk, access), access)
    desk.close()


@pytest.mark.lane("F9")
def test_the_door_as_it_is_lets_none_of_them_in(asked, tally):
    found = let_in(asked)
    tally(2 * (len(HOSTS) + len(ORIGINS) + 3), len(found))
    assert found == []


@pytest.mark.lane("F9", faulty=True)
@pytest.mark.parametrize("name", DOORS)
def test_a_faulty_door_is_found(asked, monkeypatch, name):
    place, faulty = DOORS[name]
    owner = security.Guard if "." in place else security
    monkeypatch.setattr(owner, place.rpartition(".")[2], faulty)
    assert let_in(asked)
