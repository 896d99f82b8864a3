"""What a propagation will take: the terms of the estimate."""

from dataclasses import replace

import pytest

from fewlabels.errors import GraphError
from fewlabels.graph import GraphSettings, Refinement, estimate
from fewlabels.graph.cost import BASE_BYTES, demand_countable
from fewlabels.graph.propagation import STAGES

MILLION = 1_000_000
SETTINGS = GraphSettings()


def gib(*arguments, **more):
    return estimate(*arguments, **more).bytes / 2**30


def test_a_million_rows_fit_where_they_were_measured_to_fit():
    assert 1.5 < gib(MILLION, 128, 10, SETTINGS, held_bytes=MILLION * 512) < 2.5
    assert 1.5 < gib(MILLION, 128, 100, SETTINGS, held_bytes=MILLION * 512) < 4


def test_memory_of_a_case_worked_by_hand():
    """n = 1000, d = 500, so that the search decides: 2 copies of the rows and the neighbour lists."""
    found = estimate(1000, 500, 2, replace(SETTINGS, n_neighbors=10)).bytes
    assert found == BASE_BYTES + 1000 * (500 * 4 * 2 + 10 * 8) + 1000 * 96


@pytest.mark.parametrize("more", [{"n": 2}, {"d": 2}, {"c": 40}, {"k": 2}])
def test_more_of_anything_takes_no_less(more):
    def of(n=1, d=1, c=1, k=1):
        return estimate(100_000 * n, 64 * d, 10 * c, GraphSettings(n_neighbors=30 * k))

    assert of(**more).bytes >= of().bytes
    assert of(**more).seconds > of().seconds


def test_held_rows_are_added_and_double_precision_takes_more():
    assert estimate(MILLION, 8, 100, SETTINGS, held_bytes=999).bytes == estimate(MILLION, 8, 100, SETTINGS).bytes + 999
    assert gib(MILLION, 8, 100, GraphSettings(precision="double")) > gib(MILLION, 8, 100, SETTINGS)


def test_every_stage_has_its_seconds_and_cores_divide_the_search():
    one, two = (estimate(MILLION, 128, 10, SETTINGS, threads=threads) for threads in (1, 2))
    assert tuple(one.stage_seconds) == STAGES
    assert two.stage_seconds["neighbors"] == pytest.approx(one.stage_seconds["neighbors"] / 2)
    assert two.seconds < one.seconds


def test_comparing_all_pairs_costs_more_than_going_by_cells():
    assert (
        estimate(MILLION, 128, 10, GraphSettings(recall="exact")).seconds
        > 5 * estimate(MILLION, 128, 10, SETTINGS).seconds
    )


def test_more_neighbours_than_rows_are_not_counted():
    assert estimate(10, 4, 2, GraphSettings(n_neighbors=50)) == estimate(10, 4, 2, GraphSettings(n_neighbors=9))
    assert estimate(1, 4, 1, SETTINGS).bytes > 0


def test_calibration_and_missing_kernels_take_longer(monkeypatch):
    plain = estimate(30_000, 64, 8, GraphSettings()).stage_seconds
    calibrated = estimate(30_000, 64, 8, GraphSettings(refinement=Refinement(calibrate=True))).stage_seconds
    assert calibrated["solve"] == pytest.approx(6 * plain["solve"])
    monkeypatch.setenv("FEWLABELS_KERNELS", "off")
    assert estimate(30_000, 64, 8, GraphSettings()).stage_seconds["neighbors"] > 10 * plain["neighbors"]


def test_more_edges_than_can_be_counted_are_refused_with_what_would_do():
    demand_countable(28_000_000, SETTINGS)
    demand_countable(60, SETTINGS)
    with pytest.raises(GraphError, match=r"FL-G23 29,000,000 rows with 50 neighbours each.*--n-neighbors 49"):
        demand_countable(29_000_000, SETTINGS)


def test_the_share_of_making_clusters_is_what_the_search_reports():
    from fewlabels.graph import cost
    from fewlabels.graph.compiled import clusters

    assert cost.CLUSTERS_SHARE == clusters.CLUSTERS_SHARE
