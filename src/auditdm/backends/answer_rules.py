"""Saying by rules alone whether two answers to a question mean the same.

The rules know silence, small differences of form, and questions that ask for a closed type: yes or no, an amount, a
time, a colour, a letter, one of the options named. Where they cannot be sure they say nothing.

Source: the answer processing of VQA evaluation (Antol et al., arXiv:1505.00468: case, contractions, number words,
articles, punctuation), written afresh; the rest is ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from auditdm.backends.answer_forms import (
    ALIASES,
    AUXILIARY,
    FILLER,
    LIST_MARK,
    NEGATION,
    PRONOUN,
    Asked,
    forms,
    ordinals,
    parts_of,
    refuses,
    renamed,
    stem,
    tidy,
    what_is_asked,
    without_echo,
    word_set,
)
from auditdm.backends.judges import canonical
from auditdm.backends.quantities import (
    Clock,
    Quantity,
    read_quantity,
    read_time,
    same_quantity,
    same_time,
    unit_asked,
)

LONGEST = 1000  # letters; of a longer answer the rules see only whether it is blank, and whether both are one text

_YES = word_set("yes yeah yep yup true correct right indeed sure")
_NO = word_set("no nope nah false incorrect wrong")
_MAYBE = word_set("maybe perhaps possibly partly partially sometimes depends")
_SURELY = word_set("well probably definitely certainly")
_NOTHING = word_set("no none nothing nobody")
_DECLINES = re.compile(
    r"\bcannot|\bcan.?t\b|\bknow|\bsure\b|\bno (?:idea|clue)|sorry|able\b|possible|unknown|unclear|\bn/?a\b"
)
_LINES_OF_NAMES = (
    "left right up down",
    "north south east west northeast northwest southeast southwest",
    "january february march april may june july august september october november december",
    "monday tuesday wednesday thursday friday saturday sunday",
    "spring summer autumn winter",
)
_NAMES = {word: line for line in _LINES_OF_NAMES for word in line.split()}
_BASIC_OF = {  # shades -> the basic colours that somebody may call them
    "black": "black", "white": "white", "gray grey silver": "gray", "red crimson scarlet": "red", "green": "green",
    "blue": "blue", "yellow blond blonde": "yellow", "orange": "orange", "purple violet": "purple",
    "brown chocolate": "brown", "pink": "pink", "charcoal": "gray black", "maroon burgundy": "red brown purple",
    "navy": "blue black", "teal turquoise aqua cyan": "blue green", "olive khaki": "green brown yellow",
    "lime": "green yellow", "tan beige": "brown yellow white", "cream ivory": "white yellow",
    "gold golden amber bronze": "yellow orange brown", "copper rust": "orange brown red",
    "lavender lilac magenta fuchsia mauve": "purple pink", "coral salmon peach": "pink orange red", "rose": "pink red",
    "indigo": "blue purple",
}  # fmt: skip
_SHADES = {word: word_set(basic) for words, basic in _BASIC_OF.items() for word in words.split()}
_LIGHT, _DARK = word_set("light pale"), word_set("dark deep")
_MODIFIERS = _LIGHT | _DARK | word_set("bright vivid solid plain")

Ruling = tuple[bool | None, str]  # same or not, None: nobody can tell; and why
_Shade = tuple[frozenset[str], frozenset[str], frozenset[str]]  # names, basic colours, modifiers
_Amount = tuple[Quantity, frozenset[str]]  # and what is counted, as far as it is said


def by_rules(question: str, one: str, other: str, aliases: Mapping[str, str] = ALIASES) -> Ruling | None:
    """Compare two answers as far as rules can.

    Args:
        question: What both answer.
        one: An answer.
        other: Another; the order of the two does not matter.
        aliases: Canonical phrase to phrase; the words in a picture are compared without them.

    Returns:
        (same, why), or None where the rules do not decide. The first is None where nobody can: neither answers.

    Source: ours, with the answer processing of VQA evaluation.

    Example:
        >>> by_rules("How tall is it?", "2 m", "200 cm")
        (True, 'one amount')
        >>> by_rules("What colour is it?", "It is red.", "green")
        (False, 'two colours')
        >>> by_rules("What is he doing?", "running", "jogging") is None
        True
    """
    asked = what_is_asked(question[:LONGEST])
    mute = [_is_mute(asked, one), _is_mute(asked, other)]
    if any(mute):
        return (None, "neither answers") if all(mute) else (False, "only one answers")
    if one.split() == other.split():
        return True, "one text"
    if max(len(one), len(other), len(question)) > LONGEST:
        return None
    texts = (tidy(one), tidy(other))
    if forms(asked, texts[0], aliases) & forms(asked, texts[1], aliases):
        return True, "one form"
    for (kind, kinds), read, same in _CLOSED:
        readings = [read(asked, text) for text in texts]
        if None not in readings and (verdict := same(*readings)) is not None:
            return verdict, f"one {kind}" if verdict else f"two {kinds}"
        if asked.yes_no and not asked.choice and read is _polarity:
            return None
    return None


def _is_mute(asked: Asked, text: str) -> bool:
    """Whether it holds no answer. To "is it visible?", "not visible" is one, and "I cannot see it" may be."""
    if not text.strip() or not refuses(text[:LONGEST]):
        return not text.strip()
    plain = text.casefold()
    to_it = not _DECLINES.search(plain) or any(w in plain for w in asked.words if len(w) > 2 and w not in FILLER)
    return not (asked.yes_no and to_it)


def _polarity(asked: Asked, text: str) -> bool | None:
    """Yes or no, to a question that asks for it and holds no negation itself."""
    if not asked.yes_no or NEGATION & set(asked.words):
        return None
    words = [word for word in canonical(text).split() if word not in _SURELY]
    if not words or _MAYBE & set(words):
        return None
    first, rest = words[0], set(words[1:])
    if first in _YES:
        return None if rest & (NEGATION | _NO) else True
    if first in _NO:
        return None if rest & _YES else False
    if first in _NOTHING and word_set("any anyone anybody anything") & set(asked.words):
        return False if len(words) == 1 else None
    return None if asked.choice else _echoed(asked, words)


def _echoed(asked: Asked, words: Sequence[str]) -> bool | None:
    """The polarity of an answer that only repeats the question as a statement: "it is not on"."""
    denied = sum(word in NEGATION for word in words)
    small = FILLER | PRONOUN | AUXILIARY
    said = [stem(word) for word in words if word not in small | NEGATION and word != "yet"]
    meant = [stem(word) for word in asked.words if word not in small]
    pronoun = words[0] in PRONOUN
    if said:
        stands = said == meant or (pronoun and said == meant[-len(said) :]) or said == meant[-1:]
    else:
        stands = (pronoun and bool((AUXILIARY | {"cannot"}) & set(words))) or list(words) == ["not", "yet"]
    return not denied if stands and denied < 2 else None


def _option(asked: Asked, text: str) -> str | None:
    """The letter of one of the options that the question lists."""
    texts = {canonical(words): letter for letter, words in asked.options}
    named = re.fullmatch(
        r"(?:(?:the )?(?:correct )?(?:answer|option|choice)(?: is)?:? )?\(?([a-h])\)?(?:[.):]+\s*(.*))?", text
    )
    if not named or named[1] not in texts.values():
        return texts.get(canonical(text))
    told = canonical(named[2] or "")
    return named[1] if not told or texts.get(told) == named[1] else None


def _letter(asked: Asked, text: str) -> str | None:
    if "letter" not in asked.words or asked.options:
        return None
    words = canonical(text).split()
    last = len(words) - 1
    single = [w for place, w in enumerate(words) if len(w) == 1 and w.isalpha() and (w != "a" or place == last)]
    rest = [word for word in words if word not in single]
    return single[0] if len(single) == 1 and not asked.is_new(rest) and not NEGATION & set(rest) else None


def _time(asked: Asked, text: str) -> Clock | None:
    if not re.search(r"\btime\b|\bclock\b|\bwhat hour\b", asked.plain):
        return None
    found = read_time(text)
    return found[0] if found and not asked.is_new(found[1]) and not NEGATION & set(found[1]) else None


def _amount(asked: Asked, text: str) -> _Amount | None:
    """The one amount of an answer; "no dogs" is none where the question is how many."""
    words = canonical(text).split()
    if re.search(r"\bhow many\b|\bnumber of\b", asked.plain) and len(_NOTHING & set(words)) == 1:
        rest = [word for word in words if word not in _NOTHING]
        return None if asked.is_new(rest) or NEGATION & set(rest) else (Quantity(0.0, ""), _counted(rest))
    price = re.search(r"\b(?:price|costs?|pay|paid|how much money)\b", asked.plain) is not None
    found = read_quantity(text, unit_asked(asked.plain), price)
    if found is None or NEGATION & set(found[1]) or (asked.quotes and found[0].dimension):
        return None
    if word_set("dozen hundred thousand million") & set(asked.words) or (
        "year" in asked.words and found[0].value < 100
    ):
        return None  # "2" may be two dozen, and "98" be 1998
    rest = [word for word in found[1] if word not in ("old", "tall", "long", "high", "wide", "see", "i")]
    counted = _counted(rest)
    return None if asked.is_new(rest) or (counted and "and" in asked.words) else (found[0], counted)


def _counted(words: Sequence[str]) -> frozenset[str]:
    return frozenset(stem(word) for word in words if word not in FILLER)


def _same_amount(one: _Amount, other: _Amount) -> bool | None:
    return same_quantity(one[0], other[0]) if one[1] <= other[1] or other[1] <= one[1] else None


def _ordinal(asked: Asked, text: str) -> str | None:
    words = ordinals(canonical(text).split())
    return _only(asked, words, [word for word in words if re.fullmatch(r"\d+(?:st|nd|rd|th)", word)])


def _name(asked: Asked, text: str) -> str | None:
    """A direction, month, day or season."""
    words = renamed(text, ALIASES).split()
    return _only(asked, words, [word for word in words if word in _NAMES])


def _only(asked: Asked, words: Sequence[str], found: Sequence[str]) -> str | None:
    """The one word found, if the others say nothing new."""
    rest = [word for word in words if word not in found]
    return found[0] if len(found) == 1 and not asked.is_new(rest) and not NEGATION & set(rest) else None


def _same_name(one: str, other: str) -> bool | None:
    return one == other if _NAMES[one] == _NAMES[other] else None


def _colours(asked: Asked, text: str) -> tuple[_Shade, ...] | None:
    """The colours of an answer, one for each element of its list."""
    if not re.search(r"\bcolou?rs?\b", asked.plain):
        return None
    shades: list[_Shade] = []
    for part in filter(None, LIST_MARK.split(text)):
        words = [re.sub(r"(.)\1ish$|ish$", r"\1", word) for word in canonical(part).split()]
        names = frozenset("gray" if word == "grey" else word for word in words if word in _SHADES)
        rest = [word for word in words if word not in _SHADES.keys() | _MODIFIERS | {"color", "colour"}]
        denied = any(word in NEGATION and after in _SHADES.keys() | _MODIFIERS for word, after in pairwise(words))
        if not names or denied or asked.is_new(rest) or (NEGATION & set(rest)) - set(asked.words):
            return None
        shades.append((names, frozenset[str]().union(*map(_SHADES.__getitem__, names)), _MODIFIERS & set(words)))
    return None if not shades or (len(shades) > 1 and "and" in asked.words) else tuple(shades)


def _same_colours(one: Sequence[_Shade], other: Sequence[_Shade]) -> bool | None:
    for these, those in ((one, other), (other, one)):
        if any(not any(basic & match for _, match, _ in those) for _, basic, _ in these):
            return False  # a colour that nothing on the other side could be
    theirs = {names: modifiers for names, _, modifiers in other}
    if len(one) != len(other) or theirs.keys() != {names for names, _, _ in one}:
        return None
    for names, _, modifiers in one:
        both = (modifiers, theirs[names])
        if any(a & _LIGHT and b & _DARK for a, b in (both, both[::-1])):
            return False
        if all(both) and both[0] != both[1]:
            return None
    return True


def _alternative(asked: Asked, text: str) -> str | None:
    """Which of the two things that a question offers ("a cat or a dog") an answer names."""
    if asked.words.count("or") != 1:
        return None
    place = asked.words.index("or")
    after = [word for word in asked.words[place + 1 :] if word not in ("a", "an", "the")]
    sides = {stem(word) for word in (*asked.words[:place][-1:], *after[:1])}
    words = canonical(text).split()
    named = {stem(word) for word in words} & sides
    if len(sides) != 2 or len(named) != 1 or NEGATION & set(words) or asked.is_new(words):
        return None
    return named.pop()


def _list(asked: Asked, text: str) -> frozenset[str] | None:
    """The elements of an answer, where the question wants all of them."""
    loose = NEGATION | {"or", "else", "other", "others", "more"}
    if not asked.several or asked.yes_no or asked.quotes or loose & set(canonical(text).split()):
        return None
    return frozenset(parts_of(without_echo(asked, text), ALIASES))


def _lacks(one: frozenset[str], other: frozenset[str]) -> bool | None:
    return False if one < other or other < one else None


def _equal(one: object, other: object) -> bool:
    return one == other


# what it is called, how it is read, how two readings compare; the first that decides
_CLOSED: tuple[tuple[tuple[str, str], Callable[[Asked, str], Any], Callable[[Any, Any], bool | None]], ...] = (
    (("option", "options"), _option, _equal),
    (("polarity", "polarities"), _polarity, _equal),
    (("time", "times"), _time, same_time),
    (("letter", "letters"), _letter, _equal),
    (("colour", "colours"), _colours, _same_colours),
    (("ordinal", "ordinals"), _ordinal, _equal),
    (("amount", "amounts"), _amount, _same_amount),
    (("name", "names"), _name, _same_name),
    (("alternative", "alternatives"), _alternative, _equal),
    (("list", "lists, one of which lacks something"), _list, _lacks),
)
