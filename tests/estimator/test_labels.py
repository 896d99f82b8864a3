import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits

from fewlabels import GraphSettings, extend, propagate
from fewlabels.errors import InputWarning, LabelError
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.estimator.labels import code_labels, find_labelled


@pytest.mark.parametrize(
    ("y", "classes", "codes"),
    [
        ([0, 1, -1, 1], [0, 1], [0, 1, -1, 1]),
        ([5, 7, 7], [5, 7], [0, 1, 1]),
        ([1.0, np.nan, 3.0], [1, 3], [0, -1, 1]),
        ([1.0, -1.0, 3.0], [1, 3], [0, -1, 1]),
        (["wren", "", "crow"], ["crow", "wren"], [1, -1, 0]),
        (["wren", None, "crow"], ["crow", "wren"], [1, -1, 0]),
        (np.array(["wren", np.nan, "crow"], object), ["crow", "wren"], [1, -1, 0]),
        (np.array(["wren", -1, "crow"], object), ["crow", "wren"], [1, -1, 0]),
        (pd.Series(["wren", pd.NA, "crow"], dtype="string"), ["crow", "wren"], [1, -1, 0]),
        ([True, False], [False, True], [1, 0]),
        (np.array([2, 3, 255], np.uint8), [2, 3, 255], [0, 1, 2]),
    ],
)
def test_every_way_of_saying_unlabelled(y, classes, codes):
    found = code_labels(y)
    assert found.classes.tolist() == classes
    assert found.codes.tolist() == codes


def test_the_marker_is_what_y_has():
    assert code_labels([0, 1, -1]).marker == -1
    assert code_labels(["a", "", "b"]).marker == ""
    assert code_labels(["a", None, "b"]).marker is None
    assert np.isnan(code_labels([0, 1, np.nan]).marker)


def test_one_value_can_be_named_and_then_no_other_counts():
    found = code_labels([0, 1, 99, -1], unlabeled=99)
    assert (found.classes.tolist(), found.codes.tolist()) == ([-1, 0, 1], [1, 2, -1, 0])
    assert code_labels(["a", "b", "?"], unlabeled="?").codes.tolist() == [0, 1, -1]
    assert code_labels([0, 1, np.nan], unlabeled=np.nan).codes.tolist() == [0, 1, -1]


def test_two_markers_in_one_y_are_refused():
    with pytest.raises(LabelError, match=r"FL-L19 both -1 and NaN among the labels.*unlabeled="):
        code_labels([0.0, -1.0, np.nan])
    with pytest.raises(LabelError, match=r'FL-L19 both None and "" among'):
        code_labels(["a", "", None])


def test_minus_one_and_one_alone_are_two_classes_with_a_warning():
    with pytest.warns(InputWarning, match=r"FL-L20 .*say unlabeled=-1"):
        assert code_labels([-1, 1, 1]).classes.tolist() == [-1, 1]
    assert code_labels([-1, 1, 1], unlabeled=-1).classes.tolist() == [1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.0], "FL-L22 continuous labels, such as 0.5"),
        ([np.inf, 1.0], "FL-L22 continuous"),
        ([-1, -1], "FL-L16 0 labelled of 2 rows"),
        ([None, None], "FL-L16"),
        (np.array(["a", 1, None], object), "FL-L22 labels of mixed types: int, str"),
        (np.array([1j, 2]), "FL-L22 labels have type complex"),
    ],
)
def test_labels_that_are_no_classes(y, message):
    with pytest.raises(LabelError, match=message):
        code_labels(y)


def test_back_again_with_the_marker_where_there_is_no_label():
    labels = code_labels(["wren", "", "crow"])
    assert labels.decode(np.array([0, -1, 1])).tolist() == ["crow", "", "wren"]


def test_numbers_among_objects_become_numbers_and_text_stays_what_it_was():
    assert code_labels([0, 1, None]).classes.dtype.kind == "i"
    assert code_labels([True, False, None]).classes.dtype.kind == "b"
    assert code_labels(["a", "b", None]).classes.dtype.kind == "O"
    assert code_labels([0, 1, None]).decode(np.array([1, -1])).tolist() == [1, None]
    assert code_labels([0, 1, ""]).decode(np.array([1, -1])).tolist() == [1, ""]


def test_labels_change_on_some_rows_as_if_y_had_been_so():
    y = np.array(["a", "", "b", "", "a"], object)
    found = code_labels(y).relabel(np.array([4, 1, 2]), np.array(["c", "b", ""], object), allow_new_classes=True)
    whole = code_labels(["a", "b", "", "", "c"])
    assert (found.classes.tolist(), found.codes.tolist()) == (whole.classes.tolist(), whole.codes.tolist())
    assert found.marker == ""


@pytest.mark.parametrize(
    ("y", "unlabeled", "classes", "expected"),
    [
        ([0, -1, 1], "auto", [0, 1], [1, 0, 1]),
        ([0, -1, 1], "auto", [-1, 0, 1], [1, 1, 1]),
        (["a", "", None], "auto", ["a"], [1, 0, 0]),
        (["a", "?", ""], "?", ["a", ""], [1, 0, 1]),
        ([0.0, np.nan, 1.0], "auto", [], [1, 0, 1]),
        (pd.Series([1, None, 2]), None, [1, 2], [1, 0, 1]),
        (pd.Series(["a", None], dtype="string"), "auto", ["a"], [1, 0]),
    ],
)
def test_which_rows_can_be_scored(y, unlabeled, classes, expected):
    if unlabeled is None:
        unlabeled = np.nan
    assert find_labelled(y, unlabeled, classes).tolist() == [bool(value) for value in expected]


def few_of(y: np.ndarray, count: int = 3) -> np.ndarray:
    """-1 but for the first rows of each class."""
    few = np.full(len(y), -1)
    for label in np.unique(y):
        few[np.flatnonzero(y == label)[:count]] = label
    return few


NAMES = np.array(["crow", "gull", "wren"])


def three_groups() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    return rng.normal(size=(3, 8))[truth] + 0.3 * rng.normal(size=(90, 8)), truth


@pytest.mark.parametrize("marker", [-1, np.nan, None, "nan", "<NA>"])
def test_text_that_numpy_makes_of_a_marker_means_no_label(marker):
    X, truth = three_groups()
    y = np.array([str(NAMES[code]) if code >= 0 else marker for code in few_of(truth)], object).astype(str)
    with pytest.warns(InputWarning, match=rf"FL-L45 text that means no label.*'{marker}' \(81\).*unlabeled=''"):
        model = LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(X, y)
    assert model.classes_.tolist() == NAMES.tolist()
    assert (model.transduction_ == NAMES[truth]).mean() > 0.95


def test_bytes_without_a_letter_mean_no_label():
    X, truth = three_groups()
    y = np.array([NAMES[code].encode() if code >= 0 else b"" for code in few_of(truth)])
    with pytest.warns(InputWarning, match="FL-L45"):
        assert LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(X, y).classes_.tolist() == [
            b"crow",
            b"gull",
            b"wren",
        ]


def test_a_word_that_looks_like_a_marker_is_a_class_where_another_marker_is_named():
    X, truth = three_groups()
    y = np.where(few_of(truth) >= 0, np.array(["None", "Low", "High"])[truth], "")
    assert set(LabelPropagationClassifier(n_neighbors=10, mode="paper", unlabeled="").fit(X, y).classes_) == {
        "None",
        "Low",
        "High",
    }


def test_the_texts_minus_one_and_one_are_two_classes():
    X, truth = three_groups()
    with pytest.warns(InputWarning, match="FL-L20 the labels are '-1' and '1'"):
        model = LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(X, np.where(truth == 0, "-1", "1"))
    assert model.classes_.tolist() == ["-1", "1"]


@pytest.mark.parametrize("kind", ["Int64", "UInt8", "int64[pyarrow]", "boolean", "string"])
def test_nullable_labels_of_pandas_keep_their_type(kind):
    X, truth = three_groups()
    truth = truth % 2 if kind == "boolean" else truth
    y = pd.Series(truth).astype("str" if kind == "string" else "int64").astype(kind).where(few_of(truth) >= 0)
    model = LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(X, y)
    assert model.classes_.dtype.kind == {"boolean": "b", "string": "O"}.get(kind, "i")
    assert model.classes_.tolist() == sorted({type(model.classes_.tolist()[0])(label) for label in truth})


def test_few_fitted_rows_answer_with_the_labels_that_they_were_given():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    fitted, others = order[:60], order[60:]
    with pytest.warns(InputWarning, match="FL-G24 10 neighbours .* 60 rows in 10 classes are about 6 each"):
        model = LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(X[fitted], few_of(y[fitted], 1))
    assert (model.predict(X[others]) == y[others]).mean() > 0.5


def test_sparse_rows_are_rows():
    X, truth = three_groups()
    X[np.abs(X) < 0.2] = 0
    dense = LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(X, few_of(truth))
    for sparse in (sp.csr_array(X), sp.coo_matrix(X)):
        model = LabelPropagationClassifier(n_neighbors=10, mode="paper").fit(sparse, few_of(truth))
        assert np.array_equal(model.label_distributions_, dense.label_distributions_)
        assert np.array_equal(model.predict_proba(sparse), dense.predict_proba(X))
        found = propagate(sparse, few_of(truth), GraphSettings(n_neighbors=10))
        assert np.array_equal(found.pseudo_labels.distribution, dense.label_distributions_)
        assert np.array_equal(extend(found, sparse, sparse).distribution, extend(found, X, X).distribution)


def test_a_random_state_of_numpy_gives_a_seed_that_is_saved(tmp_path):
    X, truth = three_groups()
    model = LabelPropagationClassifier(n_neighbors=10, mode="paper", random_state=np.random.RandomState(0)).fit(
        X, few_of(truth)
    )
    model.save(tmp_path / "m.npz")
    again = LabelPropagationClassifier.load(tmp_path / "m.npz")
    assert isinstance(again.random_state, int)
    assert again.transduction_.tolist() == model.transduction_.tolist()
