"""Failures that look alike, named.

A first, simple method: the words of the question and of the agreed answer, weighted by TF-IDF, clustered by average
linkage on cosine distance. An agreement as near to a group's centre as nine in ten of its failures is of the same kind
and belongs to its denominator: a rate says how often the target fails on what looks like this, not how often the
auditor asked it. What the target said names a group and does not form it: a group formed by its outcome would have no
agreements, and a rate of 1.

Source: ours. The paper names its failure types by hand.
Shapes: N measured, F failures, V words, K clusters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.text import TfidfVectorizer

from auditdm.types import FailureMode, content_id

Array = np.ndarray[Any, Any]

_MOST_CLUSTERED = 3000  # failures; average linkage takes memory quadratic in them
_COMMON = 0.8  # share of a group's questions that has a word of its name
_USUAL = 0.2  # share of a group's answers that makes one worth naming


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One probe with a decided verdict."""

    probe_id: str
    question: str
    consensus: str
    target_answer: str
    failed: bool


def failure_modes(measured: Sequence[Measured], *, alike: float = 0.45, least: int = 3) -> list[FailureMode]:
    """Group the failures and name the groups.

    Args:
        measured: N failures and agreements, each probe once, in any order.
        alike: Least cosine similarity, on average, within a group.
        least: Failures that make a group; the rest is in none.

    Returns:
        Groups, most failures first; none where there are too few failures. `probe_ids` has the most typical first,
        and no probe is in two groups or counted in two denominators.

    Source: ours.

    Cost: quadratic in the failures, at most 3,000 of which are clustered (the others join the nearest group).

    Example:
        >>> asked = [("the red star", True), ("the blue star", True), ("the green star", True), ("the red star", False)]
        >>> [mode] = failure_modes([
        ...     Measured(probe_id=str(n), question=f"How large is {what}?", consensus="small", target_answer="big", failed=f)
        ...     for n, (what, f) in enumerate(asked)
        ... ])
        >>> mode.name, len(mode.probe_ids), mode.measured
        ("How large is the ... star? 'small', not 'big'", 3, 4)
    """
    ordered = sorted(measured, key=lambda m: m.probe_id)
    failures = [m for m in ordered if m.failed]
    if len(failures) < max(2, least):
        return []
    vectors = TfidfVectorizer(analyzer=_tokens, sublinear_tf=True).fit(ordered)
    failed_FV = vectors.transform(failures)
    first_FV = failed_FV[:_MOST_CLUSTERED].toarray()
    labels = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=1 - alike
    ).fit_predict(first_FV)
    sums_KV = np.stack([first_FV[labels == k].sum(0) for k in range(labels.max() + 1)])
    centres_KV = sums_KV / np.linalg.norm(sums_KV, axis=1, keepdims=True)
    nearness_FK = np.asarray(failed_FV @ centres_KV.T)
    nearest, near = nearness_FK.argmax(1), nearness_FK.max(1)
    passed = _passed(vectors, [m for m in ordered if not m.failed], centres_KV, nearest, near, alike)
    found = []
    for k in range(len(centres_KV)):
        of_k = [n for n in range(len(failures)) if nearest[n] == k and near[n] >= alike]
        if len(of_k) >= least:
            typical = sorted(of_k, key=lambda n: -round(float(near[n]), 9))  # stable: ties by probe id
            found.append(_mode([failures[n] for n in typical], passed[k]))
    return sorted(found, key=lambda m: (-len(m.probe_ids), m.id))


def _passed(
    vectors: Any, agreements: Sequence[Measured], centres_KV: Array, nearest: Array, near: Array, alike: float
) -> Counter[int]:
    """By cluster: the agreements nearest to its centre, and as near as nine in ten of its failures."""
    if not agreements:
        return Counter()
    own = [near[(nearest == k) & (near >= alike)] for k in range(len(centres_KV))]
    least = [np.quantile(s, 0.1, method="lower") if s.size else np.inf for s in own]
    like = np.asarray(vectors.transform(agreements) @ centres_KV.T)
    return Counter(int(k) for k, s in zip(like.argmax(1), like.max(1), strict=True) if s >= least[k] - 1e-9)


def _tokens(m: Measured) -> list[str]:
    """The words asked and the words agreed on, which are others: "red" asked about is not "red" agreed on."""
    return _words(m.question) + [f"agreed: {w}" for w in _words(m.consensus) or [""]]


def _words(text: str) -> list[str]:
    """Lower case, without punctuation around them; punctuation alone is a word."""
    return [w.strip(".,;:?!()\"'") or w for w in text.lower().split()]


def _mode(failures: Sequence[Measured], passed: int) -> FailureMode:
    question = _question(failures)
    agreed, said = _most(m.consensus for m in failures), _most(m.target_answer for m in failures)
    return FailureMode(
        id=content_id("mode", *sorted(m.probe_id for m in failures)),
        name=f"{question} {agreed}, not {said}",
        description=f"Asked such as '{failures[0].question}', the target says {said} where the references agree on {agreed}.",
        probe_ids=tuple(m.probe_id for m in failures),
        measured=len(failures) + passed,
    )


def _question(failures: Sequence[Measured]) -> str:
    """The most frequent question; words that most others do not have are left open."""
    asked = Counter(" ".join(m.question.split()) for m in failures)
    usual = min(asked, key=lambda q: (-asked[q], q))
    having = Counter(w for m in failures for w in set(_words(m.question)))
    kept: list[str] = []
    for said, word in zip(usual.split(), _words(usual), strict=True):
        kept.append(said if having[word] >= _COMMON * len(failures) else "...?" if said.endswith("?") else "...")
    name = re.sub(r"(\.\.\. )+(?=\.\.\.)", "", " ".join(kept))
    return name if name.strip(".?") else usual


def _most(texts: Iterable[str]) -> str:
    """The usual answers, at most three, most frequent first; an empty one is called nothing."""
    counts = Counter(" ".join(_words(text)) for text in texts)
    whole = counts.total()
    usual = [t for t in sorted(counts, key=lambda t: (-counts[t], t)) if counts[t] >= _USUAL * whole][:3]
    rest = whole - sum(counts[t] for t in usual)
    named = [f"'{t[:60]}'" if t else "nothing" for t in usual] + ["others"] * (rest > _USUAL * whole)
    return " or ".join(named) if usual else "many answers"
