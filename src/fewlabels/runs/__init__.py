"""The run folder: settings, events, results, labels, model, report and a manifest over all of them."""

from ..storage.lock import RunLock
from .output import free_name, refuse_existing, refuse_in_run, refuse_inside
from .record import (
    PseudoLabelTable,
    Run,
    RunWriter,
    demand_whole,
    is_begun,
    is_finished,
    is_labelling,
    name_labelling,
    read_facts,
    read_first_events,
    read_run,
    refuse_open_labelling,
    refuse_used_folder,
    verify_run,
)

__all__ = [
    "PseudoLabelTable",
    "Run",
    "RunLock",
    "RunWriter",
    "demand_whole",
    "free_name",
    "is_begun",
    "is_finished",
    "is_labelling",
    "name_labelling",
    "read_facts",
    "read_first_events",
    "read_run",
    "refuse_existing",
    "refuse_in_run",
    "refuse_inside",
    "refuse_open_labelling",
    "refuse_used_folder",
    "verify_run",
]
