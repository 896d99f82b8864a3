"""Who may speak to the page's server: Host, Origin and key are checked before any route. Pure ASGI, no framework.

A web page that the same person has open elsewhere can send requests to 127.0.0.1, and with DNS rebinding under a name
of its own. So Host and Origin must be among a few exact texts; a prefix or a pattern would let `127.0.0.1.evil.com`
in. A random token, once in the address and then in a cookie, keeps out other users of the same machine.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from .requests import BODY_LIMIT, Message, Receive, Refused, read_body, replay_body

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = [
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
NO_KEY = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>fewlabels review</title></head><body>
<h1>This page needs its key</h1>
<p>Open the address that <code>fewlabels review</code> printed in the terminal: it ends in <code>?token=...</code>, and
is another each time the command is started. Answers that were given are safe.</p>
<p>If you came here by a link on another page, <a href="/">go on</a>.</p>
</body></html>
"""


@dataclass(frozen=True)
class Access:
    """hosts: the exact texts of Host, such as "127.0.0.1:8765". token: in the address that is printed.

    once: in the address that a browser is started with; it opens one time, because other users of the machine can see
    what a program is started with. cookie: what the browser keeps.
    port: of the server; the cookie's name has it, because browsers share cookies between the ports of a host.
    """

    hosts: frozenset[str]
    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    once: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(f"http://{host}" for host in self.hosts)

    @property
    def cookie_name(self) -> str:
        return f"fewlabels-review-{self.port}"


class Guard:
    """An app behind the checks: a request that fails one of them never reaches it."""

    def __init__(self, app: App, access: Access) -> None:
        self._app, self._access = app, access
        self._unused = [True]  # whether `access.once` still opens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":  # no other protocol is spoken here: a WebSocket is closed before it opens
            return await send({"type": "websocket.close", "code": 1008})
        headers = _Headers(scope["headers"])
        try:
            _check_host(headers, self._access)
            _check_origin(headers, scope["method"], self._access)
            if (key := _find_key(scope)) is not None and self._admits(key):
                return await _answer(send, 303, b"", location="/", set_cookie=self._set_cookie())
            if key is not None or not self._has_cookie(headers):
                return await _ask_for_key(scope, send)
            _check_query(scope)
            if scope["method"] == "POST":
                _check_kind(headers)
                receive = replay_body(await read_body(headers.one("content-length"), receive), receive)
        except Refused as refused:
            return await _answer(send, refused.status, json.dumps(refused.body).encode())
        except ConnectionError:  # the client went away in the middle of its body: nobody is left to answer
            return None
        return await self._app(scope, receive, _add_headers(send))

    def _set_cookie(self) -> str:
        return f"{self._access.cookie_name}={self._access.cookie}; Path=/; HttpOnly; SameSite=Strict"

    def _has_cookie(self, headers: _Headers) -> bool:
        pairs = (pair.strip().partition("=") for line in headers.all("cookie") for pair in line.split(";"))
        values = [value for name, _, value in pairs if name == self._access.cookie_name]
        return any(_is_equal(value, self._access.cookie) for value in values)

    def _admits(self, key: str) -> bool:
        if _is_equal(key, self._access.token):
            return True
        return _is_equal(key, self._access.once) and self._unused.pop() if self._unused else False


class _Headers:
    """Header lines, in lower case names."""

    def __init__(self, lines: list[tuple[bytes, bytes]]) -> None:
        self._lines = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in lines]

    def all(self, name: str) -> list[str]:
        return [value for known, value in self._lines if known == name]

    def one(self, name: str) -> str | None:
        """The value of a header that is there exactly once."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None


def _check_host(headers: _Headers, access: Access) -> None:
    if headers.one("host") not in access.hosts:
        raise Refused(403, "W1", "this server answers to its own address only; see what `fewlabels review` printed")


def _check_origin(headers: _Headers, method: str, access: Access) -> None:
    """A browser says where a request comes from on every write; where it does so on a read, it must be ours, too."""
    origins = headers.all("origin")
    if not origins and method in ("GET", "HEAD"):
        return
    if len(origins) != 1 or origins[0] not in access.origins:
        raise Refused(403, "W2", "requests of other pages, or of none, are refused")


def _check_kind(headers: _Headers) -> None:
    kind = headers.one("content-type") or ""
    main, _, parameter = kind.partition(";")
    if main.strip().lower() != "application/json" or parameter.strip().lower() not in ("", "charset=utf-8"):
        raise Refused(415, "W3", "a request that writes is JSON: Content-Type must be application/json")
    if headers.all("content-encoding"):
        raise Refused(415, "W3", f"a body of at most {BODY_LIMIT} bytes needs no Content-Encoding")


def _check_query(scope: Scope) -> None:
    try:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=20)
    except ValueError as problem:
        raise Refused(422, "W7", "the address asks for too many things") from problem
    if len({name for name, _ in pairs}) < len(pairs):
        raise Refused(422, "W7", "the address says something twice")


def _find_key(scope: Scope) -> str | None:
    """The token in the address of the page itself; nowhere else is one looked for."""
    if (scope["path"], scope["method"]) != ("/", "GET"):
        return None
    try:
        found = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return ""
    values = found.get("token")
    return None if values is None else values[0] if len(values) == 1 else ""


def _is_equal(sent: str, expected: str) -> bool:
    """Compares in the same time wherever they differ."""
    return hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), expected.encode())


async def _ask_for_key(scope: Scope, send: Send) -> None:
    if scope["path"] == "/" and scope["method"] == "GET":
        return await _answer(send, 401, NO_KEY.encode(), kind="text/html; charset=utf-8")
    refused = Refused(401, "W4", "no key, or an old one: open the address that `fewlabels review` printed")
    return await _answer(send, 401, json.dumps(refused.body).encode())


async def _answer(send: Send, status: int, body: bytes, kind: str = "application/json", **more: str) -> None:
    """An answer of ours; the connection ends with it, for what was sent along may never have been read."""
    headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
    headers += [(name.replace("_", "-").encode(), value.encode()) for name, value in more.items()]
    await _add_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _add_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *HEADERS]}
        await send(message)

    return send_with_headers
