import pytest

from fewlabels.errors import ConfigError
from fewlabels.training.settings import Phase, TrainSettings

PHASE = {"method": "lp", "epochs": 1, "learning_rate": 0.1, "batch_labeled": 5, "batch_unlabeled": 5}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"method": "lpp"}, "FL-C24"),
        ({"epochs": 0}, "FL-C13"),
        ({"batch_labeled": 0}, "FL-C13"),
        ({"batch_unlabeled": 0}, "FL-C13"),
        ({"method": "supervised"}, "FL-C13"),
        ({"learning_rate": 0.0}, "FL-C21"),
        ({"learning_rate": float("nan")}, "FL-C21"),
    ],
)
def test_a_phase_out_of_range_is_refused(bad, code):
    with pytest.raises(ConfigError, match=code):
        Phase(**PHASE | bad)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"phases": ()}, "FL-C13"),
        ({"seed": -1}, "FL-C8"),
        ({"seed": 2**64}, "FL-C8"),
        ({"seed": 0.5}, "FL-C8"),
    ],
)
def test_settings_out_of_range_are_refused(bad, code):
    with pytest.raises(ConfigError, match=code):
        TrainSettings(**{"phases": (Phase(**PHASE),)} | bad)
