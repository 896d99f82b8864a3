"""How a job tells of its progress: on stderr, as a bar on a terminal and as a few lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0
BAR = "{desc}: {percentage:3.0f}%|{bar:12}| {elapsed}<{remaining}{postfix}"


class Progress:
    """A bar up to `total`, or, where stderr is no terminal, a line at most every ten seconds and one at the end.

    quiet=True says nothing at all. unit: of what is counted, for the bar.
    """

    def __init__(self, total: int, name: str, *, unit: str = "it", quiet: bool = False) -> None:
        self._name, self._total, self._done, self._quiet = name, total, 0, quiet
        hidden = quiet or not sys.stderr.isatty()
        self._bar = tqdm(total=total, desc=name, disable=hidden, unit=unit, unit_scale=True, bar_format=BAR)
        self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES

    def step(self, note: str = "", amount: int = 1) -> None:
        """`amount` more is done; `note` is shown beside it."""
        self._done += amount
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(amount)
        due = time.monotonic() >= self._next_line or self._done == self._total
        if self._bar.disable and not self._quiet and due:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            share = 100 * self._done // max(1, self._total)
            print(f"{self._name}: {share} %  {note}".rstrip(), file=sys.stderr, flush=True)

    def close(self) -> None:
        self._bar.close()


def following(name: str, *, quiet: bool = False) -> Callable[[Iterable[Any], int], Iterator[Any]]:
    """A function (iterable, total) -> iterator that shows progress while it is walked."""

    def follow(items: Iterable[Any], total: int) -> Iterator[Any]:
        progress = Progress(total, name, quiet=quiet)
        for item in items:
            yield item
            progress.step()
        progress.close()

    return follow
