"""Embeddings in files, and what one machine says of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fewlabels.cluster.labels import Answering, read_answers
from fewlabels.cluster.layout import read_layout
from fewlabels.cluster.propagate import Task
from fewlabels.cluster.store import Store
from fewlabels.data.tables.embeddings import open_embeddings
from fewlabels.graph import GraphSettings, propagate

SETTINGS = GraphSettings(n_neighbors=10, recall=0.97)


def blobs(n=2600, d=12, classes=4, seed=0):
    """Rows in 40 blobs, whose labels go by blob; 3 labels a class."""
    rng = np.random.default_rng(seed)
    centre, home = rng.normal(size=(40, d)), rng.integers(0, 40, n)
    rows = (centre[home] + 0.8 * rng.normal(size=(n, d))).astype(np.float32)
    labels = np.full(n, -1)
    for number in range(classes):
        labels[rng.choice(np.flatnonzero(home % classes == number), 3, replace=False)] = number
    return rows, labels


def odd_blobs(n=2600):
    """With 2 % equal rows, rows of zeros (one of them labelled), and an island."""
    rows, labels = blobs(n)
    rng = np.random.default_rng(1)
    again = rng.choice(n, n * 60 // 2600, replace=False)
    rows[again] = rows[rng.choice(n, again.size)]
    rows[[17, 1000, 2500]] = 0
    labels[1000] = 2
    rows = np.hstack([rows, np.zeros((len(rows), 1), np.float32)])
    rows[100:160] = 0.02 * rng.normal(size=(60, 13)) + np.eye(13)[12]  # an island: nobody else is near
    labels[100:160] = -1
    return rows, labels


def save(folder, rows, labels, **settings):
    np.save(folder / "rows.npy", rows)
    return Task(
        source=open_embeddings(folder / "rows.npy"),
        codes=labels,
        class_names=[f"class {number}" for number in range(labels.max() + 1)],
        settings=settings.get("settings", SETTINGS),
        out=folder / settings.get("out", "out"),
        auto=settings.get("auto"),
        keep=True,
    )


def read_table(out):
    tables = [pq.read_table(path) for path in sorted(out.glob("part-*.parquet"))]
    whole = pa.concat_tables(tables)
    columns = {name: whole[name].to_pylist() for name in whole.column_names}
    order = np.argsort(np.array(columns["id"]).astype(int))
    return {name: [values[at] for at in order] for name, values in columns.items()}


def read_z(work, task, num_rows):
    """(n, c) Z of each row, and the node of each row."""
    store = Store(str(work))
    layout = read_layout(store)
    asked = Answering(len(task.class_names), task.settings, task.class_names, "", 0)
    z, node = np.full((num_rows, len(task.class_names)), np.nan, np.float32), np.full(num_rows, -1)
    for p in range(layout.num_partitions):
        found, rows, at = read_answers(store, p, asked)
        z[rows], node[rows] = found[at], at + layout.nodes(p)[0]
    return z, node


def on_one_machine(task, rows):
    return propagate(rows, task.codes, task.settings, class_names=task.class_names)


def same_as(task, work, single):
    """Assert that Z, the nodes and the labels of the run in `work` are those of one machine, bit for bit."""
    z, node = read_z(work, task, task.codes.size)
    table, found = read_table(task.out), single.pseudo_labels
    assert np.array_equal(node, single.graph.node)
    assert z.tobytes() == single.z[single.graph.node].astype(np.float32).tobytes()
    names = [task.class_names[label] if label >= 0 else None for label in found.label]
    assert table["label"] == names
    assert np.array_equal(np.array(table["certainty"], np.float32), found.certainty.astype(np.float32))
    assert table["reached"] == found.reached.tolist()
    source = np.where(task.codes >= 0, "given", np.where(found.reached, "propagated", "none"))
    assert table["source"] == source.tolist()
