"""Deterministic stand-ins that obey the protocols, for tests, documentation and whoever tries a configuration.

They answer by a rule that the reader can see, cost nothing, and can be mute in the middle of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from PIL import Image as Pictures
from PIL.Image import Image

from auditdm.types import Action, Answer, Probe, Proposal, content_id, picture_id

_SIDE_PX = 64


class FakeModel:
    """Answers by rule.

    Args:
        respond: From question to reply; None, or a question that a mapping lacks, is a hole.
        name: What the answers call it.

    Example:
        >>> two = FakeModel({"How many dogs?": "two", "Why?": None})
        >>> [answer.text for answer in two.generate([(fake_picture(), "How many dogs?"), (fake_picture(), "Why?")])]
        ['two', None]
    """

    revision: str | None = "fake"

    def __init__(self, respond: Callable[[str], str | None] | Mapping[str, str | None], name: str = "fake") -> None:
        self.name = name
        self._respond = respond.get if isinstance(respond, Mapping) else respond

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        """Answer each question, whatever the picture."""
        replies = [self._respond(question) for _, question in batch]
        return [
            Answer(
                model=self.name,
                text=reply,
                problem=f"{self.name} gave no reply" if reply is None else None,
                revision=self.revision,
            )
            for reply in replies
        ]


class FakeImageGenerator:
    """Draws every caption as a plain square in a colour of its own.

    Args:
        declined: Captions for which there is no picture.
    """

    def __init__(self, declined: Collection[str] = ()) -> None:
        self._declined = frozenset(declined)

    def generate(self, captions: Sequence[str]) -> list[Image | None]:
        """Draw each caption, 64 x 64 px; None where it is declined."""
        return [None if caption in self._declined else fake_picture(caption) for caption in captions]


class FakeImageEditor:
    """Turns a picture into a plain one of the same size, in a colour that picture and command decide.

    Args:
        declined: Commands that it does not follow.
    """

    def __init__(self, declined: Collection[str] = ()) -> None:
        self._declined = frozenset(declined)

    def edit(self, batch: Sequence[tuple[Image, str]]) -> list[Image | None]:
        """Apply each command; None where it is declined."""
        return [
            None if command in self._declined else fake_picture(picture_id(image) + command).resize(image.size)
            for image, command in batch
        ]


class FakeJudge:
    """Two answers are the same when they are, but for case and outer spaces.

    Args:
        unclear: Answers about which it cannot tell.
    """

    def __init__(self, unclear: Collection[str] = ()) -> None:
        self._unclear = frozenset(unclear)

    def same(self, batch: Sequence[tuple[str, str, str]]) -> list[bool | None]:
        """Compare each pair of answers; None where one of them is unclear."""
        return [
            None if self._unclear & {one, other} else one.strip().lower() == other.strip().lower()
            for _, one, other in batch
        ]


def fake_picture(words: str = "") -> Image:
    """A square of 64 px, RGB, in a colour that the words decide."""
    red, green, blue = bytes.fromhex(content_id(words)[:6])
    return Pictures.new("RGB", (_SIDE_PX, _SIDE_PX), (red, green, blue))


def fake_probe(question: str, action: Action = "question") -> Probe:
    """A probe with a plain picture.

    Args:
        question: What it asks; the picture depends on it, so that unlike questions are unlike probes.
        action: "question" leaves the pool's picture; otherwise the instruction is "<action> for <question>".

    Example:
        >>> fake_probe("How many dogs?").proposal.pairing
        'Q*,I'
    """
    source, changed = fake_picture(question), action != "question"
    image = fake_picture(question + action) if changed else source
    proposal = Proposal(
        source_id=picture_id(source),
        action=action,
        question=question,
        instruction=f"{action} for {question}" if changed else None,
    )
    return Probe(id=content_id("probe", picture_id(image), question), proposal=proposal, image=image)
