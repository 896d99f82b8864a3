"""What a propagation will take: the terms of the estimate."""

from dataclasses import replace

import numpy as np
import pytest

from fewlabels.errors import GraphError
from fewlabels.graph import GraphSettings, Refinement, comparable_rows, cost, estimate, nearest_neighbors
from fewlabels.graph.compiled import instructions
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
    nearest = pytest.importorskip("fewlabels.graph.compiled.nearest", exc_type=ImportError)
    assert cost.CLUSTERS_SHARE == nearest.CLUSTERS_SHARE


def test_wide_rows_take_less_than_comparing_all_pairs_and_grow_by_less_than_the_square():
    one, two = (estimate(n, 1280, 10, SETTINGS).stage_seconds["neighbors"] for n in (50_000, 100_000))
    assert one < estimate(50_000, 1280, 10, GraphSettings(recall="exact")).stage_seconds["neighbors"] / 10
    assert 2 * one < two < 3 * one


def test_the_forecast_of_a_search_in_two_stages_knows_its_constants():
    coded = pytest.importorskip("fewlabels.graph.compiled.coded", exc_type=ImportError)
    from fewlabels.graph.compiled import clusters

    assert cost.COMPARISON_PRODUCTS == coded.COST_OF_COMPARISON
    ours = (cost.CLUSTERS_PER_ROOT, cost.ROWS_PER_CLUSTER, cost.CLUSTER_ITERATIONS)
    assert ours == (clusters.CLUSTERS_PER_ROOT, clusters.ROWS_PER_CLUSTER, clusters.ITERATIONS)


@pytest.mark.parametrize(("n", "d"), [(9_000, 320), (20_000, 160)])
def test_a_search_in_two_stages_does_about_as_much_as_was_forecast(n, d, monkeypatch):
    """Counted as the kernels are called, in the seconds of the forecast, for rows with 40 overlapping dimensions."""
    pytest.importorskip("fewlabels.graph.compiled.nearest", exc_type=ImportError)
    if instructions() is None:
        pytest.skip("the compiled kernels are switched off")
    done = count_kernels(monkeypatch)
    assert nearest_neighbors(overlapping_rows(n, d), 50, recall=0.995).recall >= 0.995
    expected = cost.count_operations(n, d, 50)
    assert sum(done["ranked_numbers"]) > 0  # it was searched in two stages
    counted = cost.Operations(**{name: float(sum(numbers)) for name, numbers in done.items()})
    assert expected.seconds / 3 < counted.seconds < expected.seconds * 3


def overlapping_rows(n, d):
    rng = np.random.default_rng(0)
    scale = np.arange(1, 65) ** -0.5
    hidden = (rng.normal(size=(50, 64))[rng.integers(50, size=n)] + 1.5 * rng.normal(size=(n, 64))) * scale
    return comparable_rows(np.tanh(hidden @ rng.normal(size=(64, d)) / 3) + 0.05 * rng.normal(size=(n, d)))


def count_kernels(monkeypatch):
    """What the kernels are called to do from now on, by the names of Operations."""
    from fewlabels.graph.compiled import _kernels

    done = {name: [] for name in ("single_products", "double_products", "code_products", "ranked_numbers")}

    def count(kernel, operation, products):
        call = getattr(_kernels, kernel)

        def counted(*a):
            done[operation].append(products(a))
            return call(*a)

        monkeypatch.setattr(_kernels, kernel, counted)

    def compared(a):
        """Of the rows of clusters a[16] to a[17], in the clusters that each probes, and their candidates."""
        size, first, last = np.diff(a[4]), a[4][a[16]], a[4][a[17]]
        done["ranked_numbers"].append(int(last - first) * a[14] * a[8])
        return int(size[a[11][first:last]].sum()) * (a[3] + cost.COMPARISON_PRODUCTS)

    count("search_rows", "single_products", lambda a: a[1] * a[2] * a[4])
    count("multiply_matrices", "double_products", lambda a: (a[6] - a[5]) * a[3] * a[4])
    count("multiply_codes", "code_products", lambda a: a[1] * a[2] * a[5])
    count("encode_rows", "code_products", lambda a: (a[11] - a[10]) * a[2] * a[8])
    count("search_codes", "code_products", lambda a: a[1] * a[5] * (a[2] + cost.COMPARISON_PRODUCTS))
    count("search_coded_clusters", "code_products", compared)
    return done
