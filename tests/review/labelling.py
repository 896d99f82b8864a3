"""A simulated person at the page of a labelling, over HTTP."""

import time

from starlette.testclient import TestClient

import fewlabels.commands.review as review_job
from fewlabels.cli.main import run as run_command


class Person:
    """Answers over HTTP, as the page does, and makes each class when it first comes up."""

    def __init__(self, page, truth=None):
        """truth: the class of each row, by name."""
        self.page, self.seq, self.truth = page, 0, truth
        self.tab = f"tab-{id(self)}"

    def post(self, path, **body):
        self.seq += 1
        return self.page.post(path, json={"client": self.tab, "seq": self.seq, **body})

    def label(self, row, name):
        session = self.page.get("/api/session").json()
        if name not in session["classes"]:
            assert self.post("/api/classes", action="class", name=name).status_code == 200
        return self.answer(row, "label", name)

    def answer(self, row, action, name=None):
        version = self.page.get(f"/api/rows/{row}").json()["version"]
        one = {"row": row, "action": action, "label": name, "version": version}
        reply = self.post("/api/answers", answers=[one])
        assert reply.status_code == 200, reply.text
        return self.page.get("/api/graph", params={"after": reply.json()["event"]}).json()

    def ask(self, count):
        for number in range(count):
            row = self.page.get("/api/rows").json()["rows"][4 if number % 5 == 4 else 0]["row"]
            graph = self.label(row, self.truth[row])
        return graph


def label_by(monkeypatch, do, words, truth=None):
    """Run `fewlabels label` with `do(person)` in the place of the server; returns the exit status."""

    def serve(app, door, access, place, say, is_over):
        port = place.getsockname()[1]
        place.close()
        home = f"http://127.0.0.1:{port}"
        page = TestClient(app, base_url=home, headers={"Origin": home})
        page.get("/", params={"token": access.token}, follow_redirects=False)
        while page.get("/api/opening").json()["state"] not in ("ready", "failed"):
            time.sleep(0.05)
        do(Person(page, truth))

    monkeypatch.setattr(review_job, "serve", serve)
    return run_command(["label", *map(str, words), "--no-browser"])
