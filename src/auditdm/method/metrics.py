"""The scores of visual benchmarks, each as a function of a reply and what counts as right.

Written afresh from the papers and the official scorers, and measured against lmms-eval's in `tests/test_metrics.py`;
where a benchmark is reported, lmms-eval's own score is the number, except for captions, whose tokenizer needs Java there.

Source: of each metric, in its docstring. Differs: listed there too.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

Box = tuple[float, float, float, float]  # left, top, right, bottom; one unit for both boxes of a comparison

_UP_TO_TEN = "zero one two three four five six seven eight nine ten"
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_UP_TO_TEN.split())} | {"none": "0"}
_ARTICLES = frozenset(("a", "an", "the"))
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_WITH_APOSTROPHE = (
    "ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't "
    "it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't "
    "somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's "
    "they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's "
    "where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've"
)
_CONTRACTIONS = {whole.replace("'", ""): whole for whole in _WITH_APOSTROPHE.split()}


def plain_answer(text: str) -> str:
    """Bring a short answer into the form in which VQA answers are compared.

    Small letters; no articles; number words up to ten as digits; contractions with their apostrophe; punctuation gone,
    or a space where it stood between two words; a full stop stays only before a digit.

    Source: the answer processing of VQA evaluation (Antol et al., arXiv:1505.00468). Differs: contractions of three
    words (couldn't've) are left as they are, and so are the table's own slips (somebody'd becoming somebodyd).

    Example:
        >>> plain_answer("The Two dogs, dont bark.")
        "2 dogs don't bark"
    """
    kept = " ".join(text.split())
    groups = re.search(r"\d,+\d", kept) is not None
    told = kept
    for mark in _PUNCTUATION:
        alone = f"{mark} " in kept or f" {mark}" in kept
        told = told.replace(mark, "" if alone or groups else " ")
    told = re.sub(r"\.(?!\d)", "", told)
    words = (_NUMBER_WORDS.get(word, word) for word in told.lower().split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """Score an answer by how many people gave it.

    For each person in turn the answer is compared with those of all others: three that agree are full marks, fewer are
    thirds. The score is the mean over the persons.

    Args:
        answer: The model's.
        references: Those of the people, ten in VQAv2.

    Returns:
        In [0, 1]; 0.0 without references.

    Source: Antol et al., arXiv:1505.00468, and its official scorer. Differs: that scorer compares the bare texts where
    all people agree; here, as in lmms-eval, both are always brought into `plain_answer` form.

    Example:
        >>> vqa_accuracy("Two.", ["2", "two", "2", "3", "3", "3", "3", "3", "3", "3"])
        0.9
    """
    if not references:
        return 0.0
    said = plain_answer(answer)
    same = [plain_answer(reference) == said for reference in references]
    hits = sum(same)
    scores = [min(1.0, (hits - own) / 3) for own in same]
    return sum(scores) / len(scores)


def anls(answer: str, references: Sequence[str], *, threshold: float = 0.5) -> float:
    """Score an answer by how few letters keep it from the nearest reference.

    1 minus the edit distance, in small letters with single spaces, over the length of the longer text as it was; the best
    of the references; 0.0 below the threshold.

    Returns:
        In {0} and [threshold, 1]; 0.0 without references.

    Source: Biten et al., Scene Text Visual Question Answering (ICCV 2019), as DocVQA's scorer has it: a score of exactly
    the threshold counts, which the paper's formula excludes.

    Example:
        >>> anls("Helo", ["hello", "world"])
        0.8
    """
    said = " ".join(answer.lower().split())
    found = 0.0
    for reference in references:
        right = " ".join(reference.lower().split())
        longer = max(len(answer), len(reference))
        found = max(found, 1.0 - (_distance(said, right) / longer if longer else 0.0))
    return found if found >= threshold else 0.0


def _distance(one: str, other: str) -> int:
    """Levenshtein: insertions, deletions and replacements of single letters."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        above, row[0] = row[0], i
        for j, counterpart in enumerate(other, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (letter != counterpart))
    return row[-1]


def relaxed_accuracy(answer: str, reference: str, *, tolerance: float = 0.05) -> bool:
    """Say whether an answer read from a chart is right: a number within 5%, any other text exactly.

    A percentage is its hundredth; case does not matter.

    Source: Masry et al., ChartQA, arXiv:2203.10244, section 5.1. Differs from lmms-eval's: a reference of zero is met by
    any way of writing zero, and only plain decimal numbers are numbers ("nan", "infinity" and "1_000" are texts).

    Example:
        >>> relaxed_accuracy("102", "100"), relaxed_accuracy("10%", "10"), relaxed_accuracy("Red", "red")
        (True, False, True)
    """
    said, right = _number(answer), _number(reference)
    if said is None or right is None:
        return answer.lower() == reference.lower()
    return abs(said - right) <= tolerance * abs(right)


def _number(text: str) -> float | None:
    found = re.fullmatch(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(%*)", text)
    if found is None:
        return None
    return float(found[1]) / (100.0 if found[2] else 1.0)


def box_iou(one: Box, other: Box) -> float:
    """Divide the area that two boxes share by the area that they cover together.

    Returns:
        In [0, 1]. A box whose right is not right of its left, or whose bottom is not below its top, has no area.

    Source: Everingham et al., the PASCAL VOC challenge, 2010. Differs from lmms-eval's: two boxes without area give 0.0
    here, a division by zero there.

    Example:
        >>> box_iou((0, 0, 2, 2), (1, 0, 3, 2))
        0.3333333333333333
    """
    shared = _area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
    covered = _area(one) + _area(other) - shared
    return shared / covered if covered > 0 else 0.0


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def caption_words(text: str) -> list[str]:
    """Split a caption into the words that CIDEr counts: small letters, contractions parted, no punctuation.

    Source: the Penn Treebank rules of Stanford's tokenizer, as the COCO scorer uses it. Differs: rules instead of that
    Java program; its list of abbreviations ("mr.") and its reading of emoticons and addresses are missing. Brackets count
    as words, since the scorer drops punctuation by names in capitals from a text in small letters.

    Example:
        >>> caption_words("A man's dog doesn't eat 2,000 T-shirts.")
        ['a', 'man', "'s", 'dog', 'does', "n't", 'eat', '2,000', 't-shirts']
    """
    told = re.sub(r"(?<=[a-z])n't\b", " n't", text.lower().replace("\u2019", "'"))
    told = re.sub(r"(?<=[a-z0-9])'(s|m|d|re|ve|ll)\b", r" '\1", told)
    told = re.sub(r"\bcannot\b", "can not", told)
    told = re.sub(r"[(\[{]", " -lrb- ", re.sub(r"[)\]}]", " -rrb- ", told))
    return re.findall(
        r"-[lr]rb-|(?:\b[a-z]\.){2,}|n't\b|'(?:s|m|d|re|ve|ll)\b|\d+(?:[.,:]\d+)+|\w+(?:[-&/.]\w+)*|[$%#@&*+=]", told
    )


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Score captions by the runs of words that they share with people's, rare runs counting more.

    Runs of one to four words are weighted by how few pictures' references have them; the cosine between caption and
    reference, clipped so that repeating does not pay, falls with the difference of their lengths.

    Args:
        captions: One for each of N pictures.
        references: For each picture, at least one caption by a person. A run's rarity is measured over all of them.

    Returns:
        N scores, usually in [0, 10]; their mean times 100 is what papers print (143.4).

    Raises:
        ValueError: The two have not the same length, or a picture has no reference.

    Source: Vedantam et al., CIDEr, arXiv:1411.5726, in the form CIDEr-D of the COCO scorer (sigma 6). Differs: only in
    `caption_words`.

    Example:
        >>> [round(score, 1) for score in cider(["a red cat", "a big dog"], [["a red cat"], ["two birds fly"]])]
        [7.5, 0.0]
    """
    if not all(references):
        raise ValueError("a picture has no reference caption; CIDEr needs at least one for each")
    said = [_runs(caption) for caption in captions]
    right = [[_runs(caption) for caption in of] for of in references]
    known = Counter(run for of in right for run in set().union(*of))
    pictures = math.log(len(right)) if right else 0.0
    scores = []
    for one, others in zip(said, right, strict=True):
        weighted = _weighted(one, known, pictures)
        alike = [_alike(weighted, _weighted(other, known, pictures), _words_in(one, other)) for other in others]
        scores.append(10.0 * sum(alike) / len(alike))
    return scores


_Run = tuple[str, ...]
_LONGEST_RUN, _SIGMA = 4, 6.0


def _runs(caption: str) -> Counter[_Run]:
    words = caption_words(caption)
    return Counter(
        tuple(words[at : at + size]) for size in range(1, _LONGEST_RUN + 1) for at in range(len(words) - size + 1)
    )


def _weighted(runs: Counter[_Run], known: Mapping[_Run, int], pictures: float) -> dict[_Run, float]:
    return {run: count * (pictures - math.log(max(1, known.get(run, 0)))) for run, count in runs.items()}


def _words_in(one: Counter[_Run], other: Counter[_Run]) -> int:
    """How many runs of two words the one has more than the other: the length that CIDEr-D compares."""
    lengths = [sum(count for run, count in runs.items() if len(run) == 2) for runs in (one, other)]
    return lengths[0] - lengths[1]


def _alike(one: Mapping[_Run, float], other: Mapping[_Run, float], longer: int) -> float:
    found = 0.0
    for size in range(1, _LONGEST_RUN + 1):
        mine = {run: weight for run, weight in one.items() if len(run) == size}
        theirs = {run: weight for run, weight in other.items() if len(run) == size}
        shared = sum(min(weight, theirs[run]) * theirs[run] for run, weight in mine.items() if run in theirs)
        norms = math.hypot(*mine.values()) * math.hypot(*theirs.values())
        found += shared / norms if norms else 0.0
    return found / _LONGEST_RUN * math.exp(-(longer**2) / (2 * _SIGMA**2))


_SAID = r"(?i:(answer|option|choice)(?:\s+is)?\s*:?\s*(?:option\s+)?)[\"'*(\[]*"
_GOES_ON = r"\s+(?!because|since|as\b|and\b)[a-z]"  # after an "A" or "I" that is a word of English


def chosen_option(reply: str, options: Mapping[str, str]) -> str | None:
    """Read which option of a multiple-choice question a reply chooses.

    In this order: a letter alone or before a mark at the start ("B", "(B) cat", "B: cat"); the last letter after "answer
    is", "option" or "choice"; none where two are named side by side ("A or B"); the one letter in brackets; a letter
    alone at the end; the one capital letter that stands as a word, where "A" and "I" may be words of English and do not
    count; the one option whose words the reply has.

    Args:
        reply: The model's.
        options: Letter to the option's words, "" where they are not known.

    Returns:
        A letter; None where the reply chooses none or cannot be read, which is a wrong answer, and never a guess.

    Source: ours, after the extraction in lmms-eval and VLMEvalKit. Differs: both read "A man runs" as option A; MMMU's
    and MMT-Bench's scorers draw an option at random where they find none.

    Example:
        >>> chosen_option("The answer is (B).", {"A": "cat", "B": "dog"}), chosen_option("a dog", {"A": "cat", "B": "dog"})
        ('B', 'B')
        >>> chosen_option("A man runs", {"A": "cat", "B": "dog"}) is None
        True
    """
    letters = "".join(options)
    told = reply.strip()
    if not told or not letters:
        return None
    either = f"[{letters}{letters.lower()}]"
    start = re.match(rf"[\W_]*({either})[\W_]*(?:$|\n)", told) or re.match(rf"[(\[\"'*]*([{letters}])[)\].:,*]", told)
    if start:
        return start[1].upper()
    chosen = [
        found[2]
        for found in re.finditer(rf"{_SAID}([{letters}])(?![\w'])", told)
        if found[1].lower() != "answer" or found[2] not in "AI" or not re.match(_GOES_ON, told[found.end() :])
    ]
    if chosen:
        return chosen[-1]
    if re.search(rf"\b[{letters}]\b\W*(?:or|and|[&/,])\W*[{letters}]\b", told):
        return None
    for pattern in (
        rf"\(([{letters}])\)",
        rf"(?<![A-Za-z'])([{letters}])[\W_]*$",
        rf"(?<![\w'])([{letters}])(?![\w'])",
    ):
        found = set(re.findall(pattern, told))
        found -= {"A", "I"} if pattern.endswith(r"(?![\w'])") else set()
        if len(found) == 1:
            return str(found.pop())
        if found:
            return None
    return _option_told(told, options)


def _option_told(reply: str, options: Mapping[str, str]) -> str | None:
    """The one option whose words stand in the reply; the longest where one holds another."""
    plain = f" {_bare(reply)} "
    words = {letter: _bare(text) for letter, text in options.items()}
    told = {letter: text for letter, text in words.items() if text and f" {text} " in plain}
    whole = [
        letter
        for letter, text in told.items()
        if not any(f" {text} " in f" {other} " and text != other for other in told.values())
    ]
    return whole[0] if len(whole) == 1 else None


def _bare(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def yes_or_no(reply: str) -> Literal["yes", "no"] | None:
    """Read a yes or a no.

    The first word decides, and "y" or "n" alone; a reply that begins otherwise is read where it holds one of the two
    words and not the other.

    Returns:
        None where neither can be read, which is a wrong answer.

    Source: ours. Differs: MME's scorer looks for the letters in the first four ("Not sure" and "know" are a no);
    POPE's in lmms-eval takes nothing but the bare word, so that "Yes." is wrong.

    Example:
        >>> yes_or_no("Yes, there is."), yes_or_no("I think no"), yes_or_no("Not sure")
        ('yes', 'no', None)
    """
    words = re.findall(r"[a-z']+", reply.lower())
    if not words:
        return None
    if words[0] in ("yes", "no"):
        return "yes" if words[0] == "yes" else "no"
    if words in (["y"], ["n"]):
        return "yes" if words == ["y"] else "no"
    found = {"yes", "no"} & set(words)
    if len(found) != 1:
        return None
    return "yes" if found == {"yes"} else "no"
