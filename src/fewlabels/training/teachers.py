"""Teachers: the network itself, an EMA of its weights, or an average of its predictions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import nn

from ..conventions import UNLABELED
from ..nets import Output
from .settings import Matching

LEAST_SHARE = 1e-6  # of a class in the mean of all probabilities, where alignment divides by it

# (second view (b, c, h, w), rows (b,), the student's output for the first view) -> (b, c) probabilities, no gradient
Teach = Callable[[torch.Tensor, torch.Tensor, Output], torch.Tensor]


@dataclass(frozen=True)
class Pupil:
    """What a teacher is made from. student: the network. start: first weights of an EMA teacher; None: the student's.

    label: (n,) int64 of all rows, -1 where none is given, on the device that holds the student.
    num_classes: of the task.
    """

    student: nn.Module
    start: nn.Module | None
    label: torch.Tensor
    num_classes: int


@dataclass(frozen=True)
class Teacher:
    """Functions and state of one teacher.

    teach: gives its probabilities for a batch. follow: EMA update, called after each step with the decay, () float32.
    state: what checkpoints save of it. network: that predicts for any image; None where the teacher has none.
    needs_second_view: whether `teach` looks at the images. writes_rows: whether it writes at row numbers (index_put_).
    threshold: (c,) float32, which `teach` moves: from which probability on its word counts; None: all of it does.
    """

    teach: Teach
    follow: Callable[[torch.Tensor], None] = lambda decay: None
    state: nn.Module = field(default_factory=nn.Module)
    network: nn.Module | None = None
    needs_second_view: bool = True
    writes_rows: bool = False
    threshold: torch.Tensor | None = None


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


class Matcher(nn.Module):
    """Memory of a teacher that looks at weak views: its network, and moving averages over the unlabelled rows.

    raw: (c,) float32, mean probabilities as the network gives them. aligned: the same after alignment.
    confidence: () float32, mean of the largest aligned probability. threshold: (c,) float32. All begin at 1 / c.
    """

    raw: torch.Tensor
    aligned: torch.Tensor
    confidence: torch.Tensor
    threshold: torch.Tensor

    def __init__(self, network: nn.Module, num_classes: int, threshold: float | None) -> None:
        super().__init__()
        self.network = network
        even = 1 / num_classes
        for name in ("raw", "aligned"):
            self.register_buffer(name, torch.full((num_classes,), even))
        self.register_buffer("confidence", torch.tensor(even))
        self.register_buffer("threshold", torch.full((num_classes,), even if threshold is None else threshold))


def matching_teacher(pupil: Pupil, settings: Matching) -> Teacher:
    """An EMA teacher whose probabilities for weak views are aligned with the classes' shares among the given labels.

    Alignment (ReMixMatch, section 3.1; the mean as a moving average, as in SoftMatch): q = normalise(p * prior / raw).
    Threshold (FreeMatch, eqs. 5 to 8, on q): aligned / max(aligned) * confidence; or a fixed one (FixMatch).
    """
    teacher = ema_teacher(pupil.student, pupil.start)
    assert teacher.network is not None
    kept = Matcher(teacher.network, pupil.num_classes, settings.threshold).to(pupil.label.device)
    given = pupil.label != UNLABELED
    prior = F.one_hot(pupil.label.clamp_min(0), pupil.num_classes)[given].float().mean(dim=0)

    def teach(view: torch.Tensor, rows: torch.Tensor, output: Output) -> torch.Tensor:
        share, counted = teacher.teach(view, rows, output), ~given.index_select(0, rows)
        _follow(kept.raw, share, counted, settings.memory)
        aligned = share * prior / kept.raw.clamp_min(LEAST_SHARE)
        aligned = aligned / aligned.sum(dim=1, keepdim=True)
        _follow(kept.aligned, aligned, counted, settings.memory)
        _follow(kept.confidence, aligned.max(dim=1).values, counted, settings.memory)
        if settings.threshold is None:
            kept.threshold.copy_(kept.aligned / kept.aligned.max() * kept.confidence)
        return aligned

    return replace(teacher, teach=teach, state=kept, threshold=kept.threshold)


def _follow(average: torch.Tensor, values: torch.Tensor, counted: torch.Tensor, memory: float) -> None:
    """Move the average, in place, towards the mean of the counted rows of values (b, ...); without any it stays."""
    weight = counted.float() / counted.sum().clamp_min(1)
    average.copy_(torch.where(counted.any(), memory * average + (1 - memory) * (weight @ values), average))


def _probabilities(output: Output) -> torch.Tensor:
    """Of the class head: the student's second head is to agree with the teacher's first (helpers.py:178-179)."""
    return output.logits.detach().float().softmax(dim=1)
