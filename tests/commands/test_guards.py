"""Guards of the training: silent where it learns, loud where it does not, the same after a resume."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewlabels.commands.guards import Known, find_alarms, find_collapse
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.errors import CollapseWarning, ConfigError, NumericsError
from fewlabels.graph import GraphSettings
from fewlabels.nets import NetworkSettings
from fewlabels.runs import read_run
from fewlabels.training import loop
from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings
from tests.faults.lanes import size

TEN = Known([5] * 10, [f"class {number}" for number in range(10)], num_test=1000)
EVEN = [105] * 10
QUIET = RunOptions(quiet=True)


def epoch(phase=1, **values):
    usual = {"loss": 0.5, "class_counts": EVEN, "mean_certainty": 0.5, "test_error": 20.0, "teacher_test_error": None}
    return {"event": "epoch", "phase": "lp", "phase_index": phase, **usual, **values}


def heard(events, known=TEN):
    return [alarm.guard for alarm in find_alarms(events, known)]


USUAL = [epoch() for _ in range(5)]


def test_what_is_as_it_was_is_no_alarm():
    for end in range(6):
        assert heard(USUAL[:end]) == []


@pytest.mark.parametrize(
    ("counts", "guards"),
    [
        ([495] + [60] * 9, []),  # 49.7 % of one class
        ([600] + [50] * 9, ["one_class"]),
        ([980] + [8] * 9, ["one_class", "few_classes"]),
        ([5] * 10, []),  # no row has a pseudo-label
    ],
)
def test_pseudo_labels_of_few_classes_are_heard(counts, guards):
    assert heard([*USUAL, epoch(class_counts=counts)]) == guards


def test_what_is_common_among_the_labels_may_be_common_among_pseudo_labels():
    known = replace(TEN, given=[91] + [1] * 9)
    assert heard([*USUAL, epoch(class_counts=[991] + [11] * 9)], known) == []


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_collapse_is_heard_with_few_classes_too(num_classes):
    known = Known([5] * num_classes, list("abc")[:num_classes], 1000)
    skewed, collapsed = [705] + [205] * (num_classes - 1), [1005] + [7] * (num_classes - 1)
    assert heard([epoch(class_counts=skewed)], known) == []
    assert heard([epoch(class_counts=collapsed)], known) == ["one_class", "few_classes"]


@pytest.mark.parametrize(
    ("before", "now", "guards"),
    [
        ([], 20.0, []),  # less than ten times a blind guess, which has 2.3
        ([], 24.0, ["loss"]),
        ([0.5] * 5, 4.9, []),
        ([0.5] * 5, 5.1, ["loss"]),
        ([0.001] * 5, 0.5, []),  # many times more, and still better than guessing
        ([0.001] * 5, 2.4, ["loss"]),
    ],
)
def test_a_loss_that_explodes_is_heard(before, now, guards):
    assert heard([*(epoch(loss=loss) for loss in before), epoch(loss=now)]) == guards


def test_a_fall_of_certainty_is_heard_once_there_is_a_usual_one():
    assert heard([*USUAL[:2], epoch(mean_certainty=0.1)]) == []
    assert heard([*USUAL[:3], epoch(mean_certainty=0.36)]) == []
    assert heard([*USUAL[:3], epoch(mean_certainty=0.34)]) == ["certainty"]


@pytest.mark.parametrize(
    ("errors", "guards"),
    [
        ([20, 33, 33, 20], []),  # twice is not enough
        ([31, 29.6, 22.7, 35.8, 34.2, 24.2], []),  # so does a healthy run on 30 labels
        ([20, 29, 29, 29], []),
        ([20, 31, 31, 31], ["test_error"]),
        ([20, None, 31, None, 31, 31], ["test_error"]),  # not measured every time
        ([50, 62, 62, 62], []),  # errors that are still high go up and down
        ([10, 25, 25, 25], ["test_error"]),
    ],
)
def test_a_rising_test_error_is_heard_at_the_third_look(errors, guards):
    assert heard([epoch(test_error=error) for error in errors]) == guards


def test_few_test_images_must_differ_by_more():
    events = [epoch(test_error=float(error)) for error in (20, 40, 40, 40)]
    assert heard(events, replace(TEN, num_test=20)) == []


def test_the_error_is_the_teachers_where_one_teaches():
    events = [epoch(test_error=20.0 * number, teacher_test_error=10.0) for number in range(1, 6)]
    assert heard(events) == []


def said(guard, phase=1):
    return {"event": "guard", "guard": guard, "phase_index": phase, "message": f"{guard}!"}


def test_a_guard_speaks_once_a_phase():
    assert heard([*USUAL, epoch(loss=9.0), said("loss"), epoch(loss=9.0)]) == []
    assert heard([epoch(0), said("loss", 0), epoch(loss=90.0)]) == ["loss"]


def test_two_guards_that_need_no_labels_are_a_collapse_and_the_test_error_is_not_one_of_them():
    assert find_collapse([*USUAL, said("loss"), said("test_error")]) == []
    assert find_collapse([*USUAL, said("loss"), said("certainty")]) == ["loss!", "certainty!"]
    assert find_collapse([*USUAL, said("loss", 0), said("certainty")]) == []
    assert find_collapse([]) == []


STORIES = [  # events, and the guards that are to speak
    (USUAL, []),
    ([*USUAL, epoch(class_counts=[980] + [8] * 9)], ["one_class", "few_classes"]),
    ([epoch(loss=0.5)] * 5 + [epoch(loss=5.1)], ["loss"]),
    ([*USUAL, epoch(mean_certainty=0.3)], ["certainty"]),
    ([epoch(test_error=error) for error in (20.0, 31.0, 31.0, 31.0)], ["test_error"]),
]
FAULTY = {
    "silent ones": lambda events, known: [],
    "ones that always speak": lambda events, known: find_alarms(STORIES[1][0], TEN),
    "ones that hear the first epoch alone": lambda events, known: find_alarms(events[:1], known),
    "ones that hear losses alone": lambda events, known: [a for a in find_alarms(events, known) if a.guard == "loss"],
}


def misheard(guards):
    return [events for events, wanted in STORIES if [alarm.guard for alarm in guards(events, TEN)] != wanted]


@pytest.mark.lane("F13", faulty=True)
@pytest.mark.parametrize("name", FAULTY)
def test_faulty_guards_are_found(name):
    assert misheard(find_alarms) == []
    assert misheard(FAULTY[name])


def settings_of(seed=0, first="supervised", last="lp", epochs=8, rate=0.05):
    def phase(method, rate):
        return Phase(method, epochs, rate, 6, 0 if method == "supervised" else 18)

    return TrainSettings(
        phases=(phase(first, 0.05), phase(last, rate)),
        graph=GraphSettings(n_neighbors=12),
        augment=AugmentSettings(translate=1, flip=False),
        network=NetworkSettings(width=4, dropout=0.1),
        seed=seed,
    )


class Broken:
    """Descriptors that are not what they were, from a propagation on: of other rows, or all like one row."""

    def __init__(self, how, first):
        self.how, self.first, self.calls, self.describe = how, first, 0, loop.evaluate

    def __call__(self, *given):
        found = self.describe(*given)
        self.calls += 1
        if self.calls <= self.first:
            return found
        draw = torch.Generator().manual_seed(self.calls)
        old = found.descriptors
        if self.how == "shuffled":
            return found._replace(descriptors=old[torch.randperm(len(old), generator=draw)])
        alike = (old[0] + 0.001 * torch.randn(old.shape, generator=draw)).index_copy(0, torch.arange(6), old[:6])
        return found._replace(descriptors=alike)


def run_with_warnings(task, settings, folder, options=QUIET):
    with pytest.warns(CollapseWarning, match="FL-P23 phase 2"):
        run_training(task, settings, folder, options)
    return read_run(folder).of("guard")


def demand_heard(guards, first, wanted):
    """Wanted guards spoke in the epoch from which all was broken, or in the next."""
    spoken = {guard["guard"] for guard in guards if guard["phase_index"] == 1 and first <= guard["epoch"] <= first + 1}
    assert set(wanted) <= spoken, guards


COLLAPSES = [("shuffled", 4, ["certainty"]), ("alike", 4, ["one_class", "few_classes"])]


@pytest.mark.lane("F13")
@pytest.mark.parametrize(("how", "first", "wanted"), COLLAPSES)
def test_descriptors_that_say_nothing_are_heard_within_two_epochs(stripes, tmp_path, monkeypatch, how, first, wanted):
    monkeypatch.setattr(loop, "evaluate", Broken(how, first))
    guards = run_with_warnings(stripes, settings_of(), tmp_path / "run")
    demand_heard(guards, first, wanted)
    assert not [guard for guard in guards if guard["epoch"] < first]
    words = f"Training looked wrong in phase 2 (lp), epoch {guards[0]['epoch'] + 1}: "
    assert words in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.lane("F13")
def test_a_learning_rate_far_too_high_is_heard_at_once(stripes, tmp_path):
    guards = run_with_warnings(stripes, settings_of(rate=500.0, epochs=2), tmp_path / "run")
    demand_heard(guards, 0, ["loss"])


@pytest.mark.lane("F13")
@pytest.mark.parametrize("pair", [("supervised", "lp"), ("mean_teacher", "mt_lp"), ("pi_model", "temporal_ensembling")])
def test_healthy_runs_are_silent(stripes, tmp_path, pair):
    run_training(stripes, settings_of(1, *pair), tmp_path / "run", QUIET)
    assert read_run(tmp_path / "run").of("guard") == []


@pytest.mark.lane("F13")
def test_a_collapse_stops_a_run_that_asks_for_it_and_a_resume_goes_on_only_if_told(stripes, tmp_path, monkeypatch):
    settings, stop = settings_of(), RunOptions(quiet=True, on_collapse="stop")
    broken = Broken("alike", 4)
    monkeypatch.setattr(loop, "evaluate", broken)
    whole = run_with_warnings(stripes, settings, tmp_path / "whole")
    broken.calls = 0
    with (
        pytest.warns(CollapseWarning),
        pytest.raises(NumericsError, match=r"FL-P23 .*epoch 5.* --on-collapse warn") as caught,
    ):
        run_training(stripes, settings, tmp_path / "run", stop)
    assert caught.value.exit_status == 5
    assert len(read_run(tmp_path / "run").of("epoch")) == 8 + 5
    with pytest.raises(NumericsError, match="FL-P23"):
        run_training(stripes, settings, tmp_path / "run", replace(stop, resume=True))
    broken.calls = 5
    run_training(stripes, settings, tmp_path / "run", replace(QUIET, resume=True))
    assert read_run(tmp_path / "run").of("guard") == whole
    names = ("model.safetensors", "pseudo_labels.parquet")
    assert all((tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() for name in names)


@pytest.mark.lane("F13")
def test_test_labels_never_stop_a_run(stripes, tmp_path):
    """Whatever the test labels are, all that is trained is the same, and nothing stops."""
    fooled = replace(stripes, test_truth=np.random.default_rng(0).permutation(stripes.test_truth))
    for name, task in (("honest", stripes), ("fooled", fooled)):
        run_training(task, settings_of(), tmp_path / name, RunOptions(quiet=True, on_collapse="stop"))
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("honest", "fooled")]
    assert weights[0] == weights[1]


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="FL-C67"):
        RunOptions(on_collapse="pause")


@pytest.mark.lane("F13")
def test_a_loss_of_nan_names_the_images_of_its_batch(stripes, tmp_path):
    with pytest.raises(
        NumericsError, match=r"FL-P22 the loss is .* in phase 1, epoch \d, step 1; 6 such rows"
    ) as caught:
        run_training(
            stripes, replace(settings_of(), phases=(Phase("supervised", 9, 1e30, 6),)), tmp_path / "run", QUIET
        )
    assert set(caught.value.rows) == {f"image {row}" for row in range(6)}


def test_guards_are_events_in_the_order_they_spoke(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "evaluate", Broken("alike", 4))
    run_with_warnings(stripes, settings_of(), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    place = next(number for number, line in enumerate(lines) if line["event"] == "guard")
    assert lines[place - 1]["event"] == "epoch"
    assert (lines[place - 1]["phase_index"], lines[place - 1]["epoch"]) == (1, 4)
    assert {"guard", "phase", "phase_index", "epoch", "message"} <= set(lines[place])


@pytest.mark.lane("F13")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(size(10, 2, 50)))
def test_over_many_seeds(stripes, tmp_path, monkeypatch, seed):
    """No false alarm in five healthy runs of a seed, and both collapses of it are heard in time."""
    pairs = [("supervised", "lp"), ("mean_teacher", "mt_lp"), ("supervised", "mt_lp"), ("pi_model", "lp")]
    for number, pair in enumerate([*pairs, ("supervised", "temporal_ensembling")]):
        run_training(stripes, settings_of(seed, *pair), tmp_path / f"healthy {number}", QUIET)
        assert read_run(tmp_path / f"healthy {number}").of("guard") == []
    describe = loop.evaluate
    for how, first, wanted in COLLAPSES:
        monkeypatch.setattr(loop, "evaluate", describe)
        monkeypatch.setattr(loop, "evaluate", Broken(how, first))
        demand_heard(run_with_warnings(stripes, settings_of(seed), tmp_path / how), first, wanted)
