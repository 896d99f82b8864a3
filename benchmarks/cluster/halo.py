"""Halo shares: how many nodes of others the rows of a partition lead to, for each node of its own. See docs/scale.md.

    python -m benchmarks.cluster.halo rows.npy [--neighbors 20] [--recall 0.95] [--partitions 4 16 64]

rows.npy: descriptors, or .npz with `train`; `noise:50000x64`: Gaussian noise, which forms no clusters.
"""

from __future__ import annotations

import argparse

import numpy as np

from fewlabels.cluster.layout import share_out
from fewlabels.graph import Graph, GraphSettings, build_graph


def read(name: str) -> np.ndarray:
    if name.startswith("noise:"):
        n, d = map(int, name.removeprefix("noise:").split("x"))
        return np.random.default_rng(0).standard_normal((n, d), np.float32)
    found = np.load(name)
    return np.asarray(found if isinstance(found, np.ndarray) else found["train"])


def measure(graph: Graph, partitions: int) -> tuple[float, float]:
    """Mean over the partitions of nodes of others for each own node, and the share of edges that lead there."""
    assert graph.groups is not None
    layout = share_out(graph.groups, partitions, 0)
    w, others, edges = graph.affinity, [], 0
    for p in range(layout.num_partitions):
        first, last = layout.range(p)
        columns = w.indices[w.indptr[first] : w.indptr[last]]
        foreign = columns[(columns < first) | (columns >= last)]
        others.append(np.unique(foreign).size / (last - first))
        edges += foreign.size
    return float(np.mean(others)), edges / w.nnz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    parser.add_argument("--neighbors", type=int, default=20)
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--partitions", type=int, nargs="*", default=[4, 16, 64])
    asked = parser.parse_args()
    rows = read(asked.rows)
    graph = build_graph(rows, GraphSettings(n_neighbors=asked.neighbors, recall=asked.recall))
    edges = graph.affinity.nnz / 2 / len(rows)
    print(f"{rows.shape[0]:,} x {rows.shape[1]:,}, k = {asked.neighbors}, {edges:.1f} edges a row")
    for partitions in asked.partitions:
        halo, share = measure(graph, partitions)
        print(f"{partitions:3d} partitions: {halo:.2f} nodes of others a node, {100 * share:.0f} % of the edges")


if __name__ == "__main__":
    main()
