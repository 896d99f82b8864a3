"""The events of a run -> its curves, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from ..runs import Run

MOST_EPOCHS = 12  # in the table beside the pictures

Known = list[float | None]  # one for each epoch; None where a number is not known


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One training run, epoch by epoch. The test error is not measured every time.

    phase: number of the phase. steps: of the epoch. error, teacher_error: test error of the network and of an averaging
    teacher, percent. accuracy: right pseudo-labels, percent. certainty: mean, and of right and of wrong ones.
    loss: mean over the steps. rate: learning rate of the last step. weight: of the teacher's word.
    methods: of each phase that has begun.
    """

    name: str
    phase: list[int]
    steps: list[int]
    error: Known
    accuracy: Known
    certainty: Known
    teacher_error: Known = field(default_factory=list)
    certainty_right: Known = field(default_factory=list)
    certainty_wrong: Known = field(default_factory=list)
    loss: Known = field(default_factory=list)
    rate: Known = field(default_factory=list)
    weight: Known = field(default_factory=list)
    methods: list[str] = field(default_factory=list)

    @property
    def first_of_last_phase(self) -> int:
        """Number of epochs before the last phase."""
        return self.phase.index(self.phase[-1]) if self.phase else 0

    @property
    def begins(self) -> list[int]:
        """Number of epochs before each phase."""
        return [self.phase.index(number) for number in dict.fromkeys(self.phase)]

    @property
    def phase_steps(self) -> list[int]:
        """Training steps of each phase."""
        return [sum(self.steps[begin:end]) for begin, end in pairwise([*self.begins, len(self.steps)])]

    @property
    def at(self) -> list[int]:
        """Training steps so far, after each epoch."""
        return list(accumulate(self.steps))

    @property
    def measured(self) -> list[tuple[int, float, bool]]:
        """Where the test error is known: training steps so far, the error, and whether it is in the last phase.

        The error is the teacher's where one averages, for it is what such a method is after.
        """
        rows = zip(self.at, pick_error(self), self.phase, strict=True)
        return [(steps, error, phase == self.phase[-1]) for steps, error, phase in rows if error is not None]


def pick_error(curve: Curve) -> Known:
    """The error of the teacher where there is one, else of the network."""
    taught = curve.teacher_error or [None] * len(curve.error)
    return [error if teacher is None else teacher for error, teacher in zip(curve.error, taught, strict=True)]


def read_curve(run: Run, name: str) -> Curve:
    """The curve of a run that is called so; of no epochs where it trained nothing."""
    epochs = run.of("epoch")

    def each(name: str) -> Known:
        return [epoch.get(name) for epoch in epochs]

    return Curve(
        name=name,
        phase=[epoch["phase_index"] for epoch in epochs],
        steps=[epoch["steps"] for epoch in epochs],
        error=each("test_error"),
        accuracy=each("pseudo_label_accuracy"),
        certainty=each("mean_certainty"),
        teacher_error=each("teacher_test_error"),
        certainty_right=each("certainty_right"),
        certainty_wrong=each("certainty_wrong"),
        loss=each("loss"),
        rate=each("learning_rate"),
        weight=each("consistency_weight"),
        methods=list({epoch["phase_index"]: str(epoch.get("phase", "")) for epoch in epochs}.values()),
    )


def make_curve_rows(curve: Curve) -> list[list[str]]:
    """A curve as a table: header, then a dozen of its epochs, evenly spread, and the last of each phase."""
    last = [begin - 1 for begin in curve.begins[1:]] + [len(curve.phase) - 1]
    step = max(1, -(-len(curve.phase) // MOST_EPOCHS))
    chosen = sorted({*range(step - 1, len(curve.phase), step), *last})
    columns = [
        (name, form, values)
        for name, form, values in (
            ("test error", "{:.1f} %", pick_error(curve)),
            ("right pseudo-labels", "{:.1f} %", curve.accuracy),
            ("mean certainty", "{:.0%}", curve.certainty),
            ("loss", "{:.3g}", curve.loss),
        )
        if is_known(values)
    ]
    rows = [["epoch", "phase", *(name for name, _, _ in columns)]]
    for place in chosen:
        cells = [(form, values[place]) for _, form, values in columns]
        texts = ["-" if value is None else form.format(value) for form, value in cells]
        rows.append([str(place + 1), str(curve.phase[place] + 1), *texts])
    return rows


def is_known(values: Sequence[float | None]) -> bool:
    """Whether any of the values is known."""
    return any(value is not None for value in values)
