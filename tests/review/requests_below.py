"""Requests made below HTTP: any header line, any body; and the hosts and origins that are not ours."""

import asyncio
import json

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


def code(answer):
    return json.loads(answer[1])["error"]["code"]
