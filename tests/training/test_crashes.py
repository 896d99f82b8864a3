"""Whatever ends a run, and whenever: the newest acknowledged checkpoint is there, whole, without a warning.

The last tests hand in stores with a known fault: a test of crashes that does not see those would prove nothing.
"""

import errno
import random
import re
import shutil
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
import torch

from fewlabels.errors import CheckpointWarning, FewlabelsError, StorageError
from fewlabels.storage import durable
from fewlabels.storage import folders as durable_folders
from fewlabels.training import checkpoint
from fewlabels.training.checkpoint import Checkpoints, Snapshot
from tests.faults.lanes import size
from tests.training.disk import CALLS, Killed, PowerLoss, error_at, faulty, killed_at, quick

WRITE_CHECKPOINT = checkpoint.write_checkpoint  # as it is, while faulty ones stand in its place
IDENTITY = {"settings": {"alpha": 0.99}, "data": "a1b2"}
STEPS = range(1, 4)
CALL = {name: getattr(durable, name) for name in CALLS}


def state(step):
    return Snapshot({"weight": torch.arange(600.0) + step, "label": torch.tensor([step])}, {"step": step, "loss": 0.1})


def assert_is(found, step):
    assert found.values == state(step).values
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in state(step).tensors.items())


def run_on(folder, acknowledged):
    """Save what is still missing up to the last step; note each step whose save has returned."""
    store = Checkpoints(folder, IDENTITY)
    done = store.read_newest()
    for step in STEPS:
        if done is None or step > done[0]:
            store.save(step, state(step))
            acknowledged.append(step)


def problem(folder, acknowledged, runs=1):
    """What is wrong with the folder, where at least the last acknowledged step is to be found; None if nothing is.

    runs: that were ended; each may have ended between the moment its save was done and the one it said so.
    """
    try:
        found = Checkpoints(folder, IDENTITY).read_newest()
    except (FewlabelsError, CheckpointWarning) as error:
        return str(error)
    least = max(acknowledged, default=0)
    if found is None:
        return "nothing found" if least else None
    step, there = found
    assert_is(there, step)
    return None if least <= step <= least + runs else f"step {step} found, {least} was acknowledged"


def calls_of_a_run(folder):
    """The names of all calls that change the disk in a run to its end."""
    with faulty(quick) as names:
        run_on(folder, [])
    return names


def run_until_killed(folder, acknowledged, number, torn=False):
    with faulty(killed_at(number, torn=torn)), pytest.raises(Killed):
        run_on(folder, acknowledged)


def kills(tmp_path, spare=1):
    """Kill a run at every call, and in every write, then let it go on. Returns how many kills, and what was wrong."""
    names = calls_of_a_run(tmp_path / "whole" / "run")
    numbers = range(1, len(names) + 1, spare)
    cases = [
        (number, torn) for number in numbers for torn in (False, True) if names[number - 1] == "_write" or not torn
    ]
    wrong = []
    for number, torn in cases:
        folder, acknowledged = tmp_path / f"{number}-{torn}" / "run", []
        run_until_killed(folder, acknowledged, number, torn)
        wrong.append(problem(folder, acknowledged))
        if wrong[-1] is None:
            with faulty(quick):
                run_on(folder, acknowledged)
            wrong.append(problem(folder, [STEPS[-1]]))
        shutil.rmtree(folder.parent, ignore_errors=True)
    return len(cases), [one for one in wrong if one]


def losses_of_power(tmp_path, states, seed, blind=()):
    """Look at what a loss of power may leave after every call. Returns how many states, and what was wrong."""
    base, scratch, acknowledged, wrong = tmp_path / "disk", tmp_path / "states", [], []
    base.mkdir()
    scratch.mkdir()

    def look(place):
        wrong.append(problem(place / "run", acknowledged))
        shutil.rmtree(place)

    disk = PowerLoss(base, scratch, look, states=states, seed=seed, blind=blind)
    with faulty(disk):
        run_on(base / "run", acknowledged)
    return disk.seen, [one for one in wrong if one]


@pytest.mark.lane("F2")
def test_a_kill_at_any_call_loses_no_acknowledged_checkpoint_and_the_run_goes_on(tmp_path, tally):
    tried, wrong = kills(tmp_path)
    tally(tried, len(wrong))
    assert wrong == []


def test_a_run_that_was_killed_leaves_nothing_behind_once_it_has_saved_again(tmp_path):
    for number in range(1, len(calls_of_a_run(tmp_path / "whole")), 7):
        folder = tmp_path / str(number)
        run_until_killed(folder, [], number)
        with faulty(quick):
            run_on(folder, [])
            Checkpoints(folder, IDENTITY).save(9, state(9))
        assert sorted(path.name for path in folder.iterdir()) == ["step-00000003", "step-00000009"]


@pytest.mark.lane("F2")
def test_a_second_kill_while_going_on_after_the_first_loses_nothing_either(tmp_path, tally):
    calls, rng = len(calls_of_a_run(tmp_path / "whole")), random.Random(0)
    pairs = size(40, 200, 2000)
    for pair in range(pairs):
        folder, acknowledged = tmp_path / str(pair), []
        run_until_killed(folder, acknowledged, rng.randint(1, calls), rng.random() < 0.5)
        with faulty(killed_at(rng.randint(1, calls))), suppress(Killed):
            run_on(folder, acknowledged)
        assert problem(folder, acknowledged, runs=2) is None
    tally(pairs)


ERRORS = [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False), (errno.EROFS, False)]


@pytest.mark.lane("F6")
@pytest.mark.parametrize(("number", "forever"), ERRORS)
def test_an_error_of_the_disk_at_any_call_is_told_and_leaves_what_was_there(tmp_path, tally, number, forever):
    told, calls = [], len(calls_of_a_run(tmp_path / "whole"))
    for first in range(1, calls + 1):
        folder, acknowledged = tmp_path / str(first), []
        with faulty(error_at(first, number, forever)):
            try:
                run_on(folder, acknowledged)
            except (StorageError, CheckpointWarning) as error:
                told.append((folder, error))
        assert problem(folder, acknowledged) is None
        with faulty(quick):
            run_on(folder, acknowledged)
        assert problem(folder, acknowledged) is None
    tally(calls)
    errors = [(folder, error) for folder, error in told if isinstance(error, StorageError)]
    assert all(error.exit_status == 4 and str(folder) in str(error) for folder, error in errors)
    assert {str(error).split()[0] for _, error in told} == {"FL-D1", "FL-K13"}  # K13: the new one was there already
    assert len(told) == first


@pytest.mark.lane("F6")
def test_a_save_that_fails_takes_its_own_files_away(tmp_path):
    run_on(tmp_path, [])
    before = sorted(path.name for path in tmp_path.iterdir())
    with faulty(error_at(12, errno.ENOSPC, forever=True)), pytest.raises(StorageError):
        Checkpoints(tmp_path, IDENTITY).save(9, state(9))
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.lane("F3")
@pytest.mark.parametrize("seed", range(size(1, 2, 50)))
def test_no_loss_of_power_loses_an_acknowledged_checkpoint(tmp_path, tally, seed):
    seen, wrong = losses_of_power(tmp_path, states=size(6, 35, 55), seed=seed)
    tally(seen, len(wrong))
    assert wrong == []
    assert seen > size(400, 2500, 4000)


def test_every_call_that_changes_the_disk_can_fail_in_these_tests():
    source = Path(durable.__file__).read_text()
    seam = source[source.index("def _create") : source.index("def _write_all")]
    assert sorted(re.findall(r"^def (\w+)", seam, re.M)) == sorted(CALLS)


def over(path, data):
    """Writes into the file itself, not into one beside it."""
    durable.Path(path).unlink(missing_ok=True)
    descriptor = durable._create(durable.Path(path))
    durable._write_all(descriptor, data)
    durable._fsync(descriptor)


def writer(write, *names):
    """A faulty write_checkpoint: the right bytes, but in place, in this order, by `write`."""

    def write_checkpoint(folder, checkpoint):
        twin = folder.parent.parent / "twin" / folder.name
        shutil.rmtree(twin, ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:  # the twin is written without a fault
            for name, call in (CALL | {"_fsync": lambda descriptor: None}).items():
                patch.setattr(durable, name, call)
            WRITE_CHECKPOINT(twin, checkpoint)
        durable.make_folder(folder)
        for name in names:
            write(folder / name, (twin / name).read_bytes())

    return write_checkpoint


class RemovesFirst(Checkpoints):
    """Makes room before it writes."""

    def save(self, step, state):
        for _, folder in self._list_found():
            checkpoint.remove_folder(folder)
        return super().save(step, state)


WRITERS = {
    "a-folder-in-place": (durable.write_bytes, checkpoint.TENSORS, checkpoint.STATE, durable.MANIFEST),
    "the-manifest-first": (durable.write_bytes, durable.MANIFEST, checkpoint.TENSORS, checkpoint.STATE),
    "files-in-place": (over, checkpoint.TENSORS, checkpoint.STATE, durable.MANIFEST),
}


@pytest.mark.lane("F2", faulty=True)
@pytest.mark.parametrize("faults", WRITERS.values(), ids=WRITERS)
def test_the_kills_find_a_store_whose_folders_do_not_appear_whole(tmp_path, monkeypatch, faults):
    monkeypatch.setattr(checkpoint, "write_checkpoint", writer(*faults))
    assert kills(tmp_path, spare=7)[1]


@pytest.mark.lane("F2", faulty=True)
def test_the_kills_find_a_store_that_removes_the_old_before_the_new_is_there(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "Checkpoints", RemovesFirst)
    assert kills(tmp_path, spare=7)[1]


@pytest.mark.lane("F3", faulty=True)
@pytest.mark.parametrize("blind", ["_fsync", "_sync_folder"])
def test_the_losses_of_power_find_a_flush_that_is_left_out(tmp_path, blind):
    assert losses_of_power(tmp_path, states=4, seed=0, blind=(blind,))[1]


@pytest.mark.lane("F3", faulty=True)
@pytest.mark.parametrize("faults", WRITERS.values(), ids=WRITERS)
def test_the_losses_of_power_find_a_store_whose_folders_do_not_appear_whole(tmp_path, monkeypatch, faults):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(checkpoint, "write_checkpoint", writer(*faults))
    assert losses_of_power(tmp_path / "disk", states=4, seed=0)[1]


def told_and_kept(folder, number, code):
    """Save two steps and meet an error in a third. Whether it was told as it should be, and all else is as before."""
    with faulty(quick):
        for step in (1, 2):
            Checkpoints(folder, IDENTITY).save(step, state(step))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    try:
        with faulty(error_at(number, code, forever=True)):
            Checkpoints(folder, IDENTITY).save(3, state(3))
    except StorageError as error:
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return str(folder) in str(error) and after == before
    except OSError:
        return False
    return Checkpoints(folder, IDENTITY).read_newest()[0] == 3


def leftovers_stay(monkeypatch):
    monkeypatch.setattr(durable_folders, "remove_folder", lambda path: None)


def errors_are_not_named(monkeypatch):
    monkeypatch.setattr(durable, "storage_errors", nullcontext)


def room_is_made_first(monkeypatch):
    monkeypatch.setitem(globals(), "Checkpoints", RemovesFirst)


def test_an_error_in_a_third_save_is_told_and_the_two_before_stay(tmp_path):
    assert all(told_and_kept(tmp_path / str(number), number, errno.ENOSPC) for number in (3, 5, 8, 12))


@pytest.mark.lane("F6", faulty=True)
@pytest.mark.parametrize("fault", [leftovers_stay, errors_are_not_named, room_is_made_first])
def test_the_errors_of_the_disk_find_a_faulty_store(tmp_path, monkeypatch, fault):
    fault(monkeypatch)
    assert not all(told_and_kept(tmp_path / str(number), number, errno.ENOSPC) for number in (3, 5, 8, 12))
