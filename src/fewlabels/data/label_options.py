"""How a label file is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ..errors import ConfigError

OnConflict = Literal["error", "last", "drop"]


@dataclass(frozen=True)
class LabelOptions:
    """How a label file is read; unless told otherwise, nothing in it is passed over.

    delimiter, encoding: of a CSV.
    skip_bad_rows: leave out rows of a CSV with more or fewer fields than its header, instead of refusing it (L5). By
        position such a row counts as one without a label, so that those after it keep their places.
    on_conflict: what an id with two labels means: an "error" (L14); the "last" row counts, also if its label is empty;
        "drop": the id has no label.

    Raises ConfigError (C20) for another on_conflict.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    skip_bad_rows: bool = False
    on_conflict: OnConflict = "error"

    def __post_init__(self) -> None:
        if self.on_conflict not in get_args(OnConflict):
            do = f"pass one of {', '.join(get_args(OnConflict))}"
            raise ConfigError("C20", f"{self.on_conflict!r} is no way to treat it", where="on_conflict", do=do)

    def facts(self) -> dict[str, Any]:
        """The options by name, for run.json."""
        return asdict(self)
