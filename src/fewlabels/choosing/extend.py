"""New rows by whatever was answered before: a propagation, or an answer whose settings the labels chose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..graph import extend as graph_extend
from ..graph.extend import Extension
from ..graph.settings import GraphSettings
from ..graph.system import Propagation
from .answer import Answer


def extend(
    propagation: Propagation | Answer,
    rows: NDArray[np.generic] | None,
    new_rows: NDArray[np.generic],
    settings: GraphSettings | None = None,
) -> Extension:
    """Label new rows by what `propagate` answered: by the graph, by a head, or by their average, as was chosen.

    propagation: what `propagate` returned. rows: (n, d), the descriptors that it was given, in the same order; None
    where no graph has a part in the answer (`Answer.needs_rows`). new_rows: (q, d) real numbers, checked as `propagate`
    checks descriptors.
    settings: of a graph alone, see fewlabels.graph.extend; None: those of the graph. An Answer has its own.

    Raises as fewlabels.graph.extend and Answer.extend do; ConfigError (C121) for settings beside an Answer.

    >>> import numpy as np
    >>> from fewlabels.choosing import propagate
    >>> corners = np.array([[0, 1.0], [0.1, 1], [1, 0], [1, 0.1]])
    >>> extend(propagate(corners, np.array([0, -1, 1, -1])), corners, np.array([[0.2, 3], [5, 1]])).label
    array([0, 1])
    """
    if isinstance(propagation, Answer):
        if settings is not None:
            raise ConfigError("C121", "settings beside an answer whose settings were chosen", do="leave them out")
        return propagation.extend(new_rows, rows)
    if rows is None:
        do = "hand in the descriptors that the propagation was made of"
        raise ConfigError("C121", "a graph needs the old rows for new ones", do=do)
    return graph_extend(propagation, rows, new_rows, settings)
