"""What a run of `propagate` keeps and says of an answer whose settings the labels chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ..choosing import Answer, Auto
from ..choosing.abstain import measure_curve
from ..choosing.choice import Choice
from ..choosing.cost import estimate_choice, find_widest
from ..choosing.propagate import weigh_by_degree
from ..choosing.saved import describe_mixture, pack_heads
from ..conventions import UNLABELED
from ..graph import Cost, GraphSettings, Propagation, estimate, explain_rows
from ..graph.label_matrix import CheckedLabels
from ..graph.rows import comparable_rows
from ..runs import RunWriter
from .text import Texts, describe_explanation

Settings = GraphSettings | Auto
WANTED_ERROR = 0.05  # of the hint on abstaining
NEAREST = 10  # labelled rows that an answer without a graph is explained by
WITHOUT_GRAPH = (10, 0.9)  # neighbours and alpha for a review, where no graph was even compared


def find_base(settings: Settings) -> GraphSettings:
    """What counts whatever is chosen: metric, bad rows, mode."""
    return settings.base if isinstance(settings, Auto) else settings


def find_largest_graph(num_rows: int, settings: Settings) -> GraphSettings:
    """Settings of the largest graph that is made."""
    return find_widest(num_rows, settings) if isinstance(settings, Auto) else settings


def describe_asked(settings: Settings, groups: str | None) -> dict[str, Any]:
    """What was asked, for run.json."""
    if isinstance(settings, GraphSettings):
        return {"graph": asdict(settings)}
    asked = asdict(settings)
    asked.pop("kept")  # the command keeps none
    return {"graph": asked.pop("base"), "auto": asked | {"groups": groups}}


def describe_chosen(answer: Answer, auto: Auto) -> dict[str, Any]:
    """What was chosen, for run.json: the graph with the largest share, or the best one, and what answers."""
    choice = answer.choice
    return {
        "graph": asdict(find_graph_settings(choice, auto)),
        "answer": {
            "members": [asdict(member) for member in choice.members],
            "temperature": choice.temperature,
            "prior": choice.prior,
            "class_scale": choice.class_scale,
        },
    }


def find_graph_settings(choice: Choice, auto: Auto) -> GraphSettings:
    """Of the graph with the largest share; where none answers, of the best one that was compared."""
    graphs = [member for member in choice.members if member.kind == "graph"]
    best = [max(graphs, key=lambda member: member.share)] if graphs else []
    for member in [*best, *choice.members, *(one.member for one in choice.candidates)]:
        if member.n_neighbors is not None and member.alpha is not None:
            return auto.graph_settings(member.n_neighbors, member.alpha)
    n_neighbors, alpha = WITHOUT_GRAPH
    return auto.graph_settings(auto.n_neighbors or n_neighbors, auto.alpha or alpha)


def keep_answer(writer: RunWriter, answer: Answer, class_names: Sequence[str]) -> None:
    """Write what rows that come later are answered by: heads, which graphs, and what held-out labels say of them."""
    measured = answer.measured
    curve = None if measured is None else measure_curve(measured.logs, measured.classes)
    writer.answer(pack_heads(answer.parts), describe_mixture(answer.mixture, class_names, curve))


def show_by_graph(answer: Propagation | Answer) -> Propagation | None:
    """The propagation of an answer, with the labels that are written out in place of its own; None without a graph."""
    if isinstance(answer, Propagation):
        return answer
    return None if answer.propagation is None else replace(answer.propagation, pseudo_labels=answer.pseudo_labels)


def choice_results(answer: Propagation | Answer, given: np.ndarray) -> dict[str, Any]:
    """What was chosen and why, and what to leave to a person, for results.json; nothing where nothing was chosen."""
    if isinstance(answer, Propagation):
        return {}
    found = answer.threshold(WANTED_ERROR)
    asked = (given == UNLABELED) & answer.pseudo_labels.reached
    kept = answer.pseudo_labels.distribution[asked].max(axis=1) >= found.probability
    abstain = {"wanted": WANTED_ERROR, "num_rows": int(kept.sum()) if found.supported else 0, **asdict(found)}
    return {"choice": answer.choice.to_json(), "abstain": abstain}


def explain_answer(
    answer: Propagation | Answer,
    given: np.ndarray,
    rows: Sequence[int],
    settings: Settings,
    values: np.ndarray,
    ids: Texts,
    class_names: Sequence[str],
) -> list[dict[str, Any]]:
    """Why each of `rows` got its label, for JSON: by the graph with the largest share, or by labelled rows near it."""
    shown = show_by_graph(answer)
    if shown is None:
        assert isinstance(answer, Answer)
        return _explain_by_labels(answer, given, rows, values, ids, class_names)
    own = find_base(settings) if isinstance(answer, Propagation) else shown.graph.settings
    weight = find_label_weight(answer, given) if isinstance(answer, Answer) else None
    found = [
        describe_explanation(why, ids, class_names)
        for why in explain_rows(shown, given, rows, own, descriptors=values, weight=weight)
    ]
    by = _name_graph(answer) if isinstance(answer, Answer) else None
    return [one | {"explained_by": by} for one in found] if by else found


def find_label_weight(answer: Answer, given: np.ndarray) -> np.ndarray | None:
    """(n,) what each label counts in the graph with the largest share; None where all count the same."""
    part = max((one for one in answer.parts if one.propagation is not None), key=lambda one: one.member.share)
    if not part.member.by_degree or part.propagation is None:
        return None
    labels = CheckedLabels(given, answer.pseudo_labels.distribution.shape[1])
    return weigh_by_degree(part.propagation.graph, labels, np.ones(given.size)).weight


def _name_graph(answer: Answer) -> str | None:
    """Which part of an answer the explanation is of; None where it is all of it."""
    graphs = [part.member for part in answer.parts if part.propagation is not None]
    largest = max(graphs, key=lambda member: member.share)
    if len(answer.parts) == 1:
        return None
    return f"its {largest.name}, which has {100 * largest.share:.0f} % of the answer"


def _explain_by_labels(
    answer: Answer,
    given: np.ndarray,
    rows: Sequence[int],
    values: np.ndarray,
    ids: Texts,
    class_names: Sequence[str],
) -> list[dict[str, Any]]:
    """Where a head answers alone: the labelled rows that are most like the row. They are not what the head weighs."""
    labelled = np.flatnonzero(given != UNLABELED)
    known = comparable_rows(np.asarray(values[labelled]), answer.settings.metric)
    found, name = answer.pseudo_labels, answer.choice.members[0].name
    records = []
    for row in rows:
        own = comparable_rows(np.asarray(values[[row]]), answer.settings.metric)[0]
        similarity = known @ own
        nearest = np.argsort(-similarity, kind="stable")[:NEAREST]
        label = int(found.label[row])
        shares = found.distribution[row].tolist()
        records.append(
            {
                "id": ids[row].as_py(),
                "label": None if label < 0 else class_names[label],
                "certainty": float(found.certainty[row]),
                "given": bool(given[row] != UNLABELED),
                "reached": label >= 0,
                "class_shares": dict(zip(class_names, shares, strict=True)),
                "explained_by": f"the labelled rows that are most like it: a {name} answers, not a graph",
                "nearest_labelled": [
                    {
                        "id": ids[int(labelled[at])].as_py(),
                        "label": class_names[int(given[labelled[at]])],
                        "similarity": float(similarity[at]),
                    }
                    for at in nearest
                ],
            }
        )
    return records


def estimate_cost(
    shape: tuple[int, int], num_classes: int, num_labels: int, settings: Settings, held_bytes: int, threads: int
) -> Cost:
    """Of a propagation, or of choosing settings and answering."""
    if isinstance(settings, GraphSettings):
        return estimate(*shape, num_classes, settings, held_bytes=held_bytes, threads=threads)
    return estimate_choice(shape, num_classes, num_labels, settings, held_bytes=held_bytes, threads=threads)


def with_exact_search(settings: Settings) -> Settings:
    """The same where rows form no clusters, so that each is compared with most others."""
    if isinstance(settings, GraphSettings):
        return replace(settings, recall="exact")
    return replace(settings, base=replace(settings.base, recall="exact"))
