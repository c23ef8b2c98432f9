"""Saying whether two answers mean the same.

Here is the first step of the cascade, which needs no model: the canonical form and the aliases.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {word: number for number, word in enumerate(_UNITS.split())} | {
    word: 10 * number for number, word in enumerate(_TENS.split(), start=2)
}
_YES = frozenset({"yes", "yeah", "yep", "yup", "true", "correct"})
_NO = frozenset({"no", "nope", "nah", "false", "incorrect"})
# What may follow a yes or no without saying more: "yes it is", "no there are not", "no it isnt".
_ECHO = re.compile(
    r"(it|he|she|they|there|this|that) (is|are|was|were|does|do|has|have|can)( not|nt)?|it isnt|there arent"
)
_INSIDE_NUMBER = re.compile(r"(?<=\d)[.:/](?=\d)|(?<!\S)-(?=\d)")  # 3.5, 12:30, 1/2, -4
_NO_ALIASES: Mapping[str, str] = MappingProxyType({})


class ExactJudge:
    """Two answers are the same when their canonical forms are equal. Knows nothing of meaning and calls no model.

    Args:
        aliases: Other words for the same thing, such as {"grey": "gray", "couch": "sofa"}; see `canonical`.

    Example:
        >>> ExactJudge().same([("How many dogs?", "Two.", "2"), ("Is it red?", "Yes, it is", "no"), ("Why?", "", "")])
        [True, False, None]
    """

    def __init__(self, aliases: Mapping[str, str] = _NO_ALIASES) -> None:
        self._plain = _plain(aliases)

    def same(self, batch: Sequence[tuple[str, str, str]]) -> list[bool | None]:
        """Compare the two answers of each (question, answer, answer).

        Returns:
            N verdicts in the same order. A blank answer differs from one that is not: silence is an answer. Two blanks
            are None: with no words on either side there is no meaning to compare, so two mute references are no
            consensus.

        Cost: no model call.
        """
        forms = [(_canonical(one, self._plain), _canonical(other, self._plain)) for _, one, other in batch]
        return [one == other if one or other else None for one, other in forms]


def canonical(text: str, aliases: Mapping[str, str] = _NO_ALIASES) -> str:
    """Write an answer in the one form that all its trivial variants share.

    In this order: Unicode NFKC, lower case, punctuation off (that within 3.5, 12:30, 1/2 and -4 stays; a thousands
    comma goes), an article before another word off, number words below one hundred to digits, aliases, and the usual
    words for yes and no. An answer of nothing but punctuation keeps it.

    Args:
        text: An answer, as a model gave it.
        aliases: Phrase to phrase, each in any spelling with the same canonical form; the longest match wins, and what
            was put in is not replaced again.

    Returns:
        The canonical form; "" for a blank answer alone.

    Source: ours, after the answer processing of VQA evaluation. Differs: "a" stays where a letter can be meant.

    Example:
        >>> canonical("The dogs: twenty-one!"), canonical("A."), canonical("Yes, there are.")
        ('dogs 21', 'a', 'yes')
        >>> canonical("a Grey cat", {"grey": "gray"})
        'gray cat'
    """
    return _canonical(text, _plain(aliases))


def _plain(aliases: Mapping[str, str]) -> dict[str, str]:
    return {canonical(phrase): canonical(meaning) for phrase, meaning in aliases.items()}


def _canonical(text: str, plain: Mapping[str, str]) -> str:
    words = _digits(_without_articles(_words(text)))
    if plain:
        words = _renamed(words, plain)
    if not words:
        return " ".join(text.split())
    first, rest = words[0], " ".join(words[1:])
    if first in _YES | _NO and (not rest or _ECHO.fullmatch(rest)):
        return "yes" if first in _YES else "no"
    return " ".join(words)


def _words(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", text).casefold()
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<=\w)['\u2019](?=\w)", "", text)  # isn't -> isnt
    kept = {found.start() for found in _INSIDE_NUMBER.finditer(text)}
    spaced = "".join(
        " " if unicodedata.category(letter)[0] == "P" and letter != "%" and place not in kept else letter
        for place, letter in enumerate(text)
    )
    return spaced.replace("%", " percent ").split()


def _without_articles(words: Sequence[str]) -> list[str]:
    """Drop "the" before any word, and "a" or "an" before a number or two letters and more: "a b" may be two letters."""
    kept: list[str] = []  # backwards: an article is judged by the word that will follow it
    for word in reversed(words):
        after = kept[-1] if kept else ""
        if not after or not (word == "the" or (word in ("a", "an") and (len(after) > 1 or after.isdigit()))):
            kept.append(word)
    return kept[::-1]


def _digits(words: Sequence[str]) -> list[str]:
    written: list[str] = []
    open_ten: int | None = None  # the tens just written, which a unit may complete
    for word in words:
        number = _NUMBERS.get(word)
        if open_ten is not None and number is not None and 0 < number < 10:
            written[-1] = str(open_ten + number)
        else:
            written.append(word if number is None else str(number))
        open_ten = number if number is not None and number >= 20 else None
    return written


def _renamed(words: Sequence[str], plain: Mapping[str, str]) -> list[str]:
    """Replace each phrase of `plain` by its meaning, the longest at every place, once."""
    longest = max(len(phrase.split()) for phrase in plain)
    renamed: list[str] = []
    place = 0
    while place < len(words):
        for length in range(min(longest, len(words) - place), 0, -1):
            meaning = plain.get(" ".join(words[place : place + length]))
            if meaning is not None:
                renamed += meaning.split()
                place += length
                break
        else:
            renamed.append(words[place])
            place += 1
    return renamed
