"""fewlabels: train a classifier from a handful of labels, by label propagation on nearest-neighbour graphs.

The public names are those of __all__. They are imported when first used, so that `import fewlabels` is quick and
loads neither torch nor SciPy.

Photos: describe(folder) -> Descriptors; train(folder, labels=...) -> Run; load_model(run).predict(images).
Embeddings: propagate(rows, labels), by settings that the labels choose; extend(answer, rows, new_rows) for more. By
settings of your own: GraphSettings, and build_graph(rows) once and spread(graph, labels) for each set of labels.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choosing import Answer, Auto, Choice, extend, propagate
    from .commands.from_python import describe, load_model, propagate_files, train
    from .commands.rows_model import RowModel
    from .conventions import UNLABELED
    from .describing.settings import Descriptors
    from .errors import FewlabelsError, FewlabelsWarning
    from .estimator import LabelPropagationClassifier
    from .graph import (
        GraphSettings,
        Propagation,
        PseudoLabels,
        Refinement,
        build_graph,
        spread,
    )
    from .nets.model import Model
    from .runs import read_run, verify_run

__version__ = "0.2.0"

__all__ = [
    "UNLABELED",
    "Answer",
    "Auto",
    "Choice",
    "Descriptors",
    "FewlabelsError",
    "FewlabelsWarning",
    "GraphSettings",
    "LabelPropagationClassifier",
    "Model",
    "Propagation",
    "PseudoLabels",
    "Refinement",
    "RowModel",
    "build_graph",
    "describe",
    "extend",
    "load_model",
    "propagate",
    "propagate_files",
    "read_run",
    "spread",
    "train",
    "verify_run",
]

_HOME = {
    "UNLABELED": ".conventions",
    "Answer": ".choosing",
    "Auto": ".choosing",
    "Choice": ".choosing",
    "Descriptors": ".describing.settings",
    "FewlabelsError": ".errors",
    "FewlabelsWarning": ".errors",
    "GraphSettings": ".graph",
    "LabelPropagationClassifier": ".estimator",
    "Model": ".nets.model",
    "Propagation": ".graph",
    "PseudoLabels": ".graph",
    "Refinement": ".graph",
    "RowModel": ".commands.rows_model",
    "build_graph": ".graph",
    "describe": ".commands.from_python",
    "extend": ".choosing",
    "load_model": ".commands.from_python",
    "propagate": ".choosing",
    "propagate_files": ".commands.from_python",
    "read_run": ".runs",
    "spread": ".graph",
    "train": ".commands.from_python",
    "verify_run": ".runs",
}
_NEEDS_SKLEARN = {"LabelPropagationClassifier"}  # all others come with the core, and say what they need when called


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _NEEDS_SKLEARN and find_spec("sklearn") is None:
        from .errors import install_command

        raise ModuleNotFoundError(f"{name} needs scikit-learn: {install_command('sklearn')}", name="sklearn")
    return getattr(import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    """The names that can be had: help() looks at each."""
    missing = _NEEDS_SKLEARN if find_spec("sklearn") is None else set()
    return sorted({*globals(), *__all__} - missing)
