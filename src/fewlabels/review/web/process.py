"""The server of the review page: its address, the browser that is opened, and how it stops."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...errors import ConfigError, InputWarning, shown, warn
from .security import Access, App

LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADER_BYTES = 16 * 1024
HEADER_SECONDS = 10.0
CONNECTIONS = 512  # more are answered 503: it is one person's page
STOP_SECONDS = 1  # for requests under way


@dataclass(frozen=True)
class Endpoint:
    """Where the page is served, and whether a browser is opened there.

    port: 0 for a free one. usual_port: tried first then, 0 for none: a page that lost its server finds the next one,
    and what it still has to send, under the same address.
    """

    host: str = "127.0.0.1"
    port: int = 0
    usual_port: int = 0
    browser: bool = True

    @property
    def is_local(self) -> bool:
        return self.host in LOOPBACK


def check_host(endpoint: Endpoint, *, understood: bool) -> None:
    """Raise ConfigError (C80) where others than this machine can reach the page; understood: only warns."""
    if endpoint.is_local:
        return
    what = (
        f"the page could be reached from other machines through {shown(endpoint.host)}: whoever sees its address can "
        "read the images and write answers, and nothing on the way is encrypted"
    )
    if not understood:
        raise ConfigError("C80", what, do="leave --host out and use an SSH tunnel, or add --i-understand")
    warn(InputWarning(f"FL-C80 {what}"))


def listen(endpoint: Endpoint) -> socket.socket:
    """Open the socket. Raises ConfigError C79 where that cannot be had."""
    ports = [endpoint.port] if endpoint.port else [endpoint.usual_port, 0] if endpoint.usual_port else [0]
    for port in ports:
        try:
            return _bind(endpoint.host, port)
        except OSError as problem:
            last = problem
    what = f"cannot listen ({last.strerror or last})"
    do = "another program, perhaps another review, has the port: leave --port out, or choose another"
    raise ConfigError("C79", what, where=f"{endpoint.host}:{endpoint.port}", do=do) from last


def _bind(host: str, port: int) -> socket.socket:
    kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # The protocol by name: for others asyncio does not set TCP_NODELAY, and each answer waits 40 ms for an ACK.
    found = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # elsewhere it would let two servers have one port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(1024)
    except OSError:
        found.close()
        raise
    return found


def make_access(endpoint: Endpoint, port: int) -> Access:
    """Fresh keys, and the exact names with port that this server answers to."""
    names = {"127.0.0.1", "localhost"}
    if endpoint.host == "::1":
        names = {"[::1]", "localhost"}
    elif not endpoint.is_local:
        names |= {f"[{name}]" if ":" in name else name for name in (endpoint.host, *_find_own_names())}
    return Access(frozenset(f"{name}:{port}" for name in names), port)


def _find_own_names() -> list[str]:
    name = socket.gethostname()
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        found = []
    return [name.lower(), *(str(address[0]).partition("%")[0] for *_, address in found)]


def format_address(endpoint: Endpoint, port: int, token: str = "") -> str:
    """The address to open; without a token, only browsers that have opened the page before are let in."""
    name = "localhost" if endpoint.host == "localhost" else "[::1]" if endpoint.host == "::1" else "127.0.0.1"
    if not endpoint.is_local and endpoint.host not in ("0.0.0.0", "::"):
        name = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return f"http://{name}:{port}/{token and f'?token={token}'}"


def serve(
    app: App,
    endpoint: Endpoint,
    access: Access,
    listener: socket.socket,
    say: Callable[[str], Any],
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Serve until SIGINT (unless it was ignored before) or SIGTERM, or until `is_over`.

    Says the address once requests are answered, and opens the browser.
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # requests that are no HTTP are the client's affair
    config = uvicorn.Config(
        app,
        http=PunctualProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # addresses have the token
        server_header=False,
        date_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=STOP_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    server = _Server(config, lambda: _open_page(endpoint, access, say), is_over)
    with suppress(KeyboardInterrupt, SystemExit):  # uvicorn raises the signal again that it has ended for
        server.run(sockets=[listener])


def _open_page(endpoint: Endpoint, access: Access, say: Callable[[str], Any]) -> None:
    say(format_address(endpoint, access.port, access.token))
    if endpoint.browser:
        address = format_address(endpoint, access.port, access.once)
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


class _Server(uvicorn.Server):
    """Says when it is ready, and goes on ignoring SIGINT where it was started so, as in the background."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], is_over: Callable[[], bool]) -> None:
        super().__init__(config)
        self._ready, self._is_over = ready, is_over
        self._ignored = [signal.SIGINT] if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else []

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig not in self._ignored:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._is_over()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


class PunctualProtocol(H11Protocol):
    """Ends connections whose request has no whole head after HEADER_SECONDS; uvicorn itself would wait for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_waiting()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:  # the head of the next request is not whole
            self._start_waiting()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _start_waiting(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
