"""So few rows that one machine is the quickest: the same tables, from this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choosing.abstain import measure_curve
from ..choosing.answer import Answer
from ..choosing.propagate import propagate as choose_and_propagate
from ..choosing.saved import describe_mixture, pack_heads
from ..conventions import UNLABELED
from ..graph.label_matrix import CheckedLabels
from ..graph.propagation import propagate
from ..runs.table import TABLE, PseudoLabelTable
from ..storage import durable
from ..storage.arrays import write_arrays
from .mixing import HEADS

if TYPE_CHECKING:
    from .propagate import Task


def propagate_small(task: Task, checked: CheckedLabels, work: Path) -> dict[str, Any]:
    """What fewlabels.propagate says, as one part-00000.parquet, and again in `work`, for the run folder."""
    values, names = task.source.read(keep_bad_rows=task.settings.drop_bad_rows), task.class_names
    if task.auto is None:
        found: Any = propagate(values, checked.label, task.settings, class_names=names)
    else:
        found = choose_and_propagate(values, checked.label, task.auto, class_names=names, groups=task.groups)
    result, is_given = found.pseudo_labels, checked.label != UNLABELED
    probability = np.where(is_given, 1.0, np.where(result.reached, result.distribution.max(axis=1), 0.0))
    chosen = _keep_choice(found, names, work) if isinstance(found, Answer) else {}
    table = PseudoLabelTable(
        id=task.source.ids,
        label=result.label,
        certainty=result.certainty,
        given=is_given,
        reached=result.reached,
        class_names=names,
        probability=probability if (chosen.get("answer") or {}).get("held_out") else None,
    )
    durable.make_folder(task.out)
    table.write(task.out / "part-00000.parquet")
    table.write(work / TABLE)
    return {
        "class_names": list(names),
        "num_rows": int(result.label.size),
        "num_labeled": int(is_given.sum()),
        "unreached": int((~result.reached).sum()),
        "cluster": {"partitions": 1},
        **chosen,
    }


def _keep_choice(found: Answer, class_names: Any, work: Path) -> dict[str, Any]:
    """What was chosen, for the results; heads go into a file."""
    write_arrays(work / HEADS, pack_heads(found.parts))
    curve = None if found.measured is None else measure_curve(found.measured.logs, found.measured.classes)
    return {"choice": found.choice.to_json(), "answer": describe_mixture(found.mixture, class_names, curve)}
