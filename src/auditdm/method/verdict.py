"""Verdicts: who stands alone.

Source: arXiv:2512.16921: s(Q*, I*) = D(M_tar(Q*, I*), M_ref(Q*, I*)), D binary semantic inconsistency, M_ref the
consensus of an ensemble.
    M_tar            -> the target's answer
    M_ref            -> `consensus`
    D                -> the judge's "not the same"
Differs from the paper:
    1. Four outcomes instead of two: references that disagree are a split, what could not be measured is void.
    2. `quorum`, ours: the share of references that have to agree (the paper does not say how its consensus is formed).
    3. References that say "cannot be answered" give no consensus: otherwise two agree on nonsense (docs/log.md).
    4. A would-be failure is asked again in other words (`stands`), ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from auditdm.types import Answer, Judge, Model, Outcome, Probe, Verdict

ABSTENTIONS = (  # lower case, and with "cannot" for "can't" and "can not"
    "cannot say", "cannot tell", "cannot determine", "cannot be determined", "cannot answer", "cannot be answered",
    "unanswerable", "not possible to", "impossible to", "unable to say", "unable to tell", "unable to determine",
    "unable to answer", "not enough information",
)  # fmt: skip

UNANSWERABLE = "a reference says that it cannot be answered"  # the reason of a split


def abstains(text: str) -> bool:
    """Tell whether a reply says that the question cannot be answered.

    Source: ours; phrases, in English alone. A refusal in words that are not listed is taken for an answer.

    Example:
        >>> abstains("I can't tell from this picture."), abstains("none")
        (True, False)
    """
    plain = " ".join(text.lower().replace("\u2019", "'").split())
    plain = plain.replace("can't", "cannot").replace("can not", "cannot")
    return any(phrase in plain for phrase in ABSTENTIONS)


def ask(probes: Sequence[Probe], model: Model, wording: str = "{question}") -> list[Answer]:
    """Show every probe to one model.

    Args:
        probes: N probes.
        model: Anything that satisfies `Model`.
        wording: The words around the question; contains `{question}`.

    Returns:
        N answers in order.

    Raises:
        ModelError: The whole batch could not be answered.

    Cost: one model call per probe.

    Example:
        >>> from auditdm.backends.fakes import FakeModel, fake_probe
        >>> echo = FakeModel(lambda words: f"you said: {words}")
        >>> [answer.text for answer in ask([fake_probe("How many dogs?")], echo, "In one word: {question}")]
        ['you said: In one word: How many dogs?']
    """
    return model.generate([(p.image, wording.replace("{question}", p.question)) for p in probes])


def verdicts(
    probes: Sequence[Probe],
    target: Sequence[Answer],
    references: Sequence[Sequence[Answer]],
    judge: Judge,
    *,
    quorum: float = 1.0,
) -> list[Verdict]:
    """Say of each probe whether the target stands alone.

    A probe is a failure when at least `quorum` of the references share one answer and the target's differs from it.
    References share an answer when the judge finds each two of them the same. Which side is right is not decided.

    Args:
        probes: N probes.
        target: N answers of the target.
        references: R >= 1 times N answers of the references.
        judge: Decides which answers mean the same.
        quorum: Share of references, in (0.5, 1], that have to share one answer. One reference is its own consensus.

    Returns:
        N verdicts in order. `failure`: the references share an answer and the target's differs. `split`: they do not, or
        it is empty, or one of them says that the question cannot be answered. `void`: a model was mute, or the judge could not tell
        and it mattered. The consensus is the first of the shared answers; `dissent` is the share of those references
        against the target that the judge could compare with it, the outvoted ones included.

    Raises:
        ValueError: No reference, a quorum out of range, or answers that are not N.

    Source: arXiv:2512.16921, s and D; the head of this module says what differs.

    Cost: N * R * (R + 1) / 2 judgements, no model call.

    Example:
        >>> from auditdm.backends.fakes import FakeJudge, FakeModel, fake_probe
        >>> asked = [fake_probe("How many dogs?"), fake_probe("How many cats?")]
        >>> two, mute = ask(asked, FakeModel(lambda _: "two")), ask(asked, FakeModel({"How many dogs?": "one"}))
        >>> [(v.outcome, v.consensus, v.reason) for v in verdicts(asked, mute, [two, two], FakeJudge())]
        [('failure', 'two', None), ('void', None, 'fake: fake gave no reply')]
    """
    if not references or not 0.5 < quorum <= 1:
        raise ValueError(f"at least one reference and a quorum in (0.5, 1], not {len(references)} and {quorum}")
    answered = list(zip(target, *references, strict=True))  # N times 1 + R: the target, then the references
    pairs = [
        (n, i, j, (probe.question, str(answers[i].text), str(answers[j].text)))
        for n, (probe, answers) in enumerate(zip(probes, answered, strict=True))
        if all(a.text is not None for a in answers)
        for i, j in combinations(range(len(answers)), 2)
    ]
    same: list[dict[tuple[int, int], bool | None]] = [{} for _ in probes]
    for (n, i, j, _), judged in zip(pairs, judge.same([words for *_, words in pairs]), strict=True):
        same[n][i, j] = judged
    return [_verdict(p.id, answers, s, quorum) for p, answers, s in zip(probes, answered, same, strict=True)]


def _verdict(
    probe_id: str, answers: Sequence[Answer], same: Mapping[tuple[int, int], bool | None], quorum: float
) -> Verdict:
    """Index 0 is the target, 1.. the references."""

    def void(reason: str) -> Verdict:
        return Verdict(probe_id=probe_id, outcome="void", reason=reason)

    def split(reason: str) -> Verdict:
        return Verdict(probe_id=probe_id, outcome="split", dissent=dissent, reason=reason)

    if mute := next((a for a in answers if a.text is None), None):
        return void(f"{mute.model}: {mute.problem}")
    references = range(1, len(answers))
    against = [not s for r in references if (s := same[0, r]) is not None]
    if not against:
        return void("the judge cannot compare the target with any reference")
    dissent = sum(against) / len(against)
    if any(abstains(str(answers[r].text)) for r in references):
        return split(UNANSWERABLE)
    needed = quorum * len(references) - 1e-9
    agreed = _largest(references, same, (True,))
    if len(agreed) < needed:
        if len(_largest(references, same, (True, None))) < needed:
            return split("the references disagree")
        return void("the judge cannot tell whether the references agree")
    consensus = str(answers[agreed[0]].text)
    if not consensus.strip():
        return split("the references' answer is empty")
    with_agreed = [same[0, r] for r in agreed]
    if True not in with_agreed and None in with_agreed:
        return void("the judge cannot compare target and consensus")
    outcome: Outcome = "agreement" if True in with_agreed else "failure"
    return Verdict(probe_id=probe_id, outcome=outcome, consensus=consensus, dissent=dissent)


def _largest(
    references: Sequence[int], same: Mapping[tuple[int, int], bool | None], passing: Sequence[bool | None]
) -> tuple[int, ...]:
    """The most references of which each two pass as the same; the first of several such."""
    return next(
        some
        for size in range(len(references), 0, -1)
        for some in combinations(references, size)
        if all(same[pair] in passing for pair in combinations(some, 2))
    )


def stands(
    probes: Sequence[Probe], first: Sequence[Sequence[Answer]], again: Sequence[Sequence[Answer]], judge: Judge
) -> list[bool | None]:
    """Say whether each reference keeps its own answer when it is asked in other words.

    Args:
        probes: N would-be failures.
        first: K times N answers of references, one K for every reference and wording that it was asked again in.
        again: K times N answers of the same references to the same probes in another wording.
        judge: Decides which answers mean the same.

    Returns:
        N values: False where a reference changed its mind or now says that it cannot be answered, None where a reply or
        the judge was mute and nobody changed its mind. True for all if K is 0: nothing was asked that could speak
        against them.

    Raises:
        ValueError: Answers that are not K times N.

    Source: ours.

    Cost: at most K * N judgements, no model call.

    Example:
        >>> from auditdm.backends.fakes import FakeJudge, FakeModel, fake_probe
        >>> asked = [fake_probe("How many dogs?"), fake_probe("How many cats?")]
        >>> two = ask(asked, FakeModel(lambda _: "two"))
        >>> moody = ask(asked, FakeModel({"How many dogs?": "Two", "How many cats?": "three"}))
        >>> stands(asked, [two], [moody], FakeJudge())
        [True, False]
    """
    kept: list[list[bool | None]] = [[] for _ in probes]
    open_: list[tuple[int, tuple[str, str, str]]] = []
    for first_n, again_n in zip(first, again, strict=True):
        for n, (probe, before, now) in enumerate(zip(probes, first_n, again_n, strict=True)):
            if before.text is None or now.text is None:
                kept[n].append(None)
            elif abstains(now.text):
                kept[n].append(False)
            else:
                open_.append((n, (probe.question, before.text, now.text)))
    for (n, _), judged in zip(open_, judge.same([words for _, words in open_]), strict=True):
        kept[n].append(judged)
    return [False if False in k else None if None in k else True for k in kept]
