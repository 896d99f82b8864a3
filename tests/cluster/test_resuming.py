"""A run that was stopped goes on where it was, and does nothing twice."""

from dataclasses import replace

import numpy as np
import pytest

from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.cluster.engine import InProcess
from fewlabels.cluster.propagate import propagate_parts
from fewlabels.cluster.store import Journal, Store
from fewlabels.errors import ConfigError, GraphError, StorageError
from tests.cluster import cases


class Stopped(Exception):
    pass


class Counted(InProcess):
    """Says which tasks it ran, and stops after some."""

    def __init__(self, most):
        super().__init__(2)
        self.most, self.ran = most, []

    def each(self, function, tasks, on_done):
        def count(number, found):
            on_done(number, found)
            self.ran.append((function.__name__, str(tasks[number][1:])))
            if len(self.ran) == self.most:
                raise Stopped

        super().each(function, tasks, count)


def test_a_run_that_is_stopped_after_every_fifth_task_does_none_twice_and_ends_in_the_same_bits(small, tmp_path):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels)
    ran = []
    while True:
        engine = Counted(5)
        try:
            propagate_parts(task, engine, tmp_path / "work", partitions=3)
        except Stopped:
            ran += engine.ran
            continue
        ran += engine.ran
        break
    assert len(ran) == len(set(ran)) > 30
    cases.same_as(task, tmp_path / "work", cases.on_one_machine(task, rows))


def test_a_run_that_is_done_says_what_it_found_and_leaves_no_large_files(small, tmp_path):
    rows, labels = cases.blobs()
    task = replace(cases.save(tmp_path, rows, labels), keep=False)
    found = propagate_parts(task, InProcess(), tmp_path / "work", partitions=3)
    assert not list((tmp_path / "work").glob("*.npy"))
    engine = Counted(100)
    assert propagate_parts(task, engine, tmp_path / "work", partitions=3) == found
    assert engine.ran == []
    (task.out / "part-00001.parquet").unlink()
    with pytest.raises(ConfigError, match=r"FL-C140 .* its tables are gone"):
        propagate_parts(task, InProcess(), tmp_path / "work", partitions=3)


def test_a_run_goes_on_with_other_workers_and_the_partitions_that_it_had(small, tmp_path):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels)
    with pytest.raises(Stopped):
        propagate_parts(task, Counted(20), tmp_path / "work", worker_bytes=230 << 20)
    found = propagate_parts(task, InProcess(5), tmp_path / "work", worker_bytes=900 << 20)
    assert found["cluster"]["partitions"] == 2
    cases.same_as(task, tmp_path / "work", cases.on_one_machine(task, rows))


def test_a_line_that_a_kill_cut_off_counts_as_not_written(small, tmp_path):
    journal = Journal(Store(str(tmp_path)), "search")
    journal.add(0, [1.5])
    with journal.path.open("a") as file:
        file.write('{"task": 1, "fou')
    assert journal.read() == {0: [1.5]}
    journal.add(2, None)
    assert journal.read() == {0: [1.5], 2: None}


def test_a_folder_of_another_task_or_with_something_else_in_it_is_refused(small, tmp_path):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels)
    with pytest.raises(Stopped):
        propagate_parts(task, Counted(1), tmp_path / "work", partitions=3)
    other = replace(task, settings=replace(task.settings, alpha=0.5))
    with pytest.raises(ConfigError, match=r"FL-C140 .*other settings"):
        propagate_parts(other, InProcess(), tmp_path / "work", partitions=3)
    with pytest.raises(ConfigError, match=r"FL-C140 .*such as rows\.npy"):
        propagate_parts(task, InProcess(), tmp_path, partitions=3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"recall": "exact"}, "all pairs"), ({"precision": "double"}, "float64")],
)
def test_what_only_one_machine_does_is_refused_before_anything_is_written(small, tmp_path, settings, said):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels, settings=replace(cases.SETTINGS, **settings))
    with pytest.raises(GraphError, match=f"FL-G30 .*{said}"):
        propagate_parts(task, InProcess(), tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_solver_that_does_not_fit_is_refused_before_the_search(small, tmp_path):
    rows, labels = cases.blobs()
    with pytest.raises(StorageError, match="FL-G21 the solver takes about"):
        propagate_parts(cases.save(tmp_path, rows, labels), InProcess(), tmp_path / "work", worker_bytes=200 << 20)


def test_few_rows_are_answered_as_one_machine_does(small, tmp_path):
    rows, labels = cases.blobs(n=700)
    task = cases.save(tmp_path, rows, labels)
    propagate_parts(task, InProcess(), tmp_path / "work")
    found = cases.on_one_machine(task, rows).pseudo_labels
    table = cases.read_table(task.out)
    assert table["label"] == [task.class_names[label] for label in found.label]
    assert np.array_equal(np.array(table["certainty"], np.float32), found.certainty.astype(np.float32))
