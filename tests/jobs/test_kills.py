"""A training run that is killed anywhere and taken up again ends with the bytes of one that nobody disturbed."""

import itertools
import random
import signal
from collections import Counter

import pytest
from children import RESUMING, Children, remains

PAIRS = (["supervised", "lp"], ["mean_teacher", "mt_lp"])
MOST_KILLS = 8  # of one run


@pytest.fixture(scope="module")
def children():
    with Children() as found:
        yield found


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


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kills", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_no_byte(children, undisturbed, tmp_path, kills):
    seed = 100 + kills
    rng, fell, runs = random.Random(seed), Counter(), 0
    for number in itertools.count():
        if fell.total() >= kills:
            break
        pair, save_every = PAIRS[number % 2], (0, 0.1, 60)[number % 3]
        expected, whole = undisturbed(pair, save_every=save_every)
        folder = tmp_path / str(number) / "run"
        folder.parent.mkdir()
        fell.update(killed_at_random(children, folder, rng, whole.seconds, pair=pair, save_every=save_every))
        runs += 1
        assert ended_well(children, folder, pair=pair, save_every=save_every) == expected, f"seed {seed}, run {number}"
    print(f"seed {seed}: {fell.total()} kills, {fell.total()} times taken up, {runs} runs; in {dict(fell)}")


ALL = [pytest.param(first, 4, marks=pytest.mark.slow) for first in (1, 2, 3, 4)]  # four parts are all calls


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("first", "every"), [(1, 60), *ALL])
def test_a_kill_before_any_call_that_changes_the_disk_changes_no_byte(children, undisturbed, tmp_path, first, every):
    job = {"pair": PAIRS[1], "save_every": 0}
    expected, whole = undisturbed(**job)
    numbers = range(first, whole.calls + 1, every)
    for number in numbers:
        folder = tmp_path / str(number)
        assert children.run(folder, **job, call=number).status == [-signal.SIGKILL]
        assert ended_well(children, folder, **job) == expected, f"killed before call {number} of {whole.calls}"
    print(f"{len(numbers)} of {whole.calls} calls")


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


KEY = [pytest.param(one, signal.SIGINT, marks=() if one in STAGES[::4] else pytest.mark.slow) for one in STAGES]


@pytest.mark.parametrize(("stage", "number"), [*((one, signal.SIGTERM) for one in STAGES), *KEY])
def test_a_signal_in_any_stage_ends_the_run_saved_and_soon(children, undisturbed, tmp_path, stage, number):
    job = {"pair": PAIRS[1], "save_every": 60}
    expected, _ = undisturbed(**job)
    ended = children.run(tmp_path / "run", **job, at=[stage, 1, number])
    assert ended.status == [128 + number], ended.errors
    assert list((tmp_path / "run" / ".checkpoints").glob("step-*"))
    assert not (tmp_path / "run" / ".lock").exists()
    assert ended.stopping < 10
    print(f"{number.name} in {stage}: ended after {ended.stopping:.3f} s")
    assert ended_well(children, tmp_path / "run", **job) == expected


HALF = ["step of phase 1", 4]  # the last step of the phase: its second epoch is half done
MOMENTS = {"events after the checkpoint are kept": ["checkpoint", 4]}  # an epoch was told, and is not yet saved


@pytest.mark.parametrize("fault", RESUMING)
def test_a_faulty_resume_is_noticed(children, undisturbed, tmp_path, fault):
    """Without this, the tests above would prove nothing."""
    job = {"pair": PAIRS[1], "save_every": 0}
    expected, _ = undisturbed(**job)
    killed = children.run(tmp_path / "run", **job, at=[*MOMENTS.get(fault, HALF), signal.SIGKILL])
    assert killed.status == [-signal.SIGKILL]
    ended = children.run(tmp_path / "run", **job, fault=fault)
    assert ended.status != [0] or remains(tmp_path / "run") != expected
