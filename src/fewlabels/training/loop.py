"""The training loop. Only this module moves weights, through step.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..errors import ConfigError, NumericsError
from ..nets.frozen import FrozenNetwork
from ..randomness import generator
from .augment import Changes, draw_changes
from .callbacks import Callbacks, EpochReport, Request
from .checkpoint import Snapshot
from .epoch import Epoch, Plan, batch_size, count_steps, learning_rate, plan_epoch
from .evaluate import demand_finite_descriptors, evaluate
from .execution import Execution
from .interrupt import Stopped
from .method_table import BY_NAME
from .methods import METHODS
from .settings import TrainSettings
from .state import Position, State, ensure_losses, make_snapshot, restore
from .step import Learner, NotFinite, demand_finite, make_optimizer, make_step
from .targets import BatchTargets, PartialLabels, Propagate, make_propagate
from .teachers import Pupil

POLLED_ON_GPU = 50  # steps between two looks at losses and requests: each makes the host wait for the GPU

Build = Callable[[str], nn.Module]  # purpose, such as "student" -> a network with weights of its own


@dataclass(frozen=True)
class Trained:
    """What training returns. network: after the last phase. teacher: of the last phase, where that is a network."""

    network: nn.Module
    teacher: nn.Module | None


def train(
    build: Build,
    images: torch.Tensor | Sequence[torch.Tensor],
    labels: PartialLabels,
    settings: TrainSettings,
    execution: Execution | None = None,
    callbacks: Callbacks | None = None,
    start: Snapshot | None = None,
) -> Trained:
    """Train a network, phase after phase.

    build: makes networks: (b, c, h, w) in [0, 255] -> Output. Called with "student", and with "teacher <phase>" where
        the rules give the teacher weights of its own.
    images: (n, h, w, c) uint8, on the execution's device, or in main memory where they do not fit there; or
        (n, views, d) float32, descriptors of their views by a trunk that is not trained. The network then takes (b, d).
        Of several phases that do not see the same, one for each phase.
    labels: -1 where unlabelled; nothing else about these rows is used.
    callbacks: called on the way (callbacks.py); through them a caller asks for snapshots and for the end.
    start: a snapshot of this very run, to go on from.
    Raises NumericsError (P22) for a loss of NaN or infinity: on the CPU before the update that it would make, on a GPU
    some steps later, but before anything is saved; Stopped once saved, if the callbacks ask to stop; ConfigError (C13)
    for a batch smaller than the number of processes.
    """
    each = [images] * len(settings.phases) if isinstance(images, torch.Tensor) else list(images)
    execution, callbacks = execution or Execution(each[0].device), callbacks or Callbacks()
    run = _Run(
        build=build,
        images=each,
        labels=labels,
        settings=settings,
        execution=execution,
        callbacks=callbacks,
        propagate=make_propagate(settings.graph, execution, _stop_when_asked(callbacks)),
    )
    _check_batches(run)
    with execution.algorithms():
        state = _begin(run, build("student"), start)
        while True:
            _train_phase(run, state)
            if state.position.phase + 1 == len(settings.phases):
                break
            state = _begin_next_phase(run, state)
        found = state.learner.teacher
        return Trained(state.learner.network, None if found is None else found.network)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What stays the same for the whole run. images: of each phase."""

    build: Build
    images: Sequence[torch.Tensor]
    labels: PartialLabels
    settings: TrainSettings
    execution: Execution
    callbacks: Callbacks
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


def _begin(run: _Run, network: nn.Module, start: Snapshot | None) -> State:
    _move(network, run.execution.device)
    position = Position() if start is None else Position(**start.values["place"])
    state = State(position, _make_learner(run, position.phase, network, None))
    if start is not None:
        restore(state, start)
    return state


def _move(network: nn.Module, device: torch.device) -> nn.Module:
    """Move the network itself to the device. The memory format of its weights is left to who built it."""
    return network.to(device).train()


def _begin_next_phase(run: _Run, state: State) -> State:
    """The next phase's learner on the network of the phase that is over."""
    position = Position(state.position.phase + 1, done=state.position.done)
    return State(position, _make_learner(run, position.phase, state.learner.network, state.learner))


def _make_learner(run: _Run, phase: int, network: nn.Module, before: Learner | None) -> Learner:
    settings, device = run.settings, run.execution.device
    method = METHODS[settings.phases[phase].method](settings)
    if isinstance(network, FrozenNetwork):
        network.unfreeze(settings.phases[phase].unfrozen)
    optimizer = make_optimizer(network, settings.optimization, device)
    if before is not None and settings.rules.keep_momentum:
        optimizer.state = before.optimizer.state
    teacher = None
    if method.teacher is not None:
        first = None if before is None or before.teacher is None else before.teacher.network
        if settings.rules.fresh_teacher:
            first = _move(run.build(f"teacher {phase}"), device)
        label = torch.from_numpy(run.labels.label).to(device)
        teacher = method.teacher(Pupil(network, first, label, run.num_classes))
    return Learner(
        network=network,
        teacher=teacher,
        method=method,
        optimizer=optimizer,
        images=run.images[phase],
        execution=run.execution,
        clip_norm=settings.optimization.clip_norm,
    )


def _train_phase(run: _Run, state: State) -> None:
    phase = run.settings.phases[state.position.phase]
    steps: _PhaseSteps | None = None
    for number in range(state.position.epoch, phase.epochs):
        began = time.perf_counter()
        _make_targets(run, state)
        plan = _plan(run, state)
        steps = _PhaseSteps(run, state, plan) if steps is None else steps
        steps.load_epoch(state, plan)
        for step in range(state.position.step, plan.num_steps):
            with steps.name_rows_at_fault():
                steps.take(step)
                state.position = replace(state.position, step=step + 1, done=state.position.done + 1)
                run.callbacks.on_steps(batch_size(phase, run.labels.label))
                _check_requests(run, state)
        _report(run, state, plan, time.perf_counter() - began)
        state.targets, state.losses, state.facts = None, None, {}
        state.position = replace(state.position, epoch=number + 1, step=0)
    _check_requests(run, state)


class _PhaseSteps:
    """The steps of a phase, over tensors that keep their address from epoch to epoch, as a recorded step needs."""

    def __init__(self, run: _Run, state: State, plan: Plan) -> None:
        device = run.execution.device
        assert state.targets is not None
        self.plan, self.losses, self.position = plan.to(device), ensure_losses(state, plan.num_steps), state.position
        self.targets = BatchTargets(*(value.clone() for value in state.targets.on(device)))
        self.seeds = plan.seeds
        self._step = make_step(state.learner, self.plan, self.targets, self.losses)

    def load_epoch(self, state: State, plan: Plan) -> None:
        """Copy the plan, targets and losses of an epoch into the tensors."""
        assert state.targets is not None
        device = self.losses.device
        new = [*plan.tensors(), *state.targets.on(device), ensure_losses(state, plan.num_steps)]
        for old, value in zip([*self.plan.tensors(), *self.targets, self.losses], new, strict=True):
            old.copy_(value)
        state.losses, self.seeds, self.position = self.losses, plan.seeds, state.position
        for settings in state.learner.optimizer.param_groups:
            if "betas" in settings:
                settings["betas"] = (plan.beta1, settings["betas"][1])

    def take(self, number: int) -> None:
        self._step(number, self.seeds[number])

    @contextmanager
    def name_rows_at_fault(self) -> Iterator[None]:
        """Where a loss is not finite, whoever finds it: NumericsError with the rows of that step's batch."""
        try:
            yield
        except NotFinite as problem:
            where = f"phase {self.position.phase + 1}, epoch {self.position.epoch + 1}, step {problem.step + 1}"
            raise NumericsError(
                "P22",
                f"{problem} in {where}",
                rows=self.plan.rows[problem.step].tolist(),
                do="no checkpoint has it: lower the learning rate, or look at the images of that batch",
            ) from problem


def _plan(run: _Run, state: State) -> Plan:
    epoch = Epoch(run.settings.seed, state.position.phase, state.position.epoch)
    before = _count_ema_steps_before(run, state.position.phase)
    return plan_epoch(epoch, run.labels.label, run.settings, state.learner.num_views, before, run.execution.group)


def _count_ema_steps_before(run: _Run, phase: int) -> int:
    """Steps of the phases before in which the same EMA teacher was updated."""
    if run.settings.rules.fresh_teacher:
        return 0
    steps = 0
    for earlier in run.settings.phases[:phase]:
        taught = BY_NAME[earlier.method].ema_teacher
        steps = steps + earlier.epochs * count_steps(earlier, run.labels.label) if taught else 0
    return steps


def _make_targets(run: _Run, state: State) -> None:
    """Make the targets of the epoch, unless a snapshot has them. If stopped here, they are made again from scratch."""
    if state.targets is not None:
        return
    _check_requests(run, state)

    def describe() -> torch.Tensor:
        found = evaluate(state.learner.describer, state.learner.images, run.execution, _draw_views(run, state))
        return demand_finite_descriptors(found)

    try:
        state.targets = state.learner.method.targets(describe, run.labels, run.propagate)
    except Stopped:
        _save(run, state)
        raise
    state.facts = run.callbacks.on_targets(state.targets) if run.execution.group.leads else {}


def _stop_when_asked(callbacks: Callbacks) -> Callable[[str, float], None]:
    """on_progress of a propagation, which may take long: raises Stopped where the caller asks to stop.

    Of several processes only the first propagates and asks; all stop.
    """

    def on_progress(stage: str, fraction: float) -> None:
        callbacks.on_progress(stage, fraction)
        if callbacks.request() == Request.STOP:
            raise Stopped

    return on_progress


def _draw_views(run: _Run, state: State) -> Changes | None:
    """How images are changed before they are described: not at all in paper mode."""
    if not run.settings.rules.augmented_descriptors:
        return None
    rng = generator(run.settings.seed, "described", state.position.phase, state.position.epoch)
    return draw_changes(run.settings.augment, rng, (len(run.labels.label),)).to(run.execution.device)


def _check_requests(run: _Run, state: State) -> None:
    """Between two steps: demand finite losses, then save or stop if the caller asks for it."""
    step = state.position.step
    if run.execution.on_gpu:
        if step % POLLED_ON_GPU and state.losses is not None and step < len(state.losses):
            return
        if state.losses is not None:
            demand_finite(state.losses, range(max(0, step - POLLED_ON_GPU), step))
    request = run.execution.group.reduce_max(run.callbacks.request(), run.execution.device)
    if request >= Request.SAVE:
        _save(run, state)
    if request == Request.STOP:
        raise Stopped


def _save(run: _Run, state: State) -> None:
    if run.execution.group.leads:
        run.callbacks.save(make_snapshot(state))


def _report(run: _Run, state: State, plan: Plan, seconds: float) -> None:
    phase, teacher = run.settings.phases[state.position.phase], state.learner.teacher
    report = EpochReport(
        phase=phase,
        phase_index=state.position.phase,
        number=state.position.epoch,
        steps=plan.num_steps,
        loss=float(ensure_losses(state, plan.num_steps).double().mean()),
        learning_rate=learning_rate(phase, run.settings.optimization, state.position.epoch + 1 - 1 / plan.num_steps),
        consistency=0.0 if teacher is None else float(plan.weight),
        seconds=seconds,
        facts=state.facts,
        network=state.learner.network,
        teacher=None if teacher is None else teacher.network,
    )
    run.callbacks.on_epoch(report)
