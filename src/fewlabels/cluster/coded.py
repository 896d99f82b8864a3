"""The stages of wide rows, whose candidates are chosen by codes: see graph/compiled/coded and codes."""

from __future__ import annotations

import numpy as np

from ..graph.codes import count_candidates, draw_for_basis
from ..graph.compiled import _kernels
from ..graph.compiled.clusters import draw_for_centres
from ..graph.compiled.coded import HeldCodes, Plan, find_centres, search_coded_probes
from ..graph.compiled.codes import Basis, CodePoints, Codes, as_points, encode, search_codes
from ..graph.compiled.codes import make_basis as make_basis_of
from ..graph.compiled.recall import TRUTH_BLOCK, find_true_in, join_true
from ..graph.compiled.search import Lists, Points, pack
from ..graph.recall import Goal
from ..graph.threads import Range, Team
from .layout import Layout, read_layout
from .store import Store

LEAST_SUM = -(2**31) + 1  # below all sums of codes; its key can still be negated

# -- what all workers need for the same codes


def put_points(store: Store, name: str, points: CodePoints, more: tuple[float, ...] = ()) -> None:
    store.put(f"{name}-panels", points.panels)
    store.put(f"{name}-bias", points.bias)
    store.put(f"{name}-numbers", np.array([points.num_points, points.width, *more], np.float64))


def get_points(store: Store, name: str) -> CodePoints:
    num_points, width = store.get(f"{name}-numbers")[:2].astype(int).tolist()
    return CodePoints(store.get(f"{name}-panels"), store.get(f"{name}-bias"), num_points, width)


def get_basis(store: Store) -> Basis:
    factor, step = store.get("basis-numbers")[2:].tolist()
    return Basis(mean=store.get("basis-mean"), points=get_points(store, "basis"), factor=factor, step=step)


def take_rows(store: Store, shard: int, first_point: int, name: str) -> int:
    """The points of a shard whose numbers are in `name`; `first_point` is the number of its first one."""
    leads, chosen = store.get(f"leads-{shard}"), store.get(name)
    own = chosen[(chosen >= first_point) & (chosen < first_point + leads.size)] - first_point
    store.put(f"{name}-rows-{shard}", store.get(f"raw-{shard}")[leads[own]])
    return int(own.size)


def join_rows(store: Store, num_shards: int, name: str) -> np.ndarray:
    return np.concatenate([store.get(f"{name}-rows-{shard}") for shard in range(num_shards)])


def make_basis(store: Store, num_shards: int, size: int, seed: int) -> int:
    """The basis of codes of `size` points, from the sample. Returns how wide codes are."""
    _, rng = draw_for_basis(size, seed)
    with Team() as team:
        basis = make_basis_of(join_rows(store, num_shards, "drawn"), rng, team)
    store.put("basis-mean", basis.mean)
    put_points(store, "basis", basis.points, (basis.factor, basis.step))
    return basis.points.num_points


def make_centres(store: Store, num_shards: int, size: int, seed: int) -> int:
    """Centres of clusters of codes, from the sample. Returns how many there are."""
    _, rng = draw_for_centres(size, seed)
    rows = join_rows(store, num_shards, "chosen")
    with Team() as team:
        codes = encode(Points(rows, np.arange(len(rows))), get_basis(store), team)
        centres = find_centres(codes.queries, size, rng, team)
    put_points(store, "centre", centres)
    return centres.num_points


# -- the sample that recall is measured on, by numbers of points before there are places


def find_truth(store: Store, shard: int, first_point: int, k: int) -> int:
    """The nearest to the sample's rows of the points of a shard, numbers of points."""
    goal = Goal(k, 1.0, store.get("asked"))
    queries, leads, rows = store.get("queries"), store.get(f"leads-{shard}"), store.get(f"raw-{shard}")
    found = [(np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32))]
    with Team() as team:
        for at in range(0, leads.size, TRUTH_BLOCK):
            panels = pack(Points(rows, leads[at : at + TRUTH_BLOCK]), team)
            found = [join_true(goal, [*found, find_true_in(queries, goal, first_point + at, panels, team)])]
    store.put(f"truth-number-{shard}", found[0][0])
    store.put(f"truth-similarity-{shard}", found[0][1])
    return len(queries)


def find_places(store: Store, p: int) -> int:
    """Which of the asked rows are in a partition: writes (which of them, place). Returns how many."""
    layout, row, asked = read_layout(store), store.get(f"row-{p}"), store.get("asked-row")
    order = np.argsort(row)
    at = np.searchsorted(row[order], asked)
    found = (at < row.size) & (row[order[np.minimum(at, row.size - 1)]] == asked)
    pairs = np.stack([np.flatnonzero(found), order[at[found]] + layout.range(p)[0]], axis=1)
    store.put(f"asked-place-{p}", pairs)
    return len(pairs)


def find_candidates(store: Store, p: int, k: int) -> int:
    """The best points of a partition by their codes for each row of the sample: writes places and sums."""
    layout = read_layout(store)
    first, last = layout.range(p)
    sample, basis = store.get("sample"), get_basis(store)
    most = count_candidates(k, layout.size)
    rows = store.get("sample-rows")
    place = np.empty((len(rows), 0), np.int64)
    total = np.empty((len(rows), 0), np.int64)
    with Team() as team:
        queries = encode(Points(rows, np.arange(len(rows))), basis, team).queries
        for at in range(0, last - first, TRUTH_BLOCK):
            codes = _get_codes(store, p, at, min(at + TRUTH_BLOCK, last - first))
            points = as_points(codes, basis, team)
            sums = np.empty((len(queries), points.num_points), np.int32)
            _kernels.multiply_codes(
                queries, len(queries), points.width, points.panels, points.bias, points.num_points, sums
            )
            numbers = np.broadcast_to(np.arange(points.num_points) + first + at, sums.shape)
            place, total = _keep_best(
                sample, np.concatenate([place, numbers], axis=1), np.concatenate([total, sums], axis=1), most
            )
    store.put(f"candidates-{p}", np.stack([place, total]))
    return int(place.shape[1])


def join_candidates(store: Store, layout: Layout, k: int) -> np.ndarray:
    """(q, most) places of the best of all partitions."""
    parts = [store.get(f"candidates-{p}") for p in range(layout.num_partitions)]
    whole = np.concatenate(parts, axis=2)
    return _keep_best(store.get("sample"), whole[0], whole[1], count_candidates(k, layout.size))[0]


def _keep_best(sample: np.ndarray, place: np.ndarray, total: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest sums of each row, of equal ones the smaller places; a row itself is left out. place: ascending."""
    total, most = np.where(place == sample[:, None], LEAST_SUM, total), min(most, place.shape[1])
    key = (total << 32) + (2**31 - 1 - place)  # of equal sums the smaller place has the larger key
    best = np.argpartition(key, place.shape[1] - most, axis=1)[:, place.shape[1] - most :]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(key, best, axis=1), axis=1), axis=1)
    return np.take_along_axis(place, best, axis=1), np.take_along_axis(total, best, axis=1)


# -- search


def _get_codes(store: Store, p: int, first: int, last: int) -> Codes:
    return Codes(store.get(f"codes-{p}", first, last), store.get(f"along-{p}", first, last))


def find_probes(store: Store, p: int, num_probes: int, team: Team) -> np.ndarray:
    """(m, num_probes) the clusters that each row of a partition probes."""
    return search_codes(store.get(f"codes-{p}"), get_points(store, "centre"), num_probes, team)


def search_held(
    store: Store,
    points: Points,
    start: np.ndarray,
    probes: np.ndarray,
    homes: Range,
    plan: Plan,
    team: Team,
) -> Lists:
    """The nearest of the points held for those of some home clusters. k is that of `plan`'s task, in the store."""
    basis = get_basis(store)
    codes = encode(points, basis, team)
    held = HeldCodes(points, start, codes.queries, as_points(codes, basis, team))
    return search_coded_probes(held, probes, plan, int(store.get("k")[0]), team, homes=homes)
