"""The server as a process: its address, its limits, who may be beside it, and how it stops."""

import asyncio
import os
import signal
import socket
import sqlite3
import time
from contextlib import closing, contextmanager

import httpx2
import pytest

from fewlabels.errors import ConfigError, InputWarning
from fewlabels.review.store.file import NAME
from fewlabels.review.web.process import Endpoint, check_host, format_address, listen, make_access
from tests.review.review_process import Server

SHORT = "import fewlabels.review.web.process as run, fewlabels.review.web.requests as body; run.HEADER_SECONDS = 0.5"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that waits half a second for heads and bodies of requests."""
    found = Server(tmp_path_factory.mktemp("served") / "run.review", before=f"{SHORT}; body.BODY_SECONDS = 0.5")
    yield found
    assert found.stop(signal.SIGTERM) == 0
    assert found.errors() == ""


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A server as it is."""
    found = Server(tmp_path_factory.mktemp("plain") / "run.review")
    yield found
    found.stop(signal.SIGKILL)


@contextmanager
def opened(server):
    with httpx2.Client(base_url=server.address, headers={"Origin": server.address}, timeout=30) as page:
        page.get("/", params={"token": server.token})
        yield page


def answers(client, seq, row, version=0):
    one = {"row": row, "action": "label", "label": "cat", "version": version}
    return {"client": client, "seq": seq, "answers": [one]}


def talked(server, sent, seconds=20):
    """What the server says to these bytes until it ends the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as line:
        received = b""
        try:
            line.sendall(sent)
            while part := line.recv(65536):
                received += part
        except (BrokenPipeError, ConnectionResetError):
            pass  # it ended while we were speaking
        return received


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: evil.com"],
        [],
        ["Host: 127.0.0.1:{port}", "Host: evil.com"],
        ["Host: a/../127.0.0.1:{port}"],
        ["Host: 127.0.0.1:{port}", "Host : evil.com"],
        [" Host: 127.0.0.1:{port}"],
    ],
)
def test_w1_hosts_that_are_none_are_refused_on_the_wire(server, lines):
    head = "\r\n".join(
        ["GET / HTTP/1.1", *(line.format(port=server.port) for line in lines), "Connection: close", "", ""]
    )
    assert talked(server, head.encode()).split()[1] in (b"400", b"403")


def test_w1_an_address_in_the_request_line_does_not_stand_for_the_host(server):
    sent = f"GET http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n"
    assert talked(server, sent.encode()).split()[1] == b"403"


def test_w10_two_hundred_writers_at_once_are_all_served(plain):
    async def all_of_them():
        limits = httpx2.Limits(max_connections=200)
        async with httpx2.AsyncClient(base_url=plain.address, limits=limits, timeout=60) as page:
            await page.get("/", params={"token": plain.token})
            headers = {"Origin": plain.address}
            sent = [answers(f"writer-{number}", 1, number) for number in range(200)]
            return await asyncio.gather(*(page.post("/api/answers", json=one, headers=headers) for one in sent))

    replies = asyncio.run(all_of_them())
    assert {reply.status_code for reply in replies} == {200}
    with closing(sqlite3.connect(plain.folder / NAME)) as connection:
        written = {client for (client,) in connection.execute("SELECT client FROM events")}
    assert {f"writer-{number}" for number in range(200)} <= written


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(10_000)) + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n" * 1000,
    ],
    ids=["silence", "half a head", "10,000 headers", "long address", "TLS", "empty lines"],
)
def test_w15_a_head_that_does_not_end_is_not_waited_for(server, sent):
    received = talked(server, sent)
    assert received == b"" or received.split()[1] in (b"400", b"431")


def test_w15_a_body_that_does_not_end_is_not_waited_for(server):
    with opened(server) as page:
        cookie = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    head = (
        f"POST /api/answers HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.address}\r\n"
        f"Cookie: {cookie}\r\nContent-Type: application/json\r\n"
    )
    assert talked(server, f"{head}Content-Length: 100\r\n\r\n{{".encode()).split()[1] == b"408"
    assert talked(server, f"{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n".encode()).split()[1] == b"408"
    large = talked(server, f"{head}Content-Length: 100000000\r\n\r\n".encode() + b"x" * 10_000_000)
    assert large == b"" or large.split()[1] == b"413"  # whoever still speaks may not hear it
    chunks = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 3
    assert talked(server, chunks).split()[1] == b"413"


def test_w15_many_silent_connections_do_not_keep_the_page_from_being_served(server):
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    with opened(server) as page:
        assert page.get("/api/session").status_code == 200
    for line in silent:
        line.close()


def test_w16_a_websocket_is_not_opened(server):
    sent = (
        f"GET /api/session HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: http://evil.com\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert talked(server, sent.encode()).split()[1] == b"403"


def test_w4_neither_key_nor_cookie_is_ever_logged(plain):
    with opened(plain) as page:
        page.get("/", params={"token": "wrong"})
        talked(plain, f"GET /?token={plain.token} nonsense\r\n\r\n".encode())
        cookie = next(iter(page.cookies.values()))
    assert plain.token not in plain.errors()
    assert cookie not in plain.errors()


def test_ctrl_c_stops_the_server_while_somebody_waits_for_the_graph(tmp_path):
    server = Server(tmp_path / "run.review")

    async def waiting():
        async with httpx2.AsyncClient(base_url=server.address, timeout=30) as page:
            await page.get("/", params={"token": server.token})
            asked = asyncio.create_task(page.get("/api/graph", params={"after": 99}))
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            status = await asyncio.to_thread(server.stop, signal.SIGINT)
            asked.cancel()
            return status, time.monotonic() - begun

    status, seconds = asyncio.run(waiting())
    assert status == 0
    assert seconds < 9  # and not until the wait is over
    assert not (tmp_path / "run.review/.lock").exists()


def test_started_in_the_background_it_goes_on_ignoring_interrupts_and_hangups(tmp_path):
    ignoring = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    )
    server = Server(tmp_path / "run.review", before=ignoring)
    for number in (signal.SIGHUP, signal.SIGINT):
        server.process.send_signal(number)
        time.sleep(0.2)
        with opened(server) as page:
            assert page.get("/api/session").status_code == 200
    assert server.stop(signal.SIGTERM) == 0


def test_w19_a_second_server_of_one_review_is_refused(server):
    with pytest.raises(RuntimeError, match=f"FL-C11 another process writes .*pid {server.process.pid}"):
        Server(server.folder)


def test_w19_a_port_that_is_taken_is_an_error_and_the_usual_port_is_only_tried(server):
    with pytest.raises(ConfigError, match=r"FL-C79 cannot listen .*leave --port out"):
        listen(Endpoint(port=server.port))
    with listen(Endpoint(usual_port=server.port)) as place:
        assert place.getsockname()[1] not in (0, server.port)
    with listen(Endpoint()) as place:
        free = place.getsockname()[1]
    with listen(Endpoint(usual_port=free)) as place:
        assert place.getsockname()[1] == free


def test_answers_do_not_wait_for_the_acknowledgement_of_their_first_half():
    with listen(Endpoint()) as place:
        assert place.proto == socket.IPPROTO_TCP  # or asyncio leaves TCP_NODELAY out, and each answer takes 40 ms


def test_w19_a_host_that_is_not_of_this_machine_is_an_error():
    with pytest.raises(ConfigError, match="FL-C79"):
        listen(Endpoint(host="192.0.2.1"))


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")
def test_w19_ipv6_is_served_under_its_own_name():
    endpoint = Endpoint(host="::1")
    with listen(endpoint) as place:
        port = place.getsockname()[1]
    assert make_access(endpoint, port).hosts == {f"[::1]:{port}", f"localhost:{port}"}
    assert format_address(endpoint, port, "T") == f"http://[::1]:{port}/?token=T"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "127.0.0.2", "evil.com"])
def test_w18_a_host_that_others_can_reach_needs_to_be_understood_and_is_warned_of(host):
    with pytest.raises(ConfigError, match=r"FL-C80 .*nothing on the way is encrypted.*--i-understand"):
        check_host(Endpoint(host=host), understood=False)
    with pytest.warns(InputWarning, match="FL-C80"):
        check_host(Endpoint(host=host), understood=True)


def test_w18_even_then_only_exact_names_of_this_machine_are_answered_to():
    hosts = make_access(Endpoint(host="0.0.0.0"), 1).hosts
    assert {"127.0.0.1:1", f"{socket.gethostname().lower()}:1"} <= hosts
    assert not [host for host in hosts if "evil" in host or "*" in host]


def test_at_home_nobody_is_warned():
    for host in ("127.0.0.1", "localhost", "::1"):
        check_host(Endpoint(host=host), understood=False)
    assert format_address(Endpoint(host="localhost"), 1, "T") == "http://localhost:1/?token=T"
    assert format_address(Endpoint(host="0.0.0.0"), 1, "T") == "http://127.0.0.1:1/?token=T"
    assert format_address(Endpoint(host="192.0.2.1"), 1, "T") == "http://192.0.2.1:1/?token=T"
