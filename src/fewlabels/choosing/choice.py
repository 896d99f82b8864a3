"""What was chosen and why: plain values that go into JSON and come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from .scores import Interval
from .settings import Kind


@dataclass(frozen=True, kw_only=True)
class Member:
    """One answer, alone or with a share in an average.

    kind: as Auto.answer. n_neighbors, alpha: of its graph; None without one. penalty: of a linear head on the labelled
    rows, as C times their number.
    by_degree: whether labels count as in Poisson learning: each divided by the root of its row's degree, so that labels
    in dense regions count no more than others, and as much for each class. lengths: whether a head sees rows as given,
    not their directions alone.
    temperature: its probabilities were taken to the power 1 / temperature. share: in the average, all sum to 1.
    """

    kind: Kind
    n_neighbors: int | None = None
    alpha: float | None = None
    penalty: float | None = None
    by_degree: bool = False
    lengths: bool = False
    temperature: float = 1.0
    share: float = 1.0

    @property
    def name(self) -> str:
        """Such as `graph k=10 alpha=0.9 (30 %)`."""
        parts: list[str] = [WORDS[self.kind]]
        if self.n_neighbors is not None:
            parts.append(f"k={self.n_neighbors} alpha={self.alpha:g}")
        if self.penalty is not None:
            parts.append(f"C={self.penalty:g}/labels")
        if self.lengths:
            parts.append("of rows with their lengths")
        return " ".join(parts)


WORDS: dict[Kind, str] = {
    "graph": "graph",
    "neighbors": "nearest labelled row",
    "mean": "nearest class mean",
    "linear": "linear head",
    "gaussian": "Gaussian head",
    "graph_linear": "linear head on the graph's answer",
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A candidate, and what held-out labels said of it.

    log_loss: mean minus log-probability of the held-out labels. above_best: how much more than the best candidate's,
    and spread: the standard error of that difference. error: share of held-out labels it got wrong.
    """

    member: Member
    log_loss: float
    above_best: float
    spread: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen, and why.

    asked: what was given, by name. members: of the answer, with their shares. candidates: all that were compared, best
        first; none where the choice is a fixed one. reason: one sentence.
    num_labels, num_held_out: given labels, and those that could be held out in turn (in num_folds folds).
    error: cross-validated error of the whole procedure, choosing included, on the held-out labels; its interval counts
    each as half an observation.
    balanced_error: mean over the classes; None where no label could be held out.
    calibration_before, calibration_after: expected calibration error of the answer on the held-out labels, before its
        temperatures and after. temperature: of the average.
    prior: shares of the classes that the answer was matched to: "uniform" or "labels"; None for nothing.
    class_scale: (c,) what its distributions are multiplied by for that.
    """

    asked: Mapping[str, Any]
    members: tuple[Member, ...]
    candidates: tuple[Candidate, ...]
    reason: str
    num_labels: int
    num_held_out: int
    num_folds: int
    error: Interval
    balanced_error: float | None
    calibration_before: float | None
    calibration_after: float | None
    temperature: float = 1.0
    prior: Literal["uniform", "labels"] | None = None
    class_scale: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers and text."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Choice:
        """The choice that `to_json` wrote; unknown names are left out, so that newer ones can be read."""
        known = _known(Choice, value)
        known["members"] = tuple(Member(**_known(Member, member)) for member in value["members"])
        known["candidates"] = tuple(
            Candidate(**{**_known(Candidate, one), "member": Member(**_known(Member, one["member"]))})
            for one in value["candidates"]
        )
        scale = value.get("class_scale")
        known["class_scale"] = None if scale is None else tuple(scale)
        known["error"] = Interval(**_known(Interval, value["error"]))
        return Choice(**known)

    def __str__(self) -> str:
        return self.reason


def _known(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: part for name, part in value.items() if name in names}
