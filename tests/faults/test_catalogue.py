"""The catalogue of bad input: each id is a case, or has a reason why it is none. docs/reliability.md."""

from collections import Counter

import cases_config
import cases_disk
import cases_embedding_tables
import cases_embeddings
import cases_graph
import cases_image_folders
import cases_images
import cases_label_values
import cases_labels
import cases_runs
import cases_training
import pytest
from catalogue import Workplace, codes_of, demand

FAMILIES = {"L": 29, "E": 25, "I": 23, "C": 15, "K": 15, "D": 12, "G": 21, "X": 13, "W": 21}
IDS = [f"{family}{number}" for family, count in FAMILIES.items() for number in range(1, count + 1)]
MODULES = (
    cases_labels,
    cases_label_values,
    cases_embeddings,
    cases_embedding_tables,
    cases_images,
    cases_image_folders,
    cases_config,
    cases_runs,
    cases_disk,
    cases_graph,
    cases_training,
)
CASES = [case for module in MODULES for case in module.CASES]

NO_CLUSTER = "there is no Dask or Ray: work is spread over threads, and over processes of torchrun alone"
NOT_APPLICABLE = {
    "L25": "labels are classes; there are no soft labels to hand in",
    "C5": "there are no configuration files; settings are options, or Python values",
    **dict.fromkeys((f"X{number}" for number in (1, 2, 3, 4, 5, 7, 10, 11, 12)), NO_CLUSTER),
    "X6": "processes of one run are started by one torchrun from one installation",
    "X8": "nothing is decided by a clock or a name of a machine but whether a lock's holder may live (C11)",
}
ELSEWHERE = {
    "X9": "C11 here, and tests/runs/test_lock.py",
    "X13": "tests/train/test_processes.py",
    **{f"W{number}": "tests/review" for number in range(1, 22)},
}


def test_every_id_of_the_catalogue_is_a_case_or_has_its_reason_exactly_once():
    assert len(IDS) == 174
    places = Counter([*{case.id for case in CASES}, *NOT_APPLICABLE, *ELSEWHERE])
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
