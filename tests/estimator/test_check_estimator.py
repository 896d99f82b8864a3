"""scikit-learn's own checks, with nothing expected to fail."""

import pytest
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator, parametrize_with_checks

from fewlabels.estimator import LabelPropagationClassifier

PAPER = {"mode": "paper"}
CONFIGURATIONS = [
    {},
    {"n_neighbors": 5},
    {"metric": "inner_product"},
    PAPER,
    PAPER | {"n_neighbors": 5},
    PAPER | {"n_neighbors": 1},
    PAPER | {"gamma": 1.0},
    PAPER | {"gamma": 7.5},
    PAPER | {"alpha": 0.5},
    PAPER | {"alpha": 0.999, "tol": 1e-3},
    PAPER | {"max_steps": 3},
    PAPER | {"unlabeled": None},
    PAPER | {"max_zero_share": 1.0},
    PAPER | {"metric": "inner_product"},
    {"metric": "precomputed"},
    {"metric": "precomputed", "alpha": 0.5, "precision": "double"},
    PAPER | {"recall": "exact", "n_neighbors": 10},
    PAPER | {"recall": 0.9, "random_state": 7},
    PAPER | {"precision": "double"},
]
ESTIMATORS = [LabelPropagationClassifier(**configuration) for configuration in CONFIGURATIONS]


@pytest.mark.filterwarnings("ignore::fewlabels.errors.FewlabelsWarning")
@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_finds_nothing_wrong(estimator, check):
    check(estimator)


def test_no_check_is_expected_to_fail_or_left_out():
    assert len(ESTIMATORS) >= 8
    for estimator in ESTIMATORS:
        checks = list(estimator_checks_generator(estimator, mark="xfail"))
        assert len(checks) >= 50
        assert not [check for check in checks if getattr(check, "marks", ())]


@pytest.mark.filterwarnings("ignore::fewlabels.errors.FewlabelsWarning")
@pytest.mark.parametrize("metric", ["cosine", "precomputed"])
def test_every_check_is_run_and_passes(metric):
    results = check_estimator(LabelPropagationClassifier(metric=metric), on_skip=None, on_fail="raise")
    assert {result["status"] for result in results} == {"passed"}
