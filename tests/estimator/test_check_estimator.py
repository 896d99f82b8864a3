"""scikit-learn's own checks, with nothing expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fewlabels.estimator import LabelPropagationClassifier

CONFIGURATIONS = [
    {},
    {"n_neighbors": 5},
    {"n_neighbors": 1},
    {"gamma": 1.0},
    {"gamma": 7.5},
    {"alpha": 0.5},
    {"alpha": 0.999, "tol": 1e-3},
    {"max_steps": 3},
    {"unlabeled": None},
    {"max_zero_share": 1.0},
]


@pytest.mark.filterwarnings("ignore::fewlabels.errors.FewlabelsWarning")
@parametrize_with_checks([LabelPropagationClassifier(**configuration) for configuration in CONFIGURATIONS])
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)
