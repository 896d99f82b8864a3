"""Results of a run -> the few numbers at the top of its report, and the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .numbers import number
from .sentences import MEANINGS

MOST_CARDS = 6
FOLDED = {  # where there are more numbers than that
    "mean_teacher_error",
    "mt_lp_error",
    "pseudo_label_accuracy_first",
    "certainty_right_first",
    "certainty_wrong_first",
    "certainty_right",
    "certainty_wrong",
    "certainty_ece",
}


@dataclass(frozen=True)
class Card:
    """A headline number: what it is, the number as text, one line on what it means."""

    name: str
    value: str
    meaning: str


def cards_of(results: Mapping[str, Any], suspicious: Mapping[str, int] | None) -> tuple[list[Card], list[Card]]:
    """At most MOST_CARDS for the top, and the rest. suspicious: labels checked and contradicted, if they were."""
    hidden = {"certainty"} if results.get("certainty_right") is not None else set()
    cards = {
        key: Card(name, number(results[key], unit), meaning)
        for key, (name, unit, meaning) in MEANINGS.items()
        if results.get(key) is not None and key not in hidden and not (key == "unreached" and results[key] == 0)
    }
    if suspicious and suspicious["num_checked"]:
        errors = {key: card for key, card in cards.items() if key.endswith("_error")}
        cards = errors | {"contradicted": _contradicted(suspicious)} | cards
    if len(cards) <= MOST_CARDS:
        return list(cards.values()), []
    top = [key for key in cards if key not in FOLDED][:MOST_CARDS]
    return [cards[key] for key in top], [card for key, card in cards.items() if key not in top]


def _contradicted(suspicious: Mapping[str, int]) -> Card:
    number_of = f"{suspicious['num_contradicted']:,} of {suspicious['num_checked']:,}"
    return Card("Given labels contradicted", number_of, "Each was left out in turn, and the others asked.")
