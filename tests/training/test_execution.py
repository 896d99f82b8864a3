"""Deterministic and fast: what each changes, and what neither does."""

import numpy as np
import pytest
import torch

from fewlabels.graph import GraphSettings
from fewlabels.nets import ImageInput, NetworkSettings, build_network
from fewlabels.training import execution
from fewlabels.training import targets as targets_module
from fewlabels.training.callbacks import Callbacks
from fewlabels.training.evaluate import error_percent, evaluate
from fewlabels.training.execution import Execution
from fewlabels.training.loop import train
from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings
from fewlabels.training.targets import PartialLabels, make_propagate

FAST = Execution(speed="fast")
SETTINGS = TrainSettings(
    phases=(Phase("supervised", 20, 0.05, 4), Phase("lp", 4, 0.05, 4, 12)),
    graph=GraphSettings(n_neighbors=5),
    augment=AugmentSettings(translate=1, flip=True),
    network=NetworkSettings(width=8),
)


def build(purpose):
    torch.manual_seed(0)
    return build_network(SETTINGS.network, ImageInput(1, 8), 2)


def silent(stage, share):
    pass


@pytest.mark.parametrize(("has", "precision"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_fast_run_learns_in_bfloat16_where_the_device_has_it_with_weights_in_float32(
    stripes, monkeypatch, has, precision
):
    monkeypatch.setattr(execution, "multiplies_bfloat16", lambda device: has)
    images, labels, truth = stripes
    kinds = set()

    def watched(report):
        hook = report.network.trunk[0].register_forward_hook(lambda module, given, found: kinds.add(found.dtype))
        evaluate(report.network, images[:4], FAST)
        hook.remove()

    found = train(build, images, labels, SETTINGS, FAST, Callbacks(on_epoch=watched)).network
    assert kinds == {FAST.precision} == {precision}
    assert {value.dtype for value in found.parameters()} == {torch.float32}
    assert error_percent(evaluate(found, images, FAST).logits, truth) <= 10
    assert evaluate(found, images, FAST).descriptors.dtype == torch.float32


@pytest.mark.parametrize(
    ("known", "has"), [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False), ({}, False)]
)
def test_a_processor_says_whether_it_multiplies_bfloat16(monkeypatch, known, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert execution.multiplies_bfloat16.__wrapped__(torch.device("cpu")) is has


@pytest.mark.parametrize("speed", ["deterministic", "fast"])
def test_torch_is_afterwards_as_it_was(speed):
    torch.manual_seed(3)
    before = (torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision())
    expected = torch.random.get_rng_state()
    with Execution(speed=speed).algorithms():
        assert torch.are_deterministic_algorithms_enabled() == (speed == "deterministic")
        torch.manual_seed(9)
    assert (torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()) == before
    assert torch.equal(torch.random.get_rng_state(), expected)


def descriptors(moved):
    """300 rows in two groups, and the same a little moved; the first row of each group is labelled."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 16))[np.arange(300) % 2] + 0.3 * rng.normal(size=(300, 16))
    return torch.from_numpy(rows + moved * rng.normal(size=rows.shape)).float()


LABELS = PartialLabels(np.concatenate([[0, 1], np.full(298, -1)]), ["a", "b"])


@pytest.mark.parametrize(("speed", "mode", "warm"), [("fast", "paper", True), ("fast", "released", False)])
def test_a_fast_run_starts_a_solution_from_the_last_one_in_paper_mode(monkeypatch, speed, mode, warm):
    starts = []
    plain = targets_module.spread

    def spied(*given, start=None, **more):
        starts.append(start)
        return plain(*given, start=start, **more)

    monkeypatch.setattr(targets_module, "spread", spied)
    settings = GraphSettings(n_neighbors=10, mode=mode)
    make = make_propagate(settings, Execution(speed=speed), silent)
    cold = make_propagate(settings, Execution(), silent)
    first, second = make(descriptors(0.0), LABELS), make(descriptors(0.01), LABELS)
    assert [start is not None for start in starts] == ([False, True] if warm else [])
    for found, moved in ((first, 0.0), (second, 0.01)):
        expected = cold(descriptors(moved), LABELS)
        assert (found.label == expected.label).all()
        assert np.allclose(found.weight, expected.weight, atol=1e-4)
    if warm:
        steps = [found.propagation.solution.num_steps.max() for found in (first, second)]
        assert steps[1] < steps[0]
