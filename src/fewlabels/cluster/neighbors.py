"""The neighbours of all rows, over partitions: which stages search, and how often, until the recall is reached."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.codes import find_among
from ..graph.compiled.affinity import Power
from ..graph.compiled.clusters import rank_clusters
from ..graph.compiled.coded import TRIES, Shape, choose_plan, rank_truth
from ..graph.compiled.codes import encode
from ..graph.compiled.search import Points
from ..graph.neighbors import count_neighbors
from ..graph.recall import Goal, Share, choose_num_probes, draw_sample, summarize
from ..graph.settings import CODES_FROM, GraphSettings
from ..graph.threads import Team
from . import affinity, coded, rows, search
from .demands import Sizes, codes_tell_too_little, demand_clusters, demand_held
from .layout import Layout
from .run import Run
from .store import Store


def find_neighbors(run: Run, settings: GraphSettings, layout: Layout, sizes: Sizes, width: int) -> affinity.Powered:
    """Probe the clusters nearest to each row until the recall is reached, as on one machine. width: of a row."""
    if width >= CODES_FROM:
        return _search_coded(run, settings, layout, sizes, width)
    store, every = run.store, range(layout.num_partitions)
    k, recall = count_neighbors(settings.n_neighbors, layout.size), settings.search_recall
    assert recall != "exact"  # as demand_known has seen

    def ask() -> int:
        sample = draw_sample(layout.size, settings.seed)
        store.put("sample", sample)
        store.put("queries", rows.read_rows_at(store, layout, sample))
        return int(sample.size)

    run.once("ask", ask)
    run.each("truth", search.find_truth, [(store, p, k) for p in every])
    truth = search.join_truth(store, layout, k)
    store.put("truth", truth)
    with Team() as team:
        rank = rank_clusters(store.get("centre"), store.get("queries"), layout.cluster_of(truth), team)
    done, number, reached = 0, 0, Share(0, 0)
    while reached.mean - reached.error < recall:
        enough = choose_num_probes(rank, recall, done)
        demand_clusters(enough, layout)
        probing = search.Probing(k, done, enough, number, run.facts["longest"], sizes.held_rows)
        reached, told = _search_round(run, layout, probing)
        done, number = enough, number + 1
    run.facts |= {"recall": reached.mean, "num_probes": done, "n_neighbors": k}
    return _power(settings, told, number - 1)


def _search_coded(run: Run, settings: GraphSettings, layout: Layout, sizes: Sizes, width: int) -> affinity.Powered:
    """Codes choose candidates in the nearest clusters, more of both each time, until the recall is reached."""
    store, every = run.store, range(layout.num_partitions)
    k, recall = int(store.get("k")[0]), settings.search_recall
    assert recall != "exact"  # as demand_known has seen
    run.each("places", coded.find_places, [(store, p) for p in every])

    def ask() -> int:
        pairs = np.concatenate([store.get(f"asked-place-{p}") for p in every])
        place = np.empty(len(pairs), np.int64)
        place[pairs[:, 0]] = pairs[:, 1]
        count = store.size("asked")
        store.put("asked-places", place[:count])
        store.put("sample", place[:count])
        store.put("truth", place[count:].reshape(count, -1))
        store.put("sample-rows", store.get("queries"))
        return count

    run.once("ask", ask)
    run.each("candidates", coded.find_candidates, [(store, p, k) for p in every])
    sample, truth, rows_of = store.get("sample"), store.get("truth"), store.get("sample-rows")
    centres, basis = coded.get_points(store, "centre"), coded.get_basis(store)
    with Team() as team:
        queries = encode(Points(rows_of, np.arange(len(rows_of))), basis, team).queries
        rank = rank_truth(queries, centres, layout.cluster_of(truth).astype(np.int32), team)
    position = find_among(coded.join_candidates(store, layout, k), truth, layout.size)
    shape = Shape(layout.size, layout.start.size - 1, basis.points.num_points, width)
    plan = choose_plan(rank, position, Goal(k, recall, sample), shape)
    for number in range(TRIES if plan is not None else 0):
        assert plan is not None  # as the line before has seen
        demand_held(plan.probes, layout, sizes)
        probing = search.Probing(k, 0, plan.probes, number, 0.0, sizes.held_rows, plan.candidates)
        reached, told = _search_round(run, layout, probing)
        if reached.mean >= recall and not any(found["missing"] for found in told):
            run.facts |= {"recall": reached.mean, "num_probes": plan.probes, "n_neighbors": k}
            return _power(settings, told, number)
        plan = plan.widen(centres.num_points)
    raise codes_tell_too_little(recall)


def _search_round(run: Run, layout: Layout, probing: search.Probing) -> tuple[Share, list[Any]]:
    store, number = run.store, probing.round
    tasks = [(store, p, probing) for p in range(layout.num_partitions)]
    run.facts["rows_read"] = sum(run.each(f"search-{number}", search.search, tasks))
    told = run.each(f"exchange-{number}", search.exchange, tasks)
    for name in ("near", "offers", *([f"lists{number - 1}"] if number else [])):
        store.remove(f"{name}*")
    return summarize(np.concatenate([np.array(found["shares"]) for found in told])), told


def _power(settings: GraphSettings, told: list[Any], number: int) -> affinity.Powered:
    clips = settings.rules.clip_negative
    largest = max(found["largest"][0 if clips else 1] for found in told)
    return affinity.Powered(number, Power(settings.gamma, largest, clips))


def shorten(store: Store, p: int, powered: affinity.Powered, most: int) -> int:
    """The first `most` of each list of a partition, in a store of their own."""
    name = f"lists{powered.round}"
    index, similarity = search.read_lists(store, name, p)
    search.write_lists(store, name, p, (index[:, :most], similarity[:, :most]))
    return min(most, int(index.shape[1]))
