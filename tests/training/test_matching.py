"""Weak views teach strong ones: alignment, threshold and losses of a tiny batch by hand, and what a run may know."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fewlabels.errors import ConfigError
from fewlabels.graph import GraphSettings
from fewlabels.nets import ImageInput, NetworkSettings, Output, build_network
from fewlabels.training import loop
from fewlabels.training.distributed import ALONE
from fewlabels.training.epoch import Epoch, plan_epoch
from fewlabels.training.loop import train
from fewlabels.training.losses import LossInputs, labeled_cross_entropy, match_both, match_graph, match_teacher
from fewlabels.training.settings import AugmentSettings, Consistency, Matching, Phase, TrainSettings
from fewlabels.training.targets import BatchTargets
from fewlabels.training.teachers import Pupil, matching_teacher

MATCHING = ("match", "strong_lp", "match_lp")
GIVEN = torch.tensor([True, False, False])
# A given label; the graph says class 1 with certainty .5; no label reaches the last.
TARGETS = BatchTargets(torch.tensor([0, 1, -1]), torch.tensor([1.0, 0.5, 0.0]))
LOGITS = torch.log(torch.tensor([[0.5, 0.5], [0.75, 0.25], [0.2, 0.8]]))
TEACHING = torch.tensor([[0.5, 0.5], [0.6, 0.4], [0.1, 0.9]])


def seen(threshold, weight=1.0):
    output = Output(LOGITS, torch.zeros(3, 1))
    return LossInputs(output, TARGETS, TEACHING, torch.tensor(weight), GIVEN, torch.tensor(threshold))


def test_the_losses_of_a_tiny_batch_by_hand():
    log = np.log
    assert float(labeled_cross_entropy(seen([0.0, 0.0]))) == pytest.approx(-log(0.5))  # one given label
    # Teacher: class 0 with .6, class 1 with .9; the mean is over both unlabelled rows, sure or not.
    assert float(match_teacher(seen([0.5, 0.5]))) == pytest.approx(-(log(0.75) + log(0.8)) / 2)
    assert float(match_teacher(seen([0.7, 0.5]))) == pytest.approx(-log(0.8) / 2)
    assert float(match_teacher(seen([0.7, 0.95]))) == 0
    assert float(match_teacher(seen([0.7, 0.5], 3.0))) == pytest.approx(-3 * log(0.8) / 2)
    # Graph: class 1 with certainty .5; the row out of reach counts as 0.
    assert float(match_graph(seen([1.0, 1.0]))) == pytest.approx(-0.5 * log(0.25) / 2)
    # Both: .5 (.6, .4) + .5 (0, 1) = (.3, .7), so class 1; out of reach the teacher alone.
    assert float(match_both(seen([0.65, 0.65]))) == pytest.approx(-(log(0.25) + log(0.8)) / 2)
    assert float(match_both(seen([0.65, 0.75]))) == pytest.approx(-log(0.8) / 2)


def test_agreement_makes_surer_and_disagreement_less_sure():
    agreeing = TARGETS._replace(label=torch.tensor([0, 0, -1]))
    inputs = seen([0.75, 0.95])._replace(targets=agreeing)
    assert float(match_teacher(inputs)) == 0  # .6 alone is not enough
    assert float(match_both(inputs)) == pytest.approx(-np.log(0.75) / 2)  # .5 * .6 + .5 = .8
    assert float(match_both(inputs._replace(targets=TARGETS))) == 0  # (.3, .7) against (.75, .95)


class Says(torch.nn.Module):
    """Two logits that are parameters of the network, for every image."""

    def __init__(self, *share):
        super().__init__()
        self.logits = torch.nn.Parameter(torch.log(torch.tensor(share)))

    def forward(self, view):
        logits = self.logits.expand(view.shape[0], -1)
        return Output(logits, logits)


def taught(settings, label=(0, 1, 1, 1, -1, -1), share=(0.8, 0.2)):
    teacher = matching_teacher(Pupil(Says(*share), None, torch.tensor(label), 2), settings)
    rows = torch.tensor([0, 4, 5])
    return teacher, lambda: teacher.teach(torch.zeros(3, 1, 2, 2), rows, Output(torch.zeros(3, 2), torch.zeros(3, 2)))


def test_alignment_and_threshold_of_two_steps_by_hand():
    """Prior (1/4, 3/4) of the given labels; every image is (.8, .2) to the network."""
    teacher, teach = taught(Matching(memory=0.5))
    first = teach()
    raw = np.array([0.65, 0.35])  # half of (.5, .5), half of (.8, .2)
    aligned = np.array([0.8, 0.2]) * [0.25, 0.75] / raw
    aligned /= aligned.sum()
    assert first[0].tolist() == pytest.approx(aligned, rel=1e-5)
    mean, confidence = (0.5 + aligned) / 2, (0.5 + aligned.max()) / 2
    assert teacher.threshold.tolist() == pytest.approx(mean / mean.max() * confidence, rel=1e-5)
    second = teach()
    raw = (raw + np.array([0.8, 0.2])) / 2
    again = np.array([0.8, 0.2]) * [0.25, 0.75] / raw
    assert second[0].tolist() == pytest.approx(again / again.sum(), rel=1e-5)
    assert not second.requires_grad


def test_a_fixed_threshold_stays_and_labelled_rows_move_no_average():
    teacher, teach = taught(Matching(threshold=0.95))
    teach()
    assert teacher.threshold.tolist() == pytest.approx([0.95, 0.95])
    teacher, teach = taught(Matching(), label=(0, 1, 1, 1, 0, 1))
    teach()
    assert teacher.state.raw.tolist() == teacher.state.aligned.tolist() == [0.5, 0.5]


def test_a_class_that_the_network_never_gives_leaves_everything_finite():
    teacher, teach = taught(Matching(memory=0.0), share=(1.0, 0.0))
    for _ in range(3):
        assert torch.isfinite(teach()).all()
    assert torch.isfinite(teacher.threshold).all()


def test_constants_are_the_published_ones():
    usual = Matching()
    assert (usual.threshold, usual.memory) == (None, 0.999)  # FreeMatch, algorithm 1
    assert (usual.strong.operations, usual.strong.cutout) == (2, 0.5)  # FixMatch, section 2.3 and table 12


def settings_for(method, **more):
    return TrainSettings(
        phases=(Phase(method, 2, 0.05, 4, 14),),
        graph=GraphSettings(n_neighbors=5),
        augment=AugmentSettings(translate=1, flip=True),
        network=NetworkSettings(width=4, dropout=0.2),
        consistency=Consistency(weight=1.0, rampup_epochs=0),
        **more,
    )


def build(purpose):
    torch.manual_seed(len(purpose))
    return build_network(NetworkSettings(width=4, dropout=0.2), ImageInput(1, 8), 2)


@pytest.mark.parametrize("method", MATCHING)
def test_only_the_network_sees_strong_views(stripes, method):
    _, labels, _ = stripes
    settings = settings_for(method)
    plan = plan_epoch(Epoch(0, 0, 0), labels.label, settings, 2, 0, ALONE)
    assert plan.views[0].strong is not None
    assert plan.views[1].strong is None
    assert plan.given.sum(dim=1).tolist() == [4] * plan.num_steps
    bare = replace(settings, matching=Matching(strong=None))
    assert plan_epoch(Epoch(0, 0, 0), labels.label, bare, 2, 0, ALONE).views[0].strong is None


@pytest.mark.parametrize("method", MATCHING)
def test_the_same_settings_give_the_same_bits_and_other_seeds_others(stripes, method):
    images, labels, _ = stripes
    runs = [train(build, images, labels, settings_for(method, seed=seed)) for seed in (0, 0, 1)]
    first, same, other = (list(run.teacher.state_dict().values()) for run in runs)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("method", ["match_lp", "strong_lp"])
def test_the_teacher_describes_the_images(stripes, method, monkeypatch):
    images, labels, _ = stripes
    seen = []

    def noted(network, *rest):
        seen.append(network)
        return real(network, *rest)

    real = loop.evaluate
    monkeypatch.setattr(loop, "evaluate", noted)
    found = train(build, images, labels, settings_for(method))
    assert len(seen) == 2
    assert all(network is found.teacher for network in seen)


def test_runs_of_other_methods_say_nothing_of_matching():
    assert "matching" in settings_for("match").facts()
    assert "matching" not in settings_for("mt_lp").facts()


@pytest.mark.parametrize("bad", [{"threshold": 1.5}, {"threshold": -0.1}, {"memory": 1.0}])
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match="FL-C37"):
        Matching(**bad)
