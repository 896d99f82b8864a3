"""G18 to G20: what may happen while a network is trained. X: processes."""

import json

import numpy as np

from fewlabels.commands import training
from fewlabels.commands.guards import Known, find_alarms, find_collapse
from fewlabels.commands.task import Task
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.nets import NetworkSettings
from fewlabels.training.epoch import Epoch, draw_batches
from fewlabels.training.settings import Phase, TrainSettings
from tests.data.image_files import encoded, noise
from tests.faults.catalogue import Family

CASES = cases = Family()


def task(rows=12):
    pixels = np.stack([noise(8, 8, seed=row) for row in range(rows)])
    labels = np.where(np.arange(rows) < 4, np.arange(rows) % 2, -1)
    return Task(pixels, labels, [f"image {row}" for row in range(rows)], ["ant", "bee"], "noise")


@cases.refused("G18", "a loss of NaN", code="P22", status=5, place="4 such rows (image ", leaves=["run"])
def _(work):
    settings = TrainSettings(phases=(Phase("supervised", 9, 1e30, 4),), network=NetworkSettings(width=2))
    return lambda: run_training(task(), settings, "run", RunOptions(quiet=True))


@cases.accepted("G19", "all pseudo-labels of one class, of none, and a fall of certainty")
def _(work):
    known = Known([5] * 10, [f"class {number}" for number in range(10)], 100)

    def epoch(counts, sure=0.9):
        facts = {"event": "epoch", "phase": "lp", "phase_index": 1, "loss": 0.5, "mean_certainty": sure}
        return facts | {"class_counts": counts, "test_error": None}

    events = [epoch([100] * 10)] * 4
    assert find_alarms(events, known) == []
    assert find_alarms([epoch([5] * 10)], known) == []  # no pseudo-label at all
    fallen = [*events, epoch([950] + [6] * 9, 0.1)]
    heard = find_alarms(fallen, known)
    assert [alarm.guard for alarm in heard] == ["one_class", "few_classes", "certainty"]
    said = [{"event": "guard", "guard": one.guard, "phase_index": 1, "message": one.words} for one in heard]
    assert len(find_collapse([*fallen, *said])) == 3


@cases.accepted("G20", "a last batch of one, and batches without a label")
def _(work):
    labels = np.where(np.arange(41) < 3, np.arange(41) % 2, -1)
    for method, labeled, unlabeled in (("supervised", 2, 0), ("lp", 2, 37), ("lp", 5, 100)):
        found = draw_batches(Phase(method, 1, 0.1, labeled, unlabeled), labels, Epoch(0, 1, 0))
        assert len({len(rows) for rows in found}) == 1
        assert all(len(rows) > 1 and (labels[rows] != -1).any() for rows in found)


@cases.refused("L18", "a class of a table that no image has", place="class 2 ('cat') has no labelled row")
def _(work):
    import pyarrow as pa

    from tests.data.image_files import hub_parquet

    pictures = [encoded(noise(8, 8, seed=row)) for row in range(8)]
    codes = pa.array([0, 1, None, None, None, None, None, None], pa.int64())
    hub_parquet("photos.parquet", pictures, codes, ["ant", "bee", "cat"])
    work.monkeypatch.setattr(training, "train", None)  # it is told before anything is trained
    return work.train("--out", "run", data="photos.parquet")


@cases.accepted("G20", "a run of four labelled images")
def _(work):
    phases = (Phase("supervised", 1, 0.01, 3), Phase("lp", 1, 0.01, 3, 7))
    settings = TrainSettings(phases=phases, network=NetworkSettings(width=2))
    work.monkeypatch.setattr("fewlabels.commands.training.report_html", lambda folders: "<html></html>")
    results = work.call(lambda: run_training(task(), settings, "run", RunOptions(quiet=True)))
    assert json.dumps(results, allow_nan=False)
    work.caught = [one for one in work.caught if not str(one.message).startswith(("FL-E7 ", "FL-P23 "))]
