"""Models that answer by a rule on the words alone, for configurations: `acting_models:target` and so on.

Of the questions, by the last digit of their content id: 0 nobody can put to the target, 1 to 5 it fails, 6 to 9 it knows.
Asked again in other words, `other` changes its mind on those that end in 2 and is mute on those that end in 3.
With ACTING_PAUSE_S the target takes its time, so that a test can choose when to stop a process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from PIL.Image import Image

from auditdm.backends.fakes import FakeModel
from auditdm.types import Answer, content_id, picture_id

AGAIN = "Again > "


def digit(question: str) -> int:
    return int(content_id(question), 16) % 10


def _target(question: str) -> str | None:
    time.sleep(float(os.environ.get("ACTING_PAUSE_S", "0")))
    return None if digit(question) == 0 else "one" if digit(question) < 6 else "two"


def _other(question: str) -> str | None:
    if not question.startswith(AGAIN):
        return "two"
    return {2: "three", 3: None}.get(digit(question.removeprefix(AGAIN)), "two")


class _Auditor:
    """Asks about one of 30 numbers, as the picture decides; every tenth reply is no proposal."""

    name, revision = "auditor", "acting"

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        numbers = [int(picture_id(image), 16) % 30 for image, _ in batch]
        said = [f"<question> how many are {n} ? </question>" if n % 10 else f"{n} !" for n in numbers]
        return [Answer(model=self.name, text=text, revision=self.revision) for text in said]


target = FakeModel(_target, name="target")
reference = FakeModel(lambda _: "two", name="reference")
other = FakeModel(_other, name="other")
auditor = _Auditor()
