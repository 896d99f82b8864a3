"""Images a second of training steps on a GPU, recorded and not, beside the rate of matrix products of the same run.

    python -m benchmarks.gpu.throughput              # cnn13, 50 + 50 images a step, 50,000 random images on "cuda"
    python -m benchmarks.gpu.throughput --tiny       # the same code in seconds, on the CPU

A cell is a method and a way: deterministic (float32) or fast (bfloat16), each step started kernel by kernel ("eager")
or replayed as one CUDA graph ("recorded"). "of peak" is the share of the measured rate of an 8192 x 8192 product in the
same precision, counting 4.39 GFLOP an image, and 1.46 more where a teacher looks too. Then the pass that makes
descriptors, and the propagation of 50,000 of them: on the GPU, as fast runs do it, and on the host, as deterministic
ones do. Cells are files in $OUT as in graph.py: what is there from the same commit and machine is not made again.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.graph import ROOT, SETTINGS, Cells, blobs, origin, timed, wait
from benchmarks.training.cases import Case, evaluate_ours, train_ours
from fewlabels import graph as host
from fewlabels.training.execution import Execution

METHODS = ("supervised", "lp", "mt_lp")
WAYS = {
    "deterministic, eager": ("deterministic", False),
    "deterministic, recorded": ("deterministic", True),
    "fast, eager": ("fast", False),
    "fast, recorded": ("fast", True),
}
GFLOP, TEACHER_GFLOP = 4.39, 1.46  # of cnn13 at 32 x 32: forward and backward, and a forward pass more
PRODUCTS = {"deterministic": ("highest", torch.float32), "fast": ("high", torch.bfloat16)}


def product_rate(speed: str, size: int, device: torch.device) -> dict[str, object]:
    """TFLOP/s of size x size matrix products of random numbers: the median of ten after three."""
    precision, dtype = PRODUCTS[speed]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(13):
        wait(device)
        begun = time.perf_counter()
        a @ b
        wait(device)
        seconds.append(time.perf_counter() - begun)
    torch.set_float32_matmul_precision(before)
    return {"tflops": 2e-12 * size**3 / float(np.median(seconds[3:]))}


def steps(case: Case, way: str, device: torch.device, seconds: float) -> dict[str, object]:
    """Images a second of one way, and peak memory."""
    speed, captured = WAYS[way]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    rate = train_ours(case, random_pixels(case.rows), Execution(device, speed, captured), seconds)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"images_per_second": rate, "peak_device_bytes": peak}


def described(case: Case, speed: str, device: torch.device, seconds: float) -> dict[str, object]:
    return {"images_per_second": evaluate_ours(case, random_pixels(case.rows), Execution(device, speed), seconds)}


def propagated(num_rows: int, device: torch.device) -> dict[str, object]:
    """Seconds from descriptors on the device to labels: there, and on the host, each the second of two calls."""
    rows, labels, _ = blobs(num_rows, 10)
    there = torch.tensor(rows, device=device)
    timed(there, labels)
    found, _ = timed(there, labels)
    for _ in range(2):
        begun = time.perf_counter()
        host.propagate(there.cpu().numpy(), labels, SETTINGS)
        on_host = time.perf_counter() - begun
    return {"device_seconds": sum(found.values()), "host_seconds": on_host}


def random_pixels(num_rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_rows, 32, 32, 3), dtype=np.uint8)


def peak_share(method: str, rate: float, tflops: float) -> float:
    gflop = GFLOP + (TEACHER_GFLOP if method == "mt_lp" else 0)
    return rate * gflop / 1000 / tflops


def lines(cells: Cells, options: argparse.Namespace) -> list[str]:
    """Measure what is not there yet; the table."""
    device, seconds = torch.device(options.device), options.seconds
    peaks = {}
    for speed in PRODUCTS:
        peaks[speed] = cells.get(f"product-{device.type}-{speed}", product_rate, speed, options.size, device)
    table = [f"{speed}: {peak['tflops']:.1f} TFLOP/s of products" for speed, peak in peaks.items() if peak]
    table.append(f"{'method':<12} {'way':<24} {'images/s':>10} {'of peak':>8}")
    for method in METHODS:
        for way, (speed, _) in WAYS.items():
            name = f"steps-{device.type}-{method}-{way.replace(', ', '-')}"
            case = Case(options.network, method, options.rows)
            table.append(
                f"{method:<12} {way:<24} "
                + _rate(method, cells.get(name, steps, case, way, device, seconds), peaks[speed])
            )
    for speed in PRODUCTS:
        case = Case(options.network, "evaluate", options.rows)
        found = cells.get(f"describe-{device.type}-{speed}", described, case, speed, device, seconds)
        table.append(f"{'descriptors':<12} {speed:<24} " + _rate("evaluate", found, None))
    found = cells.get(f"propagate-{device.type}-{options.rows}", propagated, options.rows, device)
    if found is None:
        return [*table, "propagation: no time left: run again"]
    there, on_host = found["device_seconds"], found["host_seconds"]
    return [*table, f"propagation of {options.rows:,} rows: {there:.3f} s on the device, {on_host:.3f} s on the host"]


def _rate(method: str, found: dict | None, peak: dict | None) -> str:
    if found is None:
        return "no time left: run again"
    rate = found["images_per_second"]
    share = f"{100 * peak_share(method, rate, peak['tflops']):.1f} %" if peak else "-"
    return f"{rate:>10,.0f} {share:>8}" + ("  (from before)" if found.get("again") else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--network", default="cnn13", help="one of NETWORKS in benchmarks/training/cases.py")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--size", type=int, default=8192, help="of the matrices")
    parser.add_argument("--seconds", type=float, default=10, help="of steps in a cell")
    parser.add_argument("--minutes", type=float, default=8, help="begin nothing new after these")
    parser.add_argument("--tiny", action="store_true", help="a small network and few images on the CPU; no figures")
    options = parser.parse_args()
    if options.tiny:
        small = {"device": "cpu", "network": "small 16, stride 2", "rows": 400, "size": 64, "seconds": 0.01}
        vars(options).update(small)
    warnings.simplefilter("ignore")
    made_with = origin(torch.device(options.device)) | {"network": options.network, "seconds": options.seconds}
    out = Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results" / "gpu")
    table = lines(Cells(out, made_with, 60 * options.minutes), options)
    print(f"{made_with['device']}, torch {made_with['torch']}, commit {made_with['commit']}; in {out}")
    print("\n".join(table))


if __name__ == "__main__":
    main()
