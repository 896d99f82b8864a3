"""What a new run takes over from the finished one that it continues, known before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ConfigError, RunError, shown
from ..graph.settings import GraphSettings, restore_settings
from ..runs import Run, read_facts


def read_graph(run: str | os.PathLike[str] | Run) -> GraphSettings:
    """The graph settings of the run that is continued: they hold unless others are asked for.

    Raises RunError where it is no run (K4) or its settings are not what a run has (K16).
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    try:
        return restore_settings(read_facts(folder)["settings"].get("graph", {}))
    except (ConfigError, TypeError, AttributeError, KeyError) as problem:
        what = f"the settings of its graph are not what a run has: {shown(problem)}"
        raise RunError("K16", what, where=folder / "run.json") from problem
