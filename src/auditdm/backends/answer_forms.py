"""Questions and answers as the rules of comparison see them: what is asked, what is said around an answer, its form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from auditdm.backends.judges import canonical
from auditdm.backends.quantities import numbered

# Words for one and the same thing whatever the question; the first of each is what is written.
_SAME_THING = """
gray: grey | couch: sofa, settee | tv: television, tv set, telly | bike: bicycle, pushbike | motorcycle: motorbike
phone: cell phone, cellphone, mobile phone, telephone, smartphone | fridge: refrigerator | plane: airplane, aeroplane
car: automobile | child: kid | photo: photograph | tire: tyre | donut: doughnut | t shirt: tshirt, tee shirt
color: colour | theater: theatre | center: centre | pajamas: pyjamas | jewelry: jewellery | aluminum: aluminium
catalog: catalogue | mother: mom, mum | father: dad | garbage: trash, rubbish | rug: carpet | pharmacy: drugstore
restroom: toilet | french fries: fries | hot dog: hotdog | laptop: laptop computer, notebook computer | wood: wooden
eyeglasses: glasses, spectacles | sneakers: trainers | elevator: lift | truck: lorry | pier: dock | movie: film
sidewalk: pavement | soccer: association football | usa: united states, united states of america | autumn: fall
uk: united kingdom | round: circular | rock: stone | nobody: no one | purse: handbag
"""
ALIASES: Mapping[str, str] = {
    canonical(other): group.partition(":")[0].strip()
    for group in _SAME_THING.strip().replace("\n", "|").split("|")
    for other in group.partition(":")[2].split(",")
}

_MUTE = re.compile(  # of an answer with contractions written out: all that it may be
    r"(?:(?:well|unfortunately|sorry),? |(?:it|this|that) is |i am )*"
    r"(?:unknown|unclear|uncertain|unanswerable|illegible|unreadable|n/?a|no (?:idea|clue)|hard to (?:say|tell)"
    r"|not (?:sure|certain|clear|known|legible|readable|visible|specified|shown)"
    r"|(?:cannot|unable to) (?:say|tell|determine|answer|identify|read)\b.*|(?:not possible|impossible) to .*)"
)
_REFUSES = re.compile(  # a phrase that makes a refusal of whatever holds it
    r"^(?:i am )?(?:so |very )?sorry[,.;]? (?:but|i|we|it|that|this|there)\b|^(?:as|i am) an ai\b|\bnot enough information\b"
    r"|\b(?:i|we) (?:\w+ )?(?:do not know\b|am not (?:sure|certain|able)\b|am unable to\b|have no (?:idea|clue|way)\b"
    r"|(?:cannot|could not) (?:\w+ )?(?:say|tell|determine|identify|answer|help|assist|read|know|be sure)\b"
    r"|cannot (?:see|make out)(?: it| that| clearly)?$)"
    r"|\bcannot be (?:determined|answered|identified|read|seen|said|told|known)\b"
    r"|\btoo (?:blurry|blurred|dark|small|far away) to \w+|\bis (?:illegible|unreadable|not legible|not readable)$"
    r"|^(?:the|this) (?:image|picture|photo) does not (?:show|say|tell|reveal|provide)\b"
)
_HEDGE = re.compile(r"^(.{0,80}?)[,;.]* (?:but|however),? ")
_IN_PICTURE = r"(?:in|on|from) (?:this|the) (?:image|picture|photo(?:graph)?|scene)\b"
_LEAD = re.compile(
    r"^(?:(?:the )?answer(?: is)?:? |(?:based on|according to|judging by|looking at) [^,]{1,60}, "
    rf"|{_IN_PICTURE},? |(?:i|we|you|one) (?:can |could )?(?:clearly )?see |(?:i|we) (?:think|believe|guess)(?: that)? "
    r"|because )+"
)
_ASIDE = re.compile(rf"[ ,]+(?:(?:shown |seen |visible )?{_IN_PICTURE}|(?:shown|visible)$)")
_ONE = re.compile(r"^the ((?:\w+ )?\w+) ones?$")
_CONTRACTED = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"\b(?:can't|can not|cant)\b", "cannot"),
        (r"\bwon'?t\b", "will not"),
        (r"\b(\w+)n't\b", r"\1 not"),
        (r"\b(is|are|was|were|do|does|did|has|have|had|could|would|should)nt\b", r"\1 not"),
        (r"\b(it|that|he|she|there|what|who|where)'s\b", r"\1 is"),
        (r"\b(\w+)'re\b", r"\1 are"),
        (r"\b(\w+)'ve\b", r"\1 have"),
        (r"\b(\w+)'ll\b", r"\1 will"),
        (r"\bi'm\b", "i am"),
        (r"\b(\w)-(?!\S)", r"\1 minus"),  # a grade, a blood group
    )
)


def word_set(words: str) -> frozenset[str]:
    """The words of a line.

    Example:
        >>> sorted(word_set("not no"))
        ['no', 'not']
    """
    return frozenset(words.split())


FILLER = word_set(
    "a an the it its he she they there this that these those his her their is are was were be been do does did has have "
    "had can could will would of in on at to by with here total exactly only just some any"
)
AUXILIARY = word_set("is are was were do does did has have had can could will would should may might must am")
PRONOUN = word_set("it he she they there this that these those you i we")
NEGATION = word_set("not no never cannot neither nor none without nobody nothing hardly")
_SEEMS = word_set("seems seem appears appear looks look")
_PREPOSITION = word_set("in on at of under over by with near behind beside above below inside from to for")
_ARTICLE = word_set("a an the")
_PLURALS = (
    "men:man women:woman children:child people:person feet:foot teeth:tooth mice:mouse geese:goose oxen:ox knives:knife "
    "leaves:leaf wolves:wolf shelves:shelf loaves:loaf halves:half wives:wife lives:life thieves:thief calves:calf "
    "scarves:scarf hooves:hoof elves:elf buses:bus gases:gas lenses:lens shoes:shoe toes:toe canoes:canoe axes:axe "
    "dice:die cacti:cactus policemen:policeman firemen:fireman fishermen:fisherman snowmen:snowman"
)
_IRREGULAR = dict(pair.split(":") for pair in _PLURALS.split())
_NOT_PLURAL = word_set(  # without its s it would be another word
    "glasses eyeglasses sunglasses pants jeans shorts scissors clothes news lens arms woods goods goggles binoculars "
    "tights always plus minus christmas"
)
_ORDINALS = "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th first second third fourth fifth sixth seventh eighth ninth tenth"
_ORDINAL = dict(zip(_ORDINALS.split()[10:], _ORDINALS.split()[:10], strict=True))
_OPEN_WORD = re.compile(
    r"(?:,|\b(?:and|or|so|tell|say|know|describe|explain|identify|name|see))\s+(?:me\s+)?"
    r"(?:what|which|why|how|where|when|who)\b"
)
_ORDERED = re.compile(
    r"\b(?:order|left|right|top|first|second|last|after|before|respectively|sequence|and)\b|\brank|\bsort"
)
_SEVERAL = re.compile(
    r"\b(?:what|which|name)(?: all)?(?: the)?(?: two| three| four)? \w+[^su'\W]s\b|\bname all\b|\blist all\b"
)
_QUOTES = re.compile(r"\b(?:says?|said|written|reads?|text|words?|spells?|title|inscription|caption)\b")
LIST_MARK = re.compile(r"\s*(?:[,;&]|(?<=\s)\+(?=\s)|(?<!\d)/(?!\d)|\band\b|\bas well as\b|\bplus\b)[\s,]*")


@dataclass(frozen=True)
class Asked:
    """What a question asks for."""

    plain: str  # case folded, contractions written out
    words: tuple[str, ...]  # canonical
    stems: frozenset[str]
    kind: str | None  # the stem of what stands behind "what" or "which"
    choice: bool  # offers this or that
    yes_no: bool
    quotes: bool  # asks for the words in the picture
    ordered: bool  # a list as answer has its order from the question
    several: bool  # asks for all of some things
    options: tuple[tuple[str, str], ...]  # (letter, text)

    def is_new(self, words: Sequence[str]) -> bool:
        """Whether the words say more than the question and fillers."""
        return any(word not in FILLER and stem(word) not in self.stems for word in words)


@lru_cache(maxsize=4096)
def what_is_asked(question: str) -> Asked:
    """Read a question.

    Example:
        >>> asked = what_is_asked("Is it a cat or a dog?")
        >>> asked.choice, asked.yes_no, what_is_asked("Which is right? (A) red (B) blue").options
        (True, True, (('a', 'red'), ('b', 'blue')))
    """
    plain = written_out(plainly(question)).replace(" or not", "")
    words = tuple(canonical(plain).split())
    begins = next((word for word in words if word not in ("so", "in", "picture", "image", "photo", "this")), "")
    options = re.findall(r"(?<![a-z0-9])\(?([a-h])[.):]\s*(.+?)(?=[\s,;]+\(?[a-h][.):]\s|[?.;\s]*$)", plain)
    has_kind = len(words) > 1 and words[0] in ("what", "which") and words[1] not in FILLER
    return Asked(
        plain=plain,
        words=words,
        stems=frozenset(map(stem, words)),
        kind=stem(words[1]) if has_kind else None,
        choice="or" in words,
        yes_no=begins in AUXILIARY and not _OPEN_WORD.search(plain),
        quotes=_QUOTES.search(plain) is not None,
        ordered=_ORDERED.search(plain) is not None,
        several=_SEVERAL.search(plain) is not None,
        options=tuple(options) if len(options) > 1 else (),
    )


def refuses(text: str) -> bool:
    """Tell whether an answer only says that there is none; in English.

    Source: ours.

    Example:
        >>> refuses("I can't tell."), refuses("I'm not sure, but it looks like honey"), refuses("nothing")
        (True, False, False)
    """
    plain = written_out(plainly(text)).strip(" .!?\"'")
    hedge = _HEDGE.match(plain)
    return _is_refusal(plain[hedge.end() :] if hedge else plain)


def _is_refusal(plain: str) -> bool:
    return _MUTE.fullmatch(plain) is not None or _REFUSES.search(plain) is not None


def plainly(text: str) -> str:
    """Case folded, without accents, with straight apostrophes and single blanks.

    Example:
        >>> plainly("  It's  " + chr(233) + "clair")
        "it's eclair"
    """
    text = unicodedata.normalize("NFKD", text.replace("\u2019", "'").replace("\u2018", "'"))
    return " ".join("".join(c for c in text if not unicodedata.combining(c)).casefold().split())


def written_out(plain: str) -> str:
    """Write contractions out.

    Example:
        >>> written_out("it isn't there and can't be")
        'it is not there and cannot be'
    """
    for pattern, meaning in _CONTRACTED:
        plain = pattern.sub(meaning, plain)
    return plain


def tidy(text: str) -> str:
    """Take off what is said around an answer whatever the question.

    Example:
        >>> tidy("I'm not sure, but I can see a dog in the picture.")
        'a dog'
    """
    plain = written_out(plainly(text)).rstrip(" .!")
    hedge = _HEDGE.match(plain)
    if hedge and _is_refusal(hedge[1]):
        plain = plain[hedge.end() :]
    return _ONE.sub(r"\1", _ASIDE.sub("", _LEAD.sub("", plain))) or plain


def forms(asked: Asked, text: str, aliases: Mapping[str, str]) -> frozenset[str]:
    """The forms of a tidy answer; two answers with a form in common are the same.

    Example:
        >>> asked = what_is_asked("What animals does he hold?")
        >>> sorted(forms(asked, "he holds cats & a dog", {}))
        ['cat + dog', 'he holds cats dog']
    """
    kept = without_echo(asked, text)
    if asked.quotes:
        said = re.findall('["\u201c]([^"\u201c\u201d]+)["\u201d]', text)
        return frozenset(canonical(part) for part in (said[0] if len(said) == 1 else kept, text))
    parts = parts_of(kept, aliases)
    if not asked.ordered and "or" not in text.split():
        parts.sort()
    return frozenset({renamed(text, aliases), " + ".join(parts) or text})


def parts_of(text: str, aliases: Mapping[str, str]) -> list[str]:
    """The elements of a list, each in the singular, with numbers as digits and aliases replaced.

    Example:
        >>> parts_of("snow boards, two sofas and the third bus", {"sofa": "couch"})
        ['snowboard', '2 couch', '3rd bus']
    """
    parts = []
    for part in LIST_MARK.split(text):
        said = renamed(part, aliases).split()
        words = [singular(word) for word in said]
        if words != said:  # an alias may be in the singular; what was put in is not replaced again
            words = renamed(" ".join(words), aliases).split()
        words = ordinals(numbered(words))
        solid = all(len(word) > 1 and word.isalpha() for word in words)  # nothing but a blank may be too many
        parts.append(("" if solid else " ").join(map(singular, words)))
    return [part for part in parts if part]


def renamed(text: str, aliases: Mapping[str, str]) -> str:
    """The canonical form with aliases, whose phrases are canonical already; fast where there are many.

    Example:
        >>> renamed("The Mobile Phone!", ALIASES)
        'phone'
    """
    plain = canonical(text)
    padded = f" {plain} "
    found = {phrase: meaning for phrase, meaning in aliases.items() if f" {phrase} " in padded}
    return canonical(text, found) if found else plain


def ordinals(words: Sequence[str]) -> list[str]:
    """Write ordinal words as 1st, 2nd, ...

    Example:
        >>> ordinals(["third", "floor"])
        ['3rd', 'floor']
    """
    return [_ORDINAL.get(word, word) for word in words]


def without_echo(asked: Asked, text: str) -> str:
    """Take off the words of the question that an answer repeats around what is new.

    From the beginning goes what ends in a verb ("the man is holding"), from the end what begins with a preposition or
    verb ("on the table"). Nothing goes where nothing new would be left.

    Example:
        >>> without_echo(what_is_asked("What is the man holding in his hand?"), "the man holds a hat in his hand")
        'hat'
    """
    words = text.split()
    bare = [word.strip(",.:;\"'()") for word in words]
    known = frozenset[str]() if asked.choice else asked.stems - NEGATION - {"and", "or"}
    said = frozenset() if asked.choice else frozenset(asked.words) - {"and", "or"}
    fillers = FILLER | _SEEMS | {"like", "shown", "seen"}
    repeats = [w in fillers or w in said or (w not in NEGATION and stem(w) in known) for w in bare]
    verbs = [w in AUXILIARY | _SEEMS or (w not in said and stem(w) in known) for w in bare]
    start = next((place for place, again in enumerate(repeats) if not again), len(words))
    while start and not _closes_lead(asked, bare[:start], verbs[:start]):
        start -= 1
    end = len(words)
    while end > start + 1 and repeats[end - 1]:
        end -= 1
    while end < len(words) and not (bare[end] in _PREPOSITION or verbs[end]):
        end += 1
    if end - start > 1 and stem(bare[end - 1]) == asked.kind:
        end -= 1  # "the home team" where the question is which team
    return " ".join(words[start:end]) if asked.is_new(bare[start:end]) else text


def _closes_lead(asked: Asked, lead: Sequence[str], verbs: Sequence[bool]) -> bool:
    """Whether these first words hold a verb, and end in no preposition but one that the question ends in."""
    last = next((word for word in reversed(lead) if word not in _ARTICLE), "")
    return any(verbs) and (last not in _PREPOSITION or last == asked.words[-1])


def stem(word: str) -> str:
    """A crude stem, only to see whether an answer repeats the question's words.

    Example:
        >>> stem("carries") == stem("carrying") == stem("carry"), stem("running"), stem("people")
        (True, 'run', 'person')
    """
    word = _IRREGULAR.get(word, word)
    for ending, instead in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word[: -len(ending)] + instead
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word


def singular(word: str) -> str:
    """The singular of a noun, by rule; words that it does not fit are changed alike on both sides.

    Example:
        >>> [singular(word) for word in ("buses", "cherries", "glasses", "women", "boxes", "grass")]
        ['bus', 'cherry', 'glasses', 'woman', 'box', 'grass']
    """
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if (
        len(word) < 4
        or not word.isalpha()
        or word in _NOT_PLURAL
        or not word.endswith("s")
        or word.endswith(("ss", "us", "is"))
    ):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes", "zes", "oes")) else word[:-1]
