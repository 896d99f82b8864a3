"""The training loop. Only this module moves weights, through step.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..errors import ConfigError, NumericsError
from ..randomness import generator
from .augment import Changes, draw_changes
from .checkpoint import Snapshot
from .epoch import Epoch, Plan, batch_size, planned, steps_of
from .evaluate import evaluate, finite_descriptors
from .execution import Execution
from .method_table import BY_NAME
from .methods import METHODS, Labels, Propagate, Pupil
from .propagator import propagator
from .schedule import learning_rate
from .settings import TrainSettings
from .state import Place, State, losses_of, restore, snapshot
from .step import Learner, NotFinite, demand_finite, make_optimizer, stepper
from .targets import BatchTargets
from .watch import EpochReport, Stopped, Watch, Wish

POLLED_ON_GPU = 50  # steps between two looks at losses and wishes: each makes the host wait for the GPU

Build = Callable[[str], nn.Module]  # what for, such as "student" -> a network with weights of its own


@dataclass(frozen=True)
class Trained:
    """network: at the end of the last phase. teacher: the last phase's, where that is a network."""

    network: nn.Module
    teacher: nn.Module | None


def train(
    build: Build,
    images: torch.Tensor,
    labels: Labels,
    settings: TrainSettings,
    execution: Execution | None = None,
    watch: Watch | None = None,
    start: Snapshot | None = None,
) -> Trained:
    """Train a network, phase after phase.

    build: makes networks: (b, c, h, w) in [0, 255] -> Output. Called with "student", and with "teacher <phase>" where
        the rules give the teacher weights of its own.
    images: (n, h, w, c) uint8, on the execution's device, or in main memory where they do not fit there.
    labels: -1 where unlabelled; nothing else about these rows is used.
    start: a snapshot of this very run, to go on from.
    Raises NumericsError (P22) for a loss of NaN or infinity: on the CPU before the update that it would make, on a GPU
    some steps later, but before anything is saved; Stopped once saved, if the watch wishes to stop; ConfigError (C13)
    for a batch smaller than the number of processes.
    """
    execution, watch = execution or Execution(images.device), watch or Watch()
    propagate = propagator(settings.graph, execution, _hearing_stops(execution, watch))
    run = _Run(build, images, labels, settings, execution, watch, propagate)
    _check_batches(run)
    with execution.algorithms():
        state = _begun(run, build("student"), start)
        while True:
            _train_phase(run, state)
            if state.place.phase + 1 == len(settings.phases):
                break
            state = _next_phase(run, state)
        found = state.learner.teacher
        return Trained(state.learner.network, None if found is None else found.network)


@dataclass(frozen=True)
class _Run:
    build: Build
    images: torch.Tensor
    labels: Labels
    settings: TrainSettings
    execution: Execution
    watch: Watch
    propagate: Propagate

    @property
    def num_classes(self) -> int:
        return len(self.labels.class_names)


def _check_batches(run: _Run) -> None:
    size = run.execution.group.size
    smallest = min(batch_size(phase, run.labels.label) for phase in run.settings.phases)
    if smallest < size:
        raise ConfigError("C13", f"a batch of {smallest} rows for {size} processes", do="start fewer processes")
    if size > 1 and any(phase.method == "temporal_ensembling" for phase in run.settings.phases):
        raise ConfigError("C38", f"temporal ensembling in {size} processes: its memory of rows is in one", do="use one")


def _begun(run: _Run, network: nn.Module, start: Snapshot | None) -> State:
    _placed(network, run.execution.device)
    place = Place() if start is None else Place(**start.values["place"])
    state = State(place, _learner(run, place.phase, network, None))
    if start is not None:
        restore(state, start)
    return state


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network itself, moved. How its weights lie in memory is for who built it to say."""
    return network.to(device).train()


def _next_phase(run: _Run, state: State) -> State:
    """The next phase's learner on the network of the phase that is over."""
    place = Place(state.place.phase + 1, done=state.place.done)
    return State(place, _learner(run, place.phase, state.learner.network, state.learner))


def _learner(run: _Run, phase: int, network: nn.Module, before: Learner | None) -> Learner:
    settings, device = run.settings, run.execution.device
    method = METHODS[settings.phases[phase].method](settings)
    optimizer = make_optimizer(network, settings.optimization, device)
    if before is not None and settings.rules.keep_momentum:
        optimizer.state = before.optimizer.state
    teacher = None
    if method.teacher is not None:
        first = None if before is None or before.teacher is None else before.teacher.network
        if settings.rules.fresh_teacher:
            first = _placed(run.build(f"teacher {phase}"), device)
        teacher = method.teacher(Pupil(network, first, len(run.labels.label), run.num_classes, device))
    clip = settings.optimization.clip_norm
    return Learner(network, teacher, method, optimizer, run.images, run.execution, clip)


def _train_phase(run: _Run, state: State) -> None:
    phase = run.settings.phases[state.place.phase]
    track: _Track | None = None
    for number in range(state.place.epoch, phase.epochs):
        began = time.perf_counter()
        _make_targets(run, state)
        plan = _plan(run, state)
        track = _Track(run, state, plan) if track is None else track
        track.turn_to(state, plan)
        for step in range(state.place.step, plan.num_steps):
            with track.naming_rows():
                track.step(step)
                state.place = replace(state.place, step=step + 1, done=state.place.done + 1)
                run.watch.on_steps(batch_size(phase, run.labels.label))
                _look_up(run, state)
        _report(run, state, plan, time.perf_counter() - began)
        state.targets, state.losses, state.facts = None, None, {}
        state.place = replace(state.place, epoch=number + 1, step=0)
    _look_up(run, state)


class _Track:
    """A phase's steps over tensors that stay in place from epoch to epoch, as a recorded step needs them."""

    def __init__(self, run: _Run, state: State, plan: Plan) -> None:
        device = run.execution.device
        assert state.targets is not None
        self.plan, self.losses, self.place = plan.to(device), losses_of(state, plan.num_steps), state.place
        self.targets = BatchTargets(*(value.clone() for value in state.targets.on(device)))
        self.seeds = plan.seeds
        self._step = stepper(state.learner, self.plan, self.targets, self.losses)

    def turn_to(self, state: State, plan: Plan) -> None:
        """Lay out another epoch."""
        assert state.targets is not None
        device = self.losses.device
        new = [*plan.tensors(), *state.targets.on(device), losses_of(state, plan.num_steps)]
        for old, value in zip([*self.plan.tensors(), *self.targets, self.losses], new, strict=True):
            old.copy_(value)
        state.losses, self.seeds, self.place = self.losses, plan.seeds, state.place
        for settings in state.learner.optimizer.param_groups:
            if "betas" in settings:
                settings["betas"] = (plan.beta1, settings["betas"][1])

    def step(self, number: int) -> None:
        self._step(number, self.seeds[number])

    @contextmanager
    def naming_rows(self) -> Iterator[None]:
        """Where a loss is not finite, whoever finds it: NumericsError with the rows of that step's batch."""
        try:
            yield
        except NotFinite as problem:
            where = f"phase {self.place.phase + 1}, epoch {self.place.epoch + 1}, step {problem.step + 1}"
            raise NumericsError(
                "P22",
                f"{problem} in {where}",
                rows=self.plan.rows[problem.step].tolist(),
                do="no checkpoint has it: lower the learning rate, or look at the images of that batch",
            ) from problem


def _plan(run: _Run, state: State) -> Plan:
    epoch = Epoch(run.settings.seed, state.place.phase, state.place.epoch)
    before = _ema_steps_before(run, state.place.phase)
    return planned(epoch, run.labels.label, run.settings, state.learner.num_views, before, run.execution.group)


def _ema_steps_before(run: _Run, phase: int) -> int:
    """Steps of the phases before that the same EMA teacher followed."""
    if run.settings.rules.fresh_teacher:
        return 0
    steps = 0
    for earlier in run.settings.phases[:phase]:
        taught = BY_NAME[earlier.method].ema_teacher
        steps = steps + earlier.epochs * steps_of(earlier, run.labels.label) if taught else 0
    return steps


def _make_targets(run: _Run, state: State) -> None:
    """Unless a snapshot brought them. A wish to stop is heard here too: what is half made is made again later."""
    if state.targets is not None:
        return
    _look_up(run, state)

    def describe() -> torch.Tensor:
        return finite_descriptors(evaluate(state.learner.network, run.images, run.execution, _views(run, state)))

    try:
        state.targets = state.learner.method.targets(describe, run.labels, run.propagate)
    except Stopped:
        _save(run, state)
        raise
    state.facts = run.watch.on_targets(state.targets) if run.execution.group.leads else {}


def _hearing_stops(execution: Execution, watch: Watch) -> Callable[[str, float], None]:
    """Told the stages of a propagation, which may take long. Of several processes the first hears, and all stop."""

    def on_stage(stage: str, share: float) -> None:
        watch.on_stage(stage, share)
        if watch.wish() == Wish.STOP:
            raise Stopped

    return on_stage


def _views(run: _Run, state: State) -> Changes | None:
    """How images are changed before they are described: not at all in paper mode."""
    if not run.settings.rules.augmented_descriptors:
        return None
    rng = generator(run.settings.seed, "described", state.place.phase, state.place.epoch)
    return draw_changes(run.settings.augment, rng, (len(run.labels.label),)).to(run.execution.device)


def _look_up(run: _Run, state: State) -> None:
    """Between two steps: are the losses finite, is the run to be saved, is it to stop?"""
    step = state.place.step
    if run.execution.on_gpu:
        if step % POLLED_ON_GPU and state.losses is not None and step < len(state.losses):
            return
        if state.losses is not None:
            demand_finite(state.losses, range(max(0, step - POLLED_ON_GPU), step))
    wish = run.execution.group.largest(run.watch.wish(), run.execution.device)
    if wish >= Wish.SAVE:
        _save(run, state)
    if wish == Wish.STOP:
        raise Stopped


def _save(run: _Run, state: State) -> None:
    if run.execution.group.leads:
        run.watch.save(snapshot(state))


def _report(run: _Run, state: State, plan: Plan, seconds: float) -> None:
    phase, teacher = run.settings.phases[state.place.phase], state.learner.teacher
    report = EpochReport(
        phase=phase,
        phase_index=state.place.phase,
        number=state.place.epoch,
        steps=plan.num_steps,
        loss=float(losses_of(state, plan.num_steps).double().mean()),
        learning_rate=learning_rate(phase, run.settings.optimization, state.place.epoch + 1 - 1 / plan.num_steps),
        consistency=0.0 if teacher is None else float(plan.weight),
        seconds=seconds,
        facts=state.facts,
        network=state.learner.network,
        teacher=None if teacher is None else teacher.network,
    )
    run.watch.on_epoch(report)
