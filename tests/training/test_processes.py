"""Several processes train one network: the same targets, the same weights, and they end together."""

import json
import random
import signal

import pytest

from fewlabels.cli.main import run
from tests.training.children import remains

PAIR = ["mean_teacher", "mt_lp"]
JOB = {"pair": PAIR, "size": 2, "save_every": 0}


@pytest.fixture(scope="module")
def whole(children, tmp_path_factory):
    """What remains of a run of two processes that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    ended = children.run(folder, **JOB, noted=True)
    assert ended.status == [0, 0], ended.errors
    return remains(folder), ended


def notes(ended):
    """What each process told: hashes of its weights after every epoch and of its targets, and the losses."""
    return [[json.loads(line) for line in text.splitlines() if line.startswith("{")] for text in ended.errors]


def test_processes_have_the_same_weights_targets_and_losses(whole):
    first, second = notes(whole[1])
    assert [note["weights"] for note in first if "weights" in note] != []
    assert first == second


def test_processes_have_the_same_weights_and_targets_with_strong_views_too(children, tmp_path):
    ended = children.run(tmp_path / "run", pair=["match", "match_lp"], size=2, noted=True)
    assert ended.status == [0, 0], ended.errors
    first, second = notes(ended)
    assert [note["weights"] for note in first if "weights" in note] != []
    assert first == second


def test_a_run_in_two_processes_gives_the_same_bytes_again(children, whole, tmp_path):
    ended = children.run(tmp_path / "run", **JOB)
    assert ended.status == [0, 0], ended.errors
    assert remains(tmp_path / "run") == whole[0]


def test_two_processes_give_the_same_targets_as_one_for_the_same_weights(children, tmp_path):
    found = []
    for size in (1, 2, 3):
        job = {"pair": ["lp", "lp"], "size": size, "rows": 120, "noted": True}
        ended = children.run(tmp_path / f"run {size}", **job)
        assert ended.status == [0] * size, ended.errors
        found += [next(note["targets"] for note in part if "targets" in note) for part in notes(ended)]
    assert len(found) == 6
    assert len(set(found)) == 1  # of the first epoch, by weights that are drawn from the seed


def test_the_first_loss_is_that_of_one_process(children, tmp_path):
    """Without dropout and batch norm, which see a process's own rows. 22 rows are 11 + 11, or 8 + 7 + 7."""
    losses = []
    for size in (1, 2, 3):
        ended = children.run(tmp_path / f"run {size}", pair=PAIR, size=size, plain=True)
        assert ended.status == [0] * size, ended.errors
        losses.append([one["loss"] for one in remains(tmp_path / f"run {size}")["events.jsonl"] if "loss" in one])
    for several in losses[1:]:
        assert several[0] == pytest.approx(losses[0][0], rel=1e-5)
        assert several[:2] == pytest.approx(losses[0][:2], rel=1e-3)


@pytest.mark.lane("F5")
def test_where_one_cannot_propagate_all_end_with_its_message(children, tmp_path):
    ended = children.run(tmp_path / "run", pair=["supervised", "lp"], size=2, fault="the graph cannot be built")
    assert ended.status == [2, 3]
    assert "FL-G1 a graph that cannot be" in ended.errors[0]
    assert "FL-X13 the first process failed; see its message" in ended.errors[1]
    assert ended.seconds < 30


@pytest.mark.lane("F5")
def test_where_the_first_cannot_write_all_end(children, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    ended = children.run(tmp_path, **JOB, resume=False)
    assert ended.status == [2, 3]
    assert "FL-C9" in ended.errors[0]
    assert "FL-X13 the first process failed" in ended.errors[1]


@pytest.mark.lane("F5")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_other_with_one_line_and_the_run_goes_on(children, whole, tmp_path, rank):
    rng = random.Random(rank)
    expected, undisturbed = whole
    for number in range(3):
        folder = tmp_path / str(number)
        moment = rng.uniform(0.3, 0.8) * undisturbed.seconds  # on a busy machine perhaps before they have met
        ended = children.run(folder, **JOB, kill=[rank, moment], timeout=6)
        if ended.status != [0, 0]:
            assert ended.status[rank] == -signal.SIGKILL
        if ended.status[1 - rank] == 0:  # only where the run was over before the other was killed
            assert (folder / "manifest.json").exists()
        else:
            assert ended.status[1 - rank] == 3, ended.errors
            assert "error: FL-X13 another process is gone or silent" in ended.errors[1 - rank]
            assert "Traceback" not in ended.errors[1 - rank]
        again = children.run(folder, **JOB)
        assert again.status == [0, 0], again.errors
        assert remains(folder) == expected


@pytest.mark.lane("F5")
def test_a_process_that_is_silent_ends_the_other_after_the_timeout(children, tmp_path):
    at = ["step of phase 0", 2, signal.SIGSTOP]
    ended = children.run(tmp_path / "run", **JOB, at=at, timeout=2)
    assert ended.status == [-signal.SIGKILL, 3], ended.errors  # the silent one is killed by the test in the end
    assert "FL-X13 another process is gone or silent" in ended.errors[1]


@pytest.mark.lane("F5")
@pytest.mark.parametrize("stage", ["step of phase 0", "propagation: solve", "final propagation: solve"])
def test_a_signal_to_one_process_stops_all_and_the_run_goes_on(children, whole, tmp_path, stage):
    ended = children.run(tmp_path / "run", **JOB, at=[stage, 1, signal.SIGTERM])
    assert ended.status == [143, 143], ended.errors
    assert all("FL-D7 stopped by SIGTERM" in text for text in ended.errors)
    assert "torchrun --nproc-per-node 2 -m fewlabels" in ended.errors[0]
    again = children.run(tmp_path / "run", **JOB)
    assert again.status == [0, 0], again.errors
    assert remains(tmp_path / "run") == whole[0]


def test_another_number_of_processes_is_another_run(children, tmp_path):
    stopped = children.run(tmp_path / "run", **JOB, at=["step of phase 0", 1, signal.SIGTERM])
    assert stopped.status == [143, 143]
    ended = children.run(tmp_path / "run", **JOB | {"size": 1})
    assert ended.status == [2]
    assert "FL-C12 the run cannot go on to the same bytes: world_size: 2 there, 1 now" in ended.errors[0]


def test_several_seeds_are_not_run_by_several_processes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(["demo", "--seeds", "2", "--out", str(tmp_path / "run")]) == 2
    assert "FL-C13 2 seeds in several processes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
