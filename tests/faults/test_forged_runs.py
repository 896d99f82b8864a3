"""A run folder of another tool, or a forged one: each reader gives an answer, or one line that says what is wrong."""

import pytest

from fewlabels.commands import review
from fewlabels.storage import durable
from tests.faults.forged import READERS, complaints, good_runs, some_cases
from tests.faults.lanes import size

pytestmark = pytest.mark.lane("F15")
COUNT = size(80, 1500, 100_000)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Good runs, and nothing is flushed or served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "_fsync", lambda descriptor: None)
        patch.setattr(review, "serve", lambda *given: None)
        yield good_runs(tmp_path_factory.mktemp("forged") / "good")


@pytest.fixture
def place(good, monkeypatch):
    """Where the good runs and their data lie: the working folder."""
    monkeypatch.chdir(good)
    return good


def test_a_forged_run_is_read_or_refused_by_the_contract(good, place, tally, tmp_path):
    import shutil

    kept = shutil.copytree(good, tmp_path / "kept")
    cases = some_cases(kept, COUNT)
    wrong = [found for case in cases if (found := complaints(case, kept, place, READERS))]
    tally(len(cases), len(wrong))
    assert wrong == []
