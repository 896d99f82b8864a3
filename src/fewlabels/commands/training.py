"""Train on images and write the run folder: what `demo`, `train` and `reproduce` share."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from ..choosing.heads import log_shares
from ..choosing.scores import temper
from ..data.images.pictures import thumbnail
from ..errors import ConvergenceWarning, NumericsError, UnreachedWarning
from ..graph import Propagation, PseudoLabels, propagate
from ..graph.label_matrix import check_labels
from ..graph.pseudo_labels import pseudo_labels
from ..insights.compute import compute_insights
from ..insights.measured import Measured, add_held_out, add_tested
from ..insights.schema import Insights
from ..nets import build_network
from ..nets.frozen import Head
from ..nets.model import load_weights
from ..nets.settings import source_digest
from ..randomness import torch_seed
from ..report import report_html
from ..runs import RunWriter, is_begun, is_finished, read_first_events, read_run
from ..training.callbacks import Callbacks, Request
from ..training.checkpoint import Checkpoints, Snapshot
from ..training.distributed import demand_same_in_all, join_processes
from ..training.evaluate import demand_finite_descriptors, evaluate
from ..training.execution import Execution, keep_freed_memory
from ..training.interrupt import Stopped, StopRequested, write_to_stderr
from ..training.loop import Trained, train
from ..training.settings import TrainSettings
from ..training.targets import PartialLabels
from .cross_validation import CrossValidated, Validation, cross_validate, plan_fold
from .frozen import FollowPhotos, backbone_facts, describe_pixels, head_of, join_network
from .memory import peak_memory_mib
from .progress import Pace, Progress
from .results import make_table, training_results
from .resuming import (
    CHECKPOINTS,
    command_to_go_on,
    describe_machine,
    lock_folder,
    read_finished,
    read_identity,
    remove_leftovers,
)
from .run_options import RunOptions
from .task import Task, put_on_device
from .thumbnails import open_thumbnails
from .watching import Board, CheckpointPolicy, Log, Watcher, count_images, count_images_before, demand_tensorboard

__all__ = ["RunOptions", "has_run", "run_training"]


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
    if options.resume and (done := read_finished(root)) is not None:
        return done
    check_labels(task.labels, len(task.labels), settings.graph, task.class_names)  # not after the first phase
    if options.tensorboard:
        demand_tensorboard()
    with join_processes(options.device) as (group, device), lock_folder(root, group, device, resume=options.resume):
        if options.resume and is_finished(root):
            group.run_in_leader(lambda: remove_leftovers(root), device)
            return read_run(root).results
        keep_freed_memory()
        execution = Execution(torch.device(device), options.speed, group=group)
        return _Run(task, settings, root, options, execution).run()


def has_run(folder: Path, options: RunOptions) -> bool:
    """Whether there is a run to take up, and it is to be."""
    return options.resume and is_begun(folder)


@dataclass(frozen=True)
class _Ended:
    """labels: in the process that leads. checked, first: with a frozen trunk; tested: with a test set.

    first: (n, d) descriptors by the head before it was trained.
    """

    trained: Trained
    labels: Propagation | None
    descriptors: np.ndarray
    first: np.ndarray | None
    checked: CrossValidated | None
    tested: Measured | None


class _Run:
    """One run, from its first or next step to its sealed folder."""

    def __init__(
        self, task: Task, settings: TrainSettings, folder: Path, options: RunOptions, execution: Execution
    ) -> None:
        self.task, self.settings, self.folder = task, settings, folder
        self.options, self.execution = options, execution
        self.image_input = task.image_input()
        self.fresh: dict[str, torch.Tensor] = {}  # of a head, before any training

    def run(self) -> dict[str, Any]:
        """Train, label all rows, write, seal. Returns the results, in every process."""
        begun, group = time.perf_counter(), self.execution.group
        demand_same_in_all(group, self.identity, self.execution.device)
        again = has_run(self.folder, self.options)
        kept = Checkpoints(self.folder / CHECKPOINTS, self.identity, allow_inexact=self.options.allow_inexact)
        say = (lambda text: None) if self.options.quiet or not group.leads else write_to_stderr
        with StopRequested(say) as stop:  # before the first event, which others may wait for to stop the run
            start = self._find_start(kept) if again else None
            writer, log = self._open(again, start, kept)
            earlier = 0.0 if start is None else start.values.get("seconds", 0.0)  # in sittings before
            policy = CheckpointPolicy(
                checkpoints=kept,
                log=log,
                seconds=self.options.save_every,
                stop=lambda: stop.requested,
                spent=lambda: earlier + time.perf_counter() - begun,
                on_collapse=self.options.on_collapse,
                leads=group.leads,
                step=0 if start is None else start.values["place"]["done"],
            )
            try:
                ended = self._learn(policy, start, stop)
            except Stopped:
                command = self.options.go_on or command_to_go_on(self.folder, group.size)
                raise policy.why_stopped(command) from None
            except NumericsError as error:
                raise self._with_ids(error) from error
            finally:
                log.close()
        device = self.execution.device
        results = group.run_in_leader(lambda: self._write(writer, ended, policy), device)
        if group.leads:
            kept.remove_all()
        found: dict[str, Any] = json.loads(group.broadcast_text(json.dumps(results), device))
        return found

    def _learn(self, policy: CheckpointPolicy, start: Snapshot | None, stop: StopRequested) -> _Ended:
        """See the images, train on them, and label them all. Raises Stopped."""
        images = self._see(self.task.pixels, "describing photos", stop)
        test = self._see_test(images, stop)
        self._start_heads(images)
        each, tests = self._of_phases(images, self.task.pixels), None
        if test is not None:
            tests = self._of_phases(test, self.task.tested_pixels())
        trained = self._train(each, tests, policy, start)
        descriptors = self._describe(trained.network, each[-1])
        checked = self._cross_validate(images, descriptors, stop)
        group = self.execution.group
        labels = group.run_in_leader(lambda: self._propagate(descriptors, stop), self.execution.device)
        first = None
        if self.task.backbone is not None:
            first = self._describe(self._draw_fresh("weights"), each[0])
            said = self._ask(trained, each[-1], checked)
            labels = None if labels is None else replace(labels, pseudo_labels=said)
        measured = self._test(trained, None if tests is None else tests[-1])
        return _Ended(trained, labels, descriptors, first, checked, measured)

    def _of_phases(self, images: torch.Tensor, pixels: np.ndarray) -> list[torch.Tensor]:
        """What each phase sees: descriptors while the trunk is frozen, pixels where blocks of it are trained."""
        if not self.settings.fine_tunes:
            return [images] * len(self.settings.phases)
        whole = put_on_device(pixels, self.execution.device)
        return [whole if phase.unfrozen else images for phase in self.settings.phases]

    def _find_start(self, kept: Checkpoints) -> Snapshot | None:
        """Where to go on: at the newest checkpoint, or at the beginning of what run.json says."""
        found = kept.read_newest()
        if found is None:
            kept.check_identity(read_identity(self.folder), self.folder)
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
            "settings": self.settings.facts(),
            "speed": self.options.speed,
            "data": self.task.fingerprint(),
            "code": source_digest(self.settings.network.name),
            **describe_machine(self.execution.device.type, self.execution.group.size),
        }

    def _open(self, again: bool, start: Snapshot | None, kept: Checkpoints) -> tuple[RunWriter | None, Log]:
        """The writer of the run folder, in the first process, and the log so far."""
        before = read_first_events(self.folder, start.values["events"]) if start is not None else []
        if not self.execution.group.leads:
            return None, Log(None, before)
        if again:
            writer = RunWriter.reopen(self.folder, len(before))
        else:
            _ = self.student  # one that cannot be built leaves no folder behind
            writer = self._make_folder()
        log = Log(writer, before, Board(self.folder / "tensorboard") if self.options.tensorboard else None)
        if not before:
            log.add("start", self._facts())
        if again:
            writer.note_resume(0 if start is None else start.values["place"]["done"], kept.differences)
        return writer, log

    def _make_folder(self) -> RunWriter:
        writer = RunWriter(
            self.folder,
            "train",
            self.settings.facts(),
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

    def _see(self, pixels: np.ndarray, name: str, stop: StopRequested) -> torch.Tensor:
        """The images as the trained network takes them, as in loop.train: pixels, or descriptors by a frozen trunk."""
        backbone = self.task.backbone
        if backbone is None:
            return put_on_device(pixels, self.execution.device)
        quiet = self.options.quiet or not self.execution.group.leads
        alone = self.execution.group.size == 1  # one of several that stopped here would leave the others waiting
        follow = FollowPhotos(len(pixels), name, quiet=quiet, stop=stop if alone else None)
        try:
            mirror = bool(self.settings.network.option("mirror"))
            return describe_pixels(backbone, pixels, self.execution, mirror=mirror, on_step=follow.step)
        finally:
            follow.close()

    def _see_test(self, images: torch.Tensor, stop: StopRequested) -> torch.Tensor | None:
        """The same of the test images; images: all rows, of which they may be some."""
        if self.task.test_rows is not None:
            return images[torch.from_numpy(self.task.test_rows).to(images.device)]
        pixels = self.task.test_pixels
        return None if pixels is None else self._see(pixels, "describing test photos", stop)

    def _start_heads(self, images: torch.Tensor) -> None:
        """Start heads from the descriptors; one that goes on from another run has started."""
        if self.task.backbone is None:
            return
        head = head_of(self._draw_network("weights"))
        head.start_from(images.mean(dim=1).cpu())
        self.fresh = {name: value.clone() for name, value in head.state_dict().items()}
        if self.task.start_weights is None:
            head_of(self.student).load_state_dict(self.fresh)

    def _train(
        self,
        images: Sequence[torch.Tensor],
        test: Sequence[torch.Tensor] | None,
        policy: CheckpointPolicy,
        start: Snapshot | None,
    ) -> Trained:
        task, settings = self.task, self.settings
        quiet = self.options.quiet or not self.execution.group.leads
        done = count_images_before(settings, task.labels, start.values["place"]) if start else 0
        progress = Progress(count_images(settings, task.labels), "training", unit="image", quiet=quiet)
        progress.step("", done)
        watcher = Watcher(task, settings, self.execution, policy, progress, test)
        labels = PartialLabels(task.labels, task.class_names)
        try:
            return train(self._network_for, images, labels, settings, self.execution, watcher.callbacks(), start)
        finally:
            progress.close()

    @cached_property
    def student(self) -> nn.Module:
        """The network that is trained. Built once, before the folder of a new run is made."""
        return self._build_network("weights")

    def _network_for(self, purpose: str) -> nn.Module:
        if purpose == "student":
            return self.student
        network = self._build_network(purpose)
        if self.fresh and self.task.start_weights is None:  # a teacher's: its own weights, but for what rows decide
            shared = {name: value for name, value in self.fresh.items() if not name.startswith("fc")}
            head_of(network).load_state_dict(shared, strict=False)
        return network

    def _build_network(self, stream: str) -> nn.Module:
        """What is trained, with weights drawn from the seed and the stream, or those that the task starts from."""
        network = self._draw_network(stream)
        if self.task.start_weights is not None:
            load_weights(self._join(network), self.task.start_weights, where="the run that is continued")
        return network

    def _draw_network(self, stream: str) -> nn.Module:
        """A whole network or a head, with weights drawn from the seed and the stream.

        Where the trunk is trained too, the head is on a trunk of its own: the task's goes on describing photos.
        """
        settings, num_classes, backbone = self.settings.network, len(self.task.class_names), self.task.backbone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(self.settings.seed, stream))
            if backbone is None:
                return build_network(settings, self.image_input, num_classes)
            head = Head(settings, backbone.width, num_classes)
        return join_network(backbone, head, settings, copied=True) if self.settings.fine_tunes else head

    def _draw_fresh(self, purpose: str) -> nn.Module:
        """A head as it is before any training, whatever it is for."""
        network = self._draw_network(purpose)
        head_of(network).load_state_dict(self.fresh)
        return network

    def _join(self, network: nn.Module) -> nn.Module:
        """The whole network around what is trained."""
        backbone = self.task.backbone
        if backbone is None or not isinstance(network, Head):
            return network
        return join_network(backbone, network, self.settings.network)

    def _describe(self, network: nn.Module, images: torch.Tensor) -> np.ndarray:
        """Descriptors of all rows by the final network, (n, d) float32."""
        with self.execution.algorithms():
            return demand_finite_descriptors(evaluate(network, images, self.execution)).cpu().numpy()

    def _propagate(self, descriptors: np.ndarray, stop: StopRequested) -> Propagation:
        """Labels for every row by the final network: the ones that are written."""

        def on_progress(stage: str, share: float) -> None:
            if stop.requested is not None:
                raise Stopped

        names, settings = self.task.class_names, self.settings.graph
        with warnings.catch_warnings():
            for kind in (UnreachedWarning, ConvergenceWarning) if self.task.backbone is not None else ():
                warnings.simplefilter("ignore", kind)  # the head answers
            return propagate(descriptors, self.task.labels, settings, class_names=names, on_progress=on_progress)

    def _ask(self, trained: Trained, images: torch.Tensor, checked: CrossValidated | None) -> PseudoLabels:
        """What the trained head says of all rows, as `fewlabels classify` would, calibrated on held-out labels.

        The graph of its descriptors says the same labels, but knows nothing of doubt: training has moved each row to
        the class that it was taken for, and given labels are known by heart (docs/log.md).
        """
        with self.execution.algorithms():
            logits = evaluate(_best_of(trained), images, self.execution).logits.double().cpu().numpy()
        logs = temper(log_shares(logits), 1.0 if checked is None else checked.temperature)
        return pseudo_labels(np.exp(logs), self.task.labels, self.settings.graph.rules)

    def _cross_validate(
        self, images: torch.Tensor, descriptors: np.ndarray, stop: StopRequested
    ) -> CrossValidated | None:
        """What networks that have not seen them say of the given labels; None where that was not asked for.

        images: as they are trained on. descriptors: that near-copies are found by.
        """
        is_frozen, labels = self.task.backbone is not None, self.task.labels
        rows = images.mean(dim=1).float().cpu().numpy() if is_frozen else descriptors
        how = Validation(rows=rows, num_folds=self.task.folds, groups=self.task.groups, shorten=is_frozen)
        if not how.num_folds or self.settings.fine_tunes:
            return None
        used, settings = plan_fold(labels, self.settings, how)
        quiet = self.options.quiet or not self.execution.group.leads
        total, pace = how.num_folds * count_images(settings, labels[used]), Pace()
        progress = Progress(total, "cross-validating", unit="image", quiet=quiet)

        def on_steps(count: int) -> None:
            pace.mark(progress.done + count)
            progress.step("", count, pace.seconds(progress.done + count, total))

        def request() -> Request:
            return Request.STOP if stop.requested is not None else Request.CONTINUE

        given = PartialLabels(labels, self.task.class_names)
        build = self._draw_fresh if is_frozen else self._draw_network
        callbacks = Callbacks(request=request, on_steps=on_steps)
        try:
            return cross_validate(build, images, given, self.settings, self.execution, how, callbacks)
        finally:
            progress.close()

    def _test(self, trained: Trained, test: torch.Tensor | None) -> Measured | None:
        """What the final network says of the test images: the teacher where there is one, as its error is lower."""
        if test is None or self.task.test_truth is None:
            return None
        with self.execution.algorithms():
            shares = evaluate(_best_of(trained), test, self.execution).logits.double().softmax(dim=1).cpu().numpy()
        return Measured(
            label=shares.argmax(axis=1),
            truth=self.task.test_truth,
            probability=shares.max(axis=1),
            num_classes=shares.shape[1],
        )

    def _write(self, writer: RunWriter | None, ended: _Ended, policy: CheckpointPolicy) -> dict[str, Any]:
        """Compute what the folder ends with, and write it. In the process that leads, which has writer and labels."""
        labels, descriptors, task = ended.labels, ended.descriptors, self.task
        assert writer is not None
        assert labels is not None
        results = training_results(task, labels, policy.log.epochs)
        if ended.checked is not None:
            results["cross_validated"] = ended.checked.facts()
            results["cross_validated_error"] = results["cross_validated"]["error"]
        insights = self._make_insights(ended, labels)
        results |= {"wall_seconds": policy.spent(), "peak_memory_mib": peak_memory_mib()}
        table = make_table(labels, task.labels, task.ids, task.class_names, is_calibrated=ended.checked is not None)
        writer.pseudo_labels(table)
        writer.descriptors(descriptors)
        if ended.first is not None:
            writer.first_descriptors(ended.first)
        writer.insights(insights)
        self._write_networks(writer, ended)
        writer.results(results)
        writer.report(report_html([self.folder]))
        writer.finish()
        return results

    def _make_insights(self, ended: _Ended, labels: Propagation) -> Insights:
        task, graph, truth = self.task, self.settings.graph, self.task.truth
        with open_thumbnails(task) as describe:
            found = compute_insights(labels, ended.descriptors, task.labels, graph, describe, truth=truth)
            if ended.tested is not None:

                def describe_test(at: int) -> tuple[str, bytes | None]:
                    if task.test_pixels is not None:
                        return f"test image {at + 1}", thumbnail(task.test_pixels[at])
                    assert task.test_rows is not None
                    return describe(int(task.test_rows[at]))

                found = add_tested(found, ended.tested, describe_test)
            return found if ended.checked is None else add_held_out(found, ended.checked.contradictions(), describe)

    def _write_networks(self, writer: RunWriter, ended: _Ended) -> None:
        trained = ended.trained
        config: dict[str, Any] = {
            "network": asdict(self.settings.network),
            "image_input": self.image_input.facts(),
            "class_names": list(self.task.class_names),
        }
        if self.task.backbone is not None:
            config["backbone"] = backbone_facts(self.task.backbone, fine_tuned=self.settings.fine_tunes)
        if ended.checked is not None:
            config |= ended.checked.calibration()
        writer.model(_to_safetensors(self._join(trained.network)), config)
        if trained.teacher is not None:
            writer.teacher(_to_safetensors(self._join(trained.teacher)))


def _best_of(trained: Trained) -> nn.Module:
    """The teacher where there is one, as its error is lower."""
    return trained.network if trained.teacher is None else trained.teacher


def _to_safetensors(network: nn.Module) -> bytes:
    return save({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()})
