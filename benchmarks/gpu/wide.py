"""Seconds to find the 50 nearest others of wide rows on a GPU in two stages, beside its exact search and the CPU.

    python -m benchmarks.gpu.wide                                 # 50,000 x 1,280 at recall .995, on "cuda"
    python -m benchmarks.gpu.wide --device cpu --rows 900 --dimensions 300 --classes 3 --repeat 1

Claim to test: at a recall of .995 or more two stages take less than a quarter of the time of comparing all pairs on the
device, and less than the CPU's search in two stages. Rows have 64 hidden dimensions, ten classes
(benchmarks/common/data.py), and lie on the device. A cell is one way: a first call, then the median of --repeat more,
the CPU's too. The recall is that of 500 rows that the search did not choose by; `agreement` holds all lists of two
stages against all exact ones. Cells, time limit, resuming and what comes back in $OUT are as in graph.py. Where the
compiled kernels are absent the CPU compares all pairs by NumPy, and the table says so.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.common import data
from benchmarks.common.data import CACHE, Case
from benchmarks.gpu.graph import ROOT, Cells, origin, wait
from fewlabels.graph import nearest_neighbors
from fewlabels.graph.compiled import instructions
from fewlabels.graph.cuda import coded, neighbors
from fewlabels.graph.cuda.rows import full_precision
from fewlabels.graph.recall import Goal, draw_sample

K, KIND = 50, "hidden64"
TWO_STAGES, EXACT, CPU = "two stages", "exact", "CPU"
Answer = tuple[np.ndarray, float]  # (n, k) numbers of the neighbours, and the recall that is stated


def find_two_stages(rows: torch.Tensor, recall: float) -> Answer:
    with full_precision(rows.device):
        found = coded.search_coded(rows, Goal(K, recall, draw_sample(len(rows), 0)), 0)
    if found is None:
        raise SystemExit("codes tell too little of these rows to reach this recall")
    return found[0].cpu().numpy(), found[2]


def find_exact(rows: torch.Tensor, recall: float) -> Answer:
    with full_precision(rows.device):
        return neighbors.search(rows, K).index.cpu().numpy(), 1.0


def find_on_cpu(rows: np.ndarray, recall: float) -> Answer:
    found = nearest_neighbors(rows, K, recall=recall)
    return found.index, found.recall


WAYS: dict[str, Callable[..., Answer]] = {TWO_STAGES: find_two_stages, EXACT: find_exact, CPU: find_on_cpu}


def measure(way: str, cache: Path, case: Case, recall: float, device: torch.device, repeat: int) -> dict[str, object]:
    """Seconds, recall and memory of one way."""
    held = data.load(case, cache)
    on_gpu = device.type == "cuda" and way != CPU
    rows = held.rows if way == CPU else torch.tensor(held.rows, device=device)
    seconds = []
    for call in range(repeat + 1):
        if on_gpu and call == repeat:
            torch.cuda.reset_peak_memory_stats(device)
        wait(device)
        begun = time.perf_counter()
        index, stated = WAYS[way](rows, recall)
        seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated(device) if on_gpu else None
    return {
        "first_seconds": seconds[0],
        "seconds": float(np.median(seconds[1:] or seconds)),
        "stated_recall": stated,
        "recall": data.recall(index[held.sample], held.exact),
        "peak_device_bytes": peak,
    }


def agreement(cache: Path, case: Case, recall: float, device: torch.device) -> dict[str, object]:
    """How all lists of two stages differ from the exact ones."""
    rows = torch.tensor(data.load(case, cache).rows, device=device)
    found, exact = (find(rows, recall)[0] for find in (find_two_stages, find_exact))
    same = (np.sort(found, axis=1) == np.sort(exact, axis=1)).all(axis=1)
    return {
        "found": data.recall(found, exact),
        "same_neighbors": float(same.mean()),
        "same_but_order_of_near_ties": int((same & (found != exact).any(axis=1)).sum()),
    }


def line(way: str, found: dict | None) -> str:
    if found is None:
        return f"{way:<12} no time left: run again"
    peak = found["peak_device_bytes"]
    figures = f"{found['first_seconds']:>9.3f} {found['seconds']:>9.3f} {found['stated_recall']:>8.4f}"
    memory = "-" if peak is None else f"{peak / 2**20:.0f}"
    return f"{way:<12} {figures} {found['recall']:>8.4f} {memory:>9}" + (
        "  (from before)" if found.get("again") else ""
    )


def conclude(found: dict[str, dict | None], same: dict | None) -> list[str]:
    """The last lines: ratios and agreement."""
    lines = []
    ours = found[TWO_STAGES]
    if ours and all(found.values()):
        ratios = ", ".join(f"{found[way]['seconds'] / ours['seconds']:.1f} of {way}" for way in (EXACT, CPU))
        lines.append(f"time in units of two stages: {ratios} ({instructions() or 'all pairs by NumPy'})")
    if same:
        ties = same["same_but_order_of_near_ties"]
        whole = f"{100 * same['same_neighbors']:.2f} % of the lists have all, {ties} of them in another order"
        lines.append(f"of all exact neighbours {100 * same['found']:.2f} % are found; {whole}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dimensions", type=int, default=1280)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--recall", type=float, default=0.995)
    parser.add_argument("--repeat", type=int, default=3, help="the median of this many calls after the first counts")
    parser.add_argument("--minutes", type=float, default=7, help="begin nothing new after these")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the rows, which are made once")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    device = torch.device(options.device)
    made_with = origin(device) | {"kernels": instructions()}
    out = Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results" / "gpu")
    cells = Cells(out, made_with, 60 * options.minutes)
    case = Case(options.rows, options.classes, options.dimensions, kind=KIND)
    data.prepare(case, options.cache)
    found: dict[str, dict | None] = {}
    same = None
    for way in WAYS:
        if way == CPU:  # last: it may take longest
            compare = partial(agreement, options.cache)
            same = cells.get(f"wide-{device.type}-agreement", compare, case, options.recall, device)
        name = f"wide-{device.type}-{way.replace(' ', '-')}"
        find = partial(measure, way, options.cache)
        found[way] = cells.get(name, find, case, options.recall, device, options.repeat)
    print(f"{made_with['device']}, torch {made_with['torch']}, commit {made_with['commit']}; seconds, MiB; in {out}")
    print(f"{case.kind}, {case.rows:,} x {case.dimensions:,}, k = {K}, recall asked for {options.recall}")
    print(f"{'way':<12} {'first':>9} {'seconds':>9} {'stated':>8} {'recall':>8} {'peak MiB':>9}")
    print("\n".join([*(line(way, cell) for way, cell in found.items()), *conclude(found, same)]))


if __name__ == "__main__":
    main()
