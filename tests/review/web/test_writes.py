"""Bodies that are not as agreed, requests sent twice, full disks, clients that leave: W7 to W9 and W12 to W15."""

import asyncio
import json
import sqlite3

import pytest
from starlette.testclient import TestClient

from fewlabels.review.web import requests
from fewlabels.review.web.app import build_api
from fewlabels.review.web.requests import Refused, parse_json
from fewlabels.review.web.security import Guard
from tests.review.requests_below import SENT, Asked
from tests.review.review_fakes import fake_desk


def body(change=None, **answer):
    one = {"row": 1, "action": "label", "label": "cat", "version": 0} | answer
    return json.dumps({"client": "tab", "seq": 1, "answers": [one]} | (change or {}), ensure_ascii=True).encode()


BODIES = {
    "unknown class": body(label="cow"),
    "class in another case": body(label="Cat"),
    "number of a class": body(label=0),
    "empty label": body(label=""),
    "no label": body(label=None),
    "long label": body(label="x" * 2000),
    "label of a skip": body(action="skip"),
    "unknown action": body(action="remove"),
    "row beyond the last": body(row=50),
    "negative row": body(row=-1),
    "row as text": body(row="1"),
    "half a row": body(row=1.5),
    "whole float": body(row=1.0),
    "true is no row": body(row=True),
    "huge row": body(row=2**63),
    "negative version": body(version=-1),
    "version as text": body(version="0"),
    "extra key": body({"extra": 1}),
    "extra key inside": body(extra=1),
    "no client": body({"client": None}),
    "client with a blank": body({"client": "a b"}),
    "client with a line": body({"client": "tab\n"}),
    "long client": body({"client": "x" * 65}),
    "negative seq": body({"seq": -1}),
    "huge seq": body({"seq": 2**53}),
    "no answers": body({"answers": []}),
    "answers of another type": body({"answers": {}}),
    "a row twice": body({"answers": [SENT["answers"][0]] * 2}),
    "too many answers": body({"answers": [{**SENT["answers"][0], "row": row} for row in range(501)]}),
    "a list": b"[]",
    "text": b'"x"',
    "null": b"null",
    "nothing": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"client": "\xff"}',
    "UTF-16": body().decode().encode("utf-16"),
    "half a surrogate pair": body(label="\ud800"),
    "NaN": body().replace(b"0}", b"NaN}"),
    "infinity": body().replace(b"0}", b"-Infinity}"),
    "a number too large": body().replace(b"0}", b"1e999}"),
    "a number too long": body().replace(b"0}", b"1" * 5000 + b"}"),
    "a key twice": body().replace(b'"version": 0', b'"version": 0, "version": 0'),
    "deep": b'{"client": ' + b"[" * 9 + b"]" * 9 + b"}",
    "very deep": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
}


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES)
def test_w7_a_body_that_is_not_as_agreed_writes_nothing(asked, still, sent):
    status, answer = asked("/api/answers", "POST", body=sent)
    assert (status, still._store.event) == (422, 0)
    assert json.loads(answer)["error"]["code"] in ("FL-W6", "FL-W7")


def test_w7_a_body_of_more_than_64_kb_is_refused_whether_it_says_so_or_not(asked, still):
    large = body(label="x" * 70_000)
    assert asked("/api/answers", "POST", body=large)[0] == 413
    assert asked("/api/answers", "POST", lines=[("content-length", "1000000000000000000000")])[0] == 413
    assert still._store.event == 0


def test_w7_eight_levels_are_allowed_and_no_more():
    assert parse_json(b"[" * 8 + b"]" * 8) == [[[[[[[[]]]]]]]]
    with pytest.raises(Refused):
        parse_json(b"[" * 9 + b"]" * 9)


def test_w8_a_request_that_is_sent_twice_has_the_same_answer_and_one_row_of_history(page):
    first, second = (page.post("/api/answers", json=SENT) for _ in range(2))
    page.post("/api/answers", json=SENT | {"seq": 2, "answers": [SENT["answers"][0] | {"version": 1}]})
    third = page.post("/api/answers", json=SENT)
    assert first.json() == second.json() == third.json()
    assert page.get("/api/history").json()["total"] == 2


def test_w8_another_request_under_the_same_number_is_refused(page):
    page.post("/api/answers", json=SENT)
    other = page.post("/api/answers", json=SENT | {"answers": [SENT["answers"][0] | {"label": "dog"}]})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "FL-W8")
    assert page.post("/api/undo", json={"client": "tab", "seq": 1}).status_code == 422
    assert page.get("/api/rows/1").json()["answer"] == "cat"


def test_w9_the_second_of_two_tabs_gets_both_values_and_overwrites_nothing(page):
    page.post("/api/answers", json=SENT)
    other = {**SENT, "client": "other", "answers": [SENT["answers"][0] | {"label": "dog"}]}
    late = page.post("/api/answers", json=other)
    assert late.status_code == 409
    assert late.json()["error"]["code"] == "FL-W9"
    assert late.json()["conflicts"] == [{"row": 1, "yours": "dog", "theirs": "cat", "version": 1}]
    assert page.get("/api/rows/1").json()["answer"] == "cat"


def test_w12_on_a_full_disk_nothing_is_acknowledged_and_the_next_answer_is_taken_when_there_is_room(page, desk):
    page.post("/api/answers", json=SENT)
    connection = desk._store._connection
    limit = connection.execute("PRAGMA page_count").fetchone()[0]
    desk._writer.read(lambda: connection.execute(f"PRAGMA max_page_count = {limit}").fetchall()).result()
    many = [{"row": row, "action": "label", "label": "cat", "version": 0} for row in range(2, 50)]
    answers, seq = [], 1
    while not answers or answers[-1].status_code == 200:
        seq += 1
        some = [one | {"version": seq - 2} for one in many]
        answers.append(page.post("/api/answers", json={"client": "tab", "seq": seq, "answers": some}))
    assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (507, "FL-W12")
    assert page.get("/api/history").json()["total"] == len(answers)
    desk._writer.read(lambda: connection.execute("PRAGMA max_page_count = 100000").fetchall()).result()
    assert page.post("/api/answers", json={"client": "tab", "seq": seq, "answers": some}).status_code == 200


def test_w13_a_file_that_another_program_holds_is_told_and_taken_up_when_it_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr("fewlabels.review.store.file.BUSY_SECONDS", 0.05)
    desk = fake_desk(tmp_path / "busy.review")
    page = TestClient(build_api(desk))
    other = sqlite3.connect(tmp_path / "busy.review/review.sqlite")
    other.execute("BEGIN EXCLUSIVE")
    held = page.post("/api/answers", json=SENT)
    assert (held.status_code, held.json()["error"]["code"]) == (503, "FL-W13")
    assert page.get("/api/history").status_code == 503
    other.close()
    assert page.post("/api/answers", json=SENT).status_code == 200
    assert page.get("/api/history").json()["total"] == 1
    desk.close()


def test_w13_a_file_that_is_gone_is_told_and_nothing_is_acknowledged(page, desk, tmp_path):
    page.post("/api/answers", json=SENT)
    (tmp_path / "run.review/review.sqlite").unlink()
    other = {**SENT, "client": "other", "answers": [SENT["answers"][0] | {"row": 2}]}
    lost = page.post("/api/answers", json=other)
    assert (lost.status_code, lost.json()["error"]["code"]) == (503, "FL-W13")


def test_w14_names_come_as_json_text_and_nothing_is_sniffed(page):
    found = page.get("/api/session")
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.json()["classes"][2] == "<img src=x onerror=alert(1)>"


def test_w15_a_range_is_ignored(page):
    ranges = "bytes=" + ",".join("0-" for _ in range(1000))
    found = page.get("/api/rows/1/image", headers={"range": ranges})
    assert (found.status_code, "content-range" in found.headers) == (200, False)


def test_w15_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.05)

    async def receive():
        await asyncio.sleep(60)

    with pytest.raises(Refused) as refused:
        asyncio.run(requests.read_body(None, receive))
    assert refused.value.status == 408


def test_w15_a_client_that_leaves_in_the_middle_writes_nothing(desk, access, app):
    async def receive():
        return {"type": "http.disconnect"}

    told = []

    async def send(message):
        told.append(message)

    asked = Asked(app, access)
    asked._answer = lambda scope, body: Guard.__call__(app, scope, receive, send)
    asked("/api/answers", "POST")
    assert (told, desk._store.event) == ([], 0)
