import numpy as np
import pytest

from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings


def test_the_defaults_are_the_papers():
    settings = GraphSettings()
    assert (settings.n_neighbors, settings.gamma, settings.alpha, settings.mode) == (50, 3, 0.99, "paper")
    assert settings.step_limit == 1000
    assert GraphSettings(mode="released").step_limit == 20
    assert GraphSettings(mode="released", max_steps=7).step_limit == 7


@pytest.mark.parametrize(
    ("field", "values", "code"),
    [
        ("n_neighbors", [0, -1, 2.5, "fifty", True, None], "FL-C3"),
        ("alpha", [0, 1, -0.1, 1.5, float("nan"), "0,99", None, True], "FL-C2"),
        ("gamma", [0, -3, float("inf"), float("nan"), "3"], "FL-C4"),
        ("max_steps", [0, -1, 1.5], "FL-C17"),
        ("tol", [0, 1, -1e-6, float("nan")], "FL-C17"),
        ("max_zero_share", [-0.1, 1.1, float("nan")], "FL-C17"),
        ("mode", ["fast", None], "FL-C18"),
        ("metric", ["euclidean", None], "FL-C27"),
        ("precision", ["half", 32], "FL-C28"),
        ("recall", [0.4, 1, 1.5, "most", True, float("nan")], "FL-C29"),
        ("seed", [-1, 0.5, None, True], "FL-C30"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_value_and_the_range(field, values, code):
    for value in values:
        with pytest.raises(ConfigError, match=f"{field} is {value!r}.*expected") as caught:
            GraphSettings(**{field: value})
        assert caught.value.code == code


def test_released_mode_takes_whole_powers_only():
    GraphSettings(mode="released", gamma=2)
    with pytest.raises(ConfigError, match=r"FL-C4 gamma is 2.5.*whole"):
        GraphSettings(mode="released", gamma=2.5)


def test_released_mode_finds_all_neighbours_unless_told_otherwise():
    assert GraphSettings().search_recall == 0.995
    assert GraphSettings(mode="released").search_recall == "exact"
    assert GraphSettings(mode="released", recall=0.95).search_recall == 0.95
    assert GraphSettings(recall="exact").search_recall == "exact"


def test_auto_is_double_for_few_nodes():
    assert GraphSettings().dtype(2048) is np.float64
    assert GraphSettings().dtype(2049) is np.float32
    assert GraphSettings(precision="double").dtype(10**9) is np.float64
    assert GraphSettings(precision="single").dtype(1) is np.float32
