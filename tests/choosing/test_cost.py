"""What choosing is said to take, before anything is computed."""

import pytest

from fewlabels.choosing import Auto
from fewlabels.choosing.cost import estimate_choice, find_widest
from fewlabels.choosing.propagate import STAGES
from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings, estimate


@pytest.mark.parametrize("num_rows", [1000, 50_000, 1_000_000])
def test_choosing_takes_more_than_one_propagation_and_has_its_stages(num_rows):
    cost = estimate_choice((num_rows, 128), 10, 50, Auto())
    assert tuple(cost.stage_seconds) == STAGES
    one = estimate(num_rows, 128, 10, GraphSettings(n_neighbors=20))
    assert cost.seconds > one.seconds
    assert cost.bytes >= one.bytes


def test_what_is_given_is_not_compared():
    shape = (50_000, 128)
    whole, one = (estimate_choice(shape, 10, 50, auto) for auto in (Auto(), Auto(n_neighbors=10, alpha=0.9)))
    assert one.stage_seconds["choose"] < whole.stage_seconds["choose"]
    assert find_widest(50_000, Auto(n_neighbors=70)).n_neighbors == 70


def test_a_head_alone_builds_no_graph():
    cost = estimate_choice((50_000, 128), 10, 50, Auto(answer="mean"))
    assert cost.stage_seconds["choose"] < 1


@pytest.mark.parametrize("given", [{"n_neighbors": 0}, {"alpha": 0.0}, {"alpha": 1.0}])
def test_what_is_given_is_checked_as_elsewhere(given):
    with pytest.raises(ConfigError):
        Auto(**given)


def test_many_classes_take_as_many_columns_as_their_folds():
    few, many = (estimate_choice((200_000, 128), classes, 5 * classes, Auto()) for classes in (10, 100))
    assert many.bytes > few.bytes + 200_000 * 4 * 100
    assert many.stage_seconds["choose"] > 2 * few.stage_seconds["choose"]


def test_of_very_many_rows_choosing_is_less_than_another_propagation():
    shape = (1_000_000, 128)
    one = estimate(*shape, 10, GraphSettings(), threads=2)
    whole = estimate_choice(shape, 10, 100, Auto(), threads=2)
    assert whole.seconds < 2 * one.seconds
    assert whole.bytes < 1.3 * one.bytes
