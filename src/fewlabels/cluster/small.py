"""So few rows that one machine is the quickest: the same tables, from this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..conventions import UNLABELED
from ..graph.label_matrix import CheckedLabels
from ..graph.propagation import propagate
from ..runs.table import PseudoLabelTable
from ..storage import durable

if TYPE_CHECKING:
    from .propagate import Task


def propagate_small(task: Task, checked: CheckedLabels) -> dict[str, Any]:
    """fewlabels.graph.propagate, and one part-00000.parquet."""
    values = task.source.read(keep_bad_rows=task.settings.drop_bad_rows)
    found = propagate(values, checked.label, task.settings, class_names=task.class_names)
    result = found.pseudo_labels
    table = PseudoLabelTable(
        id=task.source.ids,
        label=result.label,
        certainty=result.certainty,
        given=checked.label != UNLABELED,
        reached=result.reached,
        class_names=task.class_names,
    )
    durable.make_folder(task.out)
    table.write(task.out / "part-00000.parquet")
    return {
        "num_rows": int(result.label.size),
        "num_labeled": int((checked.label != UNLABELED).sum()),
        "unreached": int((~result.reached).sum()),
        "cluster": {"partitions": 1},
    }
