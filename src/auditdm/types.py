"""The nouns of an audit. Standard library and Pillow only: importing this loads no model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast, runtime_checkable

from PIL.Image import Image  # always RGB, uint8, (H, W, 3)

Action = Literal["question", "caption", "edit"]  # what the auditor is asked to write
Pairing = Literal["Q,I", "Q*,I", "Q,I*", "Q*,I*"]  # a star marks what the auditor made; the rest came with the pool
Outcome = Literal["failure", "agreement", "split", "void"]


def content_id(*parts: str | bytes) -> str:
    """First 16 hex digits of sha256 over the parts, each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(raw)}:".encode())
        digest.update(raw)
    return digest.hexdigest()[:16]


def picture_id(image: Image) -> str:
    """The id of a picture: its size and RGB bytes, so the same pixels are the same picture anywhere."""
    return content_id(f"{image.width}x{image.height}", image.convert("RGB").tobytes())


def seed_for(run_seed: int, *parts: str) -> int:
    """A 63-bit seed determined by its arguments alone, never by what ran before."""
    return int(content_id(str(run_seed), *parts), 16) >> 1


@dataclass(frozen=True, kw_only=True)
class Source:
    """One picture of the pool, and the question that came with it if there was one."""

    id: str  # picture_id of the picture
    image: Image = field(repr=False, compare=False)
    question: str | None = None  # None: the pool has pictures only
    origin: str = ""  # file name or row number, for people


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """The auditor's words, parsed; no pixels yet."""

    source_id: str  # the pool picture it was written for
    action: Action
    question: str  # never blank
    instruction: str | None = None  # caption or edit command; None iff action == "question"
    given_question: bool = False  # True: the question came with the pool

    def __post_init__(self) -> None:
        assert self.question.strip(), "a proposal has a question"
        assert (self.instruction is None) == (self.action == "question"), "an instruction iff the picture changes"

    @property
    def pairing(self) -> Pairing:
        """Which halves of the probe the auditor made, in the paper's notation."""
        question = "Q" if self.given_question else "Q*"
        return cast(Pairing, f"{question},{'I' if self.action == 'question' else 'I*'}")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Exactly what every model is shown."""

    id: str  # content id of the picture and the question
    proposal: Proposal
    image: Image = field(repr=False, compare=False)

    @property
    def question(self) -> str:
        """The words that go with the picture."""
        return self.proposal.question


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One model's reply to one probe."""

    model: str  # the spec the model was built from
    text: str | None  # None: no reply reached us. "" and a refusal ARE replies
    problem: str | None = None  # why there is no reply; set iff text is None
    revision: str | None = None  # commit hash or weights digest; None when a server does not tell

    def __post_init__(self) -> None:
        assert (self.text is None) == (self.problem is not None), "a problem iff there is no reply"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the answers to one probe say about the target."""

    probe_id: str
    outcome: Outcome  # failure: the references agree and the target differs; split: they give no answer to stand on
    consensus: str | None = None  # the references' answer; set iff failure or agreement
    dissent: float | None = None  # share of references against the target, [0, 1]; None iff void
    reason: str | None = None  # why void, or why split

    def __post_init__(self) -> None:
        assert (self.consensus is not None) == (self.outcome in ("failure", "agreement")), "consensus iff decided"
        assert (self.dissent is None) == (self.outcome == "void"), "a dissent iff measured"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One question of a benchmark, with the answer that counts as right."""

    suite: str  # the benchmark, or the skill
    question: str
    answer: str
    image: Image = field(repr=False, compare=False)
    slice: str = ""  # a named part of the suite, "" for none
    extra: bool = False  # True: there to measure the slice well; the suite's own rate leaves it out


@dataclass(frozen=True, kw_only=True)
class FailureMode:
    """Failures that look alike."""

    id: str
    name: str
    description: str
    probe_ids: tuple[str, ...]  # its failures: at least one, distinct, most typical first
    measured: int  # failures + agreements of this kind: the denominator of its rate


@runtime_checkable
class Model(Protocol):
    """Answers questions on pictures. Every batch method: same length, same order, never a shorter list."""

    name: str
    revision: str | None

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        """Answer each (picture, text); a missing reply is an `Answer` with a problem.

        Raises:
            ModelError: The whole batch could not be answered.
        """
        ...


@runtime_checkable
class ImageGenerator(Protocol):
    """Draws captions."""

    def generate(self, captions: Sequence[str]) -> list[Image | None]:
        """Draw each caption; None where it was declined or filtered."""
        ...


@runtime_checkable
class ImageEditor(Protocol):
    """Changes pictures by command, knowing nothing but their pixels."""

    def edit(self, batch: Sequence[tuple[Image, str]]) -> list[Image | None]:
        """Apply each command to its picture; None where it was declined or filtered."""
        ...


@runtime_checkable
class Judge(Protocol):
    """Compares answers."""

    def same(self, batch: Sequence[tuple[str, str, str]]) -> list[bool | None]:
        """For each (question, answer, answer): same meaning? None: cannot tell."""
        ...
