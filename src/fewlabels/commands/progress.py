"""Progress on stderr: bars on a terminal, lines elsewhere, and the time that the rest will take."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from shutil import get_terminal_size
from typing import Any

from tqdm import tqdm

LEAST_SECONDS = 1.0  # of work that a pace can be told from


class Pace:
    """How long the rest will take, by the later half of what was done since the first mark: what came first may have
    gone at another pace, such as another phase.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()
        self._first = 0

    def mark(self, done: int) -> None:
        """`done` of the total is done by now."""
        now = time.monotonic()
        if not self._marks:  # the clock starts here: a first step is slow
            self._first = done
            self._marks.append((done, now))
        half = (self._first + done) / 2
        while len(self._marks) > 1 and self._marks[1][0] <= half:
            self._marks.popleft()
        if now - self._marks[-1][1] >= LEAST_SECONDS:
            self._marks.append((done, now))

    def seconds(self, done: int, total: int) -> float | None:
        """Seconds that the rest will take; None while nothing can be told."""
        if not self._marks:
            return None
        before, since = self._marks[0]
        passed = time.monotonic() - since
        if done <= before or passed < LEAST_SECONDS or done >= total:
            return None
        return passed * (total - done) / (done - before)


SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_FIRST_LINE = 3.0
STEPS = 1000  # of a bar over stages
LEAST_TO_TELL = 0.05  # share done from which the time left is worth telling
CLOCK = "{elapsed}<{remaining}"
BAR = f"{{desc}}: {{percentage:3.0f}}%|{{bar:12}}| {CLOCK}{{postfix}}"
BESIDE = len(": 100%|") + 12 + len("| 0:00:00<0:00:00, ")  # columns of a bar without its name and its note
ROWS = 24  # said to be there: on a terminal that claims to have none, as in containers, tqdm would draw nothing
NARROW = 110  # columns below which the bar itself gives way to the note


class Progress:
    """A bar up to `total`, or, where stderr is no terminal, a line after three seconds, then every ten, and at the end.

    quiet=True says nothing at all. unit: of what is counted, for the bar.
    """

    def __init__(self, total: int, name: str, *, unit: str = "it", quiet: bool = False) -> None:
        self._name, self._total, self._done, self._quiet = name, total, 0, quiet
        hidden = quiet or not sys.stderr.isatty()
        self._columns = get_terminal_size().columns
        self._format = BAR if self._columns >= NARROW else BAR.replace("|{bar:12}|", "")
        self._bar = tqdm(
            total=total,
            desc=name,
            disable=hidden,
            unit=unit,
            unit_scale=True,
            bar_format=self._format,
            ncols=self._columns,
            nrows=ROWS,
        )
        self._next_line = time.monotonic() + min(SECONDS_TO_FIRST_LINE, SECONDS_BETWEEN_LINES)

    @property
    def done(self) -> int:
        return self._done

    def step(self, note: str | Sequence[str] = "", amount: int = 1, left: float | None = None) -> None:
        """`amount` more is done; `note` is shown beside it: of several, as many as a terminal has room for.

        left: seconds that the rest will take, by one who knows better than a bar that only counts.
        """
        self._done += amount
        parts = [part for part in ([note] if isinstance(note, str) else note) if part]
        if not self._bar.disable:
            known = CLOCK if left is None else f"{short_time(left)} left"
            self._bar.bar_format = self._format.replace(CLOCK, known)
            self._bar.set_postfix_str(fit_note(parts, self._room), refresh=False)
        self._bar.update(amount)
        due = time.monotonic() >= self._next_line or (amount > 0 and self._done == self._total)
        if self._bar.disable and not self._quiet and due:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            share = 100 * self._done // max(1, self._total)
            if left is not None:
                parts.insert(1, f"about {time_words(left)} left")
            print(f"{self._name}: {share} %  {', '.join(parts)}".rstrip(), file=sys.stderr, flush=True)

    @property
    def _room(self) -> int:
        """Columns for a note."""
        beside = BESIDE if self._columns >= NARROW else BESIDE - len("|" * 2) - 12
        return self._columns - 1 - len(self._name) - beside

    def make_room(self) -> None:
        """Take the bar off the terminal until it is drawn again: something else is about to be written there."""
        self._bar.clear()

    def show(self) -> None:
        """Draw the bar now; tqdm itself leaves out what follows too soon, and may have nothing to draw for minutes."""
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


def fit_note(parts: Sequence[str], room: int) -> str:
    """The first part and as many of those that follow as fit into `room` columns, with commas."""
    shown = list(parts)
    while len(shown) > 1 and len(", ".join(shown)) > room:
        shown.pop()
    return ", ".join(shown)


class StageProgress:
    """One bar over stages that take different times, with the time left.

    seconds: about how long each stage takes, in the order of the stages; only their ratios count.
    `advance` is called as on_progress(stage, fraction) by `propagate`.
    """

    def __init__(self, seconds: Mapping[str, float], name: str, *, quiet: bool = False) -> None:
        self._seconds = dict(seconds)
        self._set_shares()
        self._bar = Progress(STEPS, name, quiet=quiet)
        self._done, self._stage, self._began = 0, "", time.monotonic()

    def correct(self, stage: str, seconds: float) -> tuple[float, float]:
        """The stage takes so long, as is known now. Returns the seconds of all stages, as was thought and now."""
        before = sum(self._seconds.values())
        self._seconds[stage] = seconds
        self._set_shares()
        return before, sum(self._seconds.values())

    def _set_shares(self) -> None:
        total = max(sum(self._seconds.values()), 1e-9)
        self._share = {stage: second / total for stage, second in self._seconds.items()}

    def make_room(self) -> None:
        """See Progress.make_room."""
        self._bar.make_room()

    def start(self, stage: str) -> None:
        """All stages before this one are done."""
        self.advance(stage, 0.0)

    def advance(self, stage: str, share: float) -> None:
        """`share` of this stage, from 0 to 1, and all stages before it are done. The bar never goes back."""
        before = 0.0
        for name, weight in self._share.items():
            if name == stage:
                self._to(before + weight * min(max(share, 0.0), 1.0), stage)
                return
            before += weight

    def close(self) -> None:
        """All is done."""
        if self._done < STEPS:
            self._to(1.0, "")
        self._bar.close()

    def _to(self, share: float, stage: str) -> None:
        steps = max(int(STEPS * share + 1e-9), self._done)
        if steps == self._done and stage == self._stage:
            return
        passed = time.monotonic() - self._began
        left = passed * (1 - share) / share if LEAST_TO_TELL < share < 1 else None
        self._bar.step(stage, steps - self._done, left)
        if stage != self._stage:
            self._bar.show()
        self._done, self._stage = steps, stage


def time_words(seconds: float) -> str:
    """ "a second", "40 seconds", "2 minutes", "3.5 hours"."""
    if seconds < 1.5:
        return "a second"
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 100 * 60 else f"{seconds / 3600:.1f} hours"


def short_time(seconds: float) -> str:
    """ "40 s", "19 min", "3.5 h": the same beside a bar."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def track_progress(name: str, *, quiet: bool = False) -> Callable[[Iterable[Any], int], Iterator[Any]]:
    """A function to be called as track(items, total), whose iterator shows progress while it is walked."""

    def track(items: Iterable[Any], total: int) -> Iterator[Any]:
        progress = Progress(total, name, quiet=quiet)
        for item in items:
            yield item
            progress.step()
        progress.close()

    return track
