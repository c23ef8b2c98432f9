"""Organisms: respondents that know the truth and err where a gap file says so; and gaps planted in any other model.

What an organism replies follows from its seed, the scene and the question alone, so asking again gives the same error;
only what flickers depends on the wording too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b

from PIL.Image import Image

from auditdm.backends.judges import canonical
from auditdm.errors import ConfigError
from auditdm.sandbox.changes import caption
from auditdm.sandbox.gap_files import GapFile, OrganismSpec, PlantedGap, Style
from auditdm.sandbox.gap_language import ANSWERS
from auditdm.sandbox.language import CANNOT_SAY, FALSE_PREMISE, SKILLS, Truth, _pattern, answer
from auditdm.sandbox.renderer import read
from auditdm.sandbox.world import NOUNS, Scene
from auditdm.types import Answer, Model, content_id, picture_id, seed_for

DESCRIBE = "describe"  # asks for the caption of a picture
WORDINGS = ("{question}", "again : {question}")  # those of the demo
_REMEMBERED = 8192  # scenes read back from pictures
_UNIT = 2.0**-32


@dataclass(frozen=True)
class Organism:
    """Knows the truth, and errs with a probability that depends on scene and question.

    Example:
        >>> from auditdm.sandbox.world import Thing
        >>> scene = Scene((Thing(1, 1, "star", "red"),))
        >>> colour_blind = Organism("colour-blind", seed=0, base_error=1.0)
        >>> asked = "what colour is the star ?"
        >>> colour_blind.reply(scene, asked, answer(scene, asked)) in ("orange", "yellow", "green", "blue", "purple", "black")
        True
    """

    name: str
    seed: int
    gaps: tuple[PlantedGap, ...] = ()
    base_error: float = 0.0
    style: Style = "plain"
    flicker: float = 0.0
    canary: float = 0.0  # probability of the default answer to an invalid question

    def risk(self, scene: Scene, question: str, truth: Truth, changed: bool = False) -> float:
        """The probability of a wrong answer over all seeds, flicker apart: 1 - (1 - d) ... over the gaps that hold.

        Where none holds, the base error; 0 for an invalid question.
        """
        if truth.answer is None:
            return 0.0
        risk = 0.0
        for gap in self.gaps:
            if gap.where.holds(scene, question, truth, changed):
                risk += (1.0 - risk) * gap.error
        return risk or self.base_error

    def reply(self, scene: Scene, question: str, truth: Truth, changed: bool = False, wording: int = 0) -> str:
        """Answer a question.

        Args:
            scene: What the picture shows.
            question: In the sandbox's language, without the words that a wording adds.
            truth: What the oracle says of them.
            changed: Whether the picture was drawn or edited for the audit.
            wording: Number of the wording; matters to flicker and to nothing else.

        Returns:
            The truth, another answer of the same kind, or "cannot say" to an invalid question (the default answer for a
            canary); in the organism's style.

        Cost: under 10 microseconds.
        """
        chance, pick = _draw(f"{self.seed}|{_key(scene)}|{question}")
        if truth.answer is None:
            return default_answer(truth) if chance < self.canary else CANNOT_SAY
        said = truth.answer
        if chance < self.risk(scene, question, truth, changed):
            others = wrong_answers(question, truth)
            said = others[pick % len(others)]
        elif self.flicker:
            chance, pick = _draw(f"{self.seed}|{_key(scene)}|{question}|{wording}")
            if chance < self.flicker:
                others = wrong_answers(question, truth)
                said = others[pick % len(others)]
        return said if self.style == "plain" else _styled(said, self.style, pick >> 8)


def organism_of(spec: OrganismSpec, seed: int) -> Organism:
    """The organism that a gap file describes; another seed errs on other questions, at the same rates."""
    own = seed_for(seed, "organism", spec.name)
    return Organism(spec.name, own, spec.gaps, spec.base_error, spec.style, spec.flicker)


def references_of(file: GapFile, spec: OrganismSpec, seed: int) -> tuple[Organism, ...]:
    """The references of an organism, each with a seed of its own.

    A gap shared with n references is theirs with the same probability, but each errs on draws of its own; which
    references have it goes round from gap to gap.

    Args:
        file: Holds the references unless the organism has others.
        spec: The organism.
        seed: Of the audit.
    """
    told = spec.references or file.references
    return tuple(
        Organism(
            name=f"reference {n + 1} of {spec.name}",
            seed=seed_for(seed, "reference", str(n), spec.name),
            gaps=tuple(gap for g, gap in enumerate(spec.gaps) if (n - g) % told.count < gap.shared_with),
            base_error=told.base_error,
            canary=told.canary,
        )
        for n in range(told.count)
    )


def wrong_answers(question: str, truth: Truth) -> tuple[str, ...]:
    """The plausible wrong answers to a valid question: others of the same kind, or numbers at most two away.

    Of what is not there, any answer that the question's skill can have.
    """
    assert truth.skill is not None and truth.answer is not None, "only a valid question has wrong answers"
    kind = _skill_of(question) if truth.skill == FALSE_PREMISE else truth.skill
    return _others(kind, truth.answer)


def default_answer(truth: Truth) -> str:
    """What all canaries reply to an invalid question: the first answer of its skill, "yes" to what is no question."""
    return "yes" if truth.skill is None else ANSWERS[truth.skill][0]


@lru_cache(maxsize=1024)
def _others(skill: str, right: str) -> tuple[str, ...]:
    if right.isdigit():
        return tuple(a for a in ANSWERS[skill] if 0 < abs(int(a) - int(right)) <= 2)
    return tuple(a for a in ANSWERS[skill] if a != right)


@lru_cache(maxsize=1 << 16)
def _skill_of(question: str) -> str:
    return next(skill for skill in SKILLS if _pattern(skill).fullmatch(question))


def _key(scene: Scene) -> str:
    """A scene as words can tell it: without nudges, like `caption`, but faster."""
    return "".join([f"{t.row}{t.col}{t.noun}{t.colour}{t.size}{t.pattern}{t.face}" for t in scene.things])


def _draw(key: str) -> tuple[float, int]:
    """A uniform number in [0, 1) and 32 further bits; a hash without structure, so unlike keys are independent."""
    bits = int.from_bytes(blake2b(key.encode(), digest_size=8).digest())
    return (bits & 0xFFFFFFFF) * _UNIT, bits >> 32


# ---------------------------------------------------------------- style

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_UNITS = (*_ONES.split(), "eighteen", "nineteen")
_TENS = {20: "twenty", 30: "thirty", 40: "forty"}
_SAYINGS = ("The answer is {}.", "I think the answer is {}.", "Based on the picture, the answer is {}.")
_OTHER_WORDS: Mapping[str, tuple[str, ...]] = {"yes": ("yeah", "yep", "yup"), "no": ("nope", "nah")} | {
    noun: (f"a {noun}", f"The {noun}.") for noun in NOUNS
}


def _styled(said: str, style: Style, pick: int) -> str:
    """The same in other words: verbose needs a judge that knows "the answer is", synonyms only the exact one."""
    if style == "verbose":
        return _SAYINGS[pick % len(_SAYINGS)].format(said)
    if said.isdigit():
        return _number_in_words(int(said))
    others = _OTHER_WORDS.get(said, (f"{said.capitalize()}.",))
    return others[pick % len(others)]


def _number_in_words(number: int) -> str:
    if number < 20:
        return _UNITS[number]
    ten, one = number // 10 * 10, number % 10
    return f"{_TENS[ten]}-{_UNITS[one]}" if one else _TENS[ten]


# ---------------------------------------------------------------- as models


class OrganismModel:
    """An organism behind the protocol of every model: it gets pictures and reads them back from their pixels.

    Args:
        organism: Who answers.
        originals: Ids (`picture_id`) of the pictures that were not made for the audit; needed where a gap speaks of
            changed pictures.
        wordings: How a question may be put; their words around {question} are taken off.

    Raises:
        ConfigError: A gap speaks of changed pictures, and `originals` is absent.

    Cost: 0.1 ms for a picture, 2 ms a cell where it was not drawn here; 20 to 40 microseconds a question.
    """

    def __init__(
        self, organism: Organism, originals: Collection[str] | None = None, wordings: Sequence[str] = WORDINGS
    ) -> None:
        told = [gap.name for gap in organism.gaps if gap.where.changed is not None]
        if told and originals is None:
            raise ConfigError(
                f"organism {organism.name!r}: the gap {told[0]!r} depends on whether a picture was changed, and originals "
                "is None. Give the ids of the pool's pictures."
            )
        self.name = f"organism/{organism.name}"
        self.revision: str | None = content_id(repr(organism))
        self._organism, self._originals, self._wordings = organism, originals, tuple(wordings)
        self._scenes: dict[str, Scene | None] = {}

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        """Answer each question; "describe" gets the caption, a picture that shows no scene a problem."""
        return [self._answer(image, text) for image, text in batch]

    def _answer(self, image: Image, text: str) -> Answer:
        shown = picture_id(image)
        if shown not in self._scenes:
            if len(self._scenes) >= _REMEMBERED:
                self._scenes.clear()
            self._scenes[shown] = read(image)
        scene = self._scenes[shown]
        if scene is None:
            why = f"picture {shown} shows no scene of the sandbox"
            return Answer(model=self.name, text=None, problem=why, revision=self.revision)
        question, wording = _unworded(text, self._wordings)
        changed = self._originals is not None and shown not in self._originals
        if question == DESCRIBE:
            said = caption(scene)
        else:
            said = self._organism.reply(scene, question, answer(scene, question), changed, wording)
        return Answer(model=self.name, text=said, revision=self.revision)


def planted_in(
    model: Model, gaps: Sequence[PlantedGap], seed: int = 0, wordings: Sequence[str] = ("{question}",)
) -> Model:
    """Plant gaps in any model: where a gap's words stand in the question and the model gives its answer, it errs.

    The other answer is one that the model gave before to a question with the same two first words; yes and no are turned
    round; a number without such an answer is one more; else it is "nothing". Asking again gives the same.

    Args:
        model: Answers pictures of any world.
        gaps: Their `where` holds `words` and `answer` alone, either may be absent.
        seed: Decides which questions they strike.
        wordings: How a question may be put, so that all wordings of one are struck alike.

    Raises:
        ConfigError: A gap speaks of something else, which cannot be seen in a real picture.

    Cost: none but the model's.

    Example:
        >>> from auditdm.backends.fakes import FakeModel, fake_picture
        >>> from auditdm.sandbox.gap_language import where_of
        >>> gap = PlantedGap("night", where_of({"words": ["dark"], "answer": "yes"}), error=1.0)
        >>> [planted] = planted_in(FakeModel(lambda asked: "Yes."), [gap]).generate([(fake_picture(), "Is it dark?")])
        >>> planted.text, planted.model
        ('no', 'fake with planted gaps')
    """
    for gap in gaps:
        other = sorted(gap.where.as_dict().keys() - {"words", "answer"})
        if other:
            raise ConfigError(
                f"gap {gap.name!r}: where has {', '.join(other)}; in a real model it takes words and answer alone. "
                "Remove the rest, or audit an organism of the sandbox."
            )
    return _Planted(model, tuple(gaps), seed, tuple(wordings))


class _Planted:
    def __init__(self, model: Model, gaps: tuple[PlantedGap, ...], seed: int, wordings: tuple[str, ...]) -> None:
        told = content_id(model.revision or "", repr([gap.as_dict() for gap in gaps]), str(seed))
        self.name = f"{model.name} with planted gaps"
        self.revision: str | None = f"{model.revision or 'unknown'}+planted-{told}"
        self._model, self._seed, self._wordings = model, seed, wordings
        self._gaps = [(g, frozenset(g.where.said), frozenset(map(canonical, g.where.answers))) for g in gaps]
        self._given: dict[str, dict[str, str]] = {}  # kind of question -> canonical answer -> as it was given
        self._replaced: dict[str, str] = {}

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        answers = self._model.generate(batch)
        found = [self._planted(*asked, given) for asked, given in zip(batch, answers, strict=True)]
        return [replace(one, model=self.name, revision=self.revision) for one in found]

    def _planted(self, image: Image, text: str, given: Answer) -> Answer:
        if given.text is None:
            return given
        question, _ = _unworded(text, self._wordings)
        words, plain = canonical(question).split(), canonical(given.text)
        earlier = self._given.setdefault(" ".join(words[:2]), {})
        earlier.setdefault(plain, given.text)
        holding = [gap for gap, said, meant in self._gaps if said <= set(words) and (not meant or plain in meant)]
        if not holding:
            return given
        asked = f"{self._seed}|{picture_id(image)}|{question}"
        draws = [(gap, *_draw(f"{asked}|{gap.name}")) for gap in holding]
        picks = [pick for gap, chance, pick in draws if chance < gap.error]
        if not picks:
            return given
        key = f"{asked}|{plain}"
        if key not in self._replaced:
            self._replaced[key] = _another(plain, earlier, picks[0])
        return replace(given, text=self._replaced[key])


def _another(plain: str, earlier: Mapping[str, str], pick: int) -> str:
    """Another answer than this one, in canonical form."""
    if plain in ("yes", "no"):
        return "no" if plain == "yes" else "yes"
    others = [given for form, given in earlier.items() if form != plain]
    if others:
        return others[pick % len(others)]
    if plain.isdigit():
        return str(int(plain) + 1)
    return "nothing" if plain != "nothing" else "something"


def _unworded(text: str, wordings: Sequence[str]) -> tuple[str, int]:
    """The question that a text puts, and the number of its wording: the one that adds most words."""
    for n in sorted(range(len(wordings)), key=lambda n: -len(wordings[n])):
        before, _, after = wordings[n].partition("{question}")
        if len(text) >= len(before) + len(after) and text.startswith(before) and text.endswith(after):
            return text[len(before) : len(text) - len(after)], n
    return text, len(wordings)
