"""What a results file says of a propagation, in keys that stay."""

import numpy as np

from fewlabels import propagate
from fewlabels.commands.results import measure_health
from fewlabels.graph import GraphSettings


def test_the_keys_of_the_search_stay_what_they_were():
    given = np.eye(6) + 0.5, np.array([0, 1, -1, -1, -1, -1])
    found = measure_health(propagate(*given, GraphSettings(n_neighbors=3)))
    assert found["search"] == {"n_neighbors": 3, "recall": 1.0, "num_probes": 0, "num_cells": 1}
    assert found["recall"] == 100
