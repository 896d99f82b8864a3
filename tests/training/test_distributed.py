"""Processes that do not have the same as the first one end, each with what is different."""

import pytest

from fewlabels.errors import ConfigError, RunError
from fewlabels.training.distributed import demand_same_in_all

FIRST = {
    "settings": {"graph": {"alpha": 0.99}},
    "data": {"pixels": "ab", "labels": "cd"},
    "versions": {"numpy": "2.0", "platform": "one", "processor": "one"},
    "threads": 2,
    "device": "cpu",
}


class Talk:
    """What a process of two hears: what the first one sends, and whether anybody has others."""

    size = 2

    def __init__(self, rank, sent, others=0):
        self.rank, self.sent, self.others = rank, sent, others

    def broadcast_text(self, text, device):
        return self.sent or text

    def reduce_max(self, number, device):
        return max(number, self.others)


def sent(facts=FIRST):
    """What the first process sends of these facts."""
    said = []
    first = Talk(0, "")
    first.broadcast_text = lambda text, device: said.append(text) or text
    demand_same_in_all(first, facts, "cpu")
    return said[0]


def test_the_same_everywhere_but_the_machine_is_accepted():
    versions = {"numpy": "2.0", "platform": "two", "processor": "two"}
    demand_same_in_all(Talk(1, sent()), FIRST | {"threads": 8, "device": "cuda", "versions": versions}, "cpu")


@pytest.mark.parametrize(
    ("other", "place"),
    [
        ({"data": {"pixels": "ab", "labels": "xx"}}, 'data.labels: "cd" there, "xx" now'),
        ({"settings": {"graph": {"alpha": 0.5}}}, "settings.graph.alpha: 0.99 there, 0.5 now"),
        ({"versions": {"numpy": "2.1"}}, 'versions.numpy: "2.0" there, "2.1" now'),
    ],
)
def test_a_process_with_other_data_settings_or_versions_says_which(other, place):
    with pytest.raises(ConfigError, match=r"^FL-X6 process 1 has not what the first one has") as caught:
        demand_same_in_all(Talk(1, sent()), FIRST | other, "cpu")
    assert place in str(caught.value)


def test_the_others_end_too():
    with pytest.raises(RunError, match=r"^FL-X13 another process of this run has other settings, data or versions"):
        demand_same_in_all(Talk(0, "", others=1), FIRST, "cpu")
