"""A finding in a sentence: a model proposes descriptions of what fails, and a ranker says of which probes each holds.

The proposer is shown failures and passes; the descriptions are then judged on others, one probe at a time and without
being told which failed. The one is chosen that holds of most failures and of fewest passes. The finding itself stays the
predicate that was tested: the sentence is what a person reads.

Source: arXiv:2312.02974 (VisDiff) and arXiv:2306.12105, which propose and rank differences between sets. Differs: probes,
not pictures, are described, and the share of both sets that a sentence holds of is told, each with its interval.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from auditdm.stats import Rate

LONGEST = 240  # characters of a description that is read
_ITEM = re.compile(r"^\s*(?:\d+[.)]|[-*\u2022])\s+(?P<words>.+?)\s*$")


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a probe looks like to whoever describes it, besides its picture."""

    question: str
    right: str  # the references' answer
    said: str  # the target's


@dataclass(frozen=True, kw_only=True)
class Worded:
    """A description, and of which probes kept back it holds; void: the ranker did not say."""

    words: str
    of_failing: Rate
    of_passing: Rate

    @property
    def gap(self) -> float:
        """Share of failures less share of passes that it holds of, -1 to 1; -1 where one of them is not measured."""
        failing, passing = self.of_failing.value, self.of_passing.value
        return -1.0 if failing is None or passing is None else failing - passing


def ask_for_descriptions(failing: Sequence[Shown], passing: Sequence[Shown], count: int) -> str:
    """The proposer's prompt; its picture shows the failures in the upper row and the passes in the lower, in this order.

    Example:
        >>> one = Shown(question="What colour is it?", right="purple", said="blue")
        >>> print(ask_for_descriptions([one], [one], 3).splitlines()[1])
        1. What colour is it? Right: purple. The model said: blue.
    """
    upper = [f"{n}. {x.question} Right: {x.right}. The model said: {x.said}." for n, x in enumerate(failing, 1)]
    lower = [f"{n}. {x.question} Right: {x.right}." for n, x in enumerate(passing, 1)]
    return "\n".join([
        "A model was asked about pictures. It was wrong about those in the upper row, from left to right:", *upper,
        "It was right about those in the lower row:", *lower,
        f"What do the questions and pictures that it got wrong have in common, and those that it got right not? Write {count} "
        "different answers as a numbered list, one short sentence each, about the question, the picture and the right answer "
        "only. Do not mention the model or the rows.",
    ])  # fmt: skip


def descriptions_in(reply: str, count: int) -> list[str]:
    r"""The items of a list, each once; at most so many.

    Example:
        >>> descriptions_in("Sure:\n1. The thing is purple.\n2) A clock is read.\n- the thing is purple.", 5)
        ['The thing is purple.', 'A clock is read.']
    """
    found: dict[str, str] = {}
    for line in reply.splitlines():
        item = _ITEM.match(line)
        if item and len(item["words"]) <= LONGEST:
            found.setdefault(item["words"].casefold(), item["words"])
    return list(found.values())[:count]


def ask_whether_it_holds(words: str, shown: Shown) -> str:
    """The ranker's prompt, about the picture that it is shown; it is not told what the model said."""
    return (
        f"Question about this picture: {shown.question}\nRight answer: {shown.right}\nStatement: {words}\n"
        "Is the statement true of this question, picture and answer? Say yes or no."
    )


def holds_in(reply: str) -> bool | None:
    """Whether a reply says yes; None where it says neither, or both.

    Example:
        >>> [holds_in(text) for text in ("Yes.", "no, it is red", "Yes and no", "Perhaps")]
        [True, False, None, None]
    """
    said = {word for word in re.findall(r"[a-z]+", reply.casefold()) if word in ("yes", "no")}
    return None if len(said) != 1 else "yes" in said


def best(tried: Sequence[Worded]) -> Worded | None:
    """The description that tells failures from passes best, the shorter of equal ones; None where none was measured.

    Example:
        >>> dull = Worded(words="There is a picture.", of_failing=Rate(9, 9), of_passing=Rate(9, 9))
        >>> keen = Worded(words="The thing is purple.", of_failing=Rate(8, 9), of_passing=Rate(1, 9))
        >>> best([dull, keen]).words
        'The thing is purple.'
    """
    measured = [w for w in tried if w.of_failing.asked and w.of_passing.asked]
    return max(measured, key=lambda w: (w.gap, -len(w.words), w.words), default=None)
