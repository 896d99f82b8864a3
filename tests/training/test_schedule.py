"""Every constant of the released schedules, as the released code's lines give them (recipes/deviations.md)."""

import math

import pytest

from fewlabels.training.epoch import (
    adam_beta1,
    consistency_weight,
    cosine,
    ema_decay,
    learning_rate,
    ramp_down,
    ramp_up,
)
from fewlabels.training.settings import Consistency, Optimization, Phase

SGD = Optimization()


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
