"""One draw of one set, as a method is given it, and what all draws of a set share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from benchmarks.choosing.sets import Set, standardize
from fewlabels.graph import comparable_rows

Candidate = TypeVar("Candidate")


@dataclass
class Ready:
    """A data set with what its methods share over all draws: each thing is made when first asked for."""

    data: Set
    made: dict[Any, Any] = field(default_factory=dict)

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    @cached_property
    def features(self) -> dict[str, np.ndarray]:
        """The rows as they are, of length 1, and with standardised columns; the usual ones of such data first.

        Each scaled as a whole so that a row's mean square length is 1: then one grid of penalties serves all.
        """
        rows = self.data.rows
        found = {"unit": comparable_rows(rows), "raw": rows, "standard": standardize(rows)}
        if not self.data.directions:  # its columns are standardised already
            found = {"raw": rows, "unit": found["unit"]}
        return {
            name: (x / np.sqrt((x.astype(np.float64) ** 2).sum(1).mean())).astype(np.float32)
            for name, x in found.items()
        }

    @property
    def usual(self) -> str:
        return next(iter(self.features))


@dataclass(frozen=True)
class Task:
    """labels: (n,) int64, -1 where unknown. folds: (m,) of the labelled rows in their order, or None."""

    ready: Ready
    labels: np.ndarray
    folds: np.ndarray | None
    memory: dict[Any, Any] = field(default_factory=dict)  # what one method found that another goes on from

    @cached_property
    def rows(self) -> np.ndarray:
        """(m,) the labelled rows."""
        return np.flatnonzero(self.labels >= 0)

    @cached_property
    def given(self) -> np.ndarray:
        return self.labels[self.rows]

    def choose(
        self, candidates: Sequence[Candidate], predict: Callable[[Candidate, np.ndarray, np.ndarray], np.ndarray]
    ) -> Candidate:
        """The candidate with most held-out labels right; the first of equals, or where nothing can be held out.

        predict: (candidate, places trained on, places asked) -> labels; places number the labelled rows.
        """
        if self.folds is None or len(candidates) == 1:
            return candidates[0]
        parts = [
            (np.flatnonzero(self.folds != one), np.flatnonzero(self.folds == one))
            for one in np.unique(self.folds)
            if one >= 0
        ]
        right = [
            sum(int((predict(candidate, known, asked) == self.given[asked]).sum()) for known, asked in parts)
            for candidate in candidates
        ]
        return candidates[int(np.argmax(right))]
