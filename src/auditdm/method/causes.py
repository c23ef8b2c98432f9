"""What makes a finding fail: small edits that take a failing probe out of the mode, and edits that leave it inside.

A pair is one failing probe edited twice, its question kept. The relevant edit breaks the finding's predicate, the control
edit does not. Both are chosen by size alone, before the target sees either: the smallest edit that breaks the predicate,
and the smallest control that changes at least as much. An edit flips a failure if the target then agrees with the references
on the edited picture; what they agree on may have changed with it.

If the name is the cause, relevant edits flip and controls do not. A mode that fails three times in four is flipped by one
control in four: so it is the difference of the two on the same probes that decides.

A predicate on the question alone is broken by no edit. There the relevant edits are those that change the answer: if they
flip it, the picture has a part in it that the name does not tell.

Source: ours, after the paired pictures of NaturalBench (arXiv:2410.14669).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal as OneOf

import numpy as np
from PIL.Image import Image
from scipy.stats import false_discovery_control

from auditdm.method.attributes import Views
from auditdm.method.predicate import Literal, Predicate, kind_of
from auditdm.stats import PairedDifference, Rate, paired_difference

Kind = OneOf["relevant", "control"]
State = OneOf[
    "in the picture", "partly in the picture", "in the question", "not told by the name", "not the cause",
    "not enough pairs",
]  # fmt: skip
LEAST = 20  # pairs, measured on both sides
FDR = 0.05
_MOST = 0.5  # of the relevant edits have to flip before the cause is said to be in the picture, and not a part of it
_OF_QUESTION = frozenset(["asks", "says", "the question"])  # kinds of attributes that no edit changes
_OF_DESCRIPTION = frozenset(["about", "shows", "shows several", "things"])
_NOISE = 8  # of 255: what an encoder alone changes is no change


@dataclass(frozen=True, kw_only=True)
class Edited:
    """An edit of a failing probe's picture, before the target is asked."""

    changed_share: float  # of the pixels, [0, 1]
    inside: bool | None  # whether the probe is still in the mode (see `stays`); None: that cannot be told
    broken: tuple[Literal, ...] = ()  # the conditions that do not hold any more


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A failing probe after its relevant edit and after its control edit."""

    relevant: bool | None  # whether the target agrees now; None: not measured, or there is no such edit
    control: bool | None
    broken: tuple[Literal, ...] = ()  # the conditions that the relevant edit broke


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What the pairs of one finding say."""

    state: State
    reason: str
    relevant: Rate  # flips
    control: Rate
    difference: PairedDifference  # relevant minus control, on the same probes
    q: float | None  # McNemar, after Benjamini and Hochberg over the findings with enough pairs; None: too few
    broken: tuple[tuple[Literal, int], ...]  # by how many relevant edits that flip each condition was broken


def in_question(predicate: Predicate) -> bool:
    """Whether no condition speaks of the picture, so that no edit of the picture can take a probe out of the mode.

    Example:
        >>> in_question(Predicate.of(Literal(('says "left"',)))), in_question(Predicate.of(Literal(("answer >= 7",))))
        (True, False)
    """
    return _kinds(predicate) <= _OF_QUESTION


def needs_description(predicate: Predicate) -> bool:
    """Whether a description of the picture is needed to tell if it holds."""
    return bool(_kinds(predicate) & _OF_DESCRIPTION)


def changed_share(before: Image, after: Image) -> float:
    """The share of pixels that differ, by more than an encoder's noise, in any channel.

    Pictures of unlike size are compared at the size of the second.

    Example:
        >>> from PIL import Image as Pictures
        >>> one = Pictures.new("RGB", (4, 4), "white")
        >>> other = one.copy()
        >>> other.paste("black", (0, 0, 2, 2))
        >>> changed_share(one, other), changed_share(one, one)
        (0.25, 0.0)
    """
    first = before.convert("RGB") if before.size == after.size else before.convert("RGB").resize(after.size)
    one, other = (np.asarray(picture, np.int16) for picture in (first, after.convert("RGB")))
    return float((np.abs(one - other).max(axis=-1) > _NOISE).mean())


def broken(predicate: Predicate, views: Views) -> tuple[Literal, ...]:
    """The conditions that do not hold any more, in the view that keeps most of them.

    Args:
        predicate: A finding's.
        views: Of an edited probe; at least one.

    Returns:
        The conditions; none where the predicate holds.

    Example:
        >>> late = Predicate.of(Literal(("answer >= 9",)), Literal(('asks "what time is it?"',)))
        >>> [literal.words() for literal in broken(late, (frozenset(['asks "what time is it?"']),))]
        ['answer >= 9']
    """
    missing = [tuple(one for one in predicate.literals if not one.holds(view)) for view in views]
    return min(missing, key=len)


def stays(predicate: Predicate, seen: Sequence[Views | None]) -> bool | None:
    """Whether an edited probe is still in the mode, by the views of several who describe its picture.

    A slip in one description must not pass for an edit that breaks the mode: the smallest of many edits would be found by
    such slips. So all of them have to see it alike.

    Args:
        predicate: The finding's.
        seen: The probe's views by each description; None where there is none.

    Returns:
        None where they differ, or one is missing.

    Example:
        >>> small = Predicate.of(Literal(('about "small"',)))
        >>> one, other = (frozenset(['about "small"']),), (frozenset(['about "large"']),)
        >>> stays(small, [one, one]), stays(small, [other]), stays(small, [one, other]), stays(small, [one, None])
        (True, False, None, None)
    """
    told = {None if views is None else predicate.holds(views) for views in seen}
    return told.pop() if len(told) == 1 else None


def choose(edits: Sequence[Edited]) -> tuple[int | None, int | None]:
    """Choose the relevant edit and the control among those that were made, without asking the target.

    The control changes at least as many pixels as the relevant edit if there is such a one: otherwise a flip might be
    said to come of the size.

    Args:
        edits: N edits of one failing probe.

    Returns:
        The numbers of the smallest relevant edit and of its control (the smallest that is no smaller, else the largest;
        where no edit is relevant the smallest of all), None for either where there is none. Of equals the first.

    Example:
        >>> made = [(0.1, True), (0.2, False), (0.3, None), (0.4, True), (0.5, False)]
        >>> choose([Edited(changed_share=share, inside=inside) for share, inside in made])
        (1, 3)
    """
    size = [e.changed_share for e in edits]
    controls = [n for n, e in enumerate(edits) if e.inside is True]
    relevant = min((n for n, e in enumerate(edits) if e.inside is False), key=size.__getitem__, default=None)
    if relevant is None:
        return None, min(controls, key=size.__getitem__, default=None)
    as_large = [n for n in controls if size[n] >= size[relevant]]
    if as_large:
        return relevant, min(as_large, key=size.__getitem__)
    return relevant, max(controls, key=size.__getitem__, default=None)


def settled(edits: Sequence[Edited]) -> bool:
    """Whether larger edits than these could change nothing about `choose`; for edits in the order of their size."""
    relevant, control = choose(edits)
    if relevant is None or control is None:
        return False
    return edits[control].changed_share >= edits[relevant].changed_share


def causes(
    findings: Sequence[tuple[Predicate, Sequence[Pair]]], *, least: int = LEAST, fdr: float = FDR
) -> list[Cause]:
    """Say of each finding whether what its name tells of the picture makes it fail.

    Args:
        findings: M findings, each with its pairs.
        least: Pairs that have to be measured on both sides.
        fdr: Bound of the false discovery rate, over the findings with enough pairs.

    Returns:
        M causes in order. "in the picture": relevant edits flip more often than controls, and at least half of them do;
        "partly": fewer. "in the question": no condition is on the picture, and edits that change the answer flip it no
        more often than others; "not told by the name": they do.

    Source: the head of this module.

    Example:
        >>> late = Predicate.of(Literal(("answer >= 9",)))
        >>> [cause] = causes([(late, [Pair(relevant=True, control=False, broken=late.literals)] * 20)])
        >>> cause.state, cause.reason.partition(": ")[2]
        ('in the picture', '20 of 20 edits that break "answer >= 9" flip it, 0 of 20 controls do')
    """
    measured = [_difference(pairs) for _, pairs in findings]
    tested = [d.p for d in measured if d.asked >= least and d.p is not None]
    q_values = iter(false_discovery_control(tested) if tested else ())
    return [
        _cause(predicate, pairs, difference, float(next(q_values)) if difference.asked >= least else None, least, fdr)
        for (predicate, pairs), difference in zip(findings, measured, strict=True)
    ]


def _kinds(predicate: Predicate) -> set[str]:
    return {kind_of(attribute) for literal in predicate.literals for attribute in literal.any_of}


def _difference(pairs: Sequence[Pair]) -> PairedDifference:
    return paired_difference([p.control for p in pairs], [p.relevant for p in pairs])


def _cause(
    predicate: Predicate, pairs: Sequence[Pair], difference: PairedDifference, q: float | None, least: int, fdr: float
) -> Cause:
    counted = Counter(literal for p in pairs if p.relevant for literal in p.broken)
    flips = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    relevant, control = _rate([p.relevant for p in pairs]), _rate([p.control for p in pairs])

    def say(state: State, reason: str) -> Cause:
        return Cause(
            state=state, reason=reason, relevant=relevant, control=control, difference=difference, q=q,
            broken=tuple(flips),
        )  # fmt: skip

    there = f"{control.hits} of {control.asked} controls do"
    flips_more = q is not None and q <= fdr and (difference.value or 0.0) > 0.0
    if in_question(predicate):
        told = "no edit of the picture takes it away: the cause is in the question"
        if q is None:
            return say("in the question", f"{told} (not enough pairs to say more: {difference.asked} of {least})")
        changed = f"{relevant.hits} of {relevant.asked} edits that change the answer flip it, {there}"
        if flips_more:
            return say("not told by the name", f"the name tells nothing of the picture, but {changed}")
        return say("in the question", f"{told}; {changed}")
    if q is None:
        return say("not enough pairs", f"not enough pairs ({difference.asked} of {least})")
    if flips_more:
        names = ", ".join(f'"{literal.words()}"' for literal, _ in flips) or "the name"
        changed = f"{relevant.hits} of {relevant.asked} edits that break {names} flip it, {there}"
        if (relevant.value or 0.0) >= _MOST:
            return say("in the picture", f"the cause is in the picture: {changed}")
        return say("partly in the picture", f"a part of the cause is in the picture: {changed}")
    if (relevant.value or 0.0) < _MOST:
        gone = f"{relevant.hits} of {relevant.asked} flip, {there}"
        return say("not the cause", f"it fails on when it is taken out of the mode ({gone}): not the cause")
    return say(
        "not the cause",
        f"control edits flip it as often ({control.hits} of {control.asked}; "
        f"relevant ones {relevant.hits} of {relevant.asked}): not the cause",
    )


def _rate(said: Sequence[bool | None]) -> Rate:
    asked = [s for s in said if s is not None]
    return Rate(sum(asked), len(asked), len(said) - len(asked))
