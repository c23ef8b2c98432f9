"""Search for failure modes under a budget of target calls: look around, name, look closer, confirm, look elsewhere.

Each cycle:
    1. Half of its probes are the auditor's own, unchosen (they give the usual rates and the unseen mass); half are those
       of its proposals that ask what was least asked so far.
    2. The failures that no tested mode explains are named: predicates that separate them from what passes.
    3. Each name is tried: probes inside it, and just outside each of its conditions, after which all is named anew.
    4. What stays is confirmed on fresh pictures (auditdm.method.confirmation); where the references disagree inside it,
       its ways of asking are put to the test one by one. Tested modes, confirmed or not, are not asked again: the budget
       goes elsewhere.

The references answer before the target is asked, so probes are chosen by what they agree on at no cost to the target.

Source: ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from auditdm.method.attributes import Views
from auditdm.method.confirmation import FDR, LEAST, LIFT, Entry, Evidence, ledger
from auditdm.method.coverage import Smallest, unseen_mass
from auditdm.method.naming import Named, names
from auditdm.method.predicate import Literal, Predicate
from auditdm.method.search_space import Array, Phrases, Table
from auditdm.stats import Rate

_DONE = ("confirmed", "consensus unreliable", "noise")  # not looked into again
_TOLD = 0.4  # of a name's failures that better names hold of: then it is no finding of its own
_PARTS = 4  # ways of asking that an unreliable mode is taken apart into
_LEAST_OF_PART = 5  # failures of each, at least
_SAME = 0.9  # overlap of two names, on what was measured, that makes them one
Tell = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Posed:
    """A probe that the references have answered and the target was not asked yet."""

    id: str
    picture: str  # id of its picture
    views: Views | None  # its attributes under the references' consensus; None where they disagree
    probe: Any = field(default=None, repr=False, compare=False)  # whatever the prober needs in order to ask it


class Prober(Protocol):
    """Who proposes probes and asks the target: an auditor with a pool of pictures, references and a judge."""

    def pose(self, count: int) -> list[Posed]:
        """At most `count` of the auditor's own proposals, as they come; fewer where the pictures are used up."""
        ...

    def pose_for(self, predicate: Predicate, count: int, *, fresh: bool = False) -> list[Posed]:
        """At most `count` probes of which a predicate holds; a fresh one may have been asked for another name.

        Each name is owed a fair sample of itself: what an overlapping name left would be none.

        With them come those posed on the way on which the references disagree though it holds under one of their answers.

        Args:
            predicate: The name of a mode, or of what lies beside it.
            count: Probes with a consensus.
            fresh: On pictures that are kept for confirmation alone.
        """
        ...

    def pose_beside(self, posed: Sequence[Posed]) -> list[Posed]:
        """One other proposal on the picture of each, where one is found."""
        ...

    def ask(self, posed: Sequence[Posed], *, again: bool = False) -> list[bool | None]:
        """Whether the target fails on each, in other words if `again`; None: not measured. Costs one target call each.

        Not measured is also what the target alone refuses to answer while the references give their answer on other
        pictures too: to a broken question all of them may give one default answer.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How the budget is spent."""

    budget: int = 20_000  # target calls, confirmation included
    chunk: int = 2500  # probes of a cycle that are not aimed at a mode
    spread: int = 3  # proposals of which one is taken where least was asked
    inside: int = 160  # probes inside a name before it is confirmed
    beside: int = 40  # probes just outside each of its conditions
    tries: int = 2  # rounds of looking closer in a cycle
    names: int = 8  # names tried in a cycle
    worth: float = 2.0  # log-likelihood beyond its price that makes a name worth confirming
    hunch: float = -15.0  # and worth a closer look
    confirm: int = 100  # fresh probes
    beside_confirm: int = 100  # other questions on the same pictures
    least: int = LEAST
    fdr: float = FDR
    lift: float = LIFT
    smallest: Smallest = field(default_factory=Smallest)
    focus: bool = True  # False: the baseline, which names and confirms what unchosen probes show and looks no closer


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The ids of the fresh probes that one name was tested on."""

    inside: tuple[str, ...]
    beside: tuple[str, ...]  # other questions on the same pictures
    again: tuple[str, ...]  # failures inside that were asked in other words


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found."""

    entries: tuple[Entry, ...]  # the ledger, in the order of testing
    trials: tuple[Trial, ...]  # what each was tested on
    calls: int  # of the target
    curve: tuple[tuple[int, int], ...]  # after each cycle: target calls, confirmed modes
    usual: Rate  # failures among the unchosen probes
    unseen: float | None  # mass of failures of kinds not seen yet, on the unchosen probes
    hits: int  # failures among all probes asked in discovery
    asked: int
    void: int
    stopped: str  # why, and what of the smallest mode would have been seen by then

    @property
    def confirmed(self) -> tuple[Entry, ...]:
        """The findings."""
        return tuple(e for e in self.entries if e.state == "confirmed")


def search(
    prober: Prober,
    effort: Effort,
    *,
    known: Sequence[tuple[Views, bool, bool]] = (),
    tell: Tell = lambda _event, _values: None,
) -> Found:
    """Find, name and confirm failure modes.

    Args:
        prober: Proposes and asks.
        effort: How much, and what counts.
        known: What was measured before, at no cost to the budget: attributes, whether the target failed, and whether the
            probe was chosen. Where some were not chosen, the usual rates are theirs alone.
        tell: Called with ("cycle", values) after each cycle.

    Returns:
        The ledger and what it took.

    Raises:
        ModelError: A whole batch could not be answered.

    Source: ours; the head of this module.

    Cost: at most `effort.budget` target calls; some seconds of arithmetic for 20,000.
    """
    seeker = _Seeker(prober, effort)
    for views, failed, chosen in known:
        seeker.learn(views, failed, chosen=chosen)
    seeker.sampled = any(not chosen for _, _, chosen in known)
    curve: list[tuple[int, int]] = []
    stopped = "the budget is spent"
    quiet = 0
    while seeker.left > effort.confirm:
        if not seeker.look_around():
            stopped = "the pictures are used up"
            break
        fresh = []
        for name in seeker.look_closer():
            if seeker.left < seeker.cost:
                break
            fresh += seeker.confirm_or_part(name)
        quiet = 0 if fresh else quiet + 1
        entries = seeker.entries()
        confirmed = sum(e.state == "confirmed" for e in entries)
        curve.append((seeker.calls, confirmed))
        tell("cycle", {"calls": seeker.calls, "of": effort.budget, "tested": len(entries), "confirmed": confirmed})
        if quiet >= 2 and seeker.unchosen.asked >= effort.smallest.enough:
            stopped = f"{quiet} cycles named nothing new"
            break
    seeker.settle()
    confirmed = sum(e.state == "confirmed" for e in seeker.entries())
    curve.append((seeker.calls, confirmed))
    return Found(
        entries=tuple(seeker.entries()), trials=tuple(seeker.trials), calls=seeker.calls, curve=tuple(curve), usual=seeker.unchosen,
        unseen=seeker.unseen(), hits=sum(seeker.failed), asked=len(seeker.failed), void=seeker.void,
        stopped=f"{stopped}; {effort.smallest.shown(seeker.unchosen.asked)}",
    )  # fmt: skip


class _Seeker:
    """What is known so far in one search."""

    def __init__(self, prober: Prober, effort: Effort) -> None:
        self.prober, self.effort = prober, effort
        self.phrases = Phrases()
        self.numbers: list[list[Array]] = []
        self.held: list[Views] = []
        self.failed: list[bool] = []
        self.chosen: list[bool] = []
        self.calls = self.void = 0
        self.sampled = False  # unchosen probes were measured before: what is posed now is of another kind
        self.posed = self.split = 0  # of the unchosen probes
        self.evidence: list[Evidence] = []
        self.trials: list[Trial] = []
        self.cells: Counter[tuple[str, ...]] = Counter()
        self._said: dict[
            tuple[str, bool], bool | None
        ] = {}  # whether the target failed on a probe; True: in other words
        self._held_by: dict[Predicate, Array] = {}
        self._entries: tuple[tuple[Evidence, ...], list[Entry]] | None = None

    @property
    def left(self) -> int:
        return self.effort.budget - self.calls

    @property
    def cost(self) -> int:
        """Target calls of one confirmation, at most."""
        return self.effort.confirm + self.effort.beside_confirm + self.effort.least // 2

    @property
    def unchosen(self) -> Rate:
        mine = [f for f, chosen in zip(self.failed, self.chosen, strict=True) if not chosen]
        return Rate(sum(mine), len(mine))

    def entries(self) -> list[Entry]:
        """The ledger so far; asked often, so it is kept until something is added."""
        known, e = tuple(self.evidence), self.effort
        if self._entries is None or self._entries[0] != known:
            self._entries = known, ledger(known, least=e.least, fdr=e.fdr, lift=e.lift)
        return self._entries[1]

    def unseen(self) -> float | None:
        return unseen_mass(_cell(h) for h, f, c in zip(self.held, self.failed, self.chosen, strict=True) if f and not c)

    def look_around(self) -> bool:
        """Half a chunk as it comes, half where least was asked; False where nothing could be posed."""
        half = max(1, min(self.effort.chunk, self.left) // 2)
        posed = self.prober.pose(half if self.effort.focus else 2 * half)
        self.posed += len(posed)
        self.split += sum(p.views is None for p in posed)
        self._ask([p for p in posed if p.views is not None], chosen=self.sampled)
        if self.effort.focus:
            self._ask(self._spread(self.prober.pose(half * self.effort.spread), half), chosen=True)
        return bool(posed)

    def look_closer(self) -> list[Predicate]:
        """Name what no tested mode explains, and look closer; returns the names worth confirming."""
        explained = np.zeros(len(self.failed), bool)
        for e in self.entries():
            if e.state in _DONE:
                explained |= self._where(e.predicate)
        tested = {e.predicate for e in self.evidence}
        return [name for name in self._closer(~explained) if name not in tested]

    def settle(self) -> None:
        """Name everything once more, from all that was measured: pieces of one mode that were found one by one become one.

        A new name is confirmed like any other; the names whose failures it explains are then no findings of their own.
        """
        if not self.effort.focus or not self.evidence:
            return
        final = self._closer(None)
        for name in final:
            here = self._where(name)
            if all(_overlap(here, self._where(e.predicate)) < _SAME for e in self.evidence) and self.left >= self.cost:
                self.confirm(name)
        final_masks = [self._where(name) for name in final]
        kept = [
            e
            for e in self.entries()
            if e.state == "confirmed" and any(_overlap(self._where(e.predicate), m) >= _SAME for m in final_masks)
        ]
        failed = np.asarray(self.failed)
        for n, one in enumerate(self.evidence):
            here = self._where(one.predicate) & failed
            shares = [int((here & self._where(e.predicate)).sum()) for e in kept]
            if not kept or any(one.predicate == e.predicate for e in kept) or sum(shares) < _TOLD * here.sum():
                continue
            self.evidence[n] = replace(one, explained_by=kept[int(np.argmax(shares))].predicate)

    def confirm(self, name: Predicate) -> None:
        """Ask fresh probes of a name, other questions on the same pictures, and the failures again."""
        posed = self.prober.pose_for(name, self.effort.confirm, fresh=True)
        inside = [p for p in posed if p.views is not None]
        said = self._answers(inside)
        failures = [p for p, failed in zip(inside, said, strict=True) if failed]
        others = [p for p in self.prober.pose_beside(inside) if p.views is not None and not self._explained(p, name)]
        others, failures = others[: self.effort.beside_confirm], failures[: self.effort.least // 2]
        base = self._answers(others)
        again = self._answers(failures, again=True)
        self.trials.append(Trial(inside=_ids(inside), beside=_ids(others), again=_ids(failures)))
        self.evidence.append(
            Evidence(
                predicate=name, inside=_rate(said), base=_rate(base), splits=Rate(len(posed) - len(inside), len(posed)),
                base_splits=Rate(self.split, self.posed), again=_rate(again), usual=self.unexplained(name),
            )
        )  # fmt: skip

    def confirm_or_part(self, name: Predicate) -> list[Predicate]:
        """Put a name to the test and, where the references disagree inside it, its ways of asking one by one.

        Two weaknesses that are named as one share one verdict, though the references may know the answers to one of them.

        Returns:
            What was tested.
        """
        self.confirm(name)
        tested = [name]
        if self.entries()[-1].state == "consensus unreliable":
            for part in self._parts(name):
                if self.left >= self.cost and all(part != e.predicate for e in self.evidence):
                    self.confirm(part)
                    tested.append(part)
        return tested

    def _parts(self, name: Predicate) -> list[Predicate]:
        """A name for each of its ways of asking that fail; none where it has one way of asking."""
        failing: Counter[str] = Counter()
        for n in np.flatnonzero(self._where(name) & np.asarray(self.failed)):
            failing.update(a for a in self.held[n][0] if a.startswith("asks "))
        often = [form for form, fails in failing.most_common(_PARTS) if fails >= _LEAST_OF_PART]
        if len(often) < 2:
            return []
        rest = [x for x in name.literals if x.negated or not all(a.startswith("asks ") for a in x.any_of)]
        return [Predicate.of(*rest, Literal((form,))) for form in often]

    def _closer(self, open_N: Array | None) -> list[Predicate]:
        """Ask inside and just outside each name, then name anew, `effort.tries` times; once where all is open."""
        effort = self.effort
        named = self._names(open_N, thorough=open_N is None)
        if not effort.focus:
            return [n.predicate for n in named if n.worth >= effort.worth and n.inside >= effort.least // 4]
        for _ in range(effort.tries if open_N is not None else 1):
            wanted = [p for n in named for p in self._around(n)]
            kept = self.cost if any(n.worth >= effort.worth for n in named) else 0  # so that it ends in a finding
            if not wanted or len(wanted) > self.left - kept:
                break
            self._ask(list({p.id: p for p in wanted}.values()), chosen=True)
            named = self._names(open_N, thorough=open_N is None)
        return [
            n.predicate
            for n in named
            if n.worth >= effort.worth
            and n.inside >= effort.inside // 2
            and n.fails / n.inside >= (self.unexplained(n.predicate).value or 0.0) + effort.lift
        ]

    def unexplained(self, name: Predicate) -> Rate:
        """Failures among the unchosen probes that neither this name nor a confirmed one explains."""
        outside = ~self._where(name) & ~np.asarray(self.chosen)
        for e in self.entries():
            if e.state == "confirmed":
                outside &= ~self._where(e.predicate)
        return Rate(int(np.asarray(self.failed)[outside].sum()), int(outside.sum()))

    def _names(self, open_N: Array | None, *, thorough: bool = False) -> list[Named]:
        """Names for failures among some of the probes; all probes asked since are among them."""
        left = np.ones(len(self.failed), bool)
        if open_N is not None:
            left[: len(open_N)] = open_N
            for e in self.entries():
                if e.state in _DONE:
                    left[len(open_N) :] &= ~self._where(e.predicate)[len(open_N) :]
        table = Table(self.phrases, self.numbers, self.failed)
        return names(table, left, most=self.effort.names, hunch=self.effort.hunch, thorough=thorough)

    def _explained(self, posed: Posed, name: Predicate) -> bool:
        known = [name, *(e.predicate for e in self.entries() if e.state == "confirmed")]
        return any(one.holds(posed.views or ()) for one in known)

    def _where(self, predicate: Predicate) -> Array:
        """(N,) bool: of which measured probes it holds; asked often, so what is known is kept."""
        known = self._held_by.get(predicate, np.zeros(0, bool))
        new = self.held[len(known) :]
        if new:
            known = np.concatenate([known, np.fromiter((predicate.holds(h) for h in new), bool, len(new))])
            self._held_by[predicate] = known
        return known

    def _around(self, named: Named) -> list[Posed]:
        """Probes inside a name, and beside each of its conditions: all others hold, this one does not."""
        name, missing = named.predicate, self.effort.inside - named.inside
        wanted = self.prober.pose_for(name, max(0, min(missing, self.effort.inside // 2)))
        for literal in name.literals if len(name.literals) > 1 else ():
            opposite = Predicate.of(*name.without(literal).literals, Literal(literal.any_of, not literal.negated))
            missing = self.effort.beside - int(self._where(opposite).sum())
            if missing > 0:
                wanted += self._spread(self.prober.pose_for(opposite, missing * self.effort.spread), missing)
        return list({p.id: p for p in wanted if p.views is not None}.values())

    def _spread(self, posed: Sequence[Posed], count: int) -> list[Posed]:
        """Those that ask what was least asked, each kind in turn."""
        asked = self.cells.copy()
        turns: list[tuple[int, int]] = []
        agreed = [p for p in posed if p.views is not None]
        for n, p in enumerate(agreed):
            cell = _cell(p.views or ())
            turns.append((asked[cell], n))
            asked[cell] += 1
        return [agreed[n] for _, n in sorted(turns)[:count]]

    def _ask(self, posed: Sequence[Posed], *, chosen: bool) -> None:
        for p, failed in zip(posed, self._answers(posed), strict=True):
            if failed is None or p.views is None:
                self.void += 1
                continue
            self.learn(p.views, failed, chosen=chosen)

    def learn(self, views: Views, failed: bool, *, chosen: bool) -> None:
        """Take a measured probe in."""
        self.held.append(views)
        self.numbers.append([self.phrases.numbers(view) for view in views])
        self.failed.append(failed)
        self.chosen.append(chosen)
        self.cells[_cell(views)] += 1

    def _answers(self, posed: Sequence[Posed], *, again: bool = False) -> list[bool | None]:
        """What the target said of each: asked once, whichever names it is asked for."""
        new = list({p.id: p for p in posed if (p.id, again) not in self._said}.values())
        self.calls += len(new)
        if new:
            self._said |= zip(((p.id, again) for p in new), self.prober.ask(new, again=again), strict=True)
        return [self._said[p.id, again] for p in posed]


def _cell(views: Views) -> tuple[str, ...]:
    """What is asked and what is answered, without the details: where least was asked, most is unknown."""
    return tuple(sorted(a for view in views[:1] for a in view if a.startswith(("asks ", 'answer "'))))


def _ids(posed: Sequence[Posed]) -> tuple[str, ...]:
    return tuple(p.id for p in posed)


def _overlap(one: Array, other: Array) -> float:
    """Jaccard."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 0.0


def _rate(said: Sequence[bool | None]) -> Rate:
    measured = [s for s in said if s is not None]
    return Rate(sum(measured), len(measured), len(said) - len(measured))
