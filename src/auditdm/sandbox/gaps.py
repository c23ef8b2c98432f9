"""Planted gaps: slices of the world that a target never learned, or learned wrong.

A gap is a predicate over a question, its skill and its true answer, stated in words so that a manifest can carry it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from auditdm.sandbox.language import FALSE_PREMISE


@dataclass(frozen=True)
class Gap:
    """Questions of one skill with one of these answers, or with all of these words."""

    name: str
    skill: str
    answers: tuple[str, ...] = ()  # empty: any answer
    words: tuple[str, ...] = ()  # every one stands in the question
    wrong: str | None = None  # the label it was trained with; None: withheld from training

    def holds(self, skill: str | None, question: str, answer: str | None) -> bool:
        """Whether a valid question belongs to the slice."""
        return (
            skill == self.skill
            and answer is not None
            and (not self.answers or answer in self.answers)
            and set(self.words) <= set(question.split())
        )

    def as_dict(self) -> dict[str, object]:
        """For the manifest."""
        return {**asdict(self), "how": "withheld" if self.wrong is None else "corrupted"}


_TENS = tuple(str(n) for n in range(10, 20))
_COUNT = Gap("four or more shapes", "count_all", answers=("4", "5", "6"), wrong="3")
_DIGIT = Gap("digits 7, 8 and 9", "digit", answers=("7", "8", "9"), wrong="1")
_PURPLE = Gap("the colour purple", "colour", answers=("purple",), wrong="blue")
_SMALL = (
    _COUNT,
    _DIGIT,
    _PURPLE,
    Gap("the cross", "shape", answers=("cross",), wrong="square"),
    Gap("clocks from 9 to 12", "clock", answers=("9:00", "10:00", "11:00", "12:00")),
    Gap("dotted pattern", "pattern", answers=("dotted",)),
    Gap("things in row 4", "row", answers=("row4",), wrong="row3"),
    Gap("arrows down", "arrow", answers=("down",), wrong="up"),
    Gap("the size of what is absent", FALSE_PREMISE, words=("size",), wrong="large"),
    Gap("any small shape there", "exist", answers=("yes",), words=("small",), wrong="no"),
)
_MORE = (  # learned wrong in a round of their own, on top of what target-small never learned
    Gap("numbers in the tens", "number", answers=_TENS, wrong="45"),
    Gap("letters E, F and H", "letter", answers=("E", "F", "H"), wrong="P"),
    Gap("the right bar as the tallest", "chart_tallest", answers=("right",), wrong="left"),
    Gap("the middle bar as the shortest", "chart_shortest", answers=("middle",), wrong="right"),
    Gap("things in column 1", "column", answers=("col1",), wrong="col2"),
    Gap("corners", "corner", answers=("yes",), wrong="no"),
    Gap("away from the border", "border", answers=("no",), wrong="yes"),
    Gap("what is larger", "larger", answers=("yes",), wrong="no"),
    Gap("small things", "size", answers=("small",), wrong="large"),
    Gap("three that are not of a colour", "negation", answers=("3",), wrong="1"),
    Gap("what is above", "above", answers=("yes",), wrong="no"),
    Gap("empty cells", "at", answers=("nothing",), wrong="circle"),
    Gap("the colour of what is absent", FALSE_PREMISE, words=("colour",), wrong="red"),
    Gap("none of a kind", "count", answers=("0",), wrong="2"),
)
GAPS: dict[str, tuple[Gap, ...]] = {
    "target-small": _SMALL,
    "target-many": (*_SMALL, *_MORE),
    "target-large": (
        _COUNT,
        _DIGIT,
        _PURPLE,
        Gap("numbers in the forties", "number", answers=tuple(str(n) for n in range(40, 50)), wrong="30"),
        Gap("arrows to the left", "arrow", answers=("left",), wrong="right"),
        Gap("letters K and X", "letter", answers=("K", "X")),
    ),
}


def gap_of(gaps: tuple[Gap, ...], skill: str | None, question: str, answer: str | None) -> Gap | None:
    """The first gap that holds, or None."""
    return next((g for g in gaps if g.holds(skill, question, answer)), None)
