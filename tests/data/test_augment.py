import numpy as np
import pytest
import torch

from fewlabels.data.augment import augment, shift, warp
from fewlabels.data.settings import AugmentSettings
from fewlabels.errors import ConfigError

RAMP = torch.arange(16, dtype=torch.float32).reshape(1, 1, 4, 4)
NONE = AugmentSettings(translate=0, flip=False)


@pytest.mark.parametrize("down", [-3, -1, 0, 2, 3])
@pytest.mark.parametrize("right", [-2, 0, 1])
def test_a_shift_mirrors_what_comes_in_without_repeating_the_border(down, right):
    padded = np.pad(RAMP[0, 0].numpy(), 3, mode="reflect")
    expected = padded[3 - down : 7 - down, 3 - right : 7 - right]
    assert (shift(RAMP, np.array([[down, right]]))[0, 0].numpy() == expected).all()


def test_each_image_of_a_batch_moves_by_its_own_offset():
    both = shift(torch.cat([RAMP, RAMP]), np.array([[1, 0], [0, 1]]))
    assert torch.equal(both[:1], shift(RAMP, np.array([[1, 0]])))
    assert torch.equal(both[1:], shift(RAMP, np.array([[0, 1]])))


def test_a_quarter_turn_and_no_turn():
    turned = warp(RAMP, np.array([np.pi / 2]), np.ones((1, 2)))
    assert torch.allclose(turned[0, 0], torch.rot90(RAMP[0, 0], 1), atol=1e-4)
    assert torch.allclose(warp(RAMP, np.zeros(1), np.ones((1, 2))), RAMP, atol=1e-5)


def test_without_any_change_the_images_stay_and_become_floats():
    images = torch.randint(0, 256, (3, 2, 5, 5), dtype=torch.uint8)
    same = augment(images, NONE, np.random.default_rng(0))
    assert same.dtype == torch.float32
    assert torch.equal(same, images.float())


def test_about_half_of_the_images_are_flipped():
    images = torch.arange(4, dtype=torch.uint8).expand(400, 1, 4, 4)
    flipped = augment(images, AugmentSettings(translate=0), np.random.default_rng(0))[:, 0, 0, 0] == 3
    assert 150 < int(flipped.sum()) < 250


def test_the_same_generator_gives_the_same_images():
    images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    settings = AugmentSettings(translate=2, flip=True, rotate=10, stretch=0.1)
    first, again = (augment(images, settings, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(images, settings, np.random.default_rng(6)))


@pytest.mark.parametrize("bad", [{"translate": -1}, {"rotate": float("nan")}, {"stretch": 1.0}])
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match="FL-C22"):
        AugmentSettings(**bad)
