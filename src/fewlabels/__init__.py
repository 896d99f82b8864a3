"""fewlabels: train a classifier from a handful of labels, by label propagation on nearest-neighbour graphs.

The public names are those of __all__. They are imported when first used, so that `import fewlabels` is quick and
loads neither torch nor SciPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conventions import UNLABELED
    from .errors import FewlabelsError, FewlabelsWarning
    from .graph import GraphSettings, Propagation, PseudoLabels, propagate
    from .runs import read_run, verify_run

__version__ = "0.1.0"

__all__ = [
    "UNLABELED",
    "FewlabelsError",
    "FewlabelsWarning",
    "GraphSettings",
    "Propagation",
    "PseudoLabels",
    "propagate",
    "read_run",
    "verify_run",
]

_HOME = {
    "UNLABELED": ".conventions",
    "FewlabelsError": ".errors",
    "FewlabelsWarning": ".errors",
    "GraphSettings": ".graph",
    "Propagation": ".graph",
    "PseudoLabels": ".graph",
    "propagate": ".graph",
    "read_run": ".runs",
    "verify_run": ".runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
