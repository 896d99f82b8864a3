"""A training run that is killed anywhere and taken up again ends with the bytes of one that nobody disturbed."""

import errno
import itertools
import random
import shutil
import signal
from collections import Counter

import pytest

from fewlabels.training.interrupt import NAMES
from tests.faults.lanes import size
from tests.training.child_faults import RESUMING, STOPPING, WRITING
from tests.training.children import remains

PAIRS = (["supervised", "lp"], ["mean_teacher", "mt_lp"])
MOST_KILLS = 8  # of one run


@pytest.fixture(scope="module")
def undisturbed(children, tmp_path_factory):
    """(what remains of a run of this pair that nobody disturbs, how it ended); each is run once."""
    known = {}

    def of(pair, **job):
        key = (*pair, *job.items())
        if key not in known:
            folder = tmp_path_factory.mktemp("whole") / "run"
            ended = children.run(folder, pair=pair, **job)
            assert ended.status == [0], ended.errors
            known[key] = remains(folder), ended
        return known[key]

    return of


def ended_well(children, folder, **job):
    ended = children.run(folder, **job)
    assert ended.status == [0], ended.errors
    return remains(folder)


def killed_at_random(children, folder, rng, seconds, **job):
    """Kill a run a few times, at moments drawn from `seconds`. Returns the stages that it was in."""
    stages = []
    for _ in range(rng.randint(1, MOST_KILLS)):
        ended = children.run(folder, **job, kill=[0, rng.uniform(0, seconds)])
        if ended.status == [0]:
            break
        assert ended.status == [-signal.SIGKILL], ended.errors
        stages.append(ended.stage or "before the start")
    return stages


@pytest.mark.lane("F1")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(size(1, 4, 40)))
def test_kills_at_random_moments_change_no_byte(children, undisturbed, tmp_path, tally, seed):
    rng, fell, runs = random.Random(seed), Counter(), 0
    for number in itertools.count():
        if fell.total() >= size(12, 25, 25):
            break
        pair, save_every = PAIRS[number % 2], (0, 0.1, 60)[number % 3]
        expected, whole = undisturbed(pair, save_every=save_every)
        folder = tmp_path / str(number) / "run"
        folder.parent.mkdir()
        fell.update(killed_at_random(children, folder, rng, whole.seconds, pair=pair, save_every=save_every))
        runs += 1
        assert ended_well(children, folder, pair=pair, save_every=save_every) == expected, f"seed {seed}, run {number}"
        shutil.rmtree(folder.parent)
    tally(fell.total())
    print(f"seed {seed}: {fell.total()} kills, {fell.total()} times taken up, {runs} runs; in {dict(fell)}")


PARTS = size(60, 4, 4)  # parts that are all calls; the suite takes the first one


@pytest.mark.lane("F2")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(1, size(1, PARTS, PARTS) + 1))
def test_a_kill_before_any_call_that_changes_the_disk_changes_no_byte(children, undisturbed, tmp_path, tally, first):
    job = {"pair": PAIRS[size(1, 0, 1)], "save_every": 0}
    expected, whole = undisturbed(**job)
    numbers = range(first, whole.calls + 1, PARTS)
    for number in numbers:
        folder = tmp_path / str(number)
        assert children.run(folder, **job, call=number).status == [-signal.SIGKILL]
        assert ended_well(children, folder, **job) == expected, f"killed before call {number} of {whole.calls}"
        shutil.rmtree(folder)
    tally(len(numbers))
    print(f"{len(numbers)} of {whole.calls} calls")


@pytest.mark.lane("F2")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(size(1, 1, 10)))
def test_a_second_kill_while_going_on_changes_no_byte_either(children, undisturbed, tmp_path, tally, seed):
    job = {"pair": PAIRS[0], "save_every": 0}
    expected, whole = undisturbed(**job)
    rng, pairs = random.Random(seed), size(2, 20, 50)
    for pair in range(pairs):
        folder, first, second = tmp_path / str(pair), rng.randint(1, whole.calls), rng.randint(1, whole.calls)
        assert children.run(folder, **job, call=first).status == [-signal.SIGKILL]
        children.run(folder, **job, call=second)  # may end before that call
        assert ended_well(children, folder, **job) == expected, f"killed before calls {first} and {second}"
    tally(pairs)


def told(ended, folder):
    """Whether a run that hit an error of the disk said so, or said that an old checkpoint stays; or needed nothing."""
    if ended.status == [0]:
        return "FL-D1" not in ended.errors[0] or "FL-K13" in ended.errors[0]
    return ended.status == [4] and "error: FL-D1" in ended.errors[0] and str(folder) in ended.errors[0]


CODES = [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS]


@pytest.mark.lane("F6")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", range(1, size(1, PARTS, PARTS) + 1))
def test_an_error_of_the_disk_at_any_call_is_told_and_changes_no_byte(children, undisturbed, tmp_path, tally, first):
    """Nightly with each of four errors; else they take turns."""
    job = {"pair": PAIRS[0], "save_every": 0}
    expected, whole = undisturbed(**job)
    cases = [(number, code) for number in range(first, whole.calls + 1, PARTS) for code in CODES]
    cases = cases[:: size(5, 9, 1)]
    for number, code in cases:
        folder = tmp_path / f"{number}-{code}"
        ended = children.run(folder, **job, error=[number, code])
        assert told(ended, folder), f"{errno.errorcode[code]} at call {number}: {ended}"
        assert ended_well(children, folder, **job) == expected, f"{errno.errorcode[code]} at call {number}"
        shutil.rmtree(folder)
    tally(len(cases))


def there(folder, expected):
    try:
        return remains(folder) == expected
    except (AssertionError, KeyError):  # files are missing, or left behind
        return False


@pytest.mark.lane("F6", faulty=True)
@pytest.mark.parametrize("fault", WRITING)
def test_errors_of_the_disk_that_are_not_told_are_noticed(children, undisturbed, tmp_path, fault):
    job = {"pair": PAIRS[0], "save_every": 0}
    expected, whole = undisturbed(**job)
    for number in range(whole.calls - 31, whole.calls - 41, -1):  # among those that write the results
        folder = tmp_path / str(number)
        ended = children.run(folder, **job, error=[number, errno.EIO], fault=fault)
        if not told(ended, folder) or (ended.status == [0] and not there(folder, expected)):
            return
    pytest.fail(f"{fault}, and nobody saw it")


def test_a_run_killed_after_its_end_is_tidied_up_and_returns_its_results(children, undisturbed, tmp_path):
    job = {"pair": PAIRS[0], "save_every": 0}
    expected, whole = undisturbed(**job)
    for number in (whole.calls, whole.calls - 1, whole.calls - 4):
        folder = tmp_path / str(number)
        assert children.run(folder, **job, call=number).status == [-signal.SIGKILL]
        assert (folder / "manifest.json").exists()
        assert (folder / ".checkpoints").exists()
        assert ended_well(children, folder, **job) == expected


STAGES = [
    "step of phase 0",
    "evaluation",
    "descriptors",
    "propagation: neighbors",
    "propagation: solve",
    "step of phase 1",
    "checkpoint",
    "final propagation: solve",
    "writing",
    "report",
]


SIGNALS = [(one, signal.SIGTERM) for one in STAGES] + [(one, signal.SIGINT) for one in STAGES[::4]]
if size(0, 1, 1):
    SIGNALS = [(one, getattr(signal, name)) for one in STAGES for name in NAMES]


UNHEARD = {getattr(signal, name, None) for name in ("SIGHUP", "SIGUSR1")}  # once the results are being written


@pytest.mark.lane("F5")
@pytest.mark.parametrize(("stage", "number"), SIGNALS)
def test_a_signal_in_any_stage_ends_the_run_saved_and_soon(children, undisturbed, tmp_path, stage, number):
    job = {"pair": PAIRS[1], "save_every": 60}
    expected, _ = undisturbed(**job)
    ended = children.run(tmp_path / "run", **job, at=[stage, 1, number])
    demand_stopped(tmp_path / "run", ended, number, at_once=stage in ("writing", "report") and number in UNHEARD)
    print(f"{number.name} in {stage}: ended after {ended.stopping:.3f} s")
    assert ended_well(children, tmp_path / "run", **job) == expected


def demand_stopped(folder, ended, number, at_once=False):
    """It ended by the signal, saved, soon, and gave the folder free.

    at_once: as any process does. A shell sees the same 128 + number, and the lock that is left is nobody's.
    """
    assert ended.status == [-number if at_once else 128 + number], ended.errors
    assert list((folder / ".checkpoints").glob("step-*"))
    assert at_once or not (folder / ".lock").exists()
    assert ended.stopping < 10


@pytest.mark.lane("F5", faulty=True)
@pytest.mark.parametrize("fault", STOPPING)
def test_a_run_that_takes_a_signal_wrongly_is_noticed(children, tmp_path, fault):
    job = {"pair": PAIRS[1], "save_every": 60, "fault": fault}
    ended = children.run(tmp_path / "run", **job, at=["step of phase 0", 2, signal.SIGTERM])
    with pytest.raises(AssertionError):
        demand_stopped(tmp_path / "run", ended, signal.SIGTERM)


HALF = ["step of phase 1", 4]  # the last step of the phase: its second epoch is half done
MOMENTS = {"events after the checkpoint are kept": ["checkpoint", 4]}  # an epoch was told, and is not yet saved


@pytest.mark.lane("F1", faulty=True)
@pytest.mark.parametrize("fault", RESUMING)
def test_a_faulty_resume_is_noticed(children, undisturbed, tmp_path, fault):
    """Without this, the tests above would prove nothing."""
    job = {"pair": PAIRS[1], "save_every": 0}
    expected, _ = undisturbed(**job)
    killed = children.run(tmp_path / "run", **job, at=[*MOMENTS.get(fault, HALF), signal.SIGKILL])
    assert killed.status == [-signal.SIGKILL]
    ended = children.run(tmp_path / "run", **job, fault=fault)
    assert ended.status != [0] or remains(tmp_path / "run") != expected
