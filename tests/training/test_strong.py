"""Strong views: what each operation does to pixels, and that draws and neutral strengths are what they say."""

import numpy as np
import pytest
import torch

from fewlabels.errors import ConfigError
from fewlabels.training.augment import Changes, augment, change_strongly, warp
from fewlabels.training.settings import AugmentSettings, StrongAugment
from fewlabels.training.strong import OPERATIONS, TONES, StrongChanges, change_tones, cut_out, draw_strong

NEUTRAL = {name: OPERATIONS[name][2] for name in TONES}
SQUARE = torch.tensor([[[[0.0, 40.0], [80.0, 200.0]]]])


def tones(**strength):
    return torch.tensor([[(NEUTRAL | strength)[name] for name in TONES]])


def drawn(shape=(500,), seed=0, **settings):
    return draw_strong(StrongAugment(**settings), np.random.default_rng(seed), shape)


@pytest.mark.parametrize(
    ("strength", "expected"),
    [
        ({}, [0, 40, 80, 200]),
        ({"autocontrast": 1.0}, [0, 51, 102, 255]),
        ({"brightness": 0.5}, [0, 20, 40, 100]),
        ({"color": 0.1}, [0, 40, 80, 200]),  # one channel is grey as it is
        ({"contrast": 0.5}, [40, 60, 80, 140]),  # half way to their mean of 80
        ({"posterize": 4.0}, [0, 32, 80, 192]),  # multiples of 16
        ({"solarize": 0.5}, [0, 40, 80, 55]),  # from 128 on
        ({"brightness": 0.5, "solarize": 0.25}, [0, 20, 40, 155]),  # in the order of the list
    ],
)
def test_tones_of_four_pixels_by_hand(strength, expected):
    assert change_tones(SQUARE, tones(**strength)).flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_colour_goes_towards_the_mean_of_the_channels_and_sharpness_towards_the_smoothed_image():
    pixel = torch.tensor([30.0, 60.0, 90.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert change_tones(pixel, tones(color=0.5))[0, :, 0, 0].tolist() == pytest.approx([45, 60, 75])
    point = torch.zeros(1, 1, 5, 5)
    point[0, 0, 2, 2] = 130.0
    smooth = change_tones(point, tones(sharpness=0.0))[0, 0]
    assert smooth[2].tolist() == pytest.approx([0, 10, 50, 10, 0], abs=1e-4)
    assert float(change_tones(point, tones(sharpness=0.5))[0, 0, 2, 2]) == pytest.approx(90)


def test_the_square_is_grey_and_cut_at_the_border():
    images = torch.zeros(2, 1, 4, 4)
    holes = torch.tensor([[0.25, 0.75, 0.25, 0.75], [-0.25, 0.25, 0.5, 1.0]])
    first, second = cut_out(images, holes)[:, 0]
    assert (first == 127).nonzero().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert (second == 127).nonzero().tolist() == [[0, 2], [0, 3]]


def test_every_image_gets_so_many_operations_each_within_its_bounds():
    values = drawn().tones.double().numpy()
    for number, name in enumerate(TONES):
        low, high, neutral = OPERATIONS[name]
        changed = values[:, number][values[:, number] != np.float32(neutral)]
        assert changed.min() >= low - 1e-6
        assert changed.max() <= high + 1e-6
        share = 2 / 13 * (7 / 8 if name == "posterize" else 1)  # 8 bits, kept, are all of them
        assert len(changed) / 500 == pytest.approx(share, abs=0.06)
    every = drawn(operations=13).tones
    assert (every[:, TONES.index("autocontrast")] == 1).all()
    assert (every[:, TONES.index("brightness")] <= 0.95).all()


def test_no_operation_and_no_square_change_nothing():
    images = torch.randint(0, 256, (8, 6, 6, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    same = augment(images, Changes(strong=drawn((8,), operations=0, cutout=0.0)))
    assert torch.allclose(same, images.permute(0, 3, 1, 2).float(), atol=1e-3)


def test_a_shift_by_half_the_side_moves_half_the_image():
    affine = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])  # looked up half a side to the right
    row = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    assert warp(row, affine)[0, 0, 0].tolist() == [2, 3, 3, 3]


def test_draws_are_those_of_the_seed_and_pixels_stay_in_range():
    one, other = drawn((20,)), drawn((20,))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one.tones, drawn((20,), seed=1).tones)
    images = torch.randint(0, 256, (20, 3, 9, 9), generator=torch.Generator().manual_seed(0)).float()
    seen = change_strongly(images, one, AugmentSettings().pad)
    assert seen.shape == images.shape
    assert float(seen.min()) >= 0
    assert float(seen.max()) <= 255


def test_strong_changes_go_where_the_others_go():
    changes = Changes(strong=drawn((3, 4)))
    assert len(changes.tensors()) == 3
    second = changes.select(torch.tensor([1])).strong
    assert isinstance(second, StrongChanges)
    assert torch.equal(second.hole, changes.strong.hole[1])


@pytest.mark.parametrize("bad", [{"operations": -1}, {"operations": 14}, {"operations": 0.5}, {"cutout": 1.5}])
def test_strengths_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match="FL-C22"):
        StrongAugment(**bad)
