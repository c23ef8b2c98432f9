"""What can be said of a probe in words, without the truth and without the target.

An attribute is a short phrase: `asks "what colour is ...?"`, `says "red"`, `answer "7"`, `answer >= 7`,
`about "small"`, `shows "clock"`, `things >= 5`, `picture changed`. All come from the question, from the answer that the
references agree on, and from a description of the picture by a reference; so they can be known, and probes chosen by
them, before the target is asked.

Source: ours, after the frozen descriptors of arXiv:2606.09046.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

Clause = tuple[str, ...]
Views = tuple[frozenset[str], ...]

_WORD = re.compile(r"[a-z0-9]+(?:[:.'-][a-z0-9]+)*")
_CLAUSE_ENDS = re.compile(r"[,.;\n]+(?=\s|$)|\band\b")
_LEADING_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(?::\d\d|%)?")
# After these a thing is named: its words are left open in the question's form.
_OPENERS = frozenset(
    [
        "the",
        "a",
        "an",
        "any",
        "some",
        "many",
        "much",
        "more",
        "fewer",
        "most",
        "than",
        "or",
        "and",
        "not",
        "no",
        "this",
        "that",
        "these",
        "those",
        "his",
        "her",
        "its",
        "their",
        "of",
        "in",
        "on",
        "at",
        "to",
        "from",
        "by",
        "for",
        "with",
        "between",
        "behind",
        "beside",
        "under",
        "over",
        "near",
        "next",
    ]
)
_FORM = _OPENERS | frozenset(  # words that name nothing
    [
        "is",
        "are",
        "was",
        "were",
        "be",
        "am",
        "do",
        "does",
        "did",
        "has",
        "have",
        "had",
        "can",
        "could",
        "will",
        "would",
        "there",
        "here",
        "it",
        "as",
        "then",
        "what",
        "which",
        "who",
        "whose",
        "where",
        "when",
        "why",
        "how",
        "picture",
        "image",
        "photo",
    ]
)
# Words that say how things stand to each other: a question that changes one of them asks something else.
_RELATIONS = frozenset(
    [
        "above",
        "below",
        "left",
        "right",
        "inside",
        "outside",
        "around",
        "across",
        "along",
        "against",
        "through",
        "toward",
        "towards",
        "before",
        "after",
        "within",
        "without",
        "beyond",
        "among",
        "onto",
        "into",
        "off",
        "up",
        "down",
    ]
)
_NUMBERS = {
    w: str(n)
    for n, w in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_THRESHOLDS = range(1, 13)


def attributes(
    question: str,
    consensus: str,
    description: str | None,
    *,
    nameable: Collection[str],
    changed: bool = False,
) -> Views:
    """Say everything that is known of a probe.

    A question on two things ("is the red star above the circle?") has a view for each: what is said `about` a thing is
    said of one thing, so that "about small and about red" is one small red thing.

    Args:
        question: What is asked.
        consensus: The answer that the references agree on.
        description: The picture in words, clauses divided by commas, full stops or "and"; None where there is none (then
            nothing is said of the picture).
        nameable: Words (as `stem` writes them) that name what pictures show, such as all words of all descriptions.
        changed: Whether the picture was made or changed by the auditor.

    Returns:
        One view for each thing that the question is about, a single one if it is about none. What a description does not
        mention is not thereby absent.

    Source: ours.

    Example:
        >>> seen = "small red star row1 col2 and blue digit 7 row3 col3"
        >>> [view] = attributes("what is the digit ?", "7", seen, nameable=frozenset(seen.split()))
        >>> sorted(view)[:5]
        ['about "7"', 'about "blue"', 'about "col3"', 'about "digit"', 'about "row3"']
    """
    words = words_of(question)
    found = {f'asks "{form_of(question)}"', f'begins "{" ".join(words[:2])}"', f'the question "{question.strip()}"'}
    found.update(f'says "{stem(w)}"' for w in words)
    found.update(_of_answer(consensus))
    found.add("picture changed" if changed else "picture as it was")
    if description is None:
        return (frozenset(found),)
    clauses = clauses_of(description)
    count = len(clauses)
    found.update(f"things >= {n}" for n in _THRESHOLDS if 1 < n <= count)
    found.update(f"things <= {n}" for n in _THRESHOLDS if n >= count)
    shown: dict[str, int] = {}
    for clause in clauses:
        for word in set(clause):
            shown[word] = shown.get(word, 0) + 1
    for word, times in shown.items():
        found.add(f'shows "{word}"')
        if times > 1:
            found.add(f'shows several "{word}"')
    meant = subjects(question, clauses, nameable) or _answered(consensus, clauses)
    told = [frozenset(found).union(f'about "{w}"' for w in clause) for clause in meant]
    return tuple(dict.fromkeys(told)) or (frozenset(found),)


def subjects(question: str, clauses: Sequence[Clause], nameable: Collection[str]) -> list[Clause]:
    """The described things that a question is about: for each run of nameable words the clause that shares most of them.

    Where several clauses share as many, the question is about none in particular.
    """
    chosen: list[Clause] = []
    for run in _runs(question, nameable):
        shared = [len(run & set(clause)) for clause in clauses]
        most = max(shared, default=0)
        if most and shared.count(most) == 1:
            chosen.append(clauses[shared.index(most)])
    return chosen


def _answered(consensus: str, clauses: Sequence[Clause]) -> list[Clause]:
    """Where a question names no described thing ("what is on the table?"), the only one that its answer tells of."""
    words = {stem(w) for w in words_of(consensus)} - _FORM
    telling = [clause for clause in clauses if words and words <= set(clause)]
    return telling if len(telling) == 1 else []


@lru_cache(maxsize=65536)
def form_of(question: str) -> str:
    """A question with everything that it names left open; how things stand to each other, or compare, is kept.

    Example:
        >>> form_of("Is the cup left of the red plate?"), form_of("Is the cup larger than the plate?")
        ('is the ... left of the ...?', 'is the ... larger than the ...?')
        >>> form_of("What colour is the small dog's collar?"), form_of("How many red cars are there?")
        ('what colour is the ...?', 'how many ... are there?')
    """
    kept: list[str] = []
    naming = False
    words = words_of(question)
    for n, word in enumerate(words):
        following = words[n + 1] if n + 1 < len(words) else ""
        naming = naming or following in ("or", "and")  # one of two things or looks
        if word in _FORM:
            naming = word in _OPENERS
            kept.append(word)
        elif not naming or word in _RELATIONS or (following == "than" and word.endswith("er")):
            kept.append(word)
        elif kept[-1:] != ["..."]:
            kept.append("...")
    return " ".join(kept) + "?"


@lru_cache(maxsize=65536)
def _runs_of(question: str, nameable: frozenset[str]) -> tuple[frozenset[str], ...]:
    runs: list[set[str]] = [set()]
    for word in words_of(question):
        if word not in _FORM and stem(word) in nameable:
            runs[-1].add(stem(word))
        elif runs[-1]:
            runs.append(set())
    return tuple(frozenset(r) for r in runs if r)


def _runs(question: str, nameable: Collection[str]) -> tuple[frozenset[str], ...]:
    return _runs_of(question, nameable if isinstance(nameable, frozenset) else frozenset(nameable))


@lru_cache(maxsize=65536)
def clauses_of(description: str) -> tuple[Clause, ...]:
    """The things that a description tells, each as its words; clauses without a word of their own are left out."""
    told = (
        tuple(stem(w) for w in words_of(part) if w not in _FORM) for part in _CLAUSE_ENDS.split(description.lower())
    )
    return tuple(clause for clause in told if clause)


def nameable_in(descriptions: Iterable[str]) -> frozenset[str]:
    """Every word that names something in these descriptions, for `attributes`."""
    return frozenset(word for d in set(descriptions) for clause in clauses_of(d) for word in clause)


@lru_cache(maxsize=65536)
def words_of(text: str) -> tuple[str, ...]:
    """Lower-case words and numbers, without punctuation."""
    return tuple(_WORD.findall(text.lower()))


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A plural as its singular, roughly: enough to find "crosses" in "a cross"."""
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


@lru_cache(maxsize=16384)
def _of_answer(consensus: str) -> tuple[str, ...]:
    words = words_of(consensus)
    said = " ".join(words)
    found = [f'answer "{said}"']
    number = _LEADING_NUMBER.fullmatch(_NUMBERS.get(said, said))
    if number:
        value = float(number[1])
        for n in (*_THRESHOLDS, *range(15, 100, 5)):
            if value >= n:
                found.append(f"answer >= {n}")
            if value <= n:
                found.append(f"answer <= {n}")
        found.append("answer is a number")
    return tuple(found)
