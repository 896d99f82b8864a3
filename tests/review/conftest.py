import pytest
from review_fakes import fake_desk
from starlette.testclient import TestClient

from fewlabels.review.security import Access
from fewlabels.review.server import review_app

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
    return review_app(desk, access)


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
