"""Hostile requests, case by case of the catalogue of bad input (W1 to W21), as far as no server process is needed.

Elsewhere: W7 to W9, W12 to W15 (test_web_writes.py), W10, W11 (test_load.py), W15, W18, W19 with a real server
(test_process.py), W13 at the start (test_store.py), W14 and W20 in the page itself (tests of the page in a browser),
W21 (test_api.py).
"""

import asyncio
import hmac
from itertools import product

import pytest
from starlette.testclient import TestClient

from fewlabels.review.web import security
from fewlabels.review.web.app import build_app
from fewlabels.review.web.security import Access
from tests.review.requests_below import HOME, HOSTS, ORIGIN, ORIGINS, READS, WRITES, code
from tests.review.review_fakes import fake_desk


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
    assert security._is_equal("a", "a")
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
    desk.describe_session = lambda: 1 / 0
    client = TestClient(build_app(desk, access), base_url=ORIGIN, raise_server_exceptions=False)
    client.get("/", params={"token": access.token}, follow_redirects=False)
    failed = client.get("/api/session")
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "FL-W24")
    assert "ZeroDivision" not in failed.text
    desk.close()
