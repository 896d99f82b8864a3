"""What a recording on a GPU relies on, as far as a machine without one can tell; and images that lie elsewhere."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch.utils import deterministic

from fewlabels.graph import GraphSettings
from fewlabels.nets import ImageInput, NetworkSettings, build_network
from fewlabels.training import step
from fewlabels.training.callbacks import Callbacks
from fewlabels.training.execution import Execution
from fewlabels.training.loop import train
from fewlabels.training.settings import AugmentSettings, Consistency, Phase, TrainSettings
from fewlabels.training.step import make_step

PAIRS = [("supervised", "lp"), ("mean_teacher", "mt_lp"), ("pi_model", "temporal_ensembling"), ("match", "match_lp")]


def settings_for(pair, mode="released", heads=1):
    def phase(method):
        return Phase(method, 2, 0.05, 4, 0 if method == "supervised" else 14)

    return TrainSettings(
        phases=tuple(phase(method) for method in pair),
        graph=GraphSettings(n_neighbors=5, mode=mode),
        augment=AugmentSettings(translate=1, flip=True),
        network=NetworkSettings(width=4, dropout=0.2, heads=heads),
        consistency=Consistency(weight=1.0),
    )


def trained(task, settings, execution=None):
    """All weights afterwards, and the loss of every epoch."""
    images, labels, _ = task
    losses = []

    def build(purpose):
        torch.manual_seed(len(purpose))
        return build_network(settings.network, ImageInput(1, 8), 2)

    callbacks = Callbacks(on_epoch=lambda report: losses.append(report.loss))
    found = train(build, images, labels, settings, execution, callbacks)
    modules = [found.network, *([found.teacher] if found.teacher else [])]
    return [value for one in modules for value in one.state_dict().values()], losses


def assert_same(one, other):
    assert all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))
    assert one[1] == other[1]


class Graph:
    """In place of torch.cuda.CUDAGraph: replays nothing by itself."""

    def replay(self):
        raise AssertionError("the step itself is called instead")


class Stream:
    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        pass


@pytest.fixture
def pretended(monkeypatch):
    """Steps are warmed up and recorded as on a GPU, and then called instead of replayed."""
    calls = []
    for name, value in (
        ("Stream", Stream),
        ("current_stream", Stream),
        ("stream", lambda stream: nullcontext()),
        ("CUDAGraph", Graph),
        ("graph", lambda graph, stream: nullcontext()),
    ):
        monkeypatch.setattr(torch.cuda, name, value)
    recorded = step._record

    def recorded_then_called(learner, losses, whole):
        recorded(learner, losses, lambda: calls.append(whole()))
        return whole

    monkeypatch.setattr(step, "_record", recorded_then_called)
    monkeypatch.setattr(step, "_can_be_recorded", lambda learner: True)
    return calls


@pytest.mark.parametrize("pair", PAIRS)
def test_warming_up_for_a_recording_leaves_no_trace(stripes, pair, request):
    settings = settings_for(pair)
    plain = trained(stripes, settings)
    calls = request.getfixturevalue("pretended")
    assert_same(trained(stripes, settings), plain)
    assert len(calls) == 2 * (step.WARM_UP + 1)  # one recording for each phase


def test_the_losses_of_an_epoch_that_is_gone_on_with_are_not_warmed_away(stripes, pretended):
    """Warming up takes the step at place 0, whose loss was there already."""
    network = torch.nn.Linear(1, 1)
    losses = torch.tensor([7.0, 8.0])
    learner = step.Learner(
        network=network,
        teacher=None,
        method=None,
        optimizer=torch.optim.SGD(network.parameters()),
        images=torch.zeros(1),
        execution=Execution(),
    )

    def whole():
        step._write_loss(losses, torch.zeros(1, dtype=torch.int64), torch.ones(1))

    step._record(learner, losses, whole)
    assert losses.tolist() == [7, 8]


def test_a_loss_is_noted_at_its_place_alone():
    losses = torch.tensor([1.0, 2.0, 3.0])
    step._write_loss(losses, torch.tensor([1]), torch.tensor([9.0]))
    assert losses.tolist() == [1, 9, 3]


def test_a_head_without_a_gradient_in_the_first_phase_gets_one_in_the_second(stripes):
    """Momentum is kept between phases by released rules, and the second head has none yet."""
    weights, losses = trained(stripes, settings_for(("supervised", "mean_teacher"), heads=2))
    assert len(losses) == 4
    assert all(torch.isfinite(value).all() for value in weights if value.is_floating_point())


@pytest.mark.parametrize("pair", PAIRS)
def test_images_that_lie_elsewhere_train_the_same(stripes, pair):
    """To torch, "cpu:0" is another device than "cpu": images are picked where they lie, then brought over."""
    elsewhere = Execution(torch.device("cpu:0"))
    assert not elsewhere.holds(stripes[0])
    settings = settings_for(pair)
    assert_same(trained(stripes, settings, elsewhere), trained(stripes, settings))


def test_the_current_gpu_is_named_with_and_without_its_number():
    there = type("Tensor", (), {"device": torch.device("cuda:0")})()
    assert Execution(torch.device("cuda")).holds(there)
    assert Execution(torch.device("cuda:0")).holds(there)
    assert not Execution(torch.device("cuda:1")).holds(there)
    assert not Execution(torch.device("cpu")).holds(there)


def test_what_is_recorded_and_what_is_not(stripes):
    """Decided from values alone: a GPU, all images on it, one process, SGD, and no sorting by row numbers."""
    from fewlabels.training.distributed import Group
    from fewlabels.training.teachers import Teacher

    network = torch.nn.Linear(1, 1)
    images = type("Tensor", (), {"device": torch.device("cuda:0")})()
    gpu, sgd = Execution(torch.device("cuda")), torch.optim.SGD(network.parameters())
    learner = step.Learner(network=network, teacher=None, method=None, optimizer=sgd, images=images, execution=gpu)
    writes = Teacher(lambda view, rows, output: output.logits, writes_rows=True)
    assert step._can_be_recorded(learner)
    assert step._can_be_recorded(replace(learner, teacher=writes, execution=replace(gpu, speed="fast")))
    for other in (
        replace(learner, images=stripes[0]),
        replace(learner, teacher=writes),
        replace(learner, optimizer=torch.optim.Adam(network.parameters())),
        replace(learner, execution=replace(gpu, captured=False)),
        replace(learner, execution=replace(gpu, group=Group(0, 2))),
        replace(learner, execution=Execution()),
    ):
        assert not step._can_be_recorded(other)


def test_new_tensors_are_not_filled_in_a_run_and_torch_is_left_as_it_was():
    assert deterministic.fill_uninitialized_memory
    with Execution().algorithms():
        assert torch.are_deterministic_algorithms_enabled()
        assert not deterministic.fill_uninitialized_memory
    assert deterministic.fill_uninitialized_memory
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_step_takes_the_seed_and_the_number_it_is_given(monkeypatch):
    seen = []
    network = torch.nn.Linear(1, 1)
    learner = step.Learner(
        network=network,
        teacher=None,
        method=None,
        optimizer=torch.optim.SGD(network.parameters()),
        images=torch.zeros(1),
        execution=Execution(),
    )
    monkeypatch.setattr(step, "forward", lambda learner, plan, targets, index: (int(index), float(torch.rand(()))))
    monkeypatch.setattr(step, "update", lambda learner, plan, index, loss, losses: seen.append(loss))
    take = make_step(learner, None, None, None)
    with torch.random.fork_rng(devices=[]):
        for number, seed in ((3, 5), (0, 6), (3, 5)):
            take(number, seed)
    assert [index for index, _ in seen] == [3, 0, 3]
    assert seen[0] == seen[2] != seen[1]
