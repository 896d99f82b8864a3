"""A propagation over partitions gives the bits of one machine."""

import warnings
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fewlabels.graph.compiled import instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.cluster.engine import InProcess
from fewlabels.cluster.propagate import propagate_parts
from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.errors import ConvergenceWarning, FewlabelsWarning, UnreachedWarning
from tests.cluster import cases


@pytest.mark.parametrize(("blocks", "partitions", "worker_mib"), [(1, 1, 4096), (4, 4, 205), (2, 7, 201), (3, 6, 210)])
def test_the_bits_do_not_depend_on_how_the_rows_are_shared_out(small, tmp_path, blocks, partitions, worker_mib):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels)
    found = propagate_parts(
        task, InProcess(blocks), tmp_path / "work", partitions=partitions, worker_bytes=worker_mib << 20
    )
    single = cases.on_one_machine(task, rows)
    cases.same_as(task, tmp_path / "work", single)
    assert found["cluster"]["partitions"] == partitions
    assert found["solver"]["steps"] == single.solution.num_steps.tolist()
    assert found["solver"]["residual"] == single.solution.residual.tolist()
    assert found["graph"]["num_edges"] == single.graph.affinity.nnz // 2
    assert found["graph"]["num_components"] == single.graph.num_components
    assert found["search"]["recall"] == single.graph.search.recall


def test_equal_rows_rows_of_zeros_and_an_island_are_as_on_one_machine(small, tmp_path):
    rows, labels = cases.odd_blobs()
    task = cases.save(tmp_path, rows, labels)
    with pytest.warns(UnreachedWarning) as here:
        found = propagate_parts(task, InProcess(3), tmp_path / "work", partitions=6, worker_bytes=205 << 20)
    with pytest.warns(UnreachedWarning) as there:
        single = cases.on_one_machine(task, rows)
    cases.same_as(task, tmp_path / "work", single)
    assert [str(one.message) for one in here] == [str(one.message) for one in there]
    assert found["graph"]["num_components"] == single.graph.num_components == 5
    assert found["unreached"] == 62


@pytest.mark.parametrize(
    "settings",
    [
        {"metric": "inner_product"},
        {"mode": "released"},
        {"max_steps": 3, "alpha": 0.9},
        {"gamma": 1.0, "n_neighbors": 30, "recall": 0.999},
    ],
    ids=str,
)
def test_other_settings_give_the_bits_of_one_machine_too(small, tmp_path, settings):
    rows, labels = cases.blobs()
    task = cases.save(tmp_path, rows, labels, settings=replace(cases.SETTINGS, **settings))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = propagate_parts(task, InProcess(2), tmp_path / "work", partitions=3, worker_bytes=205 << 20)
        single = cases.on_one_machine(task, rows)
    cases.same_as(task, tmp_path / "work", single)
    assert (found["solver"]["unresolved"] > 0) == ("max_steps" in settings)


@pytest.mark.parametrize(("width", "recall"), [(128, 0.97), (300, 0.9)])
def test_wide_rows_whose_candidates_are_chosen_by_codes_do_so_too(small, tmp_path, width, recall):
    rows, labels = cases.blobs(d=width)
    rows[50], rows[7] = rows[51], 0
    task = cases.save(tmp_path, rows, labels, settings=replace(cases.SETTINGS, recall=recall))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreachedWarning)
        found = propagate_parts(task, InProcess(2), tmp_path / "work", partitions=4)
        single = cases.on_one_machine(task, rows)
    cases.same_as(task, tmp_path / "work", single)
    assert found["search"]["recall"] == single.graph.search.recall
    assert found["search"]["num_probes"] == single.graph.search.num_probes


def test_rows_that_are_far_from_every_label_are_filled_ring_by_ring_over_partitions(small, tmp_path):
    angle = np.linspace(0, 3, 2600)  # a thread: mass travels 10 neighbours a step
    rows = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1).astype(np.float32)
    labels = np.full(2600, -1)
    labels[[0, 40]] = [0, 1]
    task = cases.save(tmp_path, rows, labels, settings=replace(cases.SETTINGS, alpha=0.5))
    found = propagate_parts(task, InProcess(2), tmp_path / "work", partitions=5, worker_bytes=205 << 20)
    assert found["solver"]["unresolved"] > 1000
    cases.same_as(task, tmp_path / "work", cases.on_one_machine(task, rows))


def test_parquet_parts_with_ids_and_bad_rows(small, tmp_path):
    rows, labels = cases.blobs()
    rows[[5, 2000]] = np.nan
    folder = tmp_path / "parts"
    folder.mkdir()
    ids = [f"item {number}" for number in range(len(rows))]
    for number, part in enumerate(np.array_split(np.arange(len(rows)), 3)):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(rows[part].ravel()), rows.shape[1])
        pq.write_table(pa.table({"id": [ids[at] for at in part], "embedding": lists}), folder / f"p{number}.parquet")
    settings = replace(cases.SETTINGS, drop_bad_rows=True)
    task = replace(cases.save(tmp_path, rows, labels, settings=settings), source=open_embeddings(folder))
    with pytest.warns(FewlabelsWarning) as here:
        propagate_parts(task, InProcess(2), tmp_path / "work", partitions=2)
    with pytest.warns(FewlabelsWarning) as there:
        single = cases.on_one_machine(task, rows)
    assert sorted(str(one.message) for one in here) == sorted(str(one.message) for one in there)
    table = pa.concat_tables(pq.read_table(path) for path in sorted(task.out.glob("*.parquet")))
    label = dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert label == {
        name: task.class_names[code] if code >= 0 else None
        for name, code in zip(ids, single.pseudo_labels.label.tolist(), strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("make", [cases.blobs, cases.odd_blobs], ids=["plain", "odd"])
@pytest.mark.parametrize(("blocks", "partitions"), [(4, 4), (2, 7), (3, 6)])
def test_twenty_thousand_rows_have_the_bits_of_one_machine(tmp_path, make, blocks, partitions):
    rows, labels = make(n=20_000)
    task = cases.save(tmp_path, rows, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreachedWarning)
        propagate_parts(task, InProcess(blocks), tmp_path / "work", partitions=partitions)
        single = cases.on_one_machine(task, rows)
    cases.same_as(task, tmp_path / "work", single)
