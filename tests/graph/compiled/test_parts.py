"""Kernels whose arrays hold a part of the rows give the bits of those that hold all: what workers of a cluster need."""

from itertools import pairwise

import numpy as np
import pytest

from fewlabels.graph import comparable_rows, threads
from fewlabels.graph.compiled import SWITCH, instructions

if instructions() is None:
    pytest.skip("the compiled kernels are not installed", allow_module_level=True)

from fewlabels.graph.compiled import _kernels, clusters
from fewlabels.graph.compiled.search import PANEL, Points, pack, reverse_lists, symmetrize
from tests.graph.compiled.test_search import available, bent

D, K, PROBES, CUTS = 24, 15, 5, (0, 11, 12, 40)  # CUTS: first cluster of each part; the last part ends at all of them


@pytest.fixture(params=available())
def isa(request, monkeypatch):
    monkeypatch.setenv(SWITCH, request.param)
    return instructions()


@pytest.fixture(scope="module")
def whole():
    """3,000 points in the order of their clusters, and what a search of all of them finds."""
    with threads.Team() as team:
        points = Points(bent(3000, D), np.arange(3000))
        found = clusters.make_clusters(points, clusters.make_centres(points, 0, team), PROBES, team, lambda part: None)
        return points.reorder(found.order).at(slice(None)), found


def parts(found):
    """(first cluster, cluster after the last, first point, point after the last) of each part."""
    cuts = [*CUTS, found.start.size - 1]
    return [(a, b, found.start[a], found.start[b]) for a, b in pairwise(cuts)]


def empty_lists(size):
    return np.full((size, K), -7, np.int32), np.full((size, K), -7, np.float32)


def search(rows, panels, found, held, base, probes, lists, first, last, more=False):
    _kernels.search_clusters(
        panels,
        found.start,
        held,
        found.start.size - 1,
        D,
        rows,
        len(rows),
        np.arange(len(rows)),
        1e-5,
        base,
        np.ascontiguousarray(probes),
        probes.shape[1],
        K,
        K + 8,
        more,
        first,
        last,
        *lists,
    )


def search_all(rows, found):
    with threads.Team() as team:
        panels = pack(Points(rows, np.arange(len(rows))), team).flat
    lists = empty_lists(len(rows))
    search(rows, panels, found, None, 0, found.probes, lists, 0, found.start.size - 1)
    return lists


def pack_clusters(rows, found, chosen):
    """Panels of the chosen clusters only, in this order, three places apart, and where each begins."""
    held, at = np.full(found.start.size - 1, -1), 3
    panels = np.zeros((len(rows) // PANEL + chosen.size + 3) * PANEL * D, np.float32)
    for cluster in chosen:
        own = rows[found.start[cluster] : found.start[cluster + 1]]
        _kernels.pack(own, len(own), D, np.arange(len(own)), len(own), at, 0, len(own), panels)
        held[cluster], at = at, at + len(own) + 3
    return panels, held


def test_a_range_of_clusters_is_searched_with_no_more_than_the_clusters_it_probes(isa, whole):
    rows, found = whole
    expected = search_all(rows, found)
    for first, last, begin, end in parts(found):
        probed = np.random.default_rng(0).permutation(np.unique(found.probes[begin:end]))
        panels, held = pack_clusters(rows, found, np.union1d(probed, np.arange(first, last))[::-1])
        lists = empty_lists(end - begin)
        search(rows, panels, found, held, begin, found.probes[begin:end], lists, first, last)
        assert np.array_equal(lists[0], expected[0][begin:end])
        assert np.array_equal(lists[1], expected[1][begin:end])


def test_clusters_that_are_not_held_may_be_searched_in_a_later_wave(isa, whole):
    rows, found = whole
    expected = search_all(rows, found)
    first, last, begin, end = parts(found)[-1]
    own, probes, lists = np.arange(first, last), found.probes[begin:end], empty_lists(end - begin)
    others = np.setdiff1d(np.unique(probes), own)
    for number, wave in enumerate([own, others[::2], others[1::2]]):
        panels, held = pack_clusters(rows, found, np.union1d(own, wave))
        now = np.where(np.isin(probes, wave), probes, -1)
        search(rows, panels, found, held, begin, now, lists, first, last, more=number > 0)
    assert np.array_equal(lists[0], expected[0][begin:end])
    assert np.array_equal(lists[1], expected[1][begin:end])


def test_a_range_whose_own_points_are_not_held_is_refused(whole):
    rows, found = whole
    panels, held = pack_clusters(rows, found, np.arange(5))
    with pytest.raises(ValueError, match="do not hold all clusters"):
        search(rows, panels, found, held, 0, found.probes, empty_lists(3000), 4, 7)
    with pytest.raises(ValueError, match="do not hold all clusters"):
        search(rows, panels, found, held, int(found.start[2]) + 1, found.probes, empty_lists(3000), 2, 5)
    with pytest.raises(ValueError, match=r"panels: .* bytes in items of 4, expected"):
        search(rows, panels[: 2 * PANEL * D], found, held, 0, found.probes, empty_lists(3000), 0, 5)


def reverse_of_part(lists, begin, end, target, last):
    """The reverse neighbours of the rows target to last, as far as the lists of the rows begin to end tell."""
    given = (lists[0][begin:end], lists[1][begin:end], False, begin, end - begin, K, target, target, last)
    count = np.zeros(last - target, np.int32)
    _kernels.count_reverse(*given, count)
    at = np.concatenate([[0], np.cumsum(count, dtype=np.int64)])
    sources, values = np.empty(at[-1], np.int32), np.empty(at[-1], np.float32)
    _kernels.fill_reverse(*given, at[:-1].copy(), at[-1], sources, values)
    return np.repeat(np.arange(target, last), count), sources, values


def gather_offers(lists, found, target, last):
    """The same from the lists of all parts: begin, sources, values."""
    told = [reverse_of_part(lists, begin, end, target, last) for _, _, begin, end in parts(found)]
    row, sources, values = (np.concatenate(each) for each in zip(*told, strict=True))
    order = np.argsort(row, kind="stable")
    begin = np.concatenate([[0], np.cumsum(np.bincount(row - target, minlength=last - target))]).astype(np.int64)
    return begin, sources[order], values[order]


def test_reverse_neighbours_of_a_range_are_gathered_from_the_lists_of_each_part(isa, whole):
    lists = search_all(*whole)
    with threads.Team() as team:
        begin, sources, values = reverse_lists(lists, team)
    for _, _, first, last in parts(whole[1]):
        some = gather_offers(lists, whole[1], first, last)
        span = slice(begin[first], begin[last])
        assert np.array_equal(some[0], begin[first : last + 1] - begin[first])
        assert np.array_equal(some[1], sources[span])
        assert np.array_equal(some[2], values[span])


def test_lists_are_symmetrised_part_by_part(isa, whole):
    lists = search_all(*whole)
    expected = lists[0].copy(), lists[1].copy()
    with threads.Team() as team:
        symmetrize(expected, team)
    assert not np.array_equal(expected[0], lists[0])
    for _, _, first, last in parts(whole[1]):
        offers = gather_offers(lists, whole[1], first, last)
        own = lists[0][first:last].copy(), lists[1][first:last].copy()
        _kernels.merge_lists(*offers, first, last - first, K, 0, last - first, *own)
        assert np.array_equal(own[0], expected[0][first:last])
        assert np.array_equal(own[1], expected[1][first:last])


def weigh(lists, reverse, scale, base):
    """Degrees, and W's rows if there is a scale, of the rows in these lists, the first of which is number base."""
    n = len(lists[0])
    given = (*lists, *reverse, n, K, 2.5, 0.9, 1)
    entries, degree = np.empty(n, np.int64), np.empty(n)
    _kernels.measure_rows(*given, 0, n, entries, degree)
    if scale is None:
        return degree
    pointers = np.concatenate([[0], np.cumsum(entries)]).astype(np.int32)
    columns, weights = np.empty(pointers[-1], np.int32), np.empty(pointers[-1], np.float32)
    _kernels.write_rows(*given, base, 0, n, scale, pointers, columns, weights)
    return degree, pointers, columns, weights


def test_the_affinity_is_weighed_and_normalised_part_by_part(isa, whole):
    lists = search_all(*whole)
    with threads.Team() as team:
        reverse = reverse_lists(lists, team)
    scale = 1 / np.sqrt(weigh(lists, reverse, None, 0))
    degree, pointers, columns, weights = weigh(lists, reverse, scale, 0)
    for _, _, first, last in parts(whole[1]):
        own = (lists[0][first:last], lists[1][first:last])
        part = weigh(own, gather_offers(lists, whole[1], first, last), scale, first)
        span = slice(pointers[first], pointers[last])
        assert np.array_equal(part[0], degree[first:last])
        assert np.array_equal(part[1], pointers[first : last + 1] - pointers[first])
        assert np.array_equal(part[2], columns[span])
        assert np.array_equal(part[3], weights[span])


def test_rows_are_scaled_and_hashed_without_the_others(isa):
    rows = np.random.default_rng(0).normal(size=(90, 7)).astype(np.float32)
    largest, scaled, hashes = scale_and_hash(rows)
    for part in (slice(0, 17), slice(17, 90)):
        some = scale_and_hash(rows[part])
        assert np.array_equal(some[0], largest[part])
        assert np.array_equal(some[1], scaled[part])
        assert np.array_equal(some[2], hashes[part])
    assert np.array_equal(scaled, comparable_rows(rows))


def scale_and_hash(rows):
    n, d = rows.shape
    largest, scaled, hashes = np.empty(n), np.empty((n, d), np.float32), np.empty(n, np.uint64)
    _kernels.largest(rows, n, d, 0, n, largest)
    _kernels.scale_rows(rows, n, d, largest, True, 0, n, scaled)
    _kernels.hash_rows(rows, n, d, 0, n, hashes)
    return largest, scaled, hashes


def test_probes_of_the_previous_graph_are_found_for_a_part_of_the_points(whole):
    found = whole[1]
    pointers = np.arange(0, 3000 * K + 1, K, dtype=np.int32)
    columns, home = search_all(*whole)[0].ravel(), found.home
    given = (pointers, columns, 3000)

    def probe(node):
        probes = np.empty((node.size, 8), np.int32)
        for spread in (0, 4):
            _kernels.probe_previous(
                *given, node, node.size, home, found.start.size - 1, spread, 2, 0, node.size, 8, probes
            )
        return probes

    nodes = np.random.default_rng(0).permutation(3000).astype(np.int32)
    assert np.array_equal(probe(nodes)[700:2100], probe(nodes[700:2100]))
    assert (probe(nodes)[:, 0] == home[nodes]).all()
