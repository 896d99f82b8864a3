"""Many clients, retries and conflicts on a real server that is killed again and again; what must hold afterwards."""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field

import httpx2

from fewlabels.review.store.file import NAME
from tests.review.review_process import ROWS, Server

LABELS = ("cat", "dog", None)  # None: skip


@dataclass
class Plan:
    """What is done to the server. stale: share of requests that name a version which cannot be.

    writes: of all clients; they go on until the server was killed `least_kills` times.
    """

    writes: int
    clients: int = 32
    least_kills: int = 0
    most_kills: int = 1000
    retries: float = 0.05
    stale: float = 0.10
    pause: tuple[float, float] = (0.3, 2.0)
    full_disk: bool = True
    seed: int = 0


@dataclass
class Seen:
    """What the clients saw. acknowledged: (client, seq) -> (answers, reply). wrong: what must never be seen."""

    sent: set = field(default_factory=set)
    acknowledged: dict = field(default_factory=dict)
    conflicts: set = field(default_factory=set)
    versions: dict = field(default_factory=dict)
    seconds: list = field(default_factory=list)
    statuses: Counter = field(default_factory=Counter)
    wrong: list = field(default_factory=list)
    kills: int = 0
    resent: int = 0


class Lane:
    def __init__(self, folder, plan, fault=""):
        self.folder, self.plan, self.fault = folder, plan, fault
        self.seen, self.random = Seen(), random.Random(plan.seed)
        self.server = Server(folder, fault=fault)
        self.left = plan.writes
        self.is_up = asyncio.Event()
        self.is_over = False  # the server does not begin again

    def run(self):
        """Everything, then a server that is stopped in peace. What was seen."""
        asyncio.run(self._run())
        self.server.stop(signal.SIGTERM)
        return self.seen

    async def _run(self):
        self.is_up.set()
        others = [asyncio.create_task(self._killing()), asyncio.create_task(self._reading())]
        try:
            await asyncio.gather(*(self._client(f"client-{number}") for number in range(self.plan.clients)))
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        if not self.is_up.is_set():
            self.server = await self._restarted()

    async def _killing(self):
        if self.plan.full_disk:
            await asyncio.sleep(0.2)
            self._limit(4096)
            for _ in range(100):
                await asyncio.sleep(0.1)
                if self.seen.statuses[507]:
                    break
            self._limit(resource.RLIM_INFINITY)
        while self.seen.kills < self.plan.most_kills:
            await asyncio.sleep(self.random.uniform(*self.plan.pause))
            self.is_up.clear()
            self.seen.kills += 1
            self.server.stop(signal.SIGKILL)
            try:
                self.server = await asyncio.shield(self._restarted())
            except RuntimeError as problem:  # such as answers that were acknowledged and are not there
                self.seen.wrong.append(f"the server does not begin again: {str(problem)[-300:]}")
                self.is_over, self.left = True, 0
            self.is_up.set()
            if self.is_over:
                return

    def _restarted(self):
        return asyncio.to_thread(Server, self.folder, fault=self.fault)

    def _limit(self, size):
        resource.prlimit(self.server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    async def _reading(self):
        """A program that copies the answers meanwhile finds all that was acknowledged before it began."""
        while True:
            before = set(self.seen.acknowledged)
            keys = await asyncio.to_thread(self._keys)
            if lost := before - keys:
                self.seen.wrong.append(f"a reader misses {sorted(lost)[:3]}")
            await asyncio.sleep(0.2)

    def _keys(self):
        with closing(sqlite3.connect(self.folder / NAME, timeout=30)) as connection:
            return set(connection.execute("SELECT client, seq FROM events"))

    async def _client(self, name):
        chance = random.Random(f"{self.plan.seed} {name}")
        async with httpx2.AsyncClient(timeout=30) as http:
            for seq in range(1, 10**9):
                if self.is_over:
                    return
                if self.left <= 0 and self.seen.kills >= self.plan.least_kills and self.is_up.is_set():
                    return
                self.left -= 1
                rows = chance.sample(range(ROWS), chance.choice((1, 1, 1, 2, 3)))
                is_stale = chance.random() < self.plan.stale
                answers = [self._answer(row, chance.choice(LABELS), 10**6 * is_stale) for row in rows]
                await self._until_answered(http, name, seq, answers, is_stale)
                if chance.random() < self.plan.retries and (name, seq) in self.seen.acknowledged:
                    again = await self._sent(http, name, seq, answers)
                    self.seen.resent += 1
                    known = self.seen.acknowledged[name, seq][1]
                    if again is not None and again.status_code in (200, 409) and again.json() != known:
                        self.seen.wrong.append(f"another answer to {name} {seq}")

    def _answer(self, row, label, ahead):
        version = self.seen.versions.get(row, 0) + ahead
        return {"row": row, "action": "skip" if label is None else "label", "label": label, "version": version}

    async def _until_answered(self, http, name, seq, answers, is_stale):
        self.seen.sent.add((name, seq))
        while True:
            reply = await self._sent(http, name, seq, answers)
            if self.is_over:
                return
            if reply is None or reply.status_code in (401, 507, 503):
                await asyncio.sleep(0.02)
                continue
            if reply.status_code == 200:
                self._acknowledged(name, seq, answers, reply.json(), is_stale)
            elif reply.status_code == 409:
                self.seen.conflicts.add((name, seq))
                for one in reply.json()["conflicts"]:
                    self.seen.versions[one["row"]] = one["version"]
            else:
                self.seen.wrong.append(f"{reply.status_code} {reply.text[:200]}")
            return

    def _acknowledged(self, name, seq, answers, reply, is_stale):
        if is_stale:
            self.seen.wrong.append(f"{name} {seq} was taken with a version that cannot be")
        self.seen.acknowledged[name, seq] = answers, reply
        for one in reply["applied"]:
            self.seen.versions[one["row"]] = max(self.seen.versions.get(one["row"], 0), one["version"])

    async def _sent(self, http, name, seq, answers):
        """The reply; None where the server was killed meanwhile."""
        await self.is_up.wait()
        server, headers = self.server, {"Origin": self.server.address}
        try:
            if http.base_url != server.address or getattr(http, "token", "") != server.token:
                http.cookies.clear()
                await http.get(f"{server.address}/", params={"token": server.token})
                http.token = server.token
            body = {"client": name, "seq": seq, "answers": answers}
            begun = time.perf_counter()
            reply = await http.post(f"{server.address}/api/answers", json=body, headers=headers)
        except httpx2.TransportError:
            return None
        self.seen.seconds.append(time.perf_counter() - begun)
        self.seen.statuses[reply.status_code] += 1
        return reply


def problems(folder, seen):
    """(everything that is not as it must be after a lane, row -> state by the replay of what was acknowledged)."""
    with closing(sqlite3.connect(folder / NAME)) as connection:
        found = [*seen.wrong]
        found += [] if connection.execute("PRAGMA integrity_check").fetchone() == ("ok",) else ["not whole"]
        events = connection.execute("SELECT event, client, seq FROM events ORDER BY event").fetchall()
        changes = {event: [] for event, _, _ in events}
        for event, *change in connection.execute(
            "SELECT event, row, version, label, skipped FROM changes ORDER BY rowid"
        ):
            changes.setdefault(event, []).append(change)
    count = Counter((client, seq) for _, client, seq in events)
    found += [f"{key} is there {count[key]} times" for key in seen.acknowledged if count[key] != 1]
    found += [f"{key} was never sent, or refused" for key in count if key not in seen.sent or key in seen.conflicts]
    replayed = {}
    for event, client, seq in events:
        if (client, seq) not in seen.acknowledged:
            found.append(f"{(client, seq)} was written, and its client never heard of it")
            continue
        answers, reply = seen.acknowledged[client, seq]
        expected = [[a["row"], a["version"] + 1, a["label"], a["action"] == "skip"] for a in answers]
        if changes[event] != expected or reply["event"] != event:
            found.append(f"event {event} is not what was sent")
        for row, version, label, skipped in expected:
            if version != replayed.get(row, (0,))[0] + 1:
                found.append(f"version {version} of row {row} is not the next")
            replayed[row] = version, label, skipped
    return found, replayed
