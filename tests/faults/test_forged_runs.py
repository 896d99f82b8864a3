"""A run folder of another tool, or a forged one: each reader gives an answer, or one line that says what is wrong."""

import json
import os
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fewlabels.commands import review
from fewlabels.errors import RunError
from fewlabels.storage import durable
from tests.faults.forged import KINDS, READERS, Case, complaints, good_runs, some_cases
from tests.faults.lanes import size

pytestmark = pytest.mark.lane("F15")
COUNT = size(24, 500, 100_000)  # there are about 22,600


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Good runs, and the folder where they lie beside their data. Nothing is flushed or served, pictures are small."""
    place = good_runs(tmp_path_factory.mktemp("forged") / "runs")
    kept = shutil.copytree(place, place.with_name("kept"))
    before = os.getcwd()
    render = import_module("fewlabels.report.render")  # its function has the name, too
    plain = render.png
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "_fsync", lambda descriptor: None)
        patch.setattr(review, "serve", lambda *given: None)
        patch.setattr(render, "png", lambda figure: plain(small(figure)))
        os.chdir(place)
        yield kept, place
        os.chdir(before)


def small(figure):
    figure.set_size_inches(2, 2)
    return figure


def test_good_runs_are_read(good):
    for kind in KINDS:
        assert complaints(Case(kind, "good", lambda run: None), *good, READERS) == []


@pytest.mark.timeout(size(300, 3600, 36_000))
def test_a_forged_run_is_read_or_refused_by_the_contract(good, tally):
    cases = some_cases(good[0], COUNT)
    wrong = [found for case in cases if (found := complaints(case, *good, READERS))]
    tally(len(cases), len(wrong))
    assert wrong == []


# Faulty readers


def trusting_json(run):
    facts = json.loads(Path(run, "run.json").read_text())
    return facts["settings"]["graph"], [name.upper() for name in facts.get("class_names", [])]


def trusting_lines(run):
    if "seeds" in run:
        return None
    return [json.loads(line)["event"] for line in Path(run, "events.jsonl").read_text().splitlines()]


def trusting_tables(run):
    if "train" in run:
        return np.array(pq.read_table(f"{run}/map.parquet")["x"].to_pylist()).mean()
    return None


def trusting_arrays(run):
    return np.load(f"{run}/descriptors.npy").mean() if "train" in run else None


def telling_too_much(run):
    """Its error has two lines."""
    try:
        trusting_json(run)
    except Exception as problem:
        raise RunError("K2", f"damaged\n{problem}", where=run) from problem


FAULTY = (trusting_json, trusting_lines, trusting_tables, trusting_arrays, telling_too_much)


@pytest.mark.lane("F15", faulty=True)
@pytest.mark.parametrize("reader", FAULTY, ids=lambda reader: reader.__name__)
def test_a_faulty_reader_is_found(good, reader):
    cases = some_cases(good[0], 400)
    assert any(complaints(case, *good, {"faulty": reader}) for case in cases)


# Single cases


@pytest.mark.parametrize("reader", READERS)
def test_an_unknown_key_of_a_newer_version_is_no_fault(good, reader):
    def change(run):
        for name in ("run.json", "results.json", "insights.json", "model.json"):
            values = json.loads((run / name).read_text())
            (run / name).write_text(json.dumps(values | {"new": {"in": [1, 2]}}))

    assert complaints(Case("train", "newer", change), *good, {reader: READERS[reader]}) == []
