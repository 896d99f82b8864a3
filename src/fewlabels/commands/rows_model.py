"""What a run of `propagate` answers by: its heads and graphs, opened again for new rows and for photos."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..choosing.abstain import Curve, Threshold, is_sure, unpack_curve
from ..choosing.answer import Mixture, Part
from ..choosing.choice import Member
from ..choosing.propagate import solve_graphs
from ..choosing.saved import read_members, unpack_mixture
from ..conventions import UNLABELED
from ..errors import ConfigError, FewlabelsError, InputWarning, RunError, UnreachedWarning, shown, warn
from ..graph import GraphSettings, propagate
from ..nets.model import WANTED_ERROR, Predictions
from ..review.items import Items, open_solved
from ..runs import checks, demand_whole, is_begun, is_finished, read_facts, read_run, refuse_open_labelling
from ..runs.record import ANSWER_ARRAYS, ANSWER_FACTS
from ..storage.arrays import read_arrays
from .new_rows import find_described, find_made_by, open_new_rows, to_texts


@dataclass(frozen=True, kw_only=True)
class RowModel:
    """What a run of `propagate` answers new rows by.

    mixture: heads and graphs. class_names: c, in the order of its columns. rows: (n, d) of the run, where a graph has a
    part; None otherwise.
    held_out: what held-out labels say of its probabilities; None where nothing is known. by: what answers, in words.
    described: how photos became the rows of the run, where `fewlabels describe` made them; made_by: that in words.
    device: that new photos are described on.
    """

    mixture: Mixture
    class_names: tuple[str, ...]
    rows: NDArray[np.generic] | None
    held_out: Curve | None
    by: str
    described: Mapping[str, Any] = field(default_factory=dict)
    made_by: str = ""
    device: str = "auto"

    def predict(self, new_rows: Any, *, wanted_error: float = WANTED_ERROR) -> Predictions:
        """Name the class of each new row, or of each photo, which is described as the run's photos were.

        new_rows: the path of embeddings, as `propagate` reads them, a (q, d) array, or photos as in Model.predict.
        wanted_error: share of wrong labels among those that are `sure`. A row that nothing answers has no class.
        Warns (InputWarning, I1) of photos that cannot be read, which stand in `rejected`; those are not among the ids.
        Raises ConfigError (C122) for an error that is not between 0 and 1, and what open_new_rows and `answer` raise.
        """
        threshold = self.find_threshold(wanted_error)
        opened = open_new_rows(new_rows, self.described, self.made_by, device=self.device, quiet=True)
        ids, found = list[str](), list[NDArray[np.float64]]()
        for some, values in opened.batches:
            ids += to_texts(some)
            found.append(self.answer(values))
        probability = np.concatenate(found) if found else np.empty((0, len(self.class_names)))
        reached = probability.any(axis=1)
        number = np.where(reached, probability.argmax(axis=1), UNLABELED)
        probability[~reached] = 1 / len(self.class_names)
        sure = None if threshold is None else reached & is_sure(probability.max(axis=1), threshold)
        return Predictions(
            id=ids,
            label=[self.class_names[at] if at >= 0 else None for at in number.tolist()],
            number=number,
            probability=probability,
            class_names=self.class_names,
            rejected=opened.rejected,
            calibrated=self.held_out is not None,
            sure=sure,
        )

    def find_threshold(self, wanted_error: float = WANTED_ERROR) -> Threshold | None:
        """The probability from which on labels are wrong no more often than wanted, by the labels that were held out.

        None where none were. Raises ConfigError (C122) for an error that is not between 0 and 1.
        """
        return None if self.held_out is None else self.held_out.find_threshold(wanted_error)

    def answer(self, new_rows: NDArray[np.generic]) -> NDArray[np.float64]:
        """(q, c) probabilities of (q, d) new rows; a row that nothing answers has zeros.

        Raises EmbeddingError (E34) for rows of another width.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreachedWarning)  # said once, of all batches
            found = self.mixture.extend(new_rows, self.rows)
        return np.where(found.reached[:, None], found.distribution, 0)


def is_of_rows(run: Path) -> bool:
    """Whether it is a run of `propagate` or a labelling, which have embeddings and no network."""
    return is_begun(run) and read_facts(run).get("kind") in ("propagate", "label")


def load_rows_model(run: Path, *, device: str = "auto") -> RowModel:
    """Open what answered in a finished run of `propagate`, or a labelling. A graph is solved again, on the run's rows.

    device: that photos are described on. It opens any run with rows and labels that `review.items.open_solved` opens.
    Where the run's rows are gone or changed the heads of the answer answer alone, which is warned of (C123).
    Raises RunError (K2, K4, K16) for a damaged run; ConfigError (C84, C152) for one that is not finished, (C86) where
    its embeddings are gone and no head answers.
    """
    refuse_open_labelling(run)
    found = read_run(run)
    if not is_finished(run):
        raise ConfigError("C84", "a run that is not finished", where=run, do="run the command again, in a new folder")
    model = _open_answer(run, tuple(found.facts["class_names"]))
    described = find_described(found)
    return replace(model, described=described, made_by=find_made_by(found, described), device=device)


def _open_answer(run: Path, names: tuple[str, ...]) -> RowModel:
    if not (run / ANSWER_FACTS).is_file():
        return _solve_given(open_solved(run), names)
    demand_whole(run, (ANSWER_FACTS, ANSWER_ARRAYS))
    facts, arrays = checks.read_json(run / ANSWER_FACTS), read_arrays(run / ANSWER_ARRAYS)
    try:
        return _restore(run, facts, arrays, names)
    except (KeyError, TypeError, ValueError) as problem:
        what = f"not what a run has there: {shown(problem)}"
        raise RunError(
            "K16", what, where=run / ANSWER_FACTS, do="restore it from a copy, or propagate again"
        ) from problem


def _restore(
    run: Path, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...]
) -> RowModel:
    members = read_members(facts)
    curve = None if facts.get("held_out") is None else unpack_curve(facts["held_out"])
    rows, graphs, heads = None, None, [member for member in members if member.kind != "graph"]
    if len(heads) < len(members):
        try:
            items = open_solved(run)
            rows, graphs = items.descriptors, _solve_again(items, members, facts["rows_digest"])
        except FewlabelsError as problem:
            if not heads:
                raise
            what = f"FL-C123 the graph of this run cannot be asked ({problem.what}); its heads answer alone"
            warn(InputWarning(f"{what}, and nothing is known of how far their probabilities can be trusted"))
            curve = None
    answering = heads if graphs is None else members
    return RowModel(
        mixture=unpack_mixture(facts, arrays, graphs),
        class_names=names,
        rows=rows,
        held_out=curve,
        by=_name(answering),
    )


def _solve_again(items: Items, members: Sequence[Member], digest: str | None) -> dict[int, Any]:
    graphs = solve_graphs(items.descriptors, items.given, members, items.settings)
    if digest is not None and any(found.graph.rows_digest != digest for found in graphs.values()):
        what = "the embeddings are no longer those of the run: their numbers changed"
        raise ConfigError("C86", what, do="put the old file back, or propagate again")
    return graphs


def _solve_given(items: Items, names: tuple[str, ...]) -> RowModel:
    """Of a run whose settings were given: one graph, and nothing is known of its error."""
    settings: GraphSettings = items.settings
    member = Member(kind="graph", n_neighbors=settings.n_neighbors, alpha=settings.alpha)
    part = Part(member=member, propagation=propagate(items.descriptors, items.given, settings, class_names=names))
    mixture = Mixture(
        parts=(part,),
        temperature=1.0,
        class_scale=(1.0,) * len(names),
        metric=settings.metric,
        drop_bad_rows=settings.drop_bad_rows,
    )
    return RowModel(
        mixture=mixture,
        class_names=names,
        rows=items.descriptors,
        held_out=None,
        by=_name([member]),
    )


def _name(members: Sequence[Member]) -> str:
    total = sum(member.share for member in members)
    return " + ".join(f"{100 * member.share / total:.0f} % {member.name}" for member in members)
