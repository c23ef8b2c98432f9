"""What can be said of a probe in words, without the truth and without the target.

An attribute is a short phrase: `asks "what colour is ...?"`, `says "red"`, `answer "7"`, `answer >= 7`, `about "small"`,
`shows "clock"`, `shows "red clock"`, `things >= 5`, `picture changed`. All come from the question, from the answer that the
references agree on, and from a description of the picture by a reference; so they can be known, and probes chosen by
them, before the target is asked.

Source: ours, after the frozen descriptors of arXiv:2606.09046.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations

from auditdm.method.archive import answer_kind

Clause = tuple[str, ...]
Names = Mapping[str, frozenset[str]]  # a word of a question -> the words of descriptions that it may stand for
Views = tuple[frozenset[str], ...]
_General = tuple[tuple[str, frozenset[str]], ...]  # words that no description has, with what they stand for

_WORD = re.compile(r"[a-z0-9]+(?:[:.'-][a-z0-9]+)*")
_CLAUSE_ENDS = re.compile(r"[,.;\n]+(?=\s|$)|\band\b")
_LEADING_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(?::\d\d|%)?")
_JOINTS = frozenset([
    "a", "an", "any", "some", "than", "or", "and", "this", "that", "these", "those", "his", "her", "its", "their",
    "of", "in", "on", "at", "to", "from", "by", "for", "with",
])  # fmt: skip
# After these a thing is named: its words are left open in the question's form.
_OPENERS = _JOINTS | frozenset([
    "the", "many", "much", "more", "fewer", "most", "not", "no", "between", "behind", "beside", "under", "over",
    "near", "next",
])  # fmt: skip
# Words that hold a question together: what is asked is not told by them, so no name says them.
_GLUE = _JOINTS | frozenset([
    "is", "are", "was", "were", "be", "am", "do", "does", "did", "has", "have", "had", "can", "could", "will",
    "would", "there", "here", "it", "as", "then", "picture", "image", "photo",
])  # fmt: skip
_FORM = _OPENERS | _GLUE | frozenset([  # words that name nothing
    "what", "which", "who", "whose", "where", "when", "why", "how",
])  # fmt: skip
# Words that say how things stand to each other: a question that changes one of them asks something else.
_RELATIONS = frozenset([
    "above", "below", "left", "right", "inside", "outside", "around", "across", "along", "against", "through",
    "toward", "towards", "before", "after", "within", "without", "beyond", "among", "onto", "into", "off", "up",
    "down",
])  # fmt: skip
_NUMBERS = {
    w: str(n)
    for n, w in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}
_THRESHOLDS = range(1, 13)
_ASKED = 30  # questions with a word from which on it is asked what it stands for
_ENOUGH = 400  # and at most so many are looked at
_MEANINGS, _LOOKED_AT = 24, 80  # words that it may stand for, of so many that are met most often beside it
_DOUBTED = 5  # what a picture in which they are met in several things counts against one in which it is one
_SINGLED = 0.9  # share of its pictures in which they are met in exactly one thing


def attributes(
    question: str,
    consensus: str,
    description: str | None,
    *,
    names: Names,
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
        names: Words (as `stem` writes them) that name what pictures show, by `names_in`.
        changed: Whether the picture was made or changed by the auditor.

    Returns:
        One view for each thing that the question is about, a single one if it is about none. What a description does not
        mention is not thereby absent.

    Source: ours.

    Example:
        >>> seen = "small red star row1 col2 and blue digit 7 row3 col3"
        >>> [view] = attributes("what is the digit ?", "7", seen, names=names_in([seen]))
        >>> sorted(view)[:5]
        ['about "7"', 'about "blue"', 'about "col3"', 'about "digit"', 'about "row3"']
    """
    found = _of_question(question).union(_of_answer(consensus), ["picture changed" if changed else "picture as it was"])
    if description is None:
        return (found,)
    general = tuple((word, stands_for) for word, stands_for in names.items() if word not in stands_for)
    clauses = clauses_of(description)
    found |= _of_picture(clauses, general)
    meant = subjects(question, clauses, names, consensus) or _answered(consensus, clauses)
    told = [found.union(f'about "{w}"' for w in _told(clause, general)) for clause in meant]
    return tuple(dict.fromkeys(told)) or (found,)


@lru_cache(maxsize=65536)
def _of_question(question: str) -> frozenset[str]:
    words = words_of(question)
    found = {f'asks "{form_of(question)}"', f'the question "{question.strip()}"'}
    return frozenset(found.union(f'says "{stem(w)}"' for w in words if w not in _GLUE))


@lru_cache(maxsize=65536)
def _of_picture(clauses: tuple[Clause, ...], general: _General) -> frozenset[str]:
    count = len(clauses)
    found = {f"things >= {n}" for n in _THRESHOLDS if 1 < n <= count}
    found.update(f"things <= {n}" for n in _THRESHOLDS if n >= count)
    shown: dict[str, int] = {}
    for clause in clauses:
        told_of = _told(clause, general)
        for word in told_of:
            shown[word] = shown.get(word, 0) + 1
        found.update(f'shows "{one} {other}"' for one, other in combinations(told_of, 2))
    for word, times in shown.items():
        found.add(f'shows "{word}"')
        if times > 1:
            found.add(f'shows several "{word}"')
    return frozenset(found)


def _told(clause: Clause, general: _General) -> list[str]:
    """The words of a clause, and the general ones that stand for one of them: a dog is an animal."""
    return list(dict.fromkeys([*clause, *(word for word, meant in general if not meant.isdisjoint(clause))]))


def subjects(question: str, clauses: Sequence[Clause], names: Names, consensus: str = "") -> list[Clause]:
    """The things that a question is about: for each run of words that name something, the clause that shares most of them.

    Where several clauses share as many, it is one that tells of the agreed answer if there is one, and of those the one
    that says least besides: who means the small striped cross says so, and that a cross is plain goes unsaid. Where that
    leaves several, only what they share is known. Where the answer is that there is nothing, what is meant has all of the
    words: the dog is not meant by "the brown cat" because it is brown.

    Example:
        >>> seen = clauses_of("red cross col1 and small red cross col4")
        >>> names = {"cross": frozenset({"cross"})}
        >>> subjects("which column is the large cross in ?", seen, names, "col4")
        [('small', 'red', 'cross', 'col4')]
        >>> subjects("what colour is the large cross ?", seen, names, "red")
        [('red', 'cross', 'col1')]
    """
    answered = {stem(w) for w in words_of(consensus)} - _FORM
    is_nothing = bool(consensus) and answer_kind(consensus) == "nothing"
    chosen: list[Clause] = []
    for run in runs_of(question, names):
        shared = [sum(not names[w].isdisjoint(clause) for w in run) for clause in clauses]
        most = max(shared, default=0)
        least = len(run) if is_nothing else 1
        meant = [clause for clause, count in zip(clauses, shared, strict=True) if count == most >= least]
        meant = [clause for clause in meant if answered and answered <= set(clause)] or meant
        shortest = min(map(len, meant), default=0)
        meant = [clause for clause in meant if len(clause) == shortest]
        chosen.append(_shared(meant))
    return [clause for clause in chosen if clause]


def _shared(clauses: Sequence[Clause]) -> Clause:
    """The words that all of them have."""
    return tuple(w for w in clauses[0] if all(w in clause for clause in clauses)) if clauses else ()


def _answered(consensus: str, clauses: Sequence[Clause]) -> list[Clause]:
    """Where a question names no described thing ("what is on the table?"), what its answer tells of."""
    words = {stem(w) for w in words_of(consensus)} - _FORM
    telling = _shared([clause for clause in clauses if words and words <= set(clause)])
    return [telling] if telling else []


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


def runs_of(question: str, names: Names) -> list[frozenset[str]]:
    """The words of a question that name something, those side by side together."""
    runs: list[set[str]] = [set()]
    for word in words_of(question):
        if word not in _FORM and stem(word) in names:
            runs[-1].add(stem(word))
        elif runs[-1]:
            runs.append(set())
    return [frozenset(r) for r in runs if r]


@lru_cache(maxsize=65536)
def clauses_of(description: str) -> tuple[Clause, ...]:
    """The things that a description tells, each as its words; clauses without a word of their own are left out."""
    told = (
        tuple(stem(w) for w in words_of(part) if w not in _FORM) for part in _CLAUSE_ENDS.split(description.lower())
    )
    return tuple(clause for clause in told if clause)


def names_in(descriptions: Iterable[str], asked: Iterable[tuple[str, str]] = ()) -> Names:
    """Every word that names something, with the words of descriptions that it may stand for.

    A word of the descriptions stands for itself. Another word of the questions ("the animal", where dogs and cats are
    described) stands for those words by which it singles one thing out: some set of them is met in exactly one of the
    things that the words beside it leave open, in nearly all pictures that it is asked of.

    Args:
        descriptions: Of pictures.
        asked: Questions about what is there, each with the description of its picture.

    Source: ours.

    Cost: a second for 3,000 questions.

    Example:
        >>> told = ["dog and car", "cat and car and tree", "dog and tree", "car and cat and car"] * 10
        >>> named = names_in(told, [("Where is the animal?", d) for d in told])
        >>> sorted(named["animal"]), sorted(named["car"])
        (['cat', 'dog'], ['car'])
    """
    plain = {word: frozenset({word}) for d in set(descriptions) for clause in clauses_of(d) for word in clause}
    met: dict[str, list[list[Clause]]] = {}
    for question, description in asked:
        words, clauses = words_of(question), clauses_of(description)
        for word, beside in _definite(words, plain):
            if len(met.setdefault(word, [])) < _ENOUGH:
                shared = [len(beside & set(clause)) for clause in clauses]
                left = [c for c, count in zip(clauses, shared, strict=True) if count == max(shared)]
                met[word] += [left] if len(left) > 1 else []
    general = {word: _singled_out(pictures) for word, pictures in met.items() if len(pictures) >= _ASKED}
    return plain | {word: frozenset(found) for word, found in general.items() if found}


def _definite(words: Sequence[str], plain: Names) -> Iterator[tuple[str, set[str]]]:
    """Words that descriptions do not have, of what "the" points at, each with the words before it; they have those."""
    for n, word in enumerate(words):
        start = n
        while start and words[start - 1] not in _FORM:
            start -= 1
        ends = n + 1 == len(words) or words[n + 1] in _FORM or words[n + 1] in _RELATIONS
        names_nothing = word in _FORM or word in _RELATIONS or words[n + 1 : n + 2] == ("than",)
        if not names_nothing and stem(word) not in plain and start and words[start - 1] == "the" and ends:
            beside = {stem(w) for w in words[start:n]}
            if beside <= plain.keys():
                yield stem(word), beside


def _singled_out(pictures: Sequence[Sequence[Clause]]) -> set[str]:
    """The words of which one is met in exactly one clause of nearly every picture, added one by one; else none.

    Of two words that do as well the one that is met more often is taken.
    """
    often = [w for w, n in Counter(w for told in pictures for c in told for w in c).most_common(_LOOKED_AT) if n >= 3]
    found: set[str] = set()
    single = 0

    def score(words: set[str]) -> int:
        met = [sum(not words.isdisjoint(clause) for clause in told) for told in pictures]
        return met.count(1) - _DOUBTED * sum(n > 1 for n in met)

    for _ in range(_MEANINGS):
        gained = {w: score(found | {w}) for w in often if w not in found}
        best = max(gained, key=lambda w: gained[w], default="")
        if not best or gained[best] <= single:
            break
        found, single = found | {best}, gained[best]
    return found if single >= _SINGLED * len(pictures) else set()


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
