"""Where to look: the pool's own questions on which a change of the picture has made the target fail before."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

_EVERYWHERE = 0.2  # of the draws, spread over all questions whatever they promise


def promise(tried: Sequence[tuple[str, bool]], questions: Sequence[str]) -> list[float]:
    """Weigh the pool's questions by how likely the target fails on them once the picture is changed.

    Args:
        tried: N questions, in the order in which pictures were changed for them, and whether the target then stood alone;
            the later half is learnt from, since the auditor was another one before.
        questions: M questions of pictures not used yet.

    Returns:
        M weights that sum to 1: the square of the expected rate of failures, and for a fifth of the draws all alike. All
        alike where the later half has no failure or nothing else.

    Source: ours; differs from arXiv:2512.16921, where every item of the data set has its turn.

    Cost: one logistic regression on the words of N / 2 questions.

    Example:
        >>> weights = promise([("How many dogs?", True), ("What colour?", False)] * 20, ["How many cats?", "What colour?"])
        >>> weights[0] > weights[1]
        True
    """
    later = tried[len(tried) // 2 :]
    even = [1 / len(questions) for _ in questions]
    if len({failed for _, failed in later}) < 2 or not questions:
        return even
    words = CountVectorizer(token_pattern=r"\w+", binary=True, ngram_range=(1, 2))
    model = make_pipeline(words, LogisticRegression(max_iter=500))
    model.fit([question for question, _ in later], [failed for _, failed in later])
    squares = model.predict_proba(list(questions))[:, 1] ** 2
    return [float((1 - _EVERYWHERE) * s / squares.sum() + _EVERYWHERE * e) for s, e in zip(squares, even, strict=True)]
