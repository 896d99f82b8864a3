"""Server, store and the true engine together, on a small run."""

import numpy as np
import pytest
from starlette.testclient import TestClient

from fewlabels.graph import GraphSettings
from fewlabels.review.desk import Desk, Run
from fewlabels.review.engine.engine import Engine
from fewlabels.review.items import Items
from fewlabels.review.store.file import make_local_folder, open_store
from fewlabels.review.web.app import build_api
from tests.review.review_fakes import fake_export

CLASSES = ("left", "right")
NUM = 60


@pytest.fixture
def page(tmp_path):
    """Two clouds of points, one labelled row in each, and one that is labelled wrong."""
    rng = np.random.default_rng(0)
    truth = np.arange(NUM) % 2
    points = np.eye(2)[truth] + 0.15 * rng.normal(size=(NUM, 2))
    given = np.full(NUM, -1)
    given[[0, 1, 2]] = 0, 1, 1
    texts = {"note": [f"row {row}" for row in range(NUM)]}
    ids = [f"id-{row}" for row in range(NUM)]
    items = Items(
        ids=ids,
        class_names=CLASSES,
        given=given,
        descriptors=points.astype(np.float32),
        settings=GraphSettings(n_neighbors=8),
        texts=texts,
    )
    store = open_store(make_local_folder(tmp_path / "run.review"), "run", CLASSES)
    desk = Desk(Run("clouds", str(tmp_path)), items, store, Engine(items), fake_export)
    yield TestClient(build_api(desk))
    desk.close()


def test_an_answer_that_corrects_a_given_label_moves_the_graph_and_an_undo_moves_it_back(page):
    before = page.get("/api/rows", params={"order": "row", "count": 100}).json()["rows"]
    assert (before[2]["label"], before[2]["source"]) == ("right", "given")
    one = {"row": 2, "action": "label", "label": "left", "version": 0}
    saved = page.post("/api/answers", json={"client": "tab", "seq": 1, "answers": [one]}).json()
    graph = page.get("/api/graph", params={"after": saved["event"]}).json()
    assert 2 in [row["row"] for row in graph["moved"]]
    assert graph["count"] == len(graph["moved"])
    corrected = page.get("/api/rows/2").json()
    assert (corrected["label"], corrected["source"], corrected["answer"]) == ("left", "answered", "left")
    undone = page.post("/api/undo", json={"client": "tab", "seq": 2}).json()
    page.get("/api/graph", params={"after": undone["event"]})
    after = page.get("/api/rows", params={"order": "row", "count": 100}).json()["rows"]
    assert [row["label"] for row in after] == [row["label"] for row in before]


@pytest.mark.parametrize("order", ["queue", "doubtful", "certain", "row", "suspicious"])
def test_every_order_and_filter_is_answered(page, order):
    certain = {"min_certainty": 0.5, "max_certainty": 1}
    for more in ({}, {"class": "left"}, {"source": "given"}, certain, {"text": "ROW 1"}):
        assert page.get("/api/rows", params={"order": order, **more}).status_code == 200
    assert page.get("/api/rows", params={"class": "up"}).status_code == 422


def test_the_queue_has_neither_given_nor_answered_nor_skipped_rows(page):
    some = [{"row": 10, "action": "label", "label": "left", "version": 0}, {"row": 11, "action": "skip", "version": 0}]
    saved = page.post("/api/answers", json={"client": "tab", "seq": 1, "answers": some}).json()
    page.get("/api/graph", params={"after": saved["event"]})
    queue = page.get("/api/rows", params={"count": 100}).json()
    assert {row["row"] for row in queue["rows"]} == set(range(NUM)) - {0, 1, 2, 10, 11}


def test_why_has_shares_that_sum_to_one(page):
    why = page.get("/api/rows/20/why").json()
    assert sum(one["share"] for one in why["shares"]) == pytest.approx(1)
    assert {one["row"] for one in why["labelled"]} <= {0, 1, 2}
    assert why["neighbours"]
