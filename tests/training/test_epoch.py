"""The plan of an epoch: batches are complete and random, and every constant of the schedules is the released code's.

Constants: recipes/deviations.md.
"""

import math

import numpy as np
import pytest

from fewlabels.data.benchmarks.splits import draw_split
from fewlabels.errors import LabelError
from fewlabels.randomness import generator, torch_seed
from fewlabels.training.epoch import (
    Epoch,
    adam_beta1,
    consistency_weight,
    cosine,
    draw_labeled_batches,
    draw_two_stream_batches,
    ema_decay,
    learning_rate,
    ramp_down,
    ramp_up,
)
from fewlabels.training.settings import Consistency, Optimization, Phase

EPOCH = Epoch(seed=0, phase=1, number=2)
SGD = Optimization()


def test_a_labelled_epoch_is_one_pass_without_the_rest():
    batches = list(draw_labeled_batches(np.arange(100, 123), 5, EPOCH))
    assert [len(batch) for batch in batches] == [5] * 4
    assert len(set(np.concatenate(batches))) == 20


def test_fewer_labelled_rows_than_a_batch_make_one_batch_of_all():
    (batch,) = draw_labeled_batches(np.arange(7), 50, EPOCH)
    assert sorted(batch) == list(range(7))


@pytest.mark.parametrize(
    ("labels", "steps"), [(500, 990), (1000, 980), (2000, 960), (4000, 920)]
)  # the paper's CIFAR-10: 50,000 images, batches of 50 + 50
def test_an_epoch_is_one_pass_over_the_unlabelled_rows(labels, steps):
    labeled, unlabeled = np.arange(labels), np.arange(labels, 50_000)
    batches = list(draw_two_stream_batches(labeled, unlabeled, 50, 50, EPOCH))
    assert len(batches) == steps
    rows = np.array(batches)
    assert (rows[:, :50] < labels).all()
    assert len(set(rows[:, 50:].ravel())) == 50 * steps


def test_the_labelled_stream_sees_every_row_once_before_any_twice():
    batches = list(draw_two_stream_batches(np.arange(6), np.arange(6, 106), 4, 10, EPOCH))
    stream = np.concatenate([batch[:4] for batch in batches])
    assert all(sorted(stream[start : start + 6]) == list(range(6)) for start in range(0, 36, 6))


def test_an_unlabelled_set_smaller_than_a_batch_makes_one_batch_of_all():
    (batch,) = draw_two_stream_batches(np.arange(2), np.arange(2, 5), 4, 10, EPOCH)
    assert sorted(batch[4:]) == [2, 3, 4]
    assert len(batch) == 7


def test_the_order_depends_on_seed_phase_and_epoch_alone():
    def order(*key):
        return np.concatenate(list(draw_labeled_batches(np.arange(50), 5, Epoch(*key)))).tolist()

    assert order(0, 0, 0) == order(0, 0, 0)
    assert len({tuple(order(*key)) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]}) == 4


def test_draws_by_counter_never_change():
    assert generator(3, "augment", 1, 2).integers(1000, size=4).tolist() == [835, 354, 952, 351]
    assert torch_seed(3, "weights") != torch_seed(3, "dropout")


def test_a_split_gives_every_class_as_many_labels_and_only_true_ones():
    truth = np.repeat(np.arange(4), 25)
    labels = draw_split(truth, 3, np.random.default_rng(0))
    assert np.bincount(labels[labels >= 0]).tolist() == [3] * 4
    assert (labels[labels >= 0] == truth[labels >= 0]).all()


def test_more_labels_per_class_than_rows_are_refused():
    with pytest.raises(LabelError, match="FL-L41 class 1 has 2 rows"):
        draw_split(np.array([0, 0, 0, 1, 1]), 3, np.random.default_rng(0))


@pytest.mark.parametrize(("largest", "steps", "last"), [(0.05, 990, 0.002476), (0.2, 474, 0.009903)])
def test_the_learning_rate_stops_at_a_twentieth_of_its_maximum(largest, steps, last):
    phase = Phase("lp", 180, largest, 50, 50)
    assert learning_rate(phase, SGD, 0) == largest
    assert learning_rate(phase, SGD, 180 - 1 / steps) == pytest.approx(last, abs=3e-6)
    assert cosine(1, 210 / 180) == pytest.approx(0.0495, abs=5e-5)
    assert learning_rate(phase, SGD, 105) == pytest.approx(largest / 2)


def test_the_teachers_word_ramps_up_over_five_whole_epochs():
    weights = [consistency_weight(Consistency(), epoch) for epoch in range(7)]
    assert weights == pytest.approx([0.674, 4.076, 16.53, 44.93, 81.87, 100, 100], rel=1e-3)


def test_the_teacher_forgets_fast_at_first_and_is_slow_from_step_33():
    keeps = [ema_decay(step, 0.97) for step in range(1, 100)]
    assert keeps[:3] == pytest.approx([0.5, 2 / 3, 0.75])
    assert keeps[30:32] == pytest.approx([31 / 32, 32 / 33])
    assert max(keeps[:32]) < 0.97
    assert set(keeps[32:]) == {0.97}


def test_a_teachers_own_start_weighs_one_part_in_t_plus_one_until_step_33():
    left = math.prod(ema_decay(step, 0.97) for step in range(1, 33))
    assert left == pytest.approx(1 / 33)


def test_laine_and_ailas_ramps():
    phase = Phase("pi_model", 300, 0.003, 10, 90)
    adam = Optimization(optimizer="adam", weight_decay=0.0, schedule="ramps")
    assert learning_rate(phase, adam, 0) == pytest.approx(0.003 * math.exp(-5))
    assert learning_rate(phase, adam, 80) == learning_rate(phase, adam, 250) == 0.003
    assert learning_rate(phase, adam, 300) == pytest.approx(0.003 * math.exp(-12.5))
    assert [adam_beta1(phase, adam, epoch) for epoch in (0, 250)] == [0.9, 0.9]
    assert adam_beta1(phase, adam, 300) == pytest.approx(0.5, abs=1e-5)
    assert adam_beta1(phase, Optimization(optimizer="adam", momentum=0.8), 300) == 0.8
    assert (ramp_up(3, 0), ramp_down(3, 10, 0)) == (1, 1)
