import numpy as np
import pytest

from fewlabels.errors import EmbeddingError, InputWarning
from fewlabels.graph import comparable_rows, nearest_neighbors, neighbors
from tests.graph import reference
from tests.graph.cases import CASES, ROWS

ENOUGH = [name for name, (rows, *_, k) in CASES.items() if len(rows) > k and (rows != 0).any(axis=1).all()]


@pytest.mark.parametrize("name", ENOUGH)
def test_the_lists_are_those_of_the_definition(name):
    rows, *_, k = CASES[name]
    found = nearest_neighbors(comparable_rows(rows), k)
    assert (found.index == reference.neighbours(reference.unit(rows), k)).all()
    assert (np.diff(found.similarity, axis=1) <= 1e-6).all()
    assert (found.index != np.arange(len(rows))[:, None]).all()
    assert found.recall == 1


def test_ties_go_to_the_smaller_number():
    found = nearest_neighbors(comparable_rows(np.ones((9, 2))), 3)
    assert found.index.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], *[[0, 1, 2]] * 6]


def test_a_zero_row_has_no_neighbours_and_is_nobodys():
    rows = ROWS.copy()
    rows[[3, 50]] = 0
    found = nearest_neighbors(comparable_rows(rows), 10)
    assert (found.index[[3, 50]] == -1).all()
    assert (found.similarity[[3, 50]] == 0).all()
    assert not np.isin(np.delete(found.index, [3, 50], axis=0), [-1, 3, 50]).any()


@pytest.mark.parametrize(("n", "k"), [(1, 0), (2, 1), (5, 4)])
def test_with_too_few_rows_all_others_are_neighbours_and_a_warning_says_so(n, k):
    with pytest.warns(InputWarning, match=f"FL-E7 n_neighbors is 50, and a row has only {k} others"):
        assert nearest_neighbors(comparable_rows(ROWS[:n]), 50).index.shape == (n, k)


def test_by_inner_product_the_length_of_a_row_counts():
    rows = np.array([[1.0, 0], [2, 1], [0, 9], [0.1, 0]])
    found = nearest_neighbors(comparable_rows(rows, "inner_product"), 2)
    assert found.index.tolist() == [[1, 3], [2, 0], [1, 0], [1, 0]]
    assert np.allclose(found.similarity[2], np.array([9, 0]) / 81)


def test_by_inner_product_all_rows_are_divided_by_one_number():
    rows = ROWS * np.array([1e300, 1e-3])[np.arange(90) % 2, None]
    scaled = comparable_rows(rows, "inner_product")
    assert np.allclose(scaled, rows / np.abs(rows).max(), atol=1e-7)
    assert not comparable_rows(np.zeros((2, 2)), "inner_product").any()


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_the_scale_of_a_row_does_not_matter(scale):
    assert np.allclose(comparable_rows(ROWS * scale), reference.unit(ROWS), atol=1e-7)


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_float32_is_scaled_like_float64(metric):
    rows = (ROWS * np.logspace(-30, 30, 90)[:, None]).astype(np.float32)
    rows[5] = 0
    same = comparable_rows(rows, metric)
    assert np.allclose(same, comparable_rows(rows.astype(np.float64), metric), rtol=3e-7, atol=0)
    assert not same[5].any()


def test_the_largest_float32_values_do_not_overflow_and_negative_zero_is_zero():
    units = comparable_rows(np.array([[3e38, 3e38], [-0.0, 0.0]], np.float32))
    assert np.allclose(units, [[0.5**0.5, 0.5**0.5], [0, 0]])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int64, bool, ">f4"])
def test_real_numbers_of_every_kind_are_accepted(kind):
    rows = np.array([[1, 0, 1], [0, 1, 1]]).astype(kind)
    assert np.allclose(np.linalg.norm(comparable_rows(rows), axis=1), 1)


def test_memory_layout_does_not_matter_and_input_is_not_changed(tmp_path):
    np.save(tmp_path / "x.npy", ROWS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    frozen = ROWS.copy()
    frozen.setflags(write=False)
    wide = np.zeros((90, 12))
    wide[:, ::2] = ROWS
    for rows in (mapped, frozen, np.asfortranarray(ROWS), wide[:, ::2]):
        assert (comparable_rows(rows) == comparable_rows(ROWS)).all()
    assert (np.load(tmp_path / "x.npy") == ROWS).all()


def test_long_input_goes_in_blocks(monkeypatch):
    whole = nearest_neighbors(comparable_rows(ROWS), 7)
    monkeypatch.setattr(neighbors, "BLOCK_BYTES", 10_000)
    blocked = nearest_neighbors(comparable_rows(ROWS), 7)
    assert (whole.index == blocked.index).all()


@pytest.mark.parametrize(
    ("rows", "code", "fragment"),
    [
        (np.ones(3), "FL-E9", r"\(3,\)"),
        (np.ones((2, 2, 2)), "FL-E9", r"\(2, 2, 2\)"),
        (np.ones((0, 4)), "FL-E8", r"\(0, 4\)"),
        (np.ones((4, 0)), "FL-E8", r"\(4, 0\)"),
        (np.ones((2, 2), complex), "FL-E10", "complex"),
        (np.array([["1", "2"]]), "FL-E10", "real numbers"),
        (np.array([[1, None]]), "FL-E10", "object"),
    ],
)
def test_what_is_no_table_of_real_numbers_is_refused(rows, code, fragment):
    with pytest.raises(EmbeddingError, match=fragment) as caught:
        comparable_rows(rows)
    assert caught.value.code == code


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_wherever_it_is(value, kind):
    rng = np.random.default_rng(0)
    for row, column in zip(rng.integers(90, size=20), rng.integers(6, size=20), strict=True):
        rows = ROWS.astype(kind)
        rows[row, column] = value
        with pytest.raises(EmbeddingError, match="FL-E1 NaN or infinity") as caught:
            comparable_rows(rows)
        assert caught.value.rows == [row]
