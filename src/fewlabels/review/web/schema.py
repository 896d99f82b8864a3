"""The JSON that the page may send and what it gets back: every request is checked against these models."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

LARGEST = 2**53 - 1  # whole numbers up to here are the same in JavaScript
MOST_ANSWERS = 500
MOST_ROWS = 500  # of one page


def to_whole(text: Any) -> Any:
    """Turn ASCII digits into a number; anything else stays as it is, and is refused."""
    if isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= 16:
        return int(text)
    return text


def _to_share(text: Any) -> Any:
    """Turn text into a number in [0, 1], an empty one into None. Raises ValueError."""
    if text in ("", None):
        return None
    plain = isinstance(text, str) and text.isascii() and all(c in "0123456789.e-" for c in text) and len(text) <= 40
    value = float(text) if plain else math.nan  # a ValueError is told like any other
    if not 0 <= value <= 1:
        raise ValueError("expected a number from 0 to 1")
    return value


def _empty_to_none(text: Any) -> Any:
    return None if text == "" else text


Whole = Annotated[int, BeforeValidator(to_whole), Field(ge=0, le=LARGEST, strict=True)]
Share = Annotated[
    Annotated[float, Field(ge=0, le=1)] | None,
    BeforeValidator(_to_share),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"const": ""}]}),
]
Words = Annotated[
    Annotated[str, Field(max_length=1000)] | None,
    BeforeValidator(_empty_to_none),
    WithJsonSchema({"type": "string", "maxLength": 1000}),
]
OneRow = Annotated[
    Annotated[int, Field(ge=0, le=LARGEST, strict=True)] | None,
    BeforeValidator(to_whole),
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": LARGEST}),
]
Said = Literal["", "skip", "none", "unsure", "bad"]
Client = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Order = Literal["queue", "doubtful", "certain", "row", "suspicious", "alike"]
SOURCES = ("given", "propagated", "none", "answered", "skipped")
Source = Annotated[
    Literal["given", "propagated", "none", "answered", "skipped"] | None,
    BeforeValidator(_empty_to_none),
    WithJsonSchema({"enum": ["", *SOURCES]}),
]


class Asked(BaseModel):
    """Nothing that is not named may be sent."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class RowsAsked(Asked):
    order: Order = "queue"
    class_name: Words = Field(None, alias="class")
    source: Source = None
    min_certainty: Share = None
    max_certainty: Share = None
    text: Words = None
    like: OneRow = None
    first: Whole = 0
    count: Annotated[Whole, Field(ge=1, le=MOST_ROWS)] = 60


class HistoryAsked(Asked):
    first: Whole = 0
    count: Annotated[Whole, Field(ge=1, le=MOST_ROWS)] = 60
    row: OneRow = None


def _to_rows(text: Any) -> Any:
    """Turn "3,17" into numbers. Raises ValueError."""
    text = text[0] if isinstance(text, list) and len(text) == 1 else text
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,15}(,[0-9]{1,15})*", text):
        raise ValueError("expected row numbers with commas between")
    return [int(part) for part in text.split(",")]


class PreviewAsked(Asked):
    rows: Annotated[
        list[int],
        Field(max_length=MOST_ANSWERS),
        BeforeValidator(_to_rows),
        WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,15}(,[0-9]{1,15})*$"}),
    ]
    class_name: Annotated[str, Field(alias="class", min_length=1, max_length=1000)]


class GraphAsked(Asked):
    after: Whole = 0


class ExportAsked(Asked):
    format: Literal["csv", "parquet", "label-studio"] = "csv"


class Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class OneAnswer(Sent):
    row: int = Field(ge=0, le=LARGEST)
    action: Literal["label", "skip", "clear", "none", "unsure", "bad"]
    label: str | None = Field(None, min_length=1, max_length=1000)
    version: int = Field(ge=0, le=LARGEST)

    @model_validator(mode="after")
    def _demand_label_or_none(self) -> OneAnswer:
        if (self.action == "label") != (self.label is not None):
            raise ValueError('a label is sent with the action "label", and with no other')
        return self


def _refuse_rows_twice(answers: list[OneAnswer]) -> list[OneAnswer]:
    if len({answer.row for answer in answers}) < len(answers):
        raise ValueError("a row occurs twice")
    return answers


class Answers(Sent):
    client: Client
    seq: int = Field(ge=0, le=LARGEST)
    answers: Annotated[
        list[OneAnswer], Field(min_length=1, max_length=MOST_ANSWERS), AfterValidator(_refuse_rows_twice)
    ]


class ClassesChanged(Sent):
    """action "class": make `name`; "rename": call `of` so; "merge": `of` into it."""

    client: Client
    seq: int = Field(ge=0, le=LARGEST)
    action: Literal["class", "rename", "merge"]
    name: str = Field(min_length=1, max_length=1000)
    of: str = Field("", max_length=1000)


class Undo(Sent):
    client: Client
    seq: int = Field(ge=0, le=LARGEST)


class Estimate(BaseModel):
    num: int
    right: int
    percent: float | None
    low: float | None
    high: float | None
    until: int


class Finish(Sent):
    """Nothing: the server knows what is finished."""


class Opening(BaseModel):
    """Of a review that is open; while its run is being made, more is told."""

    state: Literal["ready"]


class Step(BaseModel):
    what: str
    command: str


class Finishing(BaseModel):
    state: Literal["none", "open", "running", "done", "failed"]
    said: str
    next: list[Step]
    problem: str


class OfGraph(BaseModel):
    classes: list[str | None]
    counts: list[int]
    estimate: Estimate
    calm: bool
    settings: str


class Session(OfGraph):
    title: str
    run: str
    note: str
    finishing: Finishing
    kind: Literal["images", "rows"]
    rows: int
    answered: int
    skipped: int
    event: int
    columns: list[str]


class Row(BaseModel):
    row: int
    id: str
    label: str | None
    certainty: float
    source: Literal["given", "propagated", "none", "answered"]
    reached: bool
    answer: str | None
    skipped: bool
    said: Said
    version: int
    columns: dict[str, Any]


class Rows(BaseModel):
    total: int
    event: int
    rows: list[Row]


class ClassShare(BaseModel):
    label: str
    share: float


class Labelled(BaseModel):
    row: int
    id: str
    label: str
    share: float


class Neighbour(BaseModel):
    row: int
    id: str
    label: str | None
    certainty: float
    share: float


class WhyLabel(BaseModel):
    row: int
    label: str | None
    certainty: float
    shares: list[ClassShare]
    labelled: list[Labelled]
    neighbours: list[Neighbour]


class Applied(BaseModel):
    row: int
    answer: str | None
    skipped: bool
    said: Said
    version: int


class Saved(BaseModel):
    event: int
    applied: list[Applied]
    answered: int
    classes: list[str | None] | None = None
    nothing: bool = False


class Moved(BaseModel):
    row: int
    id: str
    before: str | None
    after: str | None
    certainty: float


class Graph(OfGraph):
    event: int
    seconds: float
    count: int
    moved: list[Moved]


class Moves(BaseModel):
    before: str | None
    after: str | None
    count: int


class Preview(BaseModel):
    count: int
    moves: list[Moves]


class PastRow(BaseModel):
    row: int
    id: str
    before: str | None
    after: str | None
    skipped_before: bool
    skipped: bool
    said: Said


class PastClass(BaseModel):
    before: str | None
    after: str | None
    into: str | None


class PastEvent(BaseModel):
    event: int
    when: str
    kind: Literal["answers", "undo", "class", "rename", "merge"]
    undoes: int | None
    undone: bool
    rows: list[PastRow]
    classes: list[PastClass]


class History(BaseModel):
    total: int
    events: list[PastEvent]


class ErrorText(BaseModel):
    code: str
    message: str


class Failure(BaseModel):
    error: ErrorText


class Clash(BaseModel):
    row: int
    yours: str | None
    theirs: str | None
    version: int


class ConflictFailure(Failure):
    conflicts: list[Clash] = []
