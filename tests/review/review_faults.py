"""Seeded faults of the store: what the load lane must catch. Each changes the server's process and nothing else."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

from fewlabels.review.store import file as store_file
from fewlabels.review.store.store import Store
from fewlabels.review.store.values import Conflict


def early():
    """Acknowledges before the commit, which comes with some later request."""

    @contextmanager
    def begun(self):
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")
        yield
        if self.event % 8 == 0:
            self._connection.execute("COMMIT")

    Store._transaction = begun


def overwriting():
    """Does not look at versions: the last one wins."""
    plain = Store._plan

    def plan(self, request, draft):
        return replace(plain(self, request, draft), conflicts=[])

    Store._plan = plan


def doubling():
    """Does not know a request again."""

    def carry_out(self, request, draft):
        plan = self._plan(request, draft)
        return Conflict(tuple(plan.conflicts)) if plan.conflicts else self._append(request, plan, draft)

    Store._carry_out = carry_out
    store_file.TABLES = store_file.TABLES.replace(", UNIQUE (client, seq)", "")


def tearing():
    """Writes the first row of a request and acknowledges all of them."""
    plain = Store._append

    def append(self, request, plan, draft):
        written = plain(self, request, replace(plan, changes=plan.changes[:1]), draft)
        for change in plan.changes[1:]:
            draft.change(change)
        applied = tuple((change.row, change.after) for change in plan.changes)
        return type(written)(written.event, applied, draft.answered, written.nothing, True)

    Store._append = append


FAULTS = {"early": early, "overwriting": overwriting, "doubling": doubling, "tearing": tearing}
