"""A model that says what a file tells it to, for the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from PIL.Image import Image

from auditdm.errors import ModelError
from auditdm.types import Answer


class Told:
    """Gives the reply of the first key that its prompt, and the red of its picture's first pixel, hold; null is a hole.

    Every prompt goes to `heard`, one line of JSON each, so that a test can see what was asked.
    """

    revision: str | None = "told"

    def __init__(self, replies: str, heard: str, model_type: str = "") -> None:
        self.name = "told"
        self.model = SimpleNamespace(config=SimpleNamespace(model_type=model_type))
        self._replies: dict[str, str | None] = json.loads(Path(replies).read_text("utf-8"))
        self._heard = Path(heard).resolve()

    def generate(self, batch: Sequence[tuple[Image, str]]) -> list[Answer]:
        with self._heard.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(text) + "\n" for _, text in batch)
        return [self._answer(f"{text} [{picture.convert('RGB').getpixel((0, 0))[0]}]") for picture, text in batch]

    def _answer(self, seen: str) -> Answer:
        if str(self._replies.get("give up")) in seen:
            raise ModelError("told to give up")
        text = next((reply for key, reply in self._replies.items() if key in seen), "")
        return Answer(model=self.name, text=text, problem="told to be mute" if text is None else None)
