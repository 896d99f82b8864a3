"""The catalogue of bad input: each id is a case, or has a reason why it is none. docs/reliability.md."""

from collections import Counter

import cases_config
import cases_disk
import cases_embeddings
import cases_graph
import cases_images
import cases_labels
import cases_runs
import cases_training
import pytest
from catalogue import Workplace, codes_of, demand

FAMILIES = {"L": 29, "E": 25, "I": 23, "C": 15, "K": 15, "D": 12, "G": 21, "X": 13, "W": 21}
IDS = [f"{family}{number}" for family, count in FAMILIES.items() for number in range(1, count + 1)]
MODULES = (
    cases_labels,
    cases_embeddings,
    cases_images,
    cases_config,
    cases_runs,
    cases_disk,
    cases_graph,
    cases_training,
)
CASES = [case for module in MODULES for case in module.CASES]

ONE_MACHINE = "there are no workers on other machines: the processes of torchrun are started and ended together"
NOT_APPLICABLE = {}
ELSEWHERE = {}


def test_every_id_of_the_catalogue_is_a_case_or_has_its_reason_exactly_once():
    assert len(IDS) == 174
    places = Counter({case.id for case in CASES}) + Counter(NOT_APPLICABLE) + Counter(ELSEWHERE)
    assert sorted(places) == sorted(IDS)
    assert [id for id, count in places.items() if count != 1] == []


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case.slow else ()) for case in CASES],
    ids=lambda case: f"{case.id} {case.what}",
)
def test_bad_input_keeps_the_contract(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    work = Workplace(tmp_path, capsys, monkeypatch)
    asked = case.do(work)
    if case.code:
        outcome = work.call(asked) if callable(asked) else work.run(asked)
        work.on_end()
        demand(case, work, outcome)
    else:
        assert asked is None
    assert codes_of(work.caught) == case.warns
