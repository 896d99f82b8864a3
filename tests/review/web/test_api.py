"""What the page's API answers, with an engine that takes no time."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from fewlabels.data.images import decoders
from fewlabels.data.images.pictures import open_pictures, placeholder
from fewlabels.review.web.app import build_api
from tests.data import image_files
from tests.data.image_files import encoded, folder, noise, png_claiming
from tests.review.review_fakes import BROKEN, CLASSES, FakePictures, fake_desk

FAULTY_WORKER = Path(image_files.__file__).with_name("faulty_worker.py")


def answer(row, label="cat", version=0, action="label"):
    return {"row": row, "action": action, "label": label, "version": version}


def save(page, *answers, client="tab", seq=1):
    return page.post("/api/answers", json={"client": client, "seq": seq, "answers": list(answers)})


def test_a_session_says_what_is_reviewed_and_how_far_it_is(page):
    save(page, answer(1), answer(2, "dog"), answer(3, None, action="skip"))
    page.get("/api/graph", params={"after": 1})
    found = page.get("/api/session").json()
    assert (found["title"], found["kind"], found["rows"]) == ("a run", "images", 50)
    assert (found["classes"], sum(found["counts"])) == (list(CLASSES), 50)
    assert (found["answered"], found["skipped"], found["event"]) == (2, 1, 1)
    assert found["estimate"] == {"num": 2, "right": 2, "percent": 100.0, "low": None, "high": None, "until": 40}


def test_an_answer_is_applied_and_the_graph_moves(page):
    before = page.get("/api/rows/1").json()
    assert (before["label"], before["answer"], before["version"]) == ("dog", None, 0)
    saved = save(page, answer(1, "cat")).json()
    assert saved == {
        "event": 1,
        "applied": [{"row": 1, "answer": "cat", "skipped": False, "said": "", "version": 1}],
        "answered": 1,
    }
    graph = page.get("/api/graph", params={"after": 1}).json()
    assert (graph["event"], graph["count"]) == (1, 1)
    moved = {key: graph["moved"][0][key] for key in ("row", "id", "before", "after")}
    assert moved == {"row": 1, "id": "img/1.png", "before": "dog", "after": "cat"}
    after = page.get("/api/rows/1").json()
    assert (after["label"], after["answer"], after["source"], after["version"]) == ("cat", "cat", "answered", 1)


def test_skip_clear_and_undo(page):
    save(page, answer(4), seq=1)
    save(page, answer(4, None, 1, "skip"), seq=2)
    assert page.get("/api/rows/4").json()["skipped"]
    save(page, answer(4, None, 2, "clear"), seq=3)
    row = page.get("/api/rows/4").json()
    assert (row["answer"], row["skipped"], row["version"]) == (None, False, 3)
    undone = page.post("/api/undo", json={"client": "tab", "seq": 4}).json()
    assert undone["applied"] == [{"row": 4, "answer": None, "skipped": True, "said": "skip", "version": 4}]
    nothing = page.post("/api/undo", json={"client": "other-tab", "seq": 1}).json()
    assert (nothing["nothing"], nothing["applied"]) == (True, [])


def test_the_queue_leaves_out_what_was_skipped_and_skipped_rows_can_be_asked_for(page):
    save(page, answer(7, None, action="skip"), answer(9, None, action="skip"))
    queue = page.get("/api/rows", params={"order": "queue", "count": 500}).json()
    assert queue["total"] == 48
    assert {7, 9}.isdisjoint(row["row"] for row in queue["rows"])
    skipped = page.get("/api/rows", params={"source": "skipped"}).json()
    assert [row["row"] for row in skipped["rows"]] == [7, 9]


def test_rows_come_in_pages_and_empty_filters_filter_nothing(page):
    empty = {"class": "", "source": "", "min_certainty": "", "max_certainty": "", "text": ""}
    found = page.get("/api/rows", params={**empty, "order": "row", "first": 10, "count": 3}).json()
    assert (found["total"], [row["row"] for row in found["rows"]]) == (50, [10, 11, 12])
    assert page.get("/api/rows", params={"class": "cat"}).json()["total"] == 25
    unknown = page.get("/api/rows", params={"class": "no such class"})
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (422, "no class 'no such class'")


def test_why_names_the_rows_that_decided(page):
    why = page.get("/api/rows/3/why").json()
    assert why["shares"] == [{"label": "cat", "share": 0.75}, {"label": "dog", "share": 0.25}]
    assert why["labelled"][0]["id"] == "img/0.png"
    assert why["neighbours"][0]["row"] == 4


def test_history_is_there_to_look_at_the_newest_first(page):
    save(page, answer(1), seq=1)
    save(page, answer(1, "dog", 1), seq=2)
    page.post("/api/undo", json={"client": "tab", "seq": 3})
    history = page.get("/api/history", params={"count": 2}).json()
    assert history["total"] == 3
    assert [event["kind"] for event in history["events"]] == ["undo", "answers"]
    back = {"row": 1, "id": "img/1.png", "before": "dog", "after": "cat", "skipped_before": False, "skipped": False}
    back["said"] = ""
    assert history["events"][0]["rows"] == [back]
    assert [(event["event"], event["undoes"], event["undone"]) for event in history["events"]] == [
        (3, 2, False),
        (2, None, True),
    ]
    assert page.get("/api/history", params={"first": 3}).json()["events"] == []


def test_the_history_of_one_row_has_nothing_of_the_others(page):
    page.post("/api/answers", json={"client": "tab", "seq": 1, "answers": [answer(1), answer(2)]})
    save(page, answer(3), seq=2)
    save(page, {"row": 2, "action": "skip", "label": None, "version": 1}, seq=3)
    save(page, {"row": 2, "action": "clear", "label": None, "version": 2}, seq=4)
    history = page.get("/api/history", params={"row": 2}).json()
    assert history["total"] == 3
    assert [event["event"] for event in history["events"]] == [4, 3, 1]
    rows = [row for event in history["events"] for row in event["rows"]]
    assert [(row["row"], row["before"], row["skipped_before"], row["after"], row["skipped"]) for row in rows] == [
        (2, None, True, None, False),
        (2, "cat", False, None, True),
        (2, None, False, "cat", False),
    ]
    second = page.get("/api/history", params={"row": 2, "first": 1, "count": 1}).json()
    assert [event["event"] for event in second["events"]] == [3]
    assert page.get("/api/history", params={"row": 40}).json() == {"total": 0, "events": []}


@pytest.mark.parametrize("row", ["50", "-1", "x", "", "1.0"])
def test_the_history_of_a_row_that_there_is_not_is_refused(page, row):
    assert page.get("/api/history", params={"row": row}).status_code == 422


@pytest.mark.parametrize(
    ("kind", "media", "ending"),
    [
        ("csv", "text/csv; charset=utf-8", "csv"),
        ("parquet", "application/vnd.apache.parquet", "parquet"),
        ("label-studio", "application/json", "json"),
    ],
)
def test_w21_an_export_has_all_answers_up_to_the_event_that_it_is_named_after(page, kind, media, ending):
    save(page, answer(1), seq=1)
    save(page, answer(2, "dog"), answer(3, None, action="skip"), seq=2)
    found = page.get("/api/export", params={"format": kind})
    assert json.loads(found.text) == [kind, 2, [[1, "cat"], [2, "dog"]], 50]
    assert found.headers["content-type"] == media
    assert found.headers["content-disposition"] == f'attachment; filename="reviewed-2.{ending}"'


def test_an_image_is_a_png_and_one_that_cannot_be_shown_has_a_stand_in(page):
    found = page.get("/api/rows/3/image")
    assert (found.status_code, found.headers["content-type"]) == (200, "image/png")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(found.content))), 3)
    broken = page.get(f"/api/rows/{BROKEN}/image")
    assert (broken.status_code, broken.headers["content-type"]) == (404, "image/png")
    assert Image.open(io.BytesIO(broken.content)).size == (96, 96)


def test_w14_images_that_harm_their_decoder_have_a_stand_in_and_the_server_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders, "COMMAND", [sys.executable, "-P", str(FAULTY_WORKER)])
    bomb = png_claiming(30_000, 30_000)
    files = {"0.png": b"crash", "1.png": bomb, "2.png": b"memory", "3.png": encoded(noise(8, 8))}
    facts = {"kind": "images", "path": str(folder(tmp_path / "photos", files))}
    pictures = open_pictures(facts, list(files))
    desk = fake_desk(tmp_path / "run.review", 4, pictures=pictures)
    page = TestClient(build_api(desk))
    for _ in range(2):
        images = [page.get(f"/api/rows/{row}/image") for row in range(4)]
        assert [image.status_code for image in images] == [404, 404, 404, 200]
        assert images[0].content == images[1].content == images[2].content == placeholder()
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(images[3].content))), noise(8, 8))
        assert page.get("/api/session").status_code == 200
    assert save(page, answer(0)).status_code == 200
    running = list(pictures._decoders._running)
    assert running
    desk.close()
    assert all(process._process.returncode is not None for process in running)


def test_where_no_process_can_decode_it_is_said_and_answers_are_still_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders, "COMMAND", [str(tmp_path / "nothing")])
    facts = {"kind": "images", "path": str(folder(tmp_path / "photos", {"0.png": encoded(noise(8, 8))}))}
    desk = fake_desk(tmp_path / "run.review", 1, pictures=open_pictures(facts, ["0.png"]))
    page = TestClient(build_api(desk))
    refused = page.get("/api/rows/0/image")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "FL-I14")
    assert save(page, answer(0)).status_code == 200
    desk.close()


def test_rows_without_images_have_their_columns_as_text(tmp_path):
    texts = {"note": ["<b>", "", *["x"] * 48], "length": [str(row) for row in range(50)]}
    desk = fake_desk(tmp_path, kind="rows", pictures=None, texts=texts)
    page = TestClient(build_api(desk))
    assert page.get("/api/session").json()["columns"] == ["note", "length"]
    assert page.get("/api/rows/0").json()["columns"] == {"note": "<b>", "length": "0"}
    assert page.get("/api/rows/1").json()["columns"] == {"note": "", "length": "1"}
    assert page.get("/api/rows/0/image").status_code == 404
    desk.close()


def test_the_graph_is_waited_for_no_longer_than_agreed(page, monkeypatch):
    monkeypatch.setattr("fewlabels.review.desk.WAIT_SECONDS", 0.05)
    assert page.get("/api/graph", params={"after": 99}).json()["event"] == 0


def test_where_the_graph_fails_answers_are_still_saved_and_it_is_said(tmp_path, capsys):
    desk = fake_desk(tmp_path, fail_at=2)
    page = TestClient(build_api(desk))
    save(page, answer(1), seq=1)
    assert page.get("/api/graph", params={"after": 1}).status_code == 200
    assert save(page, answer(2), seq=2).status_code == 200
    failed = page.get("/api/graph", params={"after": 2})
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "FL-W22")
    assert "no solution" in failed.json()["error"]["message"]
    assert page.get("/api/rows/2").json()["answer"] == "cat"
    desk._engine.fail_at = None
    save(page, answer(3), seq=3)  # the next answer tries again, with all that waits
    assert page.get("/api/graph", params={"after": 3}).json()["event"] == 3
    assert set(desk._engine.answers) == {1, 2, 3}
    desk.close()


def test_an_engine_that_cannot_choose_rows_is_no_crash(tmp_path):
    desk = fake_desk(tmp_path)
    desk._engine.select = lambda *asked: 1 / 0
    assert TestClient(build_api(desk)).get("/api/rows").status_code == 503
    desk.close()


def test_a_review_that_is_opened_again_has_all_answers_in_graph_and_table(tmp_path):
    first = fake_desk(tmp_path)
    save(TestClient(build_api(first)), answer(1), answer(2, "dog"))
    first.close()
    second = fake_desk(tmp_path)
    page = TestClient(build_api(second))
    assert page.get("/api/session").json()["answered"] == 2
    assert page.get("/api/graph", params={"after": 1}).json()["event"] == 1
    assert second._engine.answers == {1: 0, 2: 1}
    second.close()


def test_answers_that_come_while_the_graph_is_solved_are_taken_together(tmp_path):
    desk = fake_desk(tmp_path)
    page = TestClient(build_api(desk))
    import threading

    free = threading.Event()
    blocked = desk._solver.call(lambda engine: free.wait(10))
    for seq in range(1, 6):
        save(page, answer(10 + seq), seq=seq)
    free.set()
    assert page.get("/api/graph", params={"after": 5}).json()["event"] == 5
    assert blocked.result() is True
    assert [set(changes) for changes, _ in desk._engine.calls] == [{11, 12, 13, 14, 15}]
    desk.close()


def test_pictures_are_not_decoded_on_the_servers_own_thread(page, monkeypatch):
    import threading

    seen = []
    monkeypatch.setattr(FakePictures, "png", lambda self, row: seen.append(threading.current_thread().name) or b"x")
    page.get("/api/rows/1/image")
    assert seen[0].startswith("fewlabels-images")


@pytest.mark.parametrize("name", ["/static/../server.py", "/static/server.py", "/static/", "/static/app.js.map"])
def test_only_files_of_the_page_are_served(page, name):
    assert page.get(name).status_code == 404
