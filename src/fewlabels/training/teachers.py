"""Teachers of the consistency loss: the network itself, an EMA of its weights, or an average of its predictions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from ..nets import Output

# (second view (b, c, h, w), rows (b,), the student's output for the first view) -> (b, c) probabilities, no gradient
Teach = Callable[[torch.Tensor, torch.Tensor, Output], torch.Tensor]


@dataclass(frozen=True)
class Teacher:
    """Functions and state of one teacher.

    teach: gives its probabilities for a batch. follow: EMA update, called after each step with the decay, () float32.
    state: what checkpoints save of it. network: that predicts for any image; None where the teacher has none.
    needs_second_view: whether `teach` looks at the images. writes_rows: whether it writes at row numbers (index_put_).
    """

    teach: Teach
    follow: Callable[[torch.Tensor], None] = lambda decay: None
    state: nn.Module = field(default_factory=nn.Module)
    network: nn.Module | None = None
    needs_second_view: bool = True
    writes_rows: bool = False


def pi_teacher(student: nn.Module) -> Teacher:
    """Pi-model: the student itself predicts for the second view."""
    return Teacher(lambda view, rows, output: _probabilities(Output(*student(view))))


def ema_teacher(student: nn.Module, start: nn.Module | None) -> Teacher:
    """Mean Teacher: a network whose parameters are an exponential moving average (EMA) of the student's.

    start: weights to start from; None: the student's own.
    It sees the second view in train mode: dropout on, batch norm by the batch. Buffers, such as running statistics, are
    its own. Released code helpers.py:111, 148, 155, 177-178.
    """
    network = copy.deepcopy(student if start is None else start)
    network.requires_grad_(False)
    network.train()
    mine = [value.detach() for value in network.parameters()]  # views: writing to them writes to the parameters
    its = [value.detach() for value in student.parameters()]

    def follow(decay: torch.Tensor) -> None:
        torch._foreach_mul_(mine, decay)
        torch._foreach_add_(mine, list(torch._foreach_mul(its, 1 - decay)))

    return Teacher(lambda view, rows, output: _probabilities(Output(*network(view))), follow, network, network)


class Ensemble(nn.Module):
    """Memory of temporal ensembling.

    total: (n, c) float32, decayed sums of predictions. count: (n,) int64, how many each row has had.
    """

    total: torch.Tensor
    count: torch.Tensor

    def __init__(self, num_rows: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(num_rows, num_classes))
        self.register_buffer("count", torch.zeros(num_rows, dtype=torch.int64))


def ensemble_teacher(num_rows: int, num_classes: int, memory: float, device: torch.device) -> Teacher:
    """Temporal ensembling: the mean of the student's earlier predictions for each row, older ones weighing less.

    memory: share of the old that stays; the start from zero is divided out (Laine and Aila's bias correction).
    A row that was not seen yet gets the student's own prediction, which teaches nothing.
    """
    kept = Ensemble(num_rows, num_classes).to(device)

    def teach(view: torch.Tensor, rows: torch.Tensor, output: Output) -> torch.Tensor:
        new, total, count = _probabilities(output), kept.total[rows], kept.count[rows]
        bias = 1 - torch.pow(memory, count.float())
        old = torch.where(count[:, None] > 0, total / bias.clamp_min(1e-12)[:, None], new)
        kept.total[rows] = memory * total + (1 - memory) * new
        kept.count[rows] = count + 1
        return old

    return Teacher(teach, state=kept, needs_second_view=False, writes_rows=True)


def _probabilities(output: Output) -> torch.Tensor:
    """Of the class head: the student's second head is to agree with the teacher's first (helpers.py:178-179)."""
    return output.logits.detach().float().softmax(dim=1)
