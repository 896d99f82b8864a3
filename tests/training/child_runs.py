"""The small run that the processes of `children` train, and what they may be told to do with it."""

import hashlib
import json
import sys


def stripes(num_rows):
    """Noisy 8 x 8 images of horizontal, vertical or no stripes, two labels each, and 20 to test on."""
    import numpy as np

    from fewlabels.commands.task import Task

    rng = np.random.default_rng(0)
    truth = np.arange(num_rows + 20) % 3
    pattern = np.zeros((num_rows + 20, 8, 8, 1))
    pattern[truth == 0, ::2] = pattern[truth == 1, :, ::2] = 180
    pixels = (pattern + rng.integers(0, 70, pattern.shape)).astype(np.uint8)
    labels = np.full(num_rows, -1)
    labels[:6] = truth[:6]
    return Task(
        pixels=pixels[:num_rows],
        labels=labels,
        ids=[f"image {row}" for row in range(num_rows)],
        class_names=["rows", "columns", "plain"],
        title="stripes",
        test_pixels=pixels[num_rows:],
        test_truth=truth[num_rows:],
        truth=truth[:num_rows],
    )


def settings_of(job):
    """A phase of one epoch and one of two, of two or three steps each, with dropout, random changes and two heads."""
    from fewlabels.graph import GraphSettings
    from fewlabels.nets import NetworkSettings
    from fewlabels.training.settings import AugmentSettings, Phase, TrainSettings

    def phase(method, num_epochs):
        return Phase(method, num_epochs, 0.05, 3, 0 if method == "supervised" else 19)

    return TrainSettings(
        phases=tuple(map(phase, job["pair"], (1, 2))),
        graph=GraphSettings(n_neighbors=12, mode=job.get("mode", "paper")),
        augment=AugmentSettings(translate=1, flip=True, rotate=5),
        network=NetworkSettings(width=4, dropout=0.2, heads=2),
        seed=job.get("seed", 0),
    )


def noted():
    """Write to stderr, as JSON: hashes of the weights after each epoch, and of each epoch's targets."""
    from fewlabels.commands.watching import Watcher
    from fewlabels.training import loop

    def digest(tensors):
        return hashlib.sha256(b"".join(one.numpy().tobytes() for one in tensors)).hexdigest()

    epoch, make_targets = Watcher._measure_epoch, loop._make_targets

    def noting(self, report):
        networks = [one for one in (report.network, report.teacher) if one is not None]
        tensors = [value for one in networks for value in one.state_dict().values()]
        print(json.dumps({"weights": digest(tensors), "loss": report.loss}), file=sys.stderr)
        epoch(self, report)

    def noting_targets(run, state):
        make_targets(run, state)
        print(json.dumps({"targets": digest(state.targets.on("cpu"))}), file=sys.stderr)

    Watcher._measure_epoch, loop._make_targets = noting, noting_targets


def plain_network():
    """A network without dropout and batch norm, whose output for a row does not depend on the others."""
    import torch

    from fewlabels.commands import training
    from fewlabels.nets import Output

    class Plain(torch.nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.inside, self.outside = torch.nn.Linear(64, 8), torch.nn.Linear(8, 2 * num_classes)

        def forward(self, images):
            descriptor = torch.tanh(self.inside(images.float().flatten(1) / 255))
            first, second = self.outside(descriptor).chunk(2, dim=1)
            return Output(first, descriptor, second)

    training.build_network = lambda settings, image_input, num_classes: Plain(num_classes)
