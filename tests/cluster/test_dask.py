"""On a Dask cluster: the bits of one machine, whoever is killed meanwhile."""

import os
import signal

import pytest

from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)
pytest.importorskip("distributed")

from fewlabels.cluster.dask_engine import local_engine
from fewlabels.cluster.propagate import propagate_parts
from tests.cluster import cases


def test_two_workers_give_the_bits_of_one_machine_also_if_one_is_killed_in_the_search_and_one_in_the_solve(
    small, tmp_path
):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels)
    killed = []
    with local_engine(tmp_path / "scratch", 2, 1 << 30) as engine:

        def kill(stage, share):
            if stage in ("search-0", "solve") and stage not in killed:
                killed.append(stage)
                os.kill(sorted(engine.client.run(os.getpid).values())[-1], signal.SIGKILL)

        propagate_parts(task, engine, tmp_path / "work", partitions=5, on_progress=kill)
    assert killed == ["search-0", "solve"]
    cases.same_as(task, tmp_path / "work", cases.on_one_machine(task, rows))
