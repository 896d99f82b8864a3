"""`fewlabels demo`: digits from three labels per class, once or over several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..data.benchmarks.digits import load_digits
from ..data.benchmarks.splits import draw_split
from ..errors import ConfigError
from ..randomness import generator
from ..recipes.images import LABELS_PER_CLASS, digits_lp
from ..report import report_html
from ..report.words import summarize
from ..runs import RunWriter
from ..training.distributed import count_processes
from ..training.settings import TrainSettings
from .task import Task
from .text import DEMO
from .training import RunOptions, has_run, run_training


def digits_task(seed: int) -> Task:
    """The digits with three random labels per class, drawn by the seed. Test images are the same for every seed."""
    digits = load_digits()
    return Task(
        pixels=digits.pixels,
        labels=draw_split(digits.truth, LABELS_PER_CLASS, generator(seed, "labels")),
        ids=digits.ids,
        class_names=digits.class_names,
        title=f"handwritten digits, {LABELS_PER_CLASS} labels per class",
        test_pixels=digits.test_pixels,
        test_truth=digits.test_truth,
        truth=digits.truth,
        facts={"source": {"kind": "digits"}},
    )


def run_demo(
    folder: str | Path, seeds: Sequence[int], how: RunOptions | None = None, *, settings: TrainSettings | None = None
) -> dict[str, Any]:
    """One run, or one for each seed in sub-folders and their mean and standard deviation. Returns the results.

    settings: instead of the recipe; each seed replaces theirs.
    """
    how, root = how or RunOptions(), Path(folder)

    def one(seed: int, place: Path) -> dict[str, Any]:
        recipe = replace(settings, seed=seed) if settings else digits_lp(seed)
        return run_training(digits_task(seed), recipe, place, how)

    if len(seeds) == 1:
        return one(seeds[0], root)
    if count_processes() > 1:
        raise ConfigError("C13", f"{len(seeds)} seeds in several processes", do="start each seed on its own")
    if has_run(root, how):
        writer = RunWriter.reopen(root)
    else:
        facts = {"title": digits_task(seeds[0]).title, "seeds": list(seeds)}
        writer = RunWriter(root, "seeds", {"recipe": "digits_lp"}, **facts)
    results = [one(seed, root / f"seed-{seed}") for seed in seeds]
    table = {name: asdict(summarize([result[name] for result in results])) for name in DEMO}
    writer.results({"seeds": list(seeds), "table": table})
    writer.report(report_html([root]))
    writer.finish()
    return {"seeds": list(seeds), "table": table}
