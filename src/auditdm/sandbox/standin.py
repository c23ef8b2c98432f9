"""A stand-in for a trained auditor, fast enough for hundreds of audits: it samples the sandbox's language.

It poses what an auditor poses (questions on pictures of a pool, on pictures that it drew, now and then an ill-posed one),
knows of a probe what an auditor knows (the words, the references' answers, a description), and never sees a planted gap.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Protocol

import numpy as np

from auditdm.method.attributes import Names, Views, attributes, names_in
from auditdm.method.predicate import Predicate
from auditdm.runs.searching import Posed
from auditdm.sandbox.changes import caption
from auditdm.sandbox.gap_language import random_valid
from auditdm.sandbox.language import (
    ALL_SKILLS,
    CANNOT_SAY,
    NONE,
    Truth,
    answer,
    garbled,
    random_question,
    unclear_question,
)
from auditdm.sandbox.world import CELLS, Scene, random_thing, scene_of
from auditdm.types import content_id, seed_for

ILL_POSED = 0.06  # of its proposals
DRAWN = 0.3  # of its pictures
_LOOKED_AT, _ELSEWHERE = 60, 6  # pictures of which so many are shown with a question that the target alone refuses
_TRIES = 60  # per probe that is wanted of a rare kind


class Respondent(Protocol):
    """A wrapped oracle (auditdm.sandbox.organisms)."""

    def reply(self, scene: Scene, question: str, truth: Truth, changed: bool = False, wording: int = 0) -> str:
        """What it says."""
        ...


@dataclass(frozen=True)
class Item:
    """One proposal with what the oracle knows of it."""

    scene: Scene
    question: str
    truth: Truth
    changed: bool  # drawn by the auditor
    views: Views  # its attributes under the true answer; none where there is no answer
    picture: str

    @property
    def id(self) -> str:
        """Of picture and question."""
        return content_id(self.picture, self.question)


class Author(Protocol):
    """Who writes the proposals of a bank."""

    def propose(self, rng: random.Random, count: int) -> list[Item]:
        """About `count` proposals on pictures of its pool or on pictures that it draws."""
        ...

    def ask_like(self, rng: random.Random, scene: Scene, model: Item) -> str | None:
        """A question on another scene, of the same kind as an earlier proposal."""
        ...


class Language:
    """The stand-in: samples the sandbox's language, every skill as often. Cost: about 0.3 ms a proposal."""

    def propose(self, rng: random.Random, count: int) -> list[Item]:
        """As `Author` says."""
        found: list[Item] = []
        while len(found) < count:
            (scene, question, _), changed = random_valid(rng), rng.random() < DRAWN
            if rng.random() < ILL_POSED:
                other = random_question(rng, scene, rng.choice(ALL_SKILLS)) or question
                unclear = unclear_question(rng, scene) if rng.random() < 0.5 else None
                question = unclear or garbled(rng, question, other)
            found.append(item_of(scene, question, changed))
        return found

    def ask_like(self, rng: random.Random, scene: Scene, model: Item) -> str | None:
        """As `Author` says."""
        if model.truth.skill is None or rng.random() < 0.5:
            return model.question
        return random_question(rng, scene, model.truth.skill)


class Bank:
    """Proposals made once and shared by the audits of one seed, since no target takes part in making them."""

    def __init__(self, seed: int, size: int, author: Author) -> None:
        self.seed, self.author = seed, author
        self.items: list[Item] = []
        self._known: set[str] = set()  # ids: a picture that differs by a pixel only is the same picture
        self._item: list[int] = []  # whose each view is
        self._rows: dict[str, list[int]] = {}  # the views with a phrase
        self._arrays: dict[str, tuple[int, np.ndarray]] = {}
        for item in author.propose(random.Random(seed_for(seed, "bank")), size):
            self.add(item)
        self.size = len(self.items)
        self.forget()

    def forget(self) -> None:
        """Drop what was made for one audit, so that the next finds the bank as it was."""
        for number in range(len(self.items) - 1, self.size - 1, -1):
            self._known.discard(self.items[number].id)
            for view in self.items[number].views:
                self._item.pop()
                for phrase in view:
                    self._rows[phrase].pop()
        del self.items[self.size :]
        self._arrays.clear()
        self.rng = random.Random(seed_for(self.seed, "more"))

    def add(self, item: Item) -> int:
        """Keep a proposal; its number."""
        number = len(self.items)
        self.items.append(item)
        self._known.add(item.id)
        for view in item.views:
            for phrase in view:
                self._rows.setdefault(phrase, []).append(len(self._item))
            self._item.append(number)
        return number

    def where(self, predicate: Predicate) -> np.ndarray:
        """Numbers of the proposals of which a predicate holds under the true answer, in order."""
        mask = np.ones(len(self._item), bool)
        for literal in predicate.literals:
            held = np.zeros(len(self._item), bool)
            for phrase in literal.any_of:
                held[self._numbers(phrase)] = True
            mask &= held != literal.negated
        return np.unique(np.asarray(self._item, np.int64)[mask])

    def _numbers(self, phrase: str) -> np.ndarray:
        rows = self._rows.get(phrase, [])
        known = self._arrays.get(phrase)
        if known is None or known[0] != len(rows):
            known = (len(rows), np.asarray(rows, np.int64))
            self._arrays[phrase] = known
        return known[1]

    def more(self, predicate: Predicate, count: int) -> list[int]:
        """Make proposals of a kind that is rare: pictures drawn with some things of those that are like it already."""
        like = self.where(predicate)
        found: list[int] = []
        for _ in range(_TRIES * count if len(like) else 0):
            if len(found) == count:
                break
            model = self.items[int(self.rng.choice(like))]
            changed = model.changed or self.rng.random() < DRAWN
            scene = self._redrawn(model.scene)
            question = self.author.ask_like(self.rng, scene, model) if scene is not None else None
            if scene is None or question is None:
                continue
            item = item_of(scene, question, changed)
            if item.views and item.id not in self._known and predicate.holds(item.views):
                found.append(self.add(item))
        return found

    def _redrawn(self, scene: Scene) -> Scene | None:
        kept = [t for t in scene.things if self.rng.random() < 0.7]
        free = [c for c in CELLS if c not in {t.cell for t in kept}]
        new = [random_thing(self.rng, c) for c in self.rng.sample(free, self.rng.randint(0, max(0, 6 - len(kept))))]
        if self.rng.random() < 0.5 and len(kept) + len(new) > len(scene.things):
            new = new[: max(0, len(scene.things) - len(kept))]
        nudged = [replace(t, nudge=(self.rng.randint(-1, 1), self.rng.randint(-1, 1))) for t in [*kept, *new]]
        return scene_of(nudged)


@cache
def known_names() -> Names:
    """What words stand for, as an audit learns it from questions that were asked and descriptions of their pictures."""
    asked = [random_valid(random.Random(n)) for n in range(3000)]
    told = [(question, caption(scene), truth.answer) for scene, question, truth in asked]
    return names_in([t for _, t, _ in told], [(q, t) for q, t, answered in told if answered != NONE])


def item_of(scene: Scene, question: str, changed: bool) -> Item:
    """One proposal, described."""
    truth = answer(scene, question)
    told = caption(scene)
    known = (
        () if truth.answer is None else attributes(question, truth.answer, told, names=known_names(), changed=changed)
    )
    return Item(scene, question, truth, changed, known, content_id(told))


class StandIn:
    """The stand-in auditor with a target and its references: satisfies `auditdm.runs.searching.Prober`.

    Args:
        bank: Proposals for discovery.
        fresh: Proposals on other pictures, for confirmation.
        target: Who is audited.
        references: Who is believed where they agree.
        same: Whether two answers to a question mean the same; None: cannot tell.
    """

    def __init__(
        self,
        bank: Bank,
        fresh: Bank,
        target: Respondent,
        references: Sequence[Respondent],
        same: Callable[[str, str, str], bool | None],
    ) -> None:
        self.bank, self.fresh = bank, fresh
        self.target, self.references = target, tuple(references)
        self._same = lru_cache(maxsize=200_000)(same)
        self._taken: set[int] = set()  # of the bank: asked, or told to be a disagreement of the references
        self._next = 0
        self._rng = random.Random(seed_for(bank.seed, "beside"))
        self.reference_calls = 0
        bank.forget()
        fresh.forget()
        self.rewarded: list[_Asked] = []  # what a trained auditor would have been paid for

    def pose(self, count: int) -> list[Posed]:
        """The bank's proposals in order; those that a reference calls unanswerable are the auditor's fault."""
        found: list[Posed] = []
        while len(found) < count and self._next < self.bank.size:
            number, self._next = self._next, self._next + 1
            if number not in self._taken and (posed := self._judged(self.bank.items[number], number)) is not None:
                found.append(posed)
        return found

    def pose_for(self, predicate: Predicate, count: int, *, fresh: bool = False) -> list[Posed]:
        """From the bank, and made for it where the bank has too few; a fresh one serves every name that holds of it."""
        bank = self.fresh if fresh else self.bank
        found: list[Posed] = []
        agreed = 0
        for numbers in (bank.where(predicate), None):
            if agreed >= count:
                break
            for number in bank.more(predicate, count - agreed) if numbers is None else map(int, numbers):
                if agreed >= count:
                    break
                if not fresh and number in self._taken:
                    continue
                posed = self._judged(bank.items[number], None if fresh else number)
                if posed is None or (posed.views is not None and not predicate.holds(posed.views)):
                    continue
                agreed += posed.views is not None
                if posed.views is None and not fresh:
                    self._taken.add(number)
                found.append(posed)
        return found

    def pose_beside(self, posed: Sequence[Posed]) -> list[Posed]:
        """Another question of any skill on the same scenes."""
        found = []
        for p in posed:
            item: _Asked = p.probe
            for _ in range(8):
                question = random_question(self._rng, item.scene, self._rng.choice(ALL_SKILLS))
                if question is not None and question != item.question:
                    other = self._judged(item_of(item.scene, question, item.changed))
                    if other is not None and other.views is not None:
                        found.append(other)
                        break
        return found

    def ask(self, posed: Sequence[Posed], *, again: bool = False) -> list[bool | None]:
        """Compare the target with the references' consensus; a failure that they do not stand by is not measured."""
        found: list[bool | None] = []
        for p in posed:
            item, consensus = p.probe, p.probe.consensus
            said = self.target.reply(item.scene, item.question, item.truth, item.changed, int(again))
            same = said == consensus or self._same(item.question, said, consensus)
            if same is False and not again:
                kept = [r.reply(item.scene, item.question, item.truth, item.changed, 1) for r in self.references]
                self.reference_calls += len(kept)
                changed = any(k != consensus and not self._same(item.question, k, consensus) for k in kept)
                if changed or (said == CANNOT_SAY and self._is_blind(item)):
                    same = None
                else:
                    self.rewarded.append(item)
            found.append(None if same is None else not same)
            if item.number is not None:
                self._taken.add(item.number)
        return found

    def _is_blind(self, item: _Asked) -> bool:
        """Whether the references answer what the target refuses in the same way on other pictures that show what it names."""
        words = set(item.question.split())
        looked_at = self._rng.sample(self.fresh.items, min(_LOOKED_AT, len(self.fresh.items)))
        for other in sorted(looked_at, key=lambda i: -len(words & set(caption(i.scene).split())))[:_ELSEWHERE]:
            truth = answer(other.scene, item.question)
            said = {r.reply(other.scene, item.question, truth) for r in self.references} - {CANNOT_SAY}
            self.reference_calls += len(self.references)
            if any(s != item.consensus and not self._same(item.question, s, item.consensus) for s in said):
                return False
        return True

    def _judged(self, item: Item, number: int | None = None) -> Posed | None:
        """None where a reference says that it cannot be answered."""
        said = [r.reply(item.scene, item.question, item.truth, item.changed) for r in self.references]
        self.reference_calls += len(said)
        if CANNOT_SAY in said:
            return None
        agreed = all(s == said[0] or self._same(item.question, s, said[0]) for s in said[1:])
        known = item.views
        if agreed and (item.truth.answer is None or said[0] != item.truth.answer):
            told = caption(item.scene)
            if item.truth.answer is None or not self._same(item.question, said[0], item.truth.answer):
                known = attributes(item.question, said[0], told, names=known_names(), changed=item.changed)
        asked = _Asked(item.scene, item.question, item.truth, item.changed, said[0], number)
        return Posed(id=item.id, picture=item.picture, views=known if agreed else None, probe=asked)


@dataclass(frozen=True)
class _Asked:
    scene: Scene
    question: str
    truth: Truth
    changed: bool
    consensus: str
    number: int | None  # in the bank; None for what was made beside it, and for a fresh one
