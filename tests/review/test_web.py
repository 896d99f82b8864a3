"""Hostile requests, case by case of the catalogue of bad input (W1 to W21), as far as no server process is needed.

Elsewhere: W10, W11 (test_load.py), W15, W18, W19 with a real server (test_process.py), W13 at the start
(test_store.py), W14 and W20 in the page itself (tests of the page in a browser), W21 (test_api.py).
"""

import asyncio
import hmac
import json
import sqlite3
from itertools import product

import pytest
from review_fakes import fake_desk
from starlette.testclient import TestClient

from fewlabels.review import bodies, security
from fewlabels.review.refusals import Refused
from fewlabels.review.security import Access, Guard
from fewlabels.review.server import api, review_app
from fewlabels.review.strict_json import parsed

HOME = "127.0.0.1:8765"
ORIGIN = f"http://{HOME}"
SENT = {"client": "tab", "seq": 1, "answers": [{"row": 1, "action": "label", "label": "cat", "version": 0}]}
READS = ("/", "/static/app.js", "/api/session", "/api/rows", "/api/rows/1", "/api/rows/1/why", "/api/rows/1/image")
WRITES = ("/api/answers", "/api/undo")

HOSTS = [
    *("", "evil.com", "evil.com:8765", "127.0.0.1.evil.com:8765", "localhost.evil.com:8765", "127.0.0.1:8765.evil.com"),
    *("127.0.0.1", "localhost", "127.0.0.1:80", "127.0.0.1:87650", "127.0.0.1:8765:8765", "a/../127.0.0.1:8765"),
    *("user@127.0.0.1:8765", "127.0.0.1:8765@evil.com", "127.0.0.1:8765/", "127.0.0.1:8765?", "127.0.0.1:8765#"),
    *("127.0.0.1:8765,evil.com", "evil.com,127.0.0.1:8765", "127.0.0.1:8765 ", " 127.0.0.1:8765", "127.0.0.1 :8765"),
    *("LOCALHOST:8765", "localhost.:8765", "127.0.0.1.:8765", "127.1:8765", "2130706433:8765", "0x7f.0.0.1:8765"),
    *("0.0.0.0:8765", "[::1]:8765", "[::ffff:127.0.0.1]:8765", "::1", "127.0.0.1:08765", "127.0.0.1:+8765"),
    *("127.0.0.1%00:8765", "127.0.0.1:8765\\evil.com", "http://127.0.0.1:8765", "*", "null", "1.0.0.127.in-addr.arpa"),
]
ORIGINS = [
    *(None, "", "null", "*", "http://evil.com", "http://localhost.evil:8765", "http://127.0.0.1.evil.com:8765"),
    *("http://127.0.0.1", "http://127.0.0.1:80", "http://127.0.0.1:8766", "http://127.0.0.1:87650", "http://localhost"),
    *("https://127.0.0.1:8765", "ws://127.0.0.1:8765", "file://", "data:", "chrome-extension://abc", "127.0.0.1:8765"),
    *(
        "http://127.0.0.1:8765/",
        "http://127.0.0.1:8765/path",
        "http://127.0.0.1:8765@evil.com",
        "http://a@127.0.0.1:8765",
    ),
    *(
        "HTTP://127.0.0.1:8765",
        "http://LOCALHOST:8765",
        "http://127.1:8765",
        "http://[::1]:8765",
        "http://0.0.0.0:8765",
    ),
    *("http://127.0.0.1:8765 http://evil.com", "http://evil.com, http://127.0.0.1:8765", "http://127.0.0.1:8765\\evil"),
]


class Asked:
    """Calls the app below HTTP, so that header lines are exactly what is written here."""

    def __init__(self, app, access):
        self.app, self.access, self.cookie = app, access, f"{access.cookie_name}={access.cookie}"

    def __call__(self, path, method="GET", host=HOME, origin=ORIGIN, cookie=None, body=None, **more):
        cookie = self.cookie if cookie is None else cookie
        pairs = [("host", host), ("origin", origin), ("cookie", cookie), *more.pop("lines", [])]
        if method == "POST":
            pairs += [] if "kind" in more else [("content-type", "application/json")]
        pairs += [("content-type", more["kind"])] if more.get("kind") else []
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs if value is not None],
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "server": ("127.0.0.1", 8765),
            "client": ("127.0.0.1", 50000),
        }
        body = json.dumps(SENT).encode() if body is None else body
        return asyncio.run(self._answer(scope, body))

    async def _answer(self, scope, body):
        told = []

        async def receive():
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            told.append(message)

        await self.app(scope, receive, send)
        return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


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
    return Asked(review_app(still, access), access)


def code(answer):
    return json.loads(answer[1])["error"]["code"]


def test_the_right_host_origin_and_key_are_let_in(fresh, desk):
    assert fresh("/api/session")[0] == 200
    assert fresh("/api/session", host="localhost:8765", origin="http://localhost:8765")[0] == 200
    assert fresh("/api/session", origin=None)[0] == 200
    assert fresh("/api/answers", "POST")[0] == 200
    assert desk._store.answered == 1


@pytest.mark.parametrize("host", [*HOSTS, None])
def test_w1_a_host_that_is_not_exactly_ours_is_refused_before_routing(asked, still, host):
    for path in (*READS, "/no/such/path"):
        assert asked(path, host=host)[0] == 403
    for path in WRITES:
        assert code(asked(path, "POST", host=host)) == "FL-W1"
    assert still._store.event == 0


def test_w1_two_hosts_are_none(asked):
    assert asked("/api/session", lines=[("host", "evil.com")])[0] == 403
    assert asked("/api/session", host="evil.com", lines=[("host", HOME)])[0] == 403
    assert asked("/api/session", host="evil.com", lines=[("x-forwarded-host", HOME)])[0] == 403


@pytest.mark.parametrize("origin", ORIGINS)
def test_w2_a_write_of_another_page_or_of_none_is_refused(asked, still, origin):
    for path in WRITES:
        assert code(asked(path, "POST", origin=origin)) == "FL-W2"
    assert still._store.event == 0


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "X"])
def test_w2_nothing_is_written_by_any_method_without_all_three(asked, still, method):
    for path, host, origin, cookie in product(WRITES, (HOME, "evil.com"), (ORIGIN, "null", None), (None, "", "x=y")):
        if (host, origin, cookie) == (HOME, ORIGIN, None):
            continue
        assert asked(path, method, host=host, origin=origin, cookie=cookie)[0] in (401, 403, 405)
    assert still._store.event == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "X"])
def test_methods_that_are_not_offered_are_refused(asked, method):
    for path in (*READS, *WRITES):
        assert asked(path, method)[0] == 405
    assert asked("/api/session", "POST")[0] == 405
    assert asked("/api/answers", "GET")[0] == 405


@pytest.mark.parametrize(
    "kind",
    [
        *(None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"),
        *("application/json; charset=utf-16", "application/json, text/plain", "application/jsonx", "text/plain; json"),
    ],
)
def test_w3_what_a_form_can_send_is_refused(asked, still, kind):
    for path in WRITES:
        assert code(asked(path, "POST", kind=kind)) == "FL-W3"
    assert still._store.event == 0


def test_w3_json_may_say_its_charset_but_not_come_packed(fresh):
    assert fresh("/api/answers", "POST", kind="application/json; charset=UTF-8")[0] == 200
    assert fresh("/api/answers", "POST", lines=[("content-encoding", "gzip")])[0] == 415


def test_w4_without_the_key_nothing_is_shown(asked):
    access = asked.access
    wrong = [
        "",
        "x=y",
        f"{access.cookie_name}=",
        f"{access.cookie_name}={access.cookie[:-1]}",
        f"{access.cookie_name}={access.cookie}x",
        f"{access.cookie_name}={access.token}",
        f"{access.cookie_name}=\xff",
        f"fewlabels-review-1={access.cookie}",
        access.cookie,
    ]
    for cookie, path in product(wrong, READS):
        status, body = asked(path, cookie=cookie, lines=[("referer", f"{ORIGIN}/?token={access.token}")])
        assert status == 401
        assert access.cookie.encode() not in body
    for path in WRITES:
        assert code(asked(path, "POST", cookie="")) == "FL-W4"


def test_w4_the_key_is_in_the_address_once_then_in_a_cookie_that_scripts_and_other_sites_do_not_get(stranger, access):
    came = stranger.get("/", params={"token": access.token})
    assert (came.status_code, came.headers["location"]) == (303, "/")
    assert came.headers["set-cookie"] == f"{access.cookie_name}={access.cookie}; Path=/; HttpOnly; SameSite=Strict"
    assert access.token not in came.headers["set-cookie"]
    assert stranger.get("/api/session").status_code == 200


@pytest.mark.parametrize("token", ["", "x", "é", "%00", "None"])
def test_w4_a_wrong_key_opens_nothing_even_with_a_good_cookie(page, stranger, token):
    for client in (stranger, page):
        answered = client.get("/", params={"token": token}, follow_redirects=False)
        assert answered.status_code == 401
        assert "fewlabels review" in answered.text


def test_w4_a_key_elsewhere_than_in_the_address_of_the_page_opens_nothing(stranger, access):
    assert stranger.get("/api/session", params={"token": access.token}).status_code == 401
    assert stranger.post("/", params={"token": access.token}, headers={"origin": ORIGIN}).status_code == 401
    assert stranger.get(f"/?token=x&token={access.token}").status_code == 401


def test_w4_the_address_a_browser_is_started_with_opens_one_time(stranger, access):
    assert stranger.get("/", params={"token": access.once}).status_code == 303
    assert stranger.get("/", params={"token": access.once}).status_code == 401
    assert stranger.get("/", params={"token": access.token}).status_code == 303


def test_w4_keys_are_random_and_compared_in_constant_time(monkeypatch):
    one, other = (Access(frozenset(), 1) for _ in range(2))
    keys = {one.token, other.token, one.cookie, other.cookie, one.once, other.once}
    assert len(keys) == 6
    assert min(map(len, keys)) >= 43  # 256 bits
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    assert security._equal("a", "a")
    assert compared == [(b"a", b"a")]


PATHS = [
    *("/img/../../etc/passwd", "/../etc/passwd", "/static/../../../../etc/passwd", "/static/..\\..\\etc\\passwd"),
    *("/static//etc/passwd", "//etc/passwd", "/\\\\host\\share", "/static/\\\\host\\share\\x.js", "/static/C:\\x.js"),
    *("/static/app.js\x00.png", "/static/\x00", "/api/rows/../../etc/passwd/image", "/api/rows/..", "/api/rows//image"),
    *("/api/rows/%2e%2e/image", "/api/rows/..%5c..%5cetc/image", "/api/rows/..\\/image", "/api/rows/ /image"),
    *("/api/rows/img/0.png/image", "/api/rows/file:///etc/passwd/image", "/api/rows/etc/image", "/static/%2e%2e%2fx"),
    *("/static/app.js/", "/static/APP.JS", "/static/.env", "/static/index.html.bak", "/api", "/api/", "/favicon.ico"),
    *("/openapi.json", "/docs", "/redoc", "/static/server.py", "/static/../store.py", "/API/session", "/api/session/"),
]


@pytest.mark.parametrize("path", PATHS)
def test_w5_no_path_leads_to_a_file(asked, path):
    status, body = asked(path)
    assert status == 404
    assert b"root:" not in body
    assert b"import" not in body


def test_w5_five_hundred_ways_up_lead_nowhere(asked):
    ups = ("..", "%2e%2e", "..%2f", "%252e%252e", "..\\", "..%5c", "....//", "..;", "\u2025", "..%c0%af")
    ends = ("etc/passwd", "etc/shadow", "proc/self/environ", "windows/win.ini", "root/.ssh/id_rsa")
    starts = ("/", "/static/", "/api/rows/", "/api/rows/1/image/", "/api/export/")
    paths = [start + "/".join([up] * 8) + "/" + end for start, up, end in product(starts, ups, ends)]
    paths += [path + "/image" for path in paths]
    assert len(paths) == 500
    for path in paths:
        assert asked(path)[0] == 404


@pytest.mark.parametrize(
    "row",
    [
        "-1",
        "+1",
        "1.5",
        "1e3",
        "1_0",
        "0x1",
        "9223372036854775808",
        "\u0663",
        "\u0967",
        "1 ",
        " 1",
        "1\x00",
        "1" * 5000,
        "NaN1",
    ],
)
@pytest.mark.parametrize("what", ["", "/why", "/image"])
def test_w6_what_is_no_row_number_is_told_so(asked, row, what):
    assert code(asked(f"/api/rows/{row}{what}")) == "FL-W6"


@pytest.mark.parametrize("what", ["", "/why", "/image"])
def test_w6_a_row_beyond_the_last_is_not_there(asked, what):
    assert asked(f"/api/rows/49{what}")[0] == 200
    for row in ("50", "999999999", "007000"):
        assert asked(f"/api/rows/{row}{what}")[0] == 404


@pytest.mark.parametrize(
    "query",
    [
        *(
            "first=-1",
            "first=1.5",
            "first=1e3",
            "first=\u0663",
            "first=+1",
            "first=",
            "first=9223372036854775808",
            "first=1_0",
        ),
        *("count=0", "count=501", "count=x", "order=other", "order=", "source=other", "min_certainty=nan"),
        *("min_certainty=inf", "max_certainty=2", "min_certainty=-0.1", "min_certainty=1_0", "min_certainty=0x1"),
        *("other=1", "first=1&first=2", "class_name=cat", "text=" + "x" * 1001, "&".join(f"a{i}=1" for i in range(30))),
    ],
)
def test_w6_what_the_address_asks_for_is_taken_strictly(asked, query):
    assert asked(f"/api/rows?{query}")[0] == 422


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
    assert parsed(b"[" * 8 + b"]" * 8) == [[[[[[[[]]]]]]]]
    with pytest.raises(Refused):
        parsed(b"[" * 9 + b"]" * 9)


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
    desk._writing.read(lambda: connection.execute(f"PRAGMA max_page_count = {limit}").fetchall()).result()
    many = [{"row": row, "action": "label", "label": "cat", "version": 0} for row in range(2, 50)]
    answers, seq = [], 1
    while not answers or answers[-1].status_code == 200:
        seq += 1
        some = [one | {"version": seq - 2} for one in many]
        answers.append(page.post("/api/answers", json={"client": "tab", "seq": seq, "answers": some}))
    assert (answers[-1].status_code, answers[-1].json()["error"]["code"]) == (507, "FL-W12")
    assert page.get("/api/history").json()["total"] == len(answers)
    desk._writing.read(lambda: connection.execute("PRAGMA max_page_count = 100000").fetchall()).result()
    assert page.post("/api/answers", json={"client": "tab", "seq": seq, "answers": some}).status_code == 200


def test_w13_a_file_that_another_program_holds_is_told_and_taken_up_when_it_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr("fewlabels.review.store_file.BUSY_SECONDS", 0.05)
    desk = fake_desk(tmp_path / "busy.review")
    page = TestClient(api(desk))
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
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)

    async def receive():
        await asyncio.sleep(60)

    with pytest.raises(Refused) as refused:
        asyncio.run(bodies.checked_body(None, receive))
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


def test_w16_no_websocket_is_opened(app):
    told = []

    async def send(message):
        told.append(message)

    asyncio.run(app({"type": "websocket", "headers": [], "path": "/"}, None, send))
    assert told == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    "path", ["/", "/api/session", "/api/rows/1/image", "/api/rows/5/image", "/no/such", "/?token=x"]
)
def test_w17_every_answer_forbids_frames_readers_of_other_origins_and_keeping(page, stranger, path):
    for client in (page, stranger):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
        assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
        assert not [name for name in headers if name.startswith("access-control-")]


def test_w17_a_read_with_a_foreign_origin_is_refused(asked):
    assert asked("/api/session", origin="http://evil.com")[0] == 403
    assert asked("/", origin="null")[0] == 403


def test_an_error_of_ours_does_not_show_the_key_or_the_code(tmp_path, access, caplog):
    desk = fake_desk(tmp_path)
    desk.session = lambda: 1 / 0
    client = TestClient(review_app(desk, access), base_url=ORIGIN, raise_server_exceptions=False)
    client.get("/", params={"token": access.token}, follow_redirects=False)
    failed = client.get("/api/session")
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "FL-W24")
    assert "ZeroDivision" not in failed.text
    desk.close()
