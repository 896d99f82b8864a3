"""One training step: views, losses, an update of the weights, then of the teacher. On a GPU it is a CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ..nets import Output
from .augment import augment
from .epoch import Plan
from .execution import Execution
from .losses import LossInputs
from .methods import Method
from .settings import Optimization
from .targets import BatchTargets
from .teachers import Teacher

WARM_UP = 3  # steps before a recording, as PyTorch's notes on CUDA graphs ask for


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What one phase trains, and with what.

    images: as in loop.train, on the device, or in main memory where they do not fit. clip_norm: as in Optimization.
    """

    network: nn.Module
    teacher: Teacher | None
    method: Method
    optimizer: torch.optim.Optimizer
    images: torch.Tensor
    execution: Execution
    clip_norm: float | None = None

    @property
    def num_views(self) -> int:
        return 2 if self.teacher is not None and self.teacher.needs_second_view else 1

    @property
    def describer(self) -> nn.Module:
        """Who describes the images for the graph: a teacher that looks at weak views, else the network itself."""
        if self.teacher is None or self.teacher.network is None or self.teacher.threshold is None:
            return self.network
        return self.teacher.network


def make_optimizer(network: nn.Module, settings: Optimization, device: torch.device) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum or Adam, over all parameters; the learning rate is a tensor, written at every step.

    Momentum is there from the start, all zeros, which makes the same first step: a head that gets its first gradient in
    a later phase has some too, as the fused update demands.
    """
    rate = torch.zeros((), device=device)
    parameters = [value for value in network.parameters() if value.requires_grad]
    if settings.optimizer == "adam":
        return torch.optim.Adam(
            parameters, rate, betas=(settings.momentum, 0.999), weight_decay=settings.weight_decay, fused=True
        )
    optimizer = torch.optim.SGD(
        parameters,
        rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
        fused=True,
    )
    if settings.momentum > 0:
        for value in parameters:
            optimizer.state[value]["momentum_buffer"] = torch.zeros_like(value, requires_grad=False)
    return optimizer


def forward(learner: Learner, plan: Plan, targets: BatchTargets, index: torch.Tensor) -> torch.Tensor:
    """The loss of one step for this process's rows. index: (1,) int64, of the step. targets: of all rows."""
    rows = plan.rows.index_select(0, index)[0]
    images = pick_images(learner.images, rows, learner.execution)
    with learner.execution.autocast():
        output = Output(*learner.network(augment(images, plan.views[0].select(index))))
        teaching = _ask_teacher(learner, images, rows, plan, index, output)
    given = plan.given.index_select(0, index)[0]
    threshold = None if learner.teacher is None else learner.teacher.threshold
    inputs = LossInputs(output, targets.select(rows), teaching, plan.weight, given, threshold)
    return torch.stack([term(inputs) for term in learner.method.terms]).sum() * plan.loss_scale


@torch.no_grad()
def _ask_teacher(
    learner: Learner, images: torch.Tensor, rows: torch.Tensor, plan: Plan, index: torch.Tensor, output: Output
) -> torch.Tensor | None:
    if learner.teacher is None:
        return None
    second = augment(images, plan.views[1].select(index)) if learner.num_views == 2 else images
    return learner.teacher.teach(second, rows, output)


def update(learner: Learner, plan: Plan, index: torch.Tensor, loss: torch.Tensor, losses: torch.Tensor) -> None:
    """Take a step down the gradient of the loss, then update the teacher; write the loss into losses (steps,) at index.

    Raises NotFinite before anything moves if the loss is not finite. On a GPU, which would have to be waited for, that
    is left to whoever reads the losses.
    """
    learner.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    mean = loss.detach()[None]
    learner.execution.group.average([mean, *_list_averaged(learner)])
    _write_loss(losses, index, mean)
    if not learner.execution.on_gpu:
        demand_finite(losses, range(int(index), int(index) + 1))
    if learner.clip_norm is not None:
        nn.utils.clip_grad_norm_(learner.network.parameters(), learner.clip_norm)
    for settings in learner.optimizer.param_groups:
        settings["lr"].copy_(plan.rate.index_select(0, index)[0])
    learner.optimizer.step()
    if learner.teacher is not None:
        with torch.no_grad():
            learner.teacher.follow(plan.ema_decay.index_select(0, index)[0])


def _write_loss(losses: torch.Tensor, index: torch.Tensor, loss: torch.Tensor) -> None:
    """Write loss (1,) into losses (steps,) at index (1,).

    Not by index_copy_: with deterministic algorithms on a GPU that is index_put_, which sorts, and in some versions of
    torch waits for the largest index; a recording must not wait.
    """
    number = torch.arange(losses.shape[0], device=losses.device)
    losses.copy_(torch.where(number == index, loss, losses))


def _list_averaged(learner: Learner) -> list[torch.Tensor]:
    """Gradients, running statistics of batch norm, averages of a teacher: with them the same, the processes stay so."""
    gradients = [value.grad for value in learner.network.parameters() if value.grad is not None]
    modules = [learner.network, *([learner.teacher.state] if learner.teacher else [])]
    return gradients + [value for one in modules for value in one.buffers() if value.is_floating_point()]


def pick_images(images: torch.Tensor, rows: torch.Tensor, execution: Execution) -> torch.Tensor:
    """Copy the images of the rows to the device; all images lie there, or in main memory where they do not fit."""
    if execution.holds(images):
        return images.index_select(0, rows)
    return images.index_select(0, rows.to(images.device)).to(execution.device)


def make_step(learner: Learner, plan: Plan, targets: BatchTargets, losses: torch.Tensor) -> Callable[[int, int], None]:
    """The function step(number, dropout_seed) that takes one step of the plan and writes its loss into losses (steps,).

    plan, targets, losses: on the device; the steps read and write these very tensors.
    Recorded on a GPU where that is possible: a plain step there spends most of its time starting small kernels.
    """
    index = torch.zeros(1, dtype=torch.int64, device=learner.execution.device)

    def take_step() -> None:
        update(learner, plan, index, forward(learner, plan, targets, index), losses)

    run = _record(learner, losses, take_step) if _can_be_recorded(learner) else take_step

    def step(number: int, seed: int) -> None:
        index.fill_(number)
        torch.manual_seed(seed)  # a replay, too, draws from the seed that is set when it begins
        run()

    return step


class NotFinite(ArithmeticError):
    """The loss of a step is NaN or infinite. step: its number in the epoch."""

    def __init__(self, value: float, step: int) -> None:
        super().__init__(f"the loss is {value}")
        self.step = step


def demand_finite(losses: torch.Tensor, steps: range) -> None:
    """Raise NotFinite for the first of these steps whose loss is not finite."""
    found = losses[steps.start : steps.stop].tolist()
    for step, value in zip(steps, found, strict=True):
        if not math.isfinite(value):
            raise NotFinite(value, step)


def _can_be_recorded(learner: Learner) -> bool:
    """SGD alone: Adam counts steps on the host. One process alone: what NCCL's watchdog asks of the GPU, from its own
    thread, would break a recording.
    """
    execution, teacher = learner.execution, learner.teacher
    on_device = execution.on_gpu and execution.holds(learner.images)
    sorts = execution.speed == "deterministic" and teacher is not None and teacher.writes_rows
    alone = execution.group.size == 1
    return on_device and execution.captured and alone and not sorts and isinstance(learner.optimizer, torch.optim.SGD)


def _record(learner: Learner, losses: torch.Tensor, take_step: Callable[[], None]) -> Callable[[], None]:
    """Record the whole step as one CUDA graph. Warming up moves weights, so all state is put back afterwards.

    Before it: momentum exists, cuDNN has chosen its algorithms, and cuBLAS has its workspace. Gradients are set to None
    by the step itself, so they are allocated in the graph's own memory.
    """
    device = learner.execution.device
    with _keep_state(learner, losses):
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                take_step()
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # On the stream of the warm-up: autograd may remember the stream where it last left a gradient.
        with torch.cuda.graph(graph, stream=side):
            take_step()
    return graph.replay


@contextmanager
def _keep_state(learner: Learner, losses: torch.Tensor) -> Iterator[None]:
    """Weights, buffers, momentum, the teacher's state and the losses are afterwards what they were before."""
    modules = [learner.network, *([learner.teacher.state] if learner.teacher else [])]
    tensors = [losses, *(value for one in modules for value in (*one.parameters(), *one.buffers()))]
    tensors += [value for state in learner.optimizer.state.values() for value in state.values()]
    before = [value.detach().clone() for value in tensors]
    yield
    with torch.no_grad():
        for value, old in zip(tensors, before, strict=True):
            value.copy_(old)
