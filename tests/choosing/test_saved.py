"""Heads as plain arrays and values, and back."""

import json

import numpy as np
import pytest

from fewlabels.choosing import Auto, propagate
from fewlabels.choosing.saved import describe_mixture, pack_heads, unpack_mixture
from tests.choosing.cases import keep_labels, make_blobs


@pytest.fixture
def task():
    rows, classes = make_blobs(200, spread=0.5)
    return rows * np.linspace(0.5, 2, 200, dtype=np.float32)[:, None], keep_labels(classes, 6)


@pytest.mark.parametrize("kind", ["linear", "gaussian", "mean", "neighbors", "graph_linear"])
def test_a_head_answers_as_before(task, kind):
    answer = propagate(*task, Auto(answer=kind))
    facts = json.loads(json.dumps(describe_mixture(answer.mixture, ["a", "b", "c"])))
    kept = unpack_mixture(facts, pack_heads(answer.parts))
    new = task[0][:9] + 0.1
    assert np.array_equal(kept.extend(new).distribution, answer.extend(new).distribution)


def test_arrays_of_other_classes_are_refused(task):
    answer = propagate(*task, Auto(answer="linear"))
    facts, arrays = describe_mixture(answer.mixture, ["a", "b", "c"]), pack_heads(answer.parts)
    with pytest.raises(ValueError, match="for 2 classes"):
        unpack_mixture(facts | {"class_scale": [1.0, 1.0]}, arrays)
    with pytest.raises(KeyError):
        unpack_mixture(facts, {})
