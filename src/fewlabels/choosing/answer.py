"""The answer: labels for all rows from the members of a choice, and for rows that come later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..conventions import UNLABELED
from ..errors import ConfigError, EmbeddingError, UnreachedWarning, listed, warn
from ..graph.blas import one_blas_thread
from ..graph.extend import Extension, extend
from ..graph.pseudo_labels import PseudoLabels, certainties
from ..graph.rows import densify, make_comparable
from ..graph.settings import GraphSettings, Metric
from ..graph.system import Propagation, list_label_facts
from ..graph.threads import Team
from ..notebook import html_table
from .abstain import Threshold, find_threshold
from .choice import Choice, Member
from .heads import Head, LinearHead, log_shares
from .judge import Reliability, Suspicion, make_reliability, suspect
from .rows import Rows, measure_lengths
from .scores import logs_of_shares, temper

if TYPE_CHECKING:
    from .combine import Measured

Float = NDArray[np.float64]
BLOCK = 16384  # rows answered at once
LEAST = 1e-30  # probability of an average, at least
CACHED = 1024  # new rows that a thread answers at once: their probabilities stay in its cache


@dataclass(frozen=True, kw_only=True)
class Part:
    """One member with what answers for it: a propagation, or a head for comparable rows."""

    member: Member
    propagation: Propagation | None = None
    head: Head | None = None

    def logs(self, rows: Rows, numbers: NDArray[np.int64] | None) -> tuple[Float, NDArray[np.bool_]]:
        """(q, c) calibrated log-probabilities of rows, and which of them it answers.

        numbers: (q,) theirs; None for new ones, which a head alone can answer.
        A graph answers rows that a label reaches; a head, rows with a direction.
        """
        if self.propagation is not None:
            assert numbers is not None
            mass = self.propagation.z[self.propagation.graph.node[numbers]]
            return temper(logs_of_shares(mass), self.member.temperature), np.asarray(mass.any(axis=1))
        assert self.head is not None
        scores = self.head.scores(rows.seen(self.member.lengths))
        return temper(log_shares(scores), self.member.temperature), np.asarray(rows.values.any(axis=1))


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What answers new rows: parts, and what their average is calibrated and scaled by.

    temperature: of the average. class_scale: c factors of its distributions. metric, drop_bad_rows: how rows are
    compared and checked.
    """

    parts: tuple[Part, ...]
    temperature: float
    class_scale: tuple[float, ...]
    metric: Metric = "cosine"
    drop_bad_rows: bool = False
    unit: float = 1.0

    @property
    def needs_rows(self) -> bool:
        """Whether `extend` needs the old rows: a graph looks for neighbours among them, a head does not."""
        return any(part.propagation is not None for part in self.parts)

    def extend(self, new_rows: NDArray[np.generic], rows: NDArray[np.generic] | None = None) -> Extension:
        """See Answer.extend. Rows go through heads in float64, a few at a time: no batch changes an answer."""
        if rows is None and self.needs_rows:
            do = "hand in the rows that the answer was made from as `rows`, or choose with answer='linear'"
            raise ConfigError("C121", "a graph has a part in the answer, and needs the old rows for new ones", do=do)
        wide = np.asarray(densify(new_rows))
        new = self._make_rows(wide)
        graphs = {
            place: extend(part.propagation, rows, new_rows)
            for place, part in enumerate(self.parts)
            if part.propagation is not None and rows is not None
        }
        distribution = np.empty((len(wide), len(self.class_scale)))
        certainty, reached = np.empty(len(wide)), np.empty(len(wide), bool)

        def work(first: int, last: int) -> None:
            some = slice(first, last)
            found = [self._extend_part(place, new.take(some), some, graphs) for place in range(len(self.parts))]
            shares = [part.member.share for part in self.parts]
            distribution[some], reached[some] = mix(found, shares, self.temperature, np.array(self.class_scale))
            certainty[some] = np.where(reached[some], certainties(distribution[some]), 0)

        cuts = range(0, len(wide), CACHED)
        with one_blas_thread(), Team() as team:
            team.each(work, [(first, min(first + CACHED, len(wide))) for first in cuts])
        label = np.where(reached, distribution.argmax(axis=1), UNLABELED)
        if not reached.all():
            rows_missed = listed(np.flatnonzero(~reached).tolist())
            what = f"FL-G1 nothing answers {(~reached).sum()} of {reached.size} new rows; they have no label "
            warn(UnreachedWarning(f"{what}({UNLABELED}) and certainty 0; {rows_missed}"))
        return Extension(label=label, certainty=certainty, distribution=distribution, reached=reached)

    def _make_rows(self, wide: NDArray[np.generic]) -> Rows:
        """Checked new rows as heads see them. Raises EmbeddingError (E34) for another width than a head's."""
        widths = [part.head.weight.shape[0] for part in self.parts if isinstance(part.head, LinearHead)]
        values = make_comparable(wide, self.metric, drop_bad_rows=self.drop_bad_rows).values
        if widths and widths[0] != values.shape[1]:
            what = f"new rows of width {values.shape[1]}, and the head was fitted to rows of {widths[0]}"
            raise EmbeddingError("E34", what, do="describe them by the same model as the old rows")
        if self.metric == "inner_product":  # values are on a scale of their own
            usable = np.asarray(values.any(axis=1))
            values = np.where(usable[:, None], np.asarray(wide, np.float64) / self.unit, 0)
        seen = any(part.member.lengths for part in self.parts)
        return Rows(values=values, length=measure_lengths(wide) if seen else None)

    def _extend_part(
        self, place: int, new: Rows, some: slice, graphs: Mapping[int, Extension]
    ) -> tuple[Float, NDArray[np.bool_]]:
        """What one part says of a few rows, in float64 where a head answers. some: their numbers."""
        part = self.parts[place]
        if part.propagation is None:
            return part.logs(Rows(values=new.values.astype(np.float64), length=new.length), None)
        mass, reached = graphs[place].distribution[some], graphs[place].reached[some]
        return temper(logs_of_shares(mass), part.member.temperature), reached


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Labels for all rows, by settings that the labels chose.

    pseudo_labels: label, certainty, distribution, class weight and reached, as of a Propagation; the certainty is
        calibrated where labels could be held out.
    choice: what was chosen and why, with its cross-validated error. parts: what the answer is the weighted mean of.
    measured: held-out log-probabilities that the error comes from.
    nearness: (n,) how near each row is to labelled regions: what arrives from all labels together by the graph, or the
        similarity to the nearest labelled row; small where a class may be missing. Only its order means something.
    labeled: (n,) bool. class_names: where they were named. settings: how rows are compared. unit: see Mixture.
    """

    pseudo_labels: PseudoLabels
    choice: Choice
    parts: tuple[Part, ...]
    settings: GraphSettings
    labeled: NDArray[np.bool_]
    nearness: Float
    measured: Measured | None = None
    class_names: tuple[str, ...] | None = None
    unit: float = 1.0

    def __repr__(self) -> str:
        found = self.pseudo_labels
        return f"Answer({found.label.size} rows, {int(found.reached.sum())} reached: {self.choice.reason})"

    def _repr_html_(self) -> str:
        error = self.choice.error
        known = error.value is not None
        span = f"{100 * (error.value or 0):.1f} %, 95 % interval {100 * error.low:.1f} to {100 * error.high:.1f} %"
        facts: list[tuple[str, object]] = [
            ("answers", ", ".join(f"{100 * part.member.share:.0f} % {part.member.name}" for part in self.parts)),
            ("why", self.choice.reason),
            ("cross-validated error", span if known else "not known: no label could be held out"),
        ]
        return html_table("Answer", [*list_label_facts(self.pseudo_labels, self.labeled, self.class_names), *facts])

    @property
    def propagation(self) -> Propagation | None:
        """Of the graph with the largest share; None where no graph answers."""
        graphs = [part for part in self.parts if part.propagation is not None]
        return max(graphs, key=lambda part: part.member.share).propagation if graphs else None

    @property
    def needs_rows(self) -> bool:
        """Whether `extend` needs the old rows."""
        return self.mixture.needs_rows

    def extend(self, new_rows: NDArray[np.generic], rows: NDArray[np.generic] | None = None) -> Extension:
        """Labels, calibrated certainties and distributions for rows that were not there.

        new_rows: (q, d) real numbers, checked as descriptors are. rows: (n, d) that the answer was made from, where a
        graph has a part in it (`needs_rows`).
        Raises ConfigError (C121) where rows are needed and missing; EmbeddingError (E34) for rows of another width, and
        as `propagate` does. Warns (G1) of new rows that nothing answers.
        """
        return self.mixture.extend(new_rows, rows)

    @property
    def mixture(self) -> Mixture:
        """What answers new rows."""
        choice = self.choice
        return Mixture(
            parts=self.parts,
            temperature=choice.temperature,
            class_scale=choice.class_scale or (1.0,) * self.pseudo_labels.distribution.shape[1],
            metric=self.settings.metric,
            drop_bad_rows=self.settings.drop_bad_rows,
            unit=self.unit,
        )

    def judge_mass(self, mass: NDArray[np.floating]) -> Float:
        """(q, c) what the answer says where its only graph has this mass, (q, c); zeros where it has none.

        Raises ConfigError (C121) for an answer of several parts, or of a head.
        """
        if len(self.parts) > 1 or self.propagation is None:
            raise ConfigError("C121", "mass of a graph for an answer that has other parts")
        reached = np.asarray(mass.any(axis=1))
        logs = temper(logs_of_shares(mass), self.parts[0].member.temperature)
        mixture = self.mixture
        found, _ = mix([(logs, reached)], [1.0], mixture.temperature, np.array(mixture.class_scale))
        return np.where(reached[:, None], found, 0)

    def far_rows(self, share: float = 0.05) -> NDArray[np.int64]:
        """Numbers of the unlabelled rows that are farthest from every labelled region, farthest first.

        share: of the unlabelled rows. They may be of a class that nobody labelled: worth a look before the rest.
        """
        unlabelled = np.flatnonzero(~self.labeled)
        order = np.argsort(self.nearness[unlabelled], kind="stable")
        return np.asarray(unlabelled[order[: int(np.ceil(share * unlabelled.size))]])

    def suspicion(self) -> Suspicion:
        """Given labels by how little the labels of the other folds agree with them, most suspicious first."""
        return suspect(self._held_out())

    def reliability(self) -> Reliability:
        """Bins of the reliability diagram on held-out labels, before and after calibration."""
        return make_reliability(self._held_out())

    def _held_out(self) -> Measured:
        if self.measured is None:
            do = "propagate again with the labels: what they said is not kept in a file"
            raise ConfigError("C121", "this answer comes without its held-out labels", do=do)
        return self.measured

    def threshold(self, error: float) -> Threshold:
        """The certainty below which to abstain, so that the rest have this error; it says where labels cannot tell."""
        return find_threshold(self.measured, error)


def mix_parts(
    parts: Sequence[Part],
    rows: Rows,
    numbers: NDArray[np.int64],
    temperature: float,
    class_scale: Float | None = None,
) -> tuple[Float, NDArray[np.bool_]]:
    """`mix` of what the parts say of rows of the data. numbers: (q,) theirs."""
    found = [part.logs(rows, numbers) for part in parts]
    scale = np.ones(found[0][0].shape[1]) if class_scale is None else class_scale
    return mix(found, [part.member.share for part in parts], temperature, scale)


def mix(
    found: Sequence[tuple[Float, NDArray[np.bool_]]], shares: Sequence[float], temperature: float, class_scale: Float
) -> tuple[Float, NDArray[np.bool_]]:
    """(q, c) weighted mean of the members' distributions, calibrated and scaled; uniform where no member answers.

    found: of each member log-probabilities and which rows it answers; a row is the mean of those that answer it.
    Returns also (q,) which rows any member answers.
    """
    reached = np.any([answers for _, answers in found], axis=0)
    mixed = np.maximum(found[0][0], np.log(LEAST)) if len(found) == 1 else _average(found, shares, reached)
    logs = temper(mixed, temperature)
    distribution = np.exp(logs if (class_scale == 1).all() else log_shares(logs + np.log(class_scale)))
    distribution[~reached] = 1 / distribution.shape[1]
    return distribution, reached


def _average(
    found: Sequence[tuple[Float, NDArray[np.bool_]]], shares: Sequence[float], reached: NDArray[np.bool_]
) -> Float:
    """(q, c) log of the weighted mean."""
    total = np.zeros(found[0][0].shape)
    for (logs, answers), share in zip(found, shares, strict=True):
        total += np.where(answers[:, None], share * np.exp(logs), 0)
    total[~reached] = 1
    return np.asarray(np.log(np.maximum(total / total.sum(axis=1, keepdims=True), LEAST)))
