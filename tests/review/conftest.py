import pytest
from starlette.testclient import TestClient

from fewlabels.review.web.app import build_app
from fewlabels.review.web.security import Access
from tests.review.requests_below import HOME, Asked
from tests.review.review_fakes import fake_desk

PORT = 8765


@pytest.fixture
def desk(tmp_path):
    found = fake_desk(tmp_path / "run.review")
    yield found
    found.close()


@pytest.fixture
def access():
    return Access(frozenset({f"127.0.0.1:{PORT}", f"localhost:{PORT}"}), PORT)


@pytest.fixture
def app(desk, access):
    return build_app(desk, access)


@pytest.fixture
def stranger(app):
    """Somebody without the cookie."""
    return TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)


@pytest.fixture
def page(app, access):
    """The person's tab."""
    client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}", headers={"Origin": f"http://127.0.0.1:{PORT}"})
    client.get("/", params={"token": access.token}, follow_redirects=False)
    return client


@pytest.fixture
def fresh(app, access):
    """Asks the app of `desk`."""
    return Asked(app, access)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A desk for requests that are refused; nothing may ever be written to it."""
    found = fake_desk(tmp_path_factory.mktemp("still") / "run.review")
    yield found
    assert found._store.event == 0
    found.close()


@pytest.fixture(scope="module")
def asked(still):
    """Asks the app of `still`."""
    access = Access(frozenset({HOME, "localhost:8765"}), 8765)
    return Asked(build_app(still, access), access)
