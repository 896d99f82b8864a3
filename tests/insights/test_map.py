import numpy as np
import pytest

from fewlabels.insights import map as embedding_map
from fewlabels.insights.map import MOST_LABELLED, MOST_ROWS, find_components, place_rows


def groups(num_rows, width=8):
    """Rows around three centres; which centre."""
    rng = np.random.default_rng(0)
    of = np.arange(num_rows) % 3
    return (rng.normal(size=(3, width))[of] + 0.1 * rng.normal(size=(num_rows, width))).astype(np.float32), of


def test_rows_of_one_group_lie_together_and_the_same_rows_give_the_same_places():
    rows, of = groups(240)
    found = place_rows(rows, np.full(240, -1), by_cosine=True)
    assert found.method == "t-SNE"
    centre = np.stack([found.places[of == number].mean(axis=0) for number in range(3)])
    nearest = ((found.places[:, None] - centre) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == of).all()
    assert (place_rows(rows, np.full(240, -1), by_cosine=True).places == found.places).all()


def test_without_scikit_learn_and_for_few_rows_it_is_principal_components(monkeypatch):
    rows, _ = groups(240)
    assert place_rows(rows[:60], np.full(60, -1), by_cosine=True).method == "PCA"
    monkeypatch.setattr(embedding_map, "find_spec", lambda name: None)
    found = place_rows(rows, np.full(240, -1), by_cosine=True)
    assert found.method == "PCA"
    assert found.places.shape == (240, 2)


def test_of_many_rows_a_sample_is_shown_that_holds_the_labelled_ones(monkeypatch):
    monkeypatch.setattr(embedding_map, "find_spec", lambda name: None)
    rows, of = groups(4000)
    labels = np.where(np.arange(4000) % 100 == 0, of, -1)
    found = place_rows(rows, labels, by_cosine=True)
    assert len(found.rows) == len(np.unique(found.rows)) == MOST_ROWS
    assert set(np.flatnonzero(labels >= 0)) <= set(found.rows.tolist())
    found = place_rows(rows, of, by_cosine=True)
    assert len(found.rows) == MOST_LABELLED


@pytest.mark.parametrize("width", [1, 5, 90])
def test_principal_components_keep_the_distances_as_far_as_they_go(width):
    x = np.random.default_rng(0).normal(size=(40, width)) * np.array([5, *[0.01] * (width - 1)])
    found = find_components(x, 30)
    assert found.shape == (40, max(2, min(30, width)))
    apart = np.abs(x[:, None, 0] - x[None, :, 0])
    assert np.abs(np.abs(found[:, None, 0] - found[None, :, 0]) - apart).max() < 0.4


@pytest.mark.parametrize("rows", [np.zeros((300, 4)), np.ones((300, 4)), 1e300 * np.ones((300, 3)), np.zeros((1, 1))])
@pytest.mark.parametrize("by_cosine", [True, False])
def test_rows_that_are_all_alike_have_a_map_too(rows, by_cosine):
    found = place_rows(rows, np.full(len(rows), -1), by_cosine=by_cosine)
    assert np.isfinite(found.places).all()
    assert found.places.shape == (len(rows), 2)
