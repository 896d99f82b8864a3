"""BLAS on one thread within, as before afterwards, and no bit that depends on how many there were."""

from threading import Barrier, Thread

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fewlabels.choosing.heads import fit_logistic
from fewlabels.graph.blas import find_libraries, one_blas_thread


def count_threads():
    return {one["num_threads"] for one in threadpool_info() if one["internal_api"] == "openblas"}


@pytest.fixture(autouse=True)
def _openblas():
    if not find_libraries():
        pytest.skip("NumPy and SciPy have another BLAS here")


def test_there_is_one_thread_within_and_what_was_comes_back():
    with threadpool_limits(2):
        before = count_threads()
        with one_blas_thread():
            with one_blas_thread():
                assert count_threads() == {1}
            assert count_threads() == {1}
        assert count_threads() == before
        with pytest.raises(ZeroDivisionError), one_blas_thread():
            1 / 0  # noqa: B018
        assert count_threads() == before


def test_of_two_that_overlap_the_last_to_leave_restores():
    both, seen = Barrier(2), []

    def enter(leaves_first):
        with one_blas_thread():
            both.wait()
            if leaves_first:
                return
            first.join()
            seen.append(count_threads())

    with threadpool_limits(2):
        before = count_threads()
        first, second = (Thread(target=enter, args=(leaves_first,)) for leaves_first in (True, False))
        first.start()
        second.start()
        second.join()
        assert seen == [{1}]
        assert count_threads() == before


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_head_has_the_same_bits_on_one_and_on_two_threads(monkeypatch, dtype):
    rng = np.random.default_rng(0)
    rows, classes = rng.normal(size=(3000, 40)).astype(dtype), rng.integers(12, size=3000)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr("fewlabels.graph.threads.num_threads", lambda threads=threads: threads)
        with threadpool_limits(threads):
            found.append(fit_logistic(rows, np.eye(12)[classes], 1e-3, most_steps=10))
    assert found[0].weight.tobytes() == found[1].weight.tobytes()
    assert found[0].bias.tobytes() == found[1].bias.tobytes()
