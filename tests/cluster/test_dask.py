"""On a Dask cluster: the bits of one machine, whoever is killed meanwhile."""

import os
import pickle
import signal
import warnings

import numpy as np
import pytest

from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)
pytest.importorskip("distributed")

from distributed import Client, LocalCluster

from fewlabels.cluster import dask_engine
from fewlabels.cluster.dask_engine import DaskEngine, local_engine
from fewlabels.cluster.engine import InProcess
from fewlabels.cluster.propagate import propagate_parts
from fewlabels.errors import EmbeddingError, GraphError, UnreachedWarning
from tests.cluster import cases


def test_workers_in_one_process_give_the_bits_of_one_machine(small, tmp_path):
    rows, labels = cases.odd_blobs()
    task = cases.save(tmp_path, rows, labels)
    with (
        LocalCluster(n_workers=3, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        Client(cluster, set_as_default=False) as client,
        client.as_current(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UnreachedWarning)
        found = propagate_parts(task, DaskEngine(client), tmp_path / "work", partitions=4)
        single = cases.on_one_machine(task, rows)
    cases.same_as(task, tmp_path / "work", single)
    assert found["solver"]["residual"] == single.solution.residual.tolist()


def test_an_error_of_a_task_comes_back_whole(small, tmp_path):
    rows, labels = cases.blobs()
    rows[5] = np.nan
    task = cases.save(tmp_path, rows, labels)
    error = pickle.loads(pickle.dumps(GraphError("G4", "negative degree", rows=[1, 2], do="use paper")))
    assert (error.code, error.rows, str(error)) == (
        "FL-G4",
        [1, 2],
        str(GraphError("G4", "negative degree", rows=[1, 2], do="use paper")),
    )
    with pytest.raises(EmbeddingError, match="FL-E1 "):
        propagate_parts(task, InProcess(), tmp_path / "work", partitions=4)


def test_workers_of_this_machine_leave_its_environment_as_it_was(tmp_path):
    before = dict(os.environ)
    with local_engine(tmp_path, 1, 1 << 30):
        pass
    assert dict(os.environ) == before


def test_two_workers_give_the_bits_of_one_machine_also_if_one_is_killed_in_the_search_and_one_in_the_solve(
    small, tmp_path, monkeypatch
):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels)
    killed, steps, advance = [], [], dask_engine._Actors.advance

    def kill(stage):
        killed.append(stage)
        os.kill(sorted(engine.client.run(os.getpid).values())[-1], signal.SIGKILL)

    def kill_in_the_third_step(fleet, length):
        steps.append(length)
        if len(steps) == 3:
            kill("solve")
        return advance(fleet, length)

    monkeypatch.setattr(dask_engine._Actors, "advance", kill_in_the_third_step)
    with local_engine(tmp_path / "scratch", 2, 1 << 30) as engine:
        found = propagate_parts(
            task,
            engine,
            tmp_path / "work",
            partitions=5,
            on_progress=lambda stage, share: kill(stage) if stage == "search-0" and not killed else None,
        )
    assert killed == ["search-0", "solve"]
    assert found["cluster"]["restarts"] <= 1  # none where the fleet was seen whole again in time
    cases.same_as(task, tmp_path / "work", cases.on_one_machine(task, rows))
