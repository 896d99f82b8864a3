"""A run that is stopped anywhere and taken up again ends as if nothing had happened, to the bit."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from fewlabels.errors import RunError
from fewlabels.graph import GraphSettings
from fewlabels.nets import ImageInput, NetworkSettings, build_network
from fewlabels.nets.frozen import Head, frozen_settings, join_trunk
from fewlabels.nets.pretrained import load_backbone
from fewlabels.training.callbacks import Callbacks, Request
from fewlabels.training.checkpoint import Snapshot
from fewlabels.training.interrupt import Stopped
from fewlabels.training.loop import train
from fewlabels.training.settings import AugmentSettings, Optimization, Phase, TrainSettings

PAIRS = [
    ("supervised", "lp"),
    ("mean_teacher", "mt_lp"),
    ("pi_model", "temporal_ensembling"),
    ("match", "match_lp"),
]


def settings_for(pair, mode="paper", **more):
    def phase(method):
        return Phase(method, 2, 0.05, 4, 0 if method == "supervised" else 14)

    return TrainSettings(
        phases=(phase(pair[0]), phase(pair[1])),
        graph=GraphSettings(n_neighbors=5, mode=mode),
        augment=AugmentSettings(translate=1, flip=True, rotate=5),
        network=NetworkSettings(width=4, dropout=0.2),
        **more,
    )


def build(purpose):
    torch.manual_seed(len(purpose))
    return build_network(NetworkSettings(width=4, dropout=0.2), ImageInput(1, 8), 2)


class Stop:
    """Asks to stop when called for the `at`-th time."""

    def __init__(self, at):
        self.at, self.asked = at, 0
        self.saved, self.reports = [], []

    def request(self):
        self.asked += 1
        return Request.STOP if self.asked == self.at else Request.CONTINUE

    def callbacks(self):
        return Callbacks(
            on_targets=lambda targets: {"label": targets.label.tolist()},
            on_epoch=lambda report: self.reports.append(facts(report)),
            request=self.request,
            save=self.saved.append,
        )


def facts(report):
    return (report.phase_index, report.number, report.loss, report.learning_rate, report.consistency, report.facts)


def ended(task, settings, stops, build=build):
    """The trained network and all epoch reports, with a stop at each count of `stops`, each time taken up again."""
    images, labels, _ = task
    start, reports = None, []
    for at in (*stops, 0):
        stop = Stop(at)
        try:
            found = train(build, images, labels, settings, callbacks=stop.callbacks(), start=start)
        except Stopped:
            start = stop.saved[-1]
            reports += stop.reports
            continue
        return found, reports + stop.reports, stop.asked
    raise AssertionError("never came to its end")


def weights(found):
    modules = [found.network] + ([found.teacher] if found.teacher else [])
    return [value for one in modules for value in one.state_dict().values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


@pytest.mark.parametrize("mode", ["paper", "released"])
@pytest.mark.parametrize("pair", PAIRS)
def test_a_stop_at_any_moment_changes_nothing(stripes, pair, mode):
    settings = settings_for(pair, mode)
    whole, expected, asked = ended(stripes, settings, [])
    for at in range(1, asked + 1):
        found, reports, _ = ended(stripes, settings, [at])
        assert same(found, whole), f"stopped at question {at} of {asked}"
        assert reports == expected


def test_many_stops_change_nothing(stripes):
    settings = settings_for(PAIRS[1])
    whole, expected, _ = ended(stripes, settings, [])
    rng = np.random.default_rng(0)
    for _ in range(5):
        found, reports, _ = ended(stripes, settings, rng.integers(1, 6, 8).tolist())
        assert same(found, whole)
        assert reports == expected


def test_a_head_on_descriptors_is_taken_up_again_from_any_moment(stripes):
    images, labels, truth = stripes
    rows = images.float().flatten(1)[:, :10]
    rows = torch.stack([rows, rows + 1], dim=1)
    head = NetworkSettings("frozen:efficientnet-lite0", width=6, dropout=0.3)
    settings = replace(settings_for(PAIRS[0]), network=head, augment=AugmentSettings(translate=0, flip=True))

    def build_head(purpose):
        torch.manual_seed(len(purpose))
        network = Head(head, 10, 2)
        network.start_from(rows.mean(dim=1))
        return network

    task = rows, labels, truth
    whole, expected, asked = ended(task, settings, [], build_head)
    for at in range(1, asked + 1):
        found, reports, _ = ended(task, settings, [at], build_head)
        assert same(found, whole), f"stopped at question {at} of {asked}"
        assert reports == expected


def test_adam_is_taken_up_again_too(stripes):
    adam = Optimization(optimizer="adam", weight_decay=0.0, schedule="ramps", rampup_epochs=1, rampdown_epochs=1)
    settings = settings_for(PAIRS[0], optimization=adam)
    whole, *_ = ended(stripes, settings, [])
    assert same(ended(stripes, settings, [2, 3])[0], whole)


def test_a_snapshot_is_a_copy(stripes):
    images, labels, _ = stripes
    stop = Stop(0)
    settings = settings_for(PAIRS[0])
    callbacks = replace(stop.callbacks(), request=lambda: Request.SAVE)
    train(build, images, labels, settings, callbacks=callbacks)
    first = {name: value.clone() for name, value in stop.saved[0].tensors.items()}
    assert len(stop.saved) > 8
    assert all(torch.equal(first[name], stop.saved[0].tensors[name]) for name in first)
    assert not torch.equal(first["network/fc1.weight"], stop.saved[-1].tensors["network/fc1.weight"])


def test_a_snapshot_without_a_part_is_refused_by_its_name(stripes):
    images, labels, _ = stripes
    stop = Stop(3)
    settings = settings_for(PAIRS[1])
    with pytest.raises(Stopped):
        train(build, images, labels, settings, callbacks=stop.callbacks())
    saved = stop.saved[-1]
    for name in saved.tensors:
        left = Snapshot({key: value for key, value in saved.tensors.items() if key != name}, saved.values)
        with pytest.raises(RunError, match=f"FL-K10 the checkpoint lacks {name}"):
            train(build, images, labels, settings, start=left)


def test_fine_tuning_is_taken_up_again_from_any_moment(stripes):
    images, labels, truth = stripes
    images = images.expand(-1, -1, -1, 3).contiguous()
    backbone = load_backbone("module:tests.commands.tiny_backbone:make")
    rows = backbone.trunk(images.permute(0, 3, 1, 2)).detach()[:, None]
    head = frozen_settings(backbone, width=6, dropout=0.3)
    made = settings_for(PAIRS[0])
    tuned = replace(made.phases[1], unfrozen=1, learning_rate=0.01)
    settings = replace(made, network=head, phases=(*made.phases, tuned))

    def build_whole(purpose):
        torch.manual_seed(len(purpose))
        network = Head(head, 12, 2)
        network.start_from(rows.mean(dim=1))
        return join_trunk(replace(backbone, trunk=deepcopy(backbone.trunk)), network, head)

    task = (rows, rows, images), labels, truth
    whole, expected, asked = ended(task, settings, [], build_whole)
    assert not torch.equal(whole.network.trunk.network.weight, backbone.trunk.network.weight)
    for at in range(1, asked + 1):
        found, reports, _ = ended(task, settings, [at], build_whole)
        assert same(found, whole), f"stopped at question {at} of {asked}"
        assert reports == expected
