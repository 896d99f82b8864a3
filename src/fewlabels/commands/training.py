"""Train on images and write the run folder: what `demo`, `train` and `reproduce` share."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import nn

from ..errors import ConfigError, NumericsError
from ..graph import propagate
from ..graph.label_matrix import checked_labels
from ..insights.compute import insights_of
from ..insights.schema import Insights
from ..nets import build_network
from ..nets.settings import source_digest
from ..randomness import torch_seed
from ..report import report_html
from ..runs import RunWriter, first_events, is_begun, is_finished, read_run
from ..training.agreement import demand_same
from ..training.checkpoint import Checkpoints, Snapshot
from ..training.distributed import joined, processes
from ..training.evaluate import evaluate, finite_descriptors
from ..training.execution import Execution, Speed, keep_freed_memory
from ..training.interrupt import StopRequested, to_stderr
from ..training.loop import Trained, train
from ..training.methods import Labels
from ..training.settings import TrainSettings
from ..training.watch import Stopped
from .guards import OnCollapse
from .measures import clock, peak_memory_mib
from .progress import Progress
from .results import Final, results_of, table_of, weights_of
from .resuming import CHECKPOINTS, alone_in, begun_with, command_to_go_on, machine_facts, results_before, tidied
from .task import Task
from .tensorboard import Board, need_tensorboard
from .watching import Keeper, Keeping, Log, Watcher, images_before, placed, total_images

__all__ = ["RunOptions", "has_run", "processes", "run_training"]


@dataclass(frozen=True)
class RunOptions:
    """How to run, whatever is run.

    device: "cpu", "cuda" or "cuda:1". speed: train/execution.py. save_every: seconds between checkpoints.
    resume: take up the run in the folder, if there is one; begin it otherwise. allow_inexact: also where versions,
        threads, processes or the device changed, so that the last bits will not be the same.
    quiet: say nothing on the way. go_on: the words that take the run up again; empty: this command with --resume.
    on_collapse: what to do where two guards that need no labels say that training collapsed (guards.py): "warn", or
        "stop": save, then NumericsError (P23). tensorboard: write event files to <folder>/tensorboard as well.
    """

    device: str = "cpu"
    speed: Speed = "deterministic"
    save_every: float = 60.0
    resume: bool = False
    allow_inexact: bool = False
    quiet: bool = False
    go_on: tuple[str, ...] = ()
    on_collapse: OnCollapse = "warn"
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if self.on_collapse not in ("warn", "stop"):
            raise ConfigError("C67", f"on_collapse is {self.on_collapse!r}, expected warn or stop")


def run_training(
    task: Task, settings: TrainSettings, folder: str | Path, options: RunOptions | None = None
) -> dict[str, Any]:
    """Train, propagate once more with the final network, and write it all to a run folder. Returns its results.

    Under torchrun every process calls it; the first one writes. Raises Interrupted where a signal asked to stop, once
    all is saved; LabelError L18 for a class without a label; NumericsError P22 for a loss of NaN or infinity, P23 for a
    collapse; ConfigError C9 for a folder in use, C11 where another process writes there, C12 where the run to take up
    is another one, C66 without TensorBoard.
    """
    options, root = options or RunOptions(), Path(folder)
    if options.resume and (done := results_before(root)) is not None:
        return done
    checked_labels(task.labels, len(task.labels), settings.graph, task.class_names)  # not after the first phase
    if options.tensorboard:
        need_tensorboard()
    with joined(options.device) as (group, device), alone_in(root, group, device, resume=options.resume):
        if options.resume and is_finished(root):
            group.by_leader(lambda: tidied(root), device)
            return read_run(root).results
        keep_freed_memory()
        execution = Execution(torch.device(device), options.speed, group=group)
        return _Run(task, settings, root, options, execution).results()


def has_run(folder: Path, options: RunOptions) -> bool:
    """Whether there is a run to take up, and it is to be."""
    return options.resume and is_begun(folder)


class _Run:
    """One run, from its first or next step to its sealed folder."""

    def __init__(
        self, task: Task, settings: TrainSettings, folder: Path, options: RunOptions, execution: Execution
    ) -> None:
        self.task, self.settings, self.folder = task, settings, folder
        self.options, self.execution = options, execution
        self.image_input = task.image_input()

    def results(self) -> dict[str, Any]:
        begun, group = time.perf_counter(), self.execution.group
        demand_same(group, self.identity, self.execution.device)
        again = has_run(self.folder, self.options)
        kept = Checkpoints(self.folder / CHECKPOINTS, self.identity, allow_inexact=self.options.allow_inexact)
        say = (lambda text: None) if self.options.quiet or not group.leads else to_stderr
        with StopRequested(say) as stop:  # before the first event, which others may wait for to stop the run
            start = self._start(kept) if again else None
            writer, log = self._opened(again, start, kept)
            images = placed(self.task.pixels, self.execution.device)
            spent = clock(begun, 0.0 if start is None else start.values.get("seconds", 0.0))
            keeping = Keeping(
                self.options.save_every, lambda: stop.requested, spent, self.options.on_collapse, group.leads
            )
            keeper = Keeper(kept, log, keeping)
            keeper.step = 0 if start is None else start.values["place"]["done"]
            try:
                trained = self._trained(images, log, keeper, start)
                final = self._final(trained.network, images, stop)
            except Stopped:
                command = self.options.go_on or command_to_go_on(self.folder, group.size)
                raise keeper.why_stopped(command) from None
            except NumericsError as error:
                raise self._with_ids(error) from error
            finally:
                log.close()
        results = {} if final is None else results_of(self.task, final.propagation, log.epochs)
        insights = group.by_leader(lambda: self._insights(final), images.device)
        results |= {"wall_seconds": spent(), "peak_memory_mib": peak_memory_mib()}
        group.by_leader(lambda: self._write(writer, trained, final, insights, results), images.device)
        if group.leads:
            kept.remove_all()
        found: dict[str, Any] = json.loads(group.text_from_leader(json.dumps(results), images.device))
        return found

    def _start(self, kept: Checkpoints) -> Snapshot | None:
        """Where to go on: at the newest checkpoint, or at the beginning of what run.json says."""
        found = kept.newest()
        if found is None:
            kept.demand_same(begun_with(self.folder), self.folder)
        return None if found is None else found[1]

    def _with_ids(self, error: NumericsError) -> NumericsError:
        """The error of the loop, which knows rows by their numbers alone."""
        if error.code != "FL-P22":
            return error
        ids = [self.task.ids[row] for row in error.rows if isinstance(row, int)]
        return NumericsError("P22", error.what, rows=ids, do=error.do)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must be the same for the run to be taken up to the same bytes."""
        return {
            "settings": asdict(self.settings),
            "speed": self.options.speed,
            "data": self.task.fingerprint(),
            "code": source_digest(self.settings.network.name),
            **machine_facts(self.execution.device.type, self.execution.group.size),
        }

    def _opened(self, again: bool, start: Snapshot | None, kept: Checkpoints) -> tuple[RunWriter | None, Log]:
        """The writer of the run folder, in the first process, and the log so far."""
        before = first_events(self.folder, start.values["events"]) if start is not None else []
        if not self.execution.group.leads:
            return None, Log(None, before)
        if again:
            writer = RunWriter.taken_up(self.folder, len(before))
        else:
            self._network("student")  # one that cannot be built leaves no folder behind
            writer = self._begun()
        log = Log(writer, before, Board(self.folder / "tensorboard") if self.options.tensorboard else None)
        if not before:
            log.add("start", self._facts())
        if again:
            writer.taken_up_from(0 if start is None else start.values["place"]["done"], kept.differences)
        return writer, log

    def _begun(self) -> RunWriter:
        writer = RunWriter(
            self.folder,
            "train",
            asdict(self.settings),
            title=self.task.title,
            seed=self.settings.seed,
            class_names=list(self.task.class_names),
            device=str(self.execution.device),
            speed=self.options.speed,
            precision=str(self.execution.precision).removeprefix("torch."),
            threads=torch.get_num_threads(),
            processes=self.execution.group.size,
            identity={key: value for key, value in self.identity.items() if key not in ("settings", "speed")},
            **self.task.facts,
        )
        if self.task.rejected:
            writer.rejected(self.task.rejected)
        writer.notes(self.task.notes)
        return writer

    def _facts(self) -> dict[str, Any]:
        task = self.task
        return {
            "num_rows": len(task.labels),
            "num_labeled": task.num_labeled,
            "num_classes": len(task.class_names),
            "num_test": task.num_test,
            "image_shape": list(task.pixels.shape[1:]),
        }

    def _trained(self, images: torch.Tensor, log: Log, keeper: Keeper, start: Snapshot | None) -> Trained:
        task, settings = self.task, self.settings
        quiet = self.options.quiet or not self.execution.group.leads
        done = images_before(settings, task.labels, start.values["place"]) if start else 0
        progress = Progress(total_images(settings, task.labels), "training", unit="image", quiet=quiet)
        progress.step("", done)
        watcher = Watcher(task, settings, self.execution, log, keeper, progress)
        labels = Labels(task.labels, task.class_names)
        try:
            return train(self._network, images, labels, settings, self.execution, watcher.watch(), start)
        finally:
            progress.close()

    def _network(self, purpose: str) -> nn.Module:
        """A network with weights drawn from the seed and the purpose, or those that the task starts from."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(self.settings.seed, "weights" if purpose == "student" else purpose))
            network = build_network(self.settings.network, self.image_input, len(self.task.class_names))
        if self.task.start_weights is not None:
            network.load_state_dict(load(self.task.start_weights))
        return network

    def _final(self, network: nn.Module, images: torch.Tensor, stop: StopRequested) -> Final | None:
        """Labels for every row by the final network: the ones that are written. Only the first process has them."""
        with self.execution.algorithms():
            descriptors = finite_descriptors(evaluate(network, images, self.execution)).cpu().numpy()

        def on_progress(stage: str, share: float) -> None:
            if stop.requested is not None:
                raise Stopped

        def found() -> Final:
            names, settings = self.task.class_names, self.settings.graph
            labels = propagate(descriptors, self.task.labels, settings, class_names=names, on_progress=on_progress)
            return Final(labels, descriptors)

        return self.execution.group.by_leader(found, self.execution.device)

    def _insights(self, final: Final | None) -> Insights:
        assert final is not None
        return insights_of(final.material(self.task, self.settings.graph))

    def _write(
        self,
        writer: RunWriter | None,
        trained: Trained,
        final: Final | None,
        insights: Insights | None,
        results: dict[str, Any],
    ) -> None:
        assert writer is not None
        assert final is not None
        assert insights is not None
        task = self.task
        names = list(task.class_names)
        writer.pseudo_labels(table_of(final.propagation, task.labels, task.ids, names))
        writer.descriptors(final.descriptors)
        writer.insights(insights)
        config = {
            "network": asdict(self.settings.network),
            "image_input": self.image_input.facts(),
            "class_names": names,
        }
        writer.model(weights_of(trained.network), config)
        if trained.teacher is not None:
            writer.teacher(weights_of(trained.teacher))
        writer.results(results)
        writer.report(report_html([self.folder]))
        writer.finish()
