"""What is too large to be counted or inverted whole."""

import warnings

import numpy as np
import pytest

from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.cluster import affinity, blocks, demands
from fewlabels.cluster.engine import InProcess
from fewlabels.cluster.propagate import propagate_parts
from fewlabels.errors import GraphError, UnreachedWarning
from tests.cluster import cases


def test_too_many_unknowns_of_the_coarse_space_are_merged_and_the_answer_stays(small, tmp_path, monkeypatch):
    rows, labels = cases.odd_blobs()
    task = cases.save(tmp_path, rows, labels)
    monkeypatch.setattr(affinity, "MOST_UNKNOWN", 25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreachedWarning)
        single = cases.on_one_machine(task, rows)
        found = propagate_parts(task, InProcess(2), tmp_path / "work", partitions=5)
    groups = single.graph.groups.size - 1
    assert groups > 64  # there is a coarse space at all
    assert found["solver"]["converged"] == [True] * 4
    z, node = cases.read_z(tmp_path / "work", task, len(rows))
    assert np.array_equal(node, single.graph.node)
    assert np.abs(z - single.z[single.graph.node]).max() < 1e-4 * single.z.max()
    assert cases.read_table(task.out)["reached"] == single.pseudo_labels.reached.tolist()
    assert max(found["solver"]["steps"]) < 2 * single.solution.num_steps.max()


def test_entries_that_kernels_cannot_count_are_refused_before_and_within_the_solver(small, tmp_path, monkeypatch):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels)
    monkeypatch.setattr(demands, "MOST_ENTRIES", 10_000)
    with pytest.raises(GraphError, match=r"FL-G30 about .* use [0-9]+ workers or more"):
        propagate_parts(task, InProcess(2), tmp_path / "work", partitions=3)
    assert not (tmp_path / "work").exists()
    monkeypatch.setattr(demands, "MOST_ENTRIES", 2**31 - 1)
    monkeypatch.setattr(blocks, "MOST_ENTRIES", 10_000)
    with pytest.raises(GraphError, match=r"FL-G30 .* entries of W in one worker"):
        propagate_parts(task, InProcess(2), tmp_path / "work", partitions=3)


def test_pairs_of_nodes_are_keyed_in_64_bits():
    """link_others numbers (own part, other part) as one whole number, for up to 2^31 - 1 nodes."""
    part, most = np.array([demands.MOST_ROWS - 1]), demands.MOST_ROWS
    assert part.dtype == np.int64
    key = part * most + part
    assert (key // most, key % most) == (part, part)
