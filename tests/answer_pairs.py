"""How far a judge agrees with the labelled pairs of answer_pairs.jsonl: `python tests/answer_pairs.py`.

A pair is labelled true where whoever accepts one answer to the question has to accept the other (detail that was not
asked for makes no difference), false where the two cannot both be the whole answer (a part that was asked for and left
out, a refusal against an answer), null where the words do not decide it. About a third of the questions, chosen by a
digest of their words, is held out: while the rules were written, only totals were looked at there. Pairs and rules have
one author, who knew both; answers of real models will hold forms that neither foresees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditdm.stats import Rate
from auditdm.types import Judge, content_id

PAIRS = Path(__file__).with_name("answer_pairs.jsonl")


@dataclass(frozen=True)
class Labelled:
    question: str
    one: str
    other: str
    same: bool | None
    kind: str
    held_out: bool


@dataclass(frozen=True)
class Agreement:
    right: Rate  # of the pairs that the judge decided, those labelled so; void: it did not decide
    abstained: Rate  # of the pairs that a person can decide, those that the judge left open
    overreached: Rate  # of the pairs that nobody can decide, those that the judge decided


def is_held_out(question: str) -> bool:
    return int(content_id(question), 16) % 3 == 0


def labelled() -> list[Labelled]:
    return [Labelled(**json.loads(line)) for line in PAIRS.read_text("utf-8").splitlines()]


def agreement(judge: Judge, pairs: Sequence[Labelled]) -> Agreement:
    said = judge.same([(pair.question, pair.one, pair.other) for pair in pairs])
    found = list(zip((pair.same for pair in pairs), said, strict=True))
    decided = [(label, verdict) for label, verdict in found if verdict is not None]
    decidable = [verdict for label, verdict in found if label is not None]
    others = [verdict for label, verdict in found if label is None]
    return Agreement(
        right=Rate(hits=sum(a is b for a, b in decided), asked=len(decided), void=len(found) - len(decided)),
        abstained=Rate(hits=decidable.count(None), asked=len(decidable)),
        overreached=Rate(hits=len(others) - others.count(None), asked=len(others)),
    )


def _line(name: str, found: Agreement) -> str:
    def told(rate: Rate) -> str:
        if rate.interval is None:
            return "-".rjust(30)
        low, high = rate.interval
        return f"{rate.hits:4d}/{rate.asked:3d} = {rate.value:.3f} [{low:.3f}, {high:.3f}]"

    return f"{name:28s} {told(found.right)}  {told(found.abstained)}  {told(found.overreached)}"


def main() -> None:
    from auditdm.backends.cascade import CascadeJudge
    from auditdm.backends.judges import ExactJudge

    pairs = labelled()
    halves: dict[str, Callable[[Labelled], bool]] = {
        "developed on": lambda pair: not pair.held_out,
        "held out": lambda pair: pair.held_out,
    }
    print(f"{'':28s} {'agreement where it decided':30s}  {'abstained, of decidable':30s}  decided, of undecidable")
    for name, judge in (("exact", ExactJudge()), ("cascade, rules", CascadeJudge())):
        for half, belongs in halves.items():
            print(_line(f"{name}, {half}", agreement(judge, [pair for pair in pairs if belongs(pair)])))
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        print(_line(f"  {kind}", agreement(CascadeJudge(), [pair for pair in pairs if pair.kind == kind])))


if __name__ == "__main__":
    main()
