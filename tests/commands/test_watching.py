"""After which epochs the test error is measured."""

from __future__ import annotations

import pytest
from torch import nn

from fewlabels.commands.watching import FORWARD_SHARE, MEASURING_SHARE, is_measured
from fewlabels.training.callbacks import EpochReport
from fewlabels.training.settings import Phase


def find_measured(epochs: int, epoch_images: int, test_images: int, phase_index: int = 0) -> list[int]:
    phase = Phase("supervised", epochs=epochs, learning_rate=0.1, batch_labeled=1)

    def report(number: int) -> EpochReport:
        rest = {"learning_rate": 0.1, "consistency": 0.0, "seconds": 1.0, "facts": {}, "network": nn.Identity()}
        return EpochReport(phase=phase, phase_index=phase_index, number=number, steps=1, loss=1.0, teacher=None, **rest)

    return [number for number in range(epochs) if is_measured(report(number), epoch_images, test_images)]


@pytest.mark.parametrize("phase_index", [0, 1])
@pytest.mark.parametrize(
    ("epochs", "epoch_images", "test_images"),
    [(180, 500, 10_000), (180, 49_500, 10_000), (30, 700, 1_000), (10, 5_000, 20_000), (1, 10, 10**9), (400, 50, 0)],
)
def test_measuring_takes_a_tenth_of_the_training_at_most_and_the_last_epoch_always(
    epochs: int, epoch_images: int, test_images: int, phase_index: int
) -> None:
    measured = find_measured(epochs, epoch_images, test_images, phase_index)
    assert measured[-1] == epochs - 1
    work = FORWARD_SHARE * test_images * (len(measured) - 1)
    assert work <= MEASURING_SHARE * epochs * epoch_images


def test_where_training_takes_long_about_fifty_epochs_are_measured_and_the_first_of_a_later_phase() -> None:
    assert len(find_measured(180, 49_500, 10_000)) in range(40, 51)
    assert find_measured(180, 49_500, 10_000, phase_index=1)[:3] == [0, 1, 2]


def test_the_papers_cell_of_500_labels_is_measured_twice() -> None:
    """180 epochs of 500 images beside 10,000 test images: 900 steps, that were measured 45 times."""
    assert find_measured(180, 500, 10_000) == [89, 179]
