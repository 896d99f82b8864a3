import numpy as np
import pytest
import torch
from PIL import Image

from fewlabels.errors import ConfigError
from fewlabels.recipes.paper import MINI_IMAGENET_AUGMENT
from fewlabels.training.augment import Changes, augment, draw_changes, make_affine, shift, warp
from fewlabels.training.settings import AugmentSettings

RAMP = torch.arange(16, dtype=torch.float32).reshape(1, 4, 4, 1)
NONE = AugmentSettings(translate=0, flip=False)


def changes(settings, count, seed=0):
    return draw_changes(settings, np.random.default_rng(seed), (count,))


@pytest.mark.parametrize("down", [-3, -1, 0, 2, 3])
@pytest.mark.parametrize("right", [-2, 0, 1])
def test_a_shift_mirrors_what_comes_in_without_repeating_the_border(down, right):
    padded = np.pad(RAMP[0, :, :, 0].numpy(), 3, mode="reflect")
    expected = padded[3 - down : 7 - down, 3 - right : 7 - right]
    assert (shift(RAMP, torch.tensor([[down, right]]))[0, :, :, 0].numpy() == expected).all()


@pytest.mark.parametrize("down", [-3, 0, 2])
@pytest.mark.parametrize("right", [-2, 0, 1])
def test_a_shift_lets_zeros_in_where_it_is_told_to(down, right):
    padded = np.pad(RAMP[0, :, :, 0].numpy() + 1, 3)
    expected = padded[3 - down : 7 - down, 3 - right : 7 - right]
    assert (shift(RAMP + 1, torch.tensor([[down, right]]), "zeros")[0, :, :, 0].numpy() == expected).all()


@pytest.mark.parametrize("pad", ["reflect", "zeros"])
def test_an_image_is_mirrored_after_it_was_shifted(pad):
    images = torch.arange(120, dtype=torch.uint8).reshape(2, 4, 5, 3)
    offset, mirrored = torch.tensor([[1, -2], [-3, 1]]), torch.tensor([True, False])
    shifted = shift(images, offset, pad)
    expected = torch.stack([shifted[0].flip(1), shifted[1]])
    assert torch.equal(shift(images, offset, pad, mirrored), expected)


def turn(degrees):
    return torch.from_numpy(make_affine(np.deg2rad([degrees]), np.ones((1, 2))))


def test_a_turn_lets_zeros_in_and_takes_the_nearest_pixel_where_it_is_told_to():
    white = torch.full((1, 1, 9, 9), 100.0)
    assert torch.allclose(warp(white, turn(45)), white)
    black = warp(white, turn(45), "zeros", "nearest")
    assert set(black.unique().tolist()) == {0, 100}
    assert (black[0, 0, 0, 0], black[0, 0, 4, 4]) == (0, 100)
    between = warp(white, turn(45), "zeros", "bilinear").unique()
    assert ((between > 0) & (between < 100)).any()


def test_the_augmentation_of_mini_imagenet_is_a_turn_a_crop_with_black_around_and_a_flip():
    settings = MINI_IMAGENET_AUGMENT
    assert (settings.rotate, settings.translate, settings.flip, settings.stretch) == (10, 8, True, 0)
    images = torch.full((200, 84, 84, 1), 255, dtype=torch.uint8)
    changed = augment(images, changes(settings, 200))
    assert set(changed.unique().tolist()) == {0, 255}
    assert (changed[:, 0, 30:54, 30:54] == 255).all()
    black_rows = (changed[:, 0, :, 42] == 0).sum(1)
    assert 8 <= int(black_rows.max()) <= 9  # 8 by the crop, and a turn cuts off less than one
    assert int(black_rows.min()) == 0


@pytest.mark.parametrize("degrees", [-10, -3.3, 0.5, 7, 10])
def test_a_turn_of_the_nearest_pixel_is_the_one_that_torchvision_does_through_pillow(degrees):
    image = np.random.default_rng(0).integers(1, 256, (84, 84), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).rotate(degrees, Image.Resampling.NEAREST))
    given = torch.from_numpy(image)[None, None].float()
    found = warp(given, turn(degrees), "zeros", "nearest")[0, 0].numpy()
    assert (found == expected).mean() > 0.999  # a position right between two pixels may go either way


def test_each_image_of_a_batch_moves_by_its_own_offset():
    both = shift(torch.cat([RAMP, RAMP]), torch.tensor([[1, 0], [0, 1]]))
    assert torch.equal(both[:1], shift(RAMP, torch.tensor([[1, 0]])))
    assert torch.equal(both[1:], shift(RAMP, torch.tensor([[0, 1]])))


def test_a_quarter_turn_and_no_turn():
    ramp = RAMP.permute(0, 3, 1, 2)
    quarter = warp(ramp, torch.from_numpy(make_affine(np.array([np.pi / 2]), np.ones((1, 2)))))
    assert torch.allclose(quarter[0, 0], torch.rot90(ramp[0, 0], 1), atol=1e-4)
    assert torch.allclose(warp(ramp, torch.from_numpy(make_affine(np.zeros(1), np.ones((1, 2))))), ramp, atol=1e-5)


def test_without_any_change_the_images_stay_and_become_floats():
    images = torch.randint(0, 256, (3, 5, 5, 2), dtype=torch.uint8)
    same = augment(images, changes(NONE, 3))
    assert same.dtype == torch.float32
    assert torch.equal(same, images.permute(0, 3, 1, 2).float())
    assert same.is_contiguous(memory_format=torch.channels_last)


def test_about_half_of_the_images_are_flipped():
    images = torch.arange(4, dtype=torch.uint8)[:, None].expand(400, 4, 4, 1)
    flipped = augment(images, changes(AugmentSettings(translate=0), 400))[:, 0, 0, 0] == 3
    assert 150 < int(flipped.sum()) < 250


def test_the_same_generator_gives_the_same_images():
    images = torch.randint(0, 256, (8, 8, 8, 1), dtype=torch.uint8)
    settings = AugmentSettings(translate=2, flip=True, rotate=10, stretch=0.1)
    first, again = (augment(images, changes(settings, 8, 5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(images, changes(settings, 8, 6)))


def test_changes_are_drawn_for_a_whole_epoch_and_picked_step_by_step():
    settings = AugmentSettings(translate=2, flip=True, rotate=10)
    epoch = draw_changes(settings, np.random.default_rng(0), (3, 8))
    assert [tuple(part.shape) for part in epoch.tensors()] == [(3, 8, 2, 3), (3, 8, 2), (3, 8)]
    second = epoch.select(torch.tensor([1]))
    assert all(torch.equal(part, whole[1]) for part, whole in zip(second.tensors(), epoch.tensors(), strict=True))


@pytest.mark.parametrize(
    "bad",
    [
        {"pad": "black"},
        {"sampling": "x"},
        {"translate": -1},
        {"rotate": float("nan")},
        {"stretch": 1.0},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match="FL-C22"):
        AugmentSettings(**bad)


def test_of_descriptors_the_change_picks_the_mirror_images_and_without_one_they_are_averaged():
    rows = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    mirrored = Changes(mirrored=torch.tensor([True, False]))
    assert augment(rows, mirrored).tolist() == [[3.0, 4.0], [5.0, 6.0]]
    assert augment(rows, Changes()).tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert augment(rows[:, :1], mirrored).tolist() == [[1.0, 2.0], [5.0, 6.0]]
